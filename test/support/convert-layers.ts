import path from 'node:path';
import { convertImage } from '../../src/convert/convert-image.ts';
import { type ConvertParameters, defaultParameters } from '../../src/convert/parameters.ts';
import type { ConvertSummary } from '../../src/convert/summary.ts';
import { openSource, openTarget } from '../../src/transport/open.ts';
import { type MemoryImage, putImage } from './image.ts';

export interface ConvertLayersOptions {
  /** Where the result goes. Default: a layout in the directory. */
  readonly target?: string;
  readonly parameters?: Partial<ConvertParameters>;
  readonly workers?: number;
}

export interface ConvertedLayers {
  /** Of the result. */
  readonly reference: string;
  readonly summary: ConvertSummary;
}

/** Where {@link convertLayers} keeps finished layers and downloads. */
export const workDirectory = (directory: string): string => path.join(directory, 'work');

/** Converts what `source` names, in this process. @param directory - for everything on the way; the caller removes it */
export async function convertReference(
  source: string,
  directory: string,
  options: ConvertLayersOptions = {},
): Promise<ConvertedLayers> {
  const reference = options.target ?? `oci:${path.join(directory, 'layout')}:converted`;
  const [from, target, previous] = [openSource(source, {}), openTarget(reference, {}), openSource(reference, {})];
  try {
    const summary = await convertImage({
      source: from,
      target,
      previous,
      workDirectory: workDirectory(directory),
      parameters: { ...defaultParameters, ...options.parameters },
      workers: options.workers,
    });
    return { reference, summary };
  } finally {
    await Promise.all([from.close(), target.close(), previous.close()]);
  }
}

/** Converts an image in memory, by way of an OCI layout in `directory`. */
export async function convertLayers(
  image: MemoryImage,
  directory: string,
  options: ConvertLayersOptions = {},
): Promise<ConvertedLayers> {
  const source = `oci:${path.join(directory, 'source')}:original`;
  await putImage(openTarget(source, {}), image);
  return convertReference(source, directory, options);
}
