import type { LaneContext } from '../lane.ts';
import { plainHttpMirror, SnapshotterLane } from './snapshotter-lane.ts';

const client = 'ctr-remote';

/** How long the workload is watched when it does not end by itself, seconds; ctr-remote's own default. */
const tracePeriod = 10;

/**
 * eStargz by containerd and its stargz snapshotter, with the defaults of both.
 *
 * prepare() converts the image with `ctr-remote images optimize`: untraced (`--no-optimize`), or traced, with the files
 * first that the workload read when ctr-remote ran it; that container's state is where containerd's always is, in
 * /run/containerd.
 */
export class EstargzLane extends SnapshotterLane {
  constructor(traced: boolean) {
    const name = traced ? 'estargz' : 'estargz-untraced';
    const reference = ({ registry, repository, workload }: LaneContext): string =>
      `${registry}/${repository}-${name}-${workload.name}`;
    super({
      name,
      plugin: 'stargz',
      daemon: 'containerd-stargz-grpc',
      client,
      configuration: plainHttpMirror,
      reference,
      convert: async (containerd, source, context) => {
        const target = reference(context);
        const options = traced ? traceOptions(context) : ['--no-optimize'];
        await containerd.client(client, ['images', 'optimize', '--oci', ...options, source, target], context.signal);
        await containerd.client(client, ['images', 'push', '--plain-http', target], context.signal);
      },
    });
  }
}

function traceOptions({ workload }: LaneContext): string[] {
  const command = workload.command ? ['--entrypoint', JSON.stringify(workload.command), '--args', '[]'] : [];
  const environment = Object.entries(workload.environment).flatMap(([name, value]) => ['--env', `${name}=${value}`]);
  return ['--net-host', '--period', `${tracePeriod}`, ...command, ...environment];
}
