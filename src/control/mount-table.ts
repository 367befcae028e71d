import { NotFoundError } from '../errors.ts';
import type { ServedImage } from '../mount/serve-image.ts';
import { checkProfileName } from '../profile/profile-store.ts';
import { checkBody, type Fields, isPositive, isText, oneOf } from './check-body.ts';
import type { Route } from './json-server.ts';
import {
  type FillRequest,
  type MountList,
  type MountStatus,
  mountsPath,
  type StartTrace,
  type StopTrace,
} from './protocol.ts';
import { startTrace, stopTrace } from './trace-calls.ts';

const mountPath = new RegExp(`^${mountsPath}/([0-9]{1,9})$`);
const tracePath = new RegExp(`^${mountsPath}/([0-9]{1,9})/trace$`);
const fillPath = new RegExp(`^${mountsPath}/([0-9]{1,9})/fill$`);

/** The mounts of a process, by number. */
export class MountTable {
  readonly #mounts = new Map<number, ServedImage>();
  #lastId = 0;

  get size(): number {
    return this.#mounts.size;
  }

  /**
   * Until the mount has ended.
   * @param id - the number it is to have; default: a new one
   * @returns its number
   */
  add(mount: ServedImage, id: number = this.#lastId + 1): number {
    this.#lastId = Math.max(this.#lastId, id);
    this.#mounts.set(id, mount);
    const remove = (): void => void this.#mounts.delete(id);
    mount.ended.then(remove, remove);
    return id;
  }

  values(): ServedImage[] {
    return [...this.#mounts.values()];
  }

  /** @throws {NotFoundError} SLUICE_MOUNT_NOT_FOUND */
  get(id: number): ServedImage {
    const mount = this.#mounts.get(id);
    if (mount === undefined) throw new NotFoundError('SLUICE_MOUNT_NOT_FOUND', `Cannot find mount ${id}`);
    return mount;
  }

  /** @throws {NotFoundError} SLUICE_MOUNT_NOT_FOUND */
  status(id: number): MountStatus {
    const { content, mountPoint, trace, state } = this.get(id);
    const { reference, root, raw } = content.image;
    const isRecording = trace?.isActive === true;
    return { id, image: reference, manifest: raw.descriptor.digest, root, mountPoint, isRecording, state: state() };
  }

  list(): MountList {
    return { pid: process.pid, mounts: Array.from(this.#mounts.keys(), (id) => this.status(id)) };
  }
}

/** The calls that every process with mounts answers. */
export function mountRoutes(table: MountTable): Route[] {
  return [
    { method: 'GET', path: new RegExp(`^${mountsPath}$`), answer: () => table.list() },
    { method: 'GET', path: mountPath, answer: ([id]) => table.status(Number(id)) },
    { method: 'POST', path: tracePath, answer: ([id], body) => trace(table.get(Number(id)), body) },
    {
      method: 'POST',
      path: fillPath,
      answer: ([id], body) => {
        fill(table.get(Number(id)), body);
        return table.status(Number(id));
      },
    },
  ];
}

const startFields: Fields<StartTrace> = { action: [oneOf('start'), 'start or stop', 'required'] };

const stopFields: Fields<StopTrace> = {
  action: [oneOf('stop'), 'start or stop', 'required'],
  profile: [isText, 'a name', 'required'],
};

function trace(mount: ServedImage, body: Readonly<Record<string, unknown>>): unknown {
  if (body.action === 'start') {
    checkBody('trace', startFields, body);
    return startTrace(mount);
  }
  return stopTrace(mount, checkProfileName(checkBody('trace', stopFields, body).profile));
}

const fillFields: Fields<FillRequest> = {
  action: [oneOf('start', 'pause', 'resume'), 'start, pause or resume', 'required'],
  bytesPerSecond: [isPositive, 'a number from 1 up', 'optional'],
};

function fill({ fill }: ServedImage, body: Readonly<Record<string, unknown>>): void {
  const { action, bytesPerSecond } = checkBody('fill', fillFields, body);
  if (action === 'start') fill.start({ kind: 'background', bytesPerSecond });
  else if (action === 'pause') fill.pause();
  else fill.resume();
}
