import { ContainerError } from '../errors.ts';

/** Who a container's process is. */
export interface ContainerUser {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly additionalGids: readonly number[];
}

/** The image's /etc/passwd and /etc/group; empty where it has none. */
export interface UserDatabase {
  readonly passwd: string;
  readonly group: string;
}

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** Linux has 32-bit IDs, and runtimes use signed ones. */
const maximumId = 0x7fff_ffff;

/**
 * Root, however it is written: 0 everywhere, so that no file of the image has to be there before a container can start.
 * It is in no supplementary group, which would give it nothing that it has not.
 */
export function isRoot(text: string): boolean {
  return /^(root|0)?(:(root|0)?)?$/.test(text);
}

/**
 * Finds out who `user[:group]` is, names or numbers, as Docker does: a number need not be in the image's files; a user
 * who is there has the primary and supplementary groups of its entry, unless a group is named, which is then the only one.
 *
 * @param text - empty: root
 * @throws {ContainerError} SLUICE_USER_NOT_FOUND for a name the image does not have
 */
export function resolveUser(text: string, database: UserDatabase): ContainerUser {
  const [userText = '', groupText = ''] = text.split(':', 2);
  const wanted = userText || '0';
  const number = parseId(wanted);
  const entry = passwdEntries(database.passwd).find(({ name, uid }) =>
    number === undefined ? name === wanted : uid === number,
  );
  const uid = entry?.uid ?? number;
  if (uid === undefined) throw notFound('user', wanted, '/etc/passwd');
  const groups = groupEntries(database.group);
  if (groupText !== '') return { uid, gid: resolveGroup(groupText, groups), additionalGids: [] };
  const memberships = groups.filter(({ members }) => entry !== undefined && members.includes(entry.name));
  return { uid, gid: entry?.gid ?? 0, additionalGids: [...new Set(memberships.map(({ gid }) => gid))] };
}

function resolveGroup(wanted: string, groups: readonly GroupEntry[]): number {
  const gid = parseId(wanted) ?? groups.find(({ name }) => name === wanted)?.gid;
  if (gid === undefined) throw notFound('group', wanted, '/etc/group');
  return gid;
}

/** Source: passwd(5). Lines that are none are passed over, as the C library does. */
function passwdEntries(text: string): PasswdEntry[] {
  return text.split('\n').flatMap((line) => {
    const [name = '', , uidText = '', gidText = ''] = line.split(':');
    const [uid, gid] = [parseId(uidText), parseId(gidText)];
    return name === '' || uid === undefined || gid === undefined ? [] : [{ name, uid, gid }];
  });
}

/** Source: group(5). */
function groupEntries(text: string): GroupEntry[] {
  return text.split('\n').flatMap((line) => {
    const [name = '', , gidText = '', members = ''] = line.split(':');
    const gid = parseId(gidText);
    return name === '' || gid === undefined ? [] : [{ name, gid, members: members.trim().split(',') }];
  });
}

function parseId(text: string): number | undefined {
  if (!/^\d{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= maximumId ? id : undefined;
}

function notFound(kind: string, name: string, file: string): ContainerError {
  return new ContainerError(
    'SLUICE_USER_NOT_FOUND',
    `Cannot run as ${kind} "${name}": the image's ${file} has none of that name`,
    {
      facts: { name },
    },
  );
}
