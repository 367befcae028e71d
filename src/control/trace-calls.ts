import { UsageError } from '../errors.ts';
import type { MountTrace } from '../mount/mount-trace.ts';
import type { ServedImage } from '../mount/serve-image.ts';
import { writeProfile } from '../profile/document.ts';
import { recordProfile } from '../profile/record-profile.ts';
import type { TraceStarted, TraceStopped } from './protocol.ts';

/**
 * What is cached is dropped after the recording has begun: what is read in between is seen twice, not never.
 * @throws {UsageError} SLUICE_TRACE_STATE when somebody records already
 */
export async function startTrace(mount: ServedImage): Promise<TraceStarted> {
  const trace = traceOf(mount, false);
  const pageExact = trace.start();
  await trace.dropPages();
  return { pageExact };
}

/** @throws {UsageError} SLUICE_TRACE_STATE when nobody records */
export function stopTrace(mount: ServedImage, name: string): TraceStopped {
  const { reads, lost, pageExact } = traceOf(mount, true).stop();
  const { root, bootstrap } = mount.content.image;
  const profile = recordProfile({ name, root, pageExact }, bootstrap, reads);
  return { profile: JSON.parse(Buffer.from(writeProfile(profile)).toString()), lost };
}

function traceOf({ trace, mountPoint }: ServedImage, isActive: boolean): MountTrace {
  if (trace === undefined) {
    throw new UsageError('SLUICE_OPTION_INVALID', `Cannot record reads of "${mountPoint}": its driver has no way`);
  }
  if (trace.isActive === isActive) return trace;
  const why = isActive ? 'nobody has started to' : 'somebody does already';
  throw new UsageError('SLUICE_TRACE_STATE', `Cannot ${isActive ? 'stop' : 'start'} recording "${mountPoint}": ${why}`);
}
