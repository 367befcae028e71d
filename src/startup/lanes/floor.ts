import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { Agent, get, type IncomingMessage, type RequestOptions } from 'node:http';
import path from 'node:path';
import { Readable } from 'node:stream';
import { FuseError } from '../../errors.ts';
import { describeBytes, writeManifest } from '../../oci/canonical-json.ts';
import { mediaType } from '../../oci/media-types.ts';
import { openTarget } from '../../transport/open.ts';
import type { Lane, LaneContainer, LaneContext } from '../lane.ts';
import { adaptBundle, fetchLayout, runBundle, unpackLayout } from './bundle.ts';
import { clearFolder, mountsBelow } from './clear-folder.ts';
import { missingPrograms, runProgram } from './program.ts';

/** What the documents that lead to the needed bytes are taken to weigh: something, and too little to be measured. */
const leadBytes = 1024;

/**
 * What no lazy loader can beat: the bytes a start needs and nothing else, one after another over one connection, and
 * then a container on a root file system that is all in memory.
 *
 * Five round trips, each waiting for the one before: the connection; the manifest by its tag; the config; 1 KiB in place
 * of what says where things are; and the needed bytes in one blob, random ones, which take as long as any of that number.
 * Nothing is decompressed, verified or stored. Then `runc run` on an overlay over the unpacked image in a tmpfs, which
 * dropping the page cache leaves alone: what the container reads is warm. Programs of the host, runc among them, are as
 * cold as in every other lane.
 */
export class FloorLane implements Lane {
  readonly name = 'floor';
  readonly #neededBytes: (context: LaneContext) => Promise<number>;
  #memory: string | undefined;

  /** @param neededBytes - what the workload's start touches, compressed; asked for once a workload, untimed */
  constructor(neededBytes: (context: LaneContext) => Promise<number>) {
    this.#neededBytes = neededBytes;
  }

  async unavailable(): Promise<string | undefined> {
    return missingPrograms('skopeo', 'umoci', 'runc', 'mount');
  }

  async prepare(context: LaneContext): Promise<void> {
    const { directory, signal, workload } = context;
    await pushImage(context, await this.#neededBytes(context));
    this.#memory = path.join(directory, 'memory');
    if (mountsBelow(this.#memory).length === 0) {
      await mkdir(this.#memory, { recursive: true });
      await runProgram('mount', ['-t', 'tmpfs', 'tmpfs', this.#memory], { signal });
    }
    const layout = path.join(this.#memory, 'layout');
    const bundle = this.#bundle(context);
    await clearFolder(bundle);
    await fetchLayout(context, layout);
    await unpackLayout(layout, bundle, signal);
    await clearFolder(layout);
    await adaptBundle(bundle, workload, 'merged');
  }

  /** What the container before wrote goes, as it does with a container. */
  async wipe(context: LaneContext): Promise<void> {
    const bundle = this.#bundle(context);
    const part = (name: string): string => path.join(bundle, name);
    for (const name of ['merged', 'upper', 'work']) {
      await clearFolder(part(name));
      await mkdir(part(name));
    }
    const layers = `lowerdir=${part('rootfs')},upperdir=${part('upper')},workdir=${part('work')}`;
    const args = ['-t', 'overlay', 'overlay', '-o', layers, part('merged')];
    await runProgram('mount', args, { signal: context.signal });
  }

  async start(context: LaneContext): Promise<LaneContainer> {
    const started = performance.now();
    await pullImage(context);
    const pulledMs = performance.now() - started;
    return runBundle(context, this.#bundle(context), { pulledMs, mountedMs: pulledMs });
  }

  async close(): Promise<void> {
    if (this.#memory !== undefined) await clearFolder(this.#memory);
  }

  #bundle({ workload }: LaneContext): string {
    return path.join(this.#memory ?? '', workload.name);
  }
}

const repositoryOf = ({ workload }: LaneContext): string => `${workload.name}-floor`;
const tag = 'floor';

/** Puts an image into the registry whose config and two layers are what {@link pullImage} asks for. */
async function pushImage(context: LaneContext, neededBytes: number): Promise<void> {
  const { registry, signal } = context;
  const target = openTarget(`docker://${registry}/${repositoryOf(context)}:${tag}`, { plainHttp: true });
  try {
    const blobs = [leadBytes, leadBytes, neededBytes].map((size) => {
      const bytes = randomBytes(size);
      return { bytes, descriptor: describeBytes('application/octet-stream', bytes) };
    });
    for (const { bytes, descriptor } of blobs) await target.putBlob(descriptor, () => Readable.from([bytes]), signal);
    const [config, ...layers] = blobs.map(({ descriptor }) => descriptor);
    await target.putManifest(writeManifest(mediaType.ociManifest, { config, layers }), true, signal);
  } finally {
    await target.close();
  }
}

interface FloorManifest {
  readonly config: { readonly digest: string };
  readonly layers: readonly { readonly digest: string }[];
}

/** Fetches what {@link pushImage} put there, each document when the one before is there. */
async function pullImage(context: LaneContext): Promise<void> {
  const { registry, signal } = context;
  const base = `http://${registry}/v2/${repositoryOf(context)}`;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    const options = { agent, signal };
    const headers = { accept: mediaType.ociManifest };
    const manifest = await fetchBytes(`${base}/manifests/${tag}`, { ...options, headers });
    const { config, layers } = JSON.parse(manifest.toString()) as FloorManifest;
    for (const { digest } of [config, ...layers]) await fetchBytes(`${base}/blobs/${digest}`, options);
  } finally {
    agent.destroy();
  }
}

async function fetchBytes(url: string, options: RequestOptions): Promise<Buffer> {
  const [response] = (await once(get(url, options), 'response')) as [IncomingMessage];
  const parts: Buffer[] = [];
  for await (const part of response) parts.push(part as Buffer);
  if (response.statusCode === 200) return Buffer.concat(parts);
  throw new FuseError('SLUICE_BENCH_FAILED', `Cannot fetch "${url}": the registry answers ${response.statusCode}`);
}
