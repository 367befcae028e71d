import { UsageError } from '../errors.ts';
import type { Lane } from './lane.ts';

/** What makes a lane. @param command - words that run sluice */
type LaneMaker = (command: readonly string[]) => Promise<Lane>;

/** In the order of reports: sluice, its yardsticks, the others. Each is loaded only when it is asked for. */
const makers: Readonly<Record<string, LaneMaker>> = {
  'sluice-traced': async (command) => new (await import('./lanes/sluice.ts')).SluiceLane('traced', command),
  'sluice-lazy': async (command) => new (await import('./lanes/sluice.ts')).SluiceLane('lazy', command),
  'sluice-eager': async (command) => new (await import('./lanes/sluice.ts')).SluiceLane('eager', command),
  'sluice-second': async (command) => new (await import('./lanes/sluice.ts')).SluiceLane('second', command),
  'runc-unpacked': async () => new (await import('./lanes/runc-unpacked.ts')).RuncUnpackedLane(),
  floor: async (command) => {
    const [{ FloorLane }, { makeTracedImage }] = await Promise.all([
      import('./lanes/floor.ts'),
      import('./lanes/sluice.ts'),
    ]);
    return new FloorLane((context) => makeTracedImage(context, command));
  },
  containerd: async () => new (await import('./lanes/containerd.ts')).ContainerdLane(),
  podman: async () => new (await import('./lanes/podman.ts')).PodmanLane(),
  'skopeo-umoci': async () => new (await import('./lanes/skopeo-umoci.ts')).SkopeoUmociLane(),
  'estargz-untraced': async () => new (await import('./lanes/estargz.ts')).EstargzLane(false),
  estargz: async () => new (await import('./lanes/estargz.ts')).EstargzLane(true),
  soci: async () => new (await import('./lanes/soci.ts')).SociLane(),
};

export const laneNames: readonly string[] = Object.keys(makers);

/** @throws {UsageError} SLUICE_OPTION_INVALID */
export function createLane(name: string, command: readonly string[]): Promise<Lane> {
  const make = Object.hasOwn(makers, name) ? makers[name] : undefined;
  if (make !== undefined) return make(command);
  throw new UsageError('SLUICE_OPTION_INVALID', `Cannot use lane "${name}": want ${laneNames.join(', ')}`);
}
