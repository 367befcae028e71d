import { Argument, Command } from 'commander';
import type { RemoteMount } from '../control/control-client.ts';
import { NotFoundError } from '../errors.ts';
import type { Digest } from '../oci/digest.ts';
import { addCacheDirOption, addJsonOption, addPlatformOption, addRegistryOptions } from './options.ts';
import { note, printResult } from './output.ts';
import { countText, extentText, listText, type ProfileFacts, profileFacts, readTexts } from './profile-text.ts';
import { mountsOf, runningMounts } from './running-mounts.ts';
import { type ImageFlags, withImage } from './with-image.ts';
import { writeOut } from './write-out.ts';

interface TraceFlags extends ImageFlags {
  readonly profile?: string;
  readonly replace?: boolean;
}

const defaultProfile = 'default';

const examples = `
Examples:
  sluice trace start /mnt/app       then start what is to start faster
  sluice trace stop /mnt/app
  sluice trace show docker://HOST/app:1-sluice --profile default
  sluice trace show /mnt/app --profile default --json > start.json     the document, for sluice convert --trace

A profile is the list of pages that a start reads, in order: paths and page numbers, no content. It is kept in the
cache, for each image and name, and what is recorded again is added to it. What it is good for: docs/profiles.md.`;

export function traceCommand(): Command {
  const command = new Command('trace')
    .summary('record what a start reads')
    .description('Records which pages of a mounted image are read, and shows what was recorded.')
    .addArgument(
      new Argument('<action>', 'start or stop recording; show what is recorded').choices(['start', 'stop', 'show']),
    )
    .argument('<image|dir>', 'a mount point, or an image: all its mounts')
    .option('--profile <name>', `which profile; start has no need of it (default: ${defaultProfile}, show: lists all)`)
    .option('--replace', 'stop: forget what the profile holds, rather than add to it')
    .addHelpText('after', examples);
  for (const add of [addPlatformOption, addRegistryOptions, addCacheDirOption, addJsonOption]) add(command);
  return command.action((action: 'start' | 'stop' | 'show', target: string, flags: TraceFlags) =>
    ({ start, stop, show })[action](target, flags),
  );
}

async function start(target: string, flags: TraceFlags): Promise<void> {
  const mounts = await mountsThat(false, target, flags);
  const started = await Promise.all(mounts.map(async (mount) => ({ mount, ...(await mount.startTrace()) })));
  const inexact = started.filter(({ pageExact }) => !pageExact);
  for (const { mount } of inexact) {
    note(`${mount.status.mountPoint}: the kernel goes on to read ahead; it takes root to keep it from that`);
  }
  const facts = started.map(({ mount, pageExact }) => ({ ...mountFacts(mount), pageExact }));
  printResult(flags.json, facts, () => facts.map(({ mountPoint }) => `recording ${mountPoint}\n`).join(''));
}

async function stop(target: string, flags: TraceFlags): Promise<void> {
  const { ProfileStore, checkProfileName } = await import('../profile/profile-store.ts');
  const name = checkProfileName(flags.profile ?? defaultProfile);
  const store = new ProfileStore(flags.cacheDir);
  const stopped: { mountPoint: string; lost: number; recorded: ProfileFacts; profile: ProfileFacts }[] = [];
  let how: 'merge' | 'replace' = flags.replace === true ? 'replace' : 'merge';
  for (const mount of await mountsThat(true, target, flags)) {
    const { profile, lost } = await mount.stopTrace(name);
    const { mountPoint } = mount.status;
    if (lost > 0) note(`${mountPoint}: ${lost} reads were too many, and are not in the profile`);
    if (!profile.pageExact) note(`${mountPoint}: some pages are in the profile because the kernel read ahead`);
    const kept = await store.save(profile, how);
    how = 'merge';
    stopped.push({ mountPoint, lost, recorded: profileFacts(profile), profile: profileFacts(kept) });
  }
  printResult(flags.json, stopped, () =>
    stopped.map(({ mountPoint, recorded, profile }) => stopText(mountPoint, recorded, profile)).join(''),
  );
}

function stopText(mountPoint: string, recorded: ProfileFacts, { name, runs, ...all }: ProfileFacts): string {
  const before = countText(runs - 1, 'recording');
  const merged = runs === 1 ? '' : `; with ${before} before it: ${extentText(all)}`;
  return `recorded ${mountPoint} as "${name}": ${extentText(recorded)}${merged}\n`;
}

async function show(target: string, flags: TraceFlags): Promise<void> {
  const [{ ProfileStore }, { writeProfile }] = await Promise.all([
    import('../profile/profile-store.ts'),
    import('../profile/document.ts'),
  ]);
  const store = new ProfileStore(flags.cacheDir);
  const root = await rootOf(target, flags);
  if (flags.profile !== undefined) {
    const profile = await store.load(root, flags.profile);
    if (profile === undefined) throw noProfile(flags.profile, target);
    const document = (): string => `${Buffer.from(writeProfile(profile)).toString()}\n`;
    return writeOut(flags.json === true ? [document()] : readTexts(profile));
  }
  const profiles = await Promise.all((await store.list(root)).map((name) => store.load(root, name)));
  const facts = profiles.filter((profile) => profile !== undefined).map(profileFacts);
  printResult(flags.json, facts, () => listText(facts));
}

function noProfile(name: string, target: string): NotFoundError {
  const message = `Cannot find profile "${name}" of ${target}: "sluice trace" records one`;
  return new NotFoundError('SLUICE_PROFILE_NOT_FOUND', message, { facts: { name } });
}

/** Those of the mounts that record or do not; all of them when there are none such, for what they say to it. */
async function mountsThat(record: boolean, target: string, flags: TraceFlags): Promise<RemoteMount[]> {
  const mounts = await mountsOf(target, flags);
  const wanted = mounts.filter(({ status }) => status.isRecording === record);
  return wanted.length > 0 ? wanted : mounts;
}

function mountFacts({ pid, status }: RemoteMount): { image: string; mountPoint: string; pid: number } {
  return { image: status.image, mountPoint: status.mountPoint, pid };
}

async function rootOf(target: string, flags: TraceFlags): Promise<Digest> {
  const [mount] = await runningMounts(target, flags);
  return mount?.status.root ?? withImage(target, flags, async ({ image }) => image.root);
}
