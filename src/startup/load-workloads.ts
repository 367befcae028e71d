import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { UsageError } from '../errors.ts';
import { packageFile } from '../package-file.ts';
import { parseWorkload } from './parse-workload.ts';
import type { Workload } from './workload.ts';

const folder = packageFile('bench/workloads');

/** The workloads that come with sluice. */
export function shippedWorkloads(): readonly string[] {
  const files = readdirSync(folder).filter((file) => file.endsWith('.json'));
  return files.map((file) => path.basename(file, '.json')).sort();
}

/**
 * @param names - of shipped workloads, or files that end in `.json`; none for all that are shipped
 * @param images - as for parseWorkload()
 * @throws {UsageError} SLUICE_OPTION_INVALID
 */
export function loadWorkloads(names: readonly string[], images: string | undefined): readonly Workload[] {
  const workloads = (names.length === 0 ? shippedWorkloads() : names).map((name) => {
    const file = name.endsWith('.json') ? name : path.join(folder, `${name}.json`);
    return parseWorkload(readWorkload(file, name), path.basename(file, '.json'), images);
  });
  const twice = workloads.find(({ name }, i) => workloads.findIndex((other) => other.name === name) !== i);
  if (twice === undefined) return workloads;
  throw new UsageError('SLUICE_OPTION_INVALID', `Cannot use workload "${twice.name}" twice`);
}

function readWorkload(file: string, name: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (cause) {
    const why = `there is no "${file}"; shipped are ${shippedWorkloads().join(', ')}`;
    throw new UsageError('SLUICE_OPTION_INVALID', `Cannot use workload "${name}": ${why}`, { cause });
  }
}
