import { FormatError } from '../errors.ts';
import { type Digest, parseDigest } from './digest.ts';
import type { Platform } from './image.ts';
import {
  type Json,
  type JsonObject,
  objectAt,
  optionalStringAt,
  parseJsonObject,
  stringAt,
  stringMapAt,
  stringsAt,
} from './json.ts';

/** How to start a container. Source: OCI image-spec 1.1, config.md. */
export interface ProcessConfig {
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  /** `NAME=value`. */
  readonly environment: readonly string[];
  /** `/` when the image names none. */
  readonly workingDirectory: string;
  /** `user[:group]`, names or numbers; empty for root. */
  readonly user: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly stopSignal: string | undefined;
}

/** An image's configuration: what sluice looks at, and the document itself, to carry over what it does not. */
export interface ImageConfig {
  readonly platform: Platform;
  /** Digests of the uncompressed layer tars, lowest first. */
  readonly diffIds: readonly Digest[];
  readonly process: ProcessConfig;
  readonly document: JsonObject;
}

function parseProcess(value: Json | undefined): ProcessConfig {
  const object = value === undefined || value === null ? {} : objectAt(value, 'image config "config"');
  return {
    entrypoint: stringsAt(object.Entrypoint, 'image config Entrypoint'),
    command: stringsAt(object.Cmd, 'image config Cmd'),
    environment: stringsAt(object.Env, 'image config Env'),
    workingDirectory: optionalStringAt(object.WorkingDir, 'image config WorkingDir') || '/',
    user: optionalStringAt(object.User, 'image config User') ?? '',
    labels: stringMapAt(object.Labels, 'image config Labels'),
    stopSignal: optionalStringAt(object.StopSignal, 'image config StopSignal'),
  };
}

/**
 * Reads an image configuration, OCI or Docker.
 *
 * @param bytes - verified by the caller, not kept
 * @throws {FormatError} SLUICE_MANIFEST_INVALID
 */
export function parseConfig(bytes: Uint8Array): ImageConfig {
  const document = parseJsonObject(bytes, 'image config');
  const rootfs = objectAt(document.rootfs, 'image config rootfs');
  if (rootfs.type !== 'layers') {
    throw new FormatError('SLUICE_MANIFEST_INVALID', 'Cannot read image config: rootfs type is not "layers"');
  }
  const variant = optionalStringAt(document.variant, 'image config variant');
  return {
    platform: {
      architecture: stringAt(document.architecture, 'image config architecture'),
      os: stringAt(document.os, 'image config os'),
      ...(variant ? { variant } : {}),
    },
    diffIds: stringsAt(rootfs.diff_ids, 'image config diff_ids').map(parseDigest),
    process: parseProcess(document.config),
    document,
  };
}
