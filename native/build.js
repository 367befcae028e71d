// Builds the addon when the package is installed. Where that is not possible the installation goes on without it:
// sluice works, slower, and says so. SLUICE_REQUIRE_NATIVE=1 makes a missing addon fail the installation instead.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const folder = path.dirname(fileURLToPath(import.meta.url));
const prefix = path.resolve(path.dirname(process.execPath), '..');

/** The node-gyp that npm brings along: npm says where, and without npm it lies beside this Node. */
function findNodeGyp() {
  const candidates = [
    process.env.npm_config_node_gyp,
    path.join(prefix, 'lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js'),
  ];
  return candidates.find((file) => file !== undefined && existsSync(file));
}

/** @returns why there is no addon now, or undefined when there is one */
function build() {
  if (process.platform !== 'linux') return `the addon is for Linux, this is ${process.platform}`;
  const nodeGyp = findNodeGyp();
  if (nodeGyp === undefined) return 'npm and its node-gyp were not found';
  // Headers that lie beside this Node save the download of them.
  const headers = existsSync(path.join(prefix, 'include/node/node_api.h')) ? [`--nodedir=${prefix}`] : [];
  const run = spawnSync(process.execPath, [nodeGyp, 'rebuild', '-C', folder, ...headers], { encoding: 'utf8' });
  if (run.status !== 0) {
    if (process.env.SLUICE_REQUIRE_NATIVE === '1') process.stderr.write(`${run.stdout ?? ''}${run.stderr ?? ''}`);
    const lines = (run.stderr ?? '').split('\n');
    const error =
      lines.find((line) => / error: /.test(line)) ?? lines.find((line) => line.startsWith('gyp ERR! stack'));
    return (
      error?.replace('gyp ERR! stack', '').trim() ?? run.error?.message ?? `node-gyp ended with status ${run.status}`
    );
  }
  try {
    createRequire(import.meta.url)('./build/Release/sluice.node');
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const reason = build();
if (reason !== undefined) {
  process.stderr.write(`sluice: the native addon was not built: ${reason}\n`);
  process.stderr.write('sluice: it works without; mounts are slower, and take root\n');
  process.exitCode = process.env.SLUICE_REQUIRE_NATIVE === '1' ? 1 : 0;
}
