import { createHash } from 'node:crypto';
import path from 'node:path';
import { type LayerFile, writeLayerFile } from '../image/layer-file.ts';
import { canonicalJson, describeBytes, writeManifest } from '../oci/canonical-json.ts';
import type { ImageTarget } from '../oci/image.ts';
import { mediaType } from '../oci/media-types.ts';
import { besideNode, findNode, takeFile, takeFolders } from './sample-files.ts';
import { type SampleFile, sampleTar } from './sample-layer.ts';

/** An image made of what this machine has, pushed. */
export interface SampleImage {
  readonly layers: number;
  /** All layers as the registry stores them, bytes: what a pull downloads. */
  readonly size: number;
  /** All tars, bytes. */
  readonly unpackedSize: number;
  /** How it is started. */
  readonly start: SampleStart;
  /** A file that it never reads. */
  readonly unread: string;
}

/** Paths in the image, absolute. */
export interface SampleStart {
  readonly program: string;
  readonly script: string;
  readonly libraries: readonly string[];
  /** All files that are needed. */
  readonly needed: readonly string[];
}

const mebibyte = 2 ** 20;
/** Each folder is taken up to here, so that the image has at most some 200 MiB. */
const budget = { toolchain: 24 * mebibyte, system: 32 * mebibyte, beside: 12 * mebibyte };

const toolchain = '/usr/lib/gcc';
const system = ['/usr/include', '/usr/share'];

/** What the container does: hashes what it finds in its image, so that wrong bytes would be seen. */
const script = `const { createHash } = require('node:crypto');
const { readFileSync } = require('node:fs');
const data = readFileSync(require('node:path').join(__dirname, 'data'));
console.log(process.version, createHash('sha256').update(data).digest('hex'));
`;

/**
 * Makes an image with three habits of real ones, and pushes it: it carries much that a start never reads; a layer
 * changes the owner of a folder, and so carries all of it again; a layer removes what a lower one brought.
 *
 * @param folder - for the layers; the caller removes it
 */
export async function makeSampleImage(target: ImageTarget, folder: string, signal: AbortSignal): Promise<SampleImage> {
  const { program, libraries } = await findNode();
  const tools = await takeFolders([toolchain], budget.toolchain);
  const rest = await takeFolders(system, budget.system);
  const beside = await takeFolders(besideNode(program), budget.beside);
  const application = applicationFiles();
  const removed: SampleFile[] = tools.length === 0 ? [] : [whiteout(toolchain)];
  const layers = await Promise.all(
    [
      [...(await Promise.all(libraries.map(takeFile))), ...tools, ...rest],
      [await takeFile(program), ...beside],
      [...beside.map((file) => ({ ...file, owner: 1000 })), ...removed, ...application],
    ].map((files, i) => writeLayerFile(sampleTar(files), path.join(folder, `layer-${i}`), signal)),
  );
  await push(target, layers, program, signal);
  const [main = '', data = ''] = application.map((file) => `/${file.path}`);
  const start = { program, libraries, script: main, needed: [program, ...libraries, main, data] };
  return {
    layers: layers.length,
    size: layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0),
    unpackedSize: layers.reduce((sum, layer) => sum + layer.tarSize, 0),
    start,
    unread: `/${unreadFile([...rest, ...beside], application[1] as SampleFile).path}`,
  };
}

function applicationFiles(): SampleFile[] {
  const rows = Array.from({ length: 8192 }, (_, i) => createHash('sha256').update(String(i)).digest());
  return [
    { path: 'app/main.js', mode: 0o644, content: { bytes: Buffer.from(script) } },
    { path: 'app/data', mode: 0o644, content: { bytes: Buffer.concat(rows) } },
  ];
}

/** Source: OCI image-spec 1.1, layer.md, "Whiteouts". */
function whiteout(folder: string): SampleFile {
  const place = path.join(path.dirname(folder), `.wh.${path.basename(folder)}`);
  return { path: place.slice(1), mode: 0o644, content: { bytes: new Uint8Array(0) } };
}

/** From the middle of what lies about, far from what a start reads; the data where nothing lies about. */
function unreadFile(files: readonly SampleFile[], otherwise: SampleFile): SampleFile {
  const plain = files.filter(({ content }) => 'file' in content);
  return plain[plain.length >> 1] ?? otherwise;
}

async function push(
  target: ImageTarget,
  layers: readonly LayerFile[],
  program: string,
  signal: AbortSignal,
): Promise<void> {
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const bytes = canonicalJson({
    architecture,
    os: 'linux',
    config: { Entrypoint: [program, '/app/main.js'], WorkingDir: '/' },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
  });
  const config = describeBytes(mediaType.ociConfig, bytes);
  for (const { descriptor, content } of layers) await target.putBlob(descriptor, content, signal);
  await target.putBlob(config, () => once(bytes), signal);
  const descriptors = layers.map(({ descriptor }) => descriptor);
  await target.putManifest(writeManifest(mediaType.ociManifest, { config, layers: descriptors }), true, signal);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
