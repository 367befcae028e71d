import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Wire, type WireOptions } from '../../src/startup/wire.ts';

export type { WireEnd as LinkEnd } from '../../src/startup/wire.ts';

const native = fileURLToPath(new URL('../../native/', import.meta.url));

/** A working tree that was not installed has no wire yet. */
function buildWire(): void {
  const program = path.join(native, 'build/netshape');
  if (existsSync(program)) return;
  const temporary = `${program}.${process.pid}`;
  mkdirSync(path.dirname(program), { recursive: true });
  execFileSync('cc', ['-O2', '-Wall', '-o', temporary, path.join(native, 'netshape.c')]);
  renameSync(temporary, program);
}

export type Link = Wire;

/** A slow link between two network namespaces. Needs root, cc and nsenter. */
export const Link = {
  open(options: WireOptions): Promise<Wire> {
    buildWire();
    return Wire.open(options);
  },
};
