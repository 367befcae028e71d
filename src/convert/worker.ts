import { parentPort, type TransferListItem } from 'node:worker_threads';
import { packError } from '../packed-error.ts';
import { loadZstd } from '../zstd/codec.ts';
import { type CompressRequest, compressChunks } from './compress-chunks.ts';
import { type CutRequest, cutLayer } from './cut-layer.ts';
import { type UnpackRequest, unpackLayer } from './unpack-layer.ts';
import type { WorkerAnswer } from './worker-pool.ts';

/** What a conversion worker does. */
export type ConvertRequest = UnpackRequest | CutRequest | CompressRequest;

async function perform(request: ConvertRequest): Promise<{ result: unknown; transfer: TransferListItem[] }> {
  switch (request.kind) {
    case 'unpack':
      return { result: await unpackLayer(request), transfer: [] };
    case 'cut':
      return { result: cutLayer(request), transfer: [] };
    case 'compress': {
      const result = compressChunks(request);
      return { result, transfer: [result.raw.buffer as ArrayBuffer] };
    }
  }
}

const port = parentPort;
if (port === null) throw new Error('Cannot run: this file is started as a worker thread');
await loadZstd();
port.on('message', async (request: ConvertRequest) => {
  try {
    const { result, transfer } = await perform(request);
    port.postMessage({ result } satisfies WorkerAnswer, transfer);
  } catch (error) {
    port.postMessage({ error: packError(error) } satisfies WorkerAnswer);
  }
});
