import { plainHttpMirror, SnapshotterLane } from './snapshotter-lane.ts';

const client = 'soci';

/** Everything is indexed, where SOCI's default leaves layers below 10 MiB to a plain pull: no lane falls back. */
const smallestLayer = 0;

/** The index is kept by containerd: SOCI's own store has one place on a machine, and would not be wiped. */
const store = ['--content-store', 'containerd'];

/**
 * The image as it is, with a SOCI index beside it, which says where in the gzip stream of a layer a file begins.
 * prepare() makes the index with `soci create`; nobody traces. What `soci` remembers of indexes it made stays in
 * /var/lib/soci-snapshotter-grpc.
 *
 * Tried up to `soci create` only: Debian's soci 0.4.1 dies in `soci push`, and its daemon knows one address of containerd,
 * so that it takes a newer one. Source: soci-snapshotter, docs/getting-started.md and config/config.go.
 */
export class SociLane extends SnapshotterLane {
  constructor() {
    super({
      name: 'soci',
      plugin: 'soci',
      daemon: 'soci-snapshotter-grpc',
      client,
      configuration: (registry, containerd) =>
        [
          '[content_store]',
          'type = "containerd"',
          `containerd_address = "${containerd}"`,
          plainHttpMirror(registry),
        ].join('\n'),
      reference: ({ registry, repository }) => `${registry}/${repository}`,
      convert: async (containerd, source, { signal }) => {
        const create = ['create', '--min-layer-size', `${smallestLayer}`, source];
        await containerd.client(client, [...store, ...create], signal);
        await containerd.client(client, [...store, 'push', '--plain-http', '--quiet', source], signal);
      },
    });
  }
}
