import { createHash } from 'node:crypto';
import { defaultCutParameters } from '../chunk/parameters.ts';
import type { DigestAlgorithm } from '../digest/hash.ts';

/**
 * What shapes the bytes of a converted image. Two conversions with equal parameters give equal digests; the degree of
 * parallelism is deliberately not here.
 */
export interface ConvertParameters {
  readonly digest: DigestAlgorithm;
  /** zstd level of chunk frames. */
  readonly level: number;
  /** Leave out of the blobs what an upper layer hides; the blobs are then this image's alone. */
  readonly dropHidden: boolean;
}

// ADR-0004: measured on the images of test/images.
export const defaultParameters: ConvertParameters = { digest: 'sha256', level: 5, dropHidden: false };

/** Raised whenever the converter would give other bytes for the same parameters: it is part of every layer key. */
const converterVersion = 2;

/**
 * Names the conversion of one layer on top of the layers below it: equal keys mean equal blobs, byte for byte.
 * The layers below count because what they hold is not stored again.
 *
 * @param diffIds - of this layer and all below it, lowest first
 * @param salt - more that the result depends on (with `dropHidden`, all the layers of the image)
 * @returns 64 hex digits
 */
export function layerKey(diffIds: readonly string[], parameters: ConvertParameters, salt = ''): string {
  const facts = [converterVersion, parameters.digest, parameters.level, JSON.stringify(defaultCutParameters), salt];
  return createHash('sha256')
    .update([...facts, ...diffIds].join('\n'))
    .digest('hex');
}
