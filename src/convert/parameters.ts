import { createHash } from 'node:crypto';
import { defaultCutParameters } from '../chunk/parameters.ts';
import { type DigestAlgorithm, hash } from '../digest/hash.ts';
import { writeProfile } from '../profile/document.ts';
import type { Profile } from '../profile/profile.ts';

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
  /** Puts what this lists first; the blobs are then this image's alone. */
  readonly trace?: Profile | undefined;
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
 * @param all - diffIds of the whole image: with `dropHidden` and `trace`, the layers above count, too
 * @returns 64 hex digits
 */
export function layerKey(diffIds: readonly string[], parameters: ConvertParameters, all: readonly string[]): string {
  const { digest, level, dropHidden, trace } = parameters;
  const facts = [converterVersion, digest, level, JSON.stringify(defaultCutParameters)];
  if (dropHidden) facts.push('drop-hidden', ...all);
  if (trace !== undefined)
    facts.push('trace', Buffer.from(hash('sha256', writeProfile(trace))).toString('hex'), ...all);
  return createHash('sha256')
    .update([...facts, ...diffIds].join('\n'))
    .digest('hex');
}
