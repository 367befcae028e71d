// Builds the addon when the package is installed, and the wire of `sluice bench` beside it. Where that is not possible
// the installation goes on without: sluice works, slower, and says so. SLUICE_REQUIRE_NATIVE=1 makes a missing addon, or
// wire, fail the installation instead.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
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

/** After the addon, whose build empties the folder. @returns as build() does */
function buildWire() {
  if (process.platform !== 'linux') return `it is for Linux, this is ${process.platform}`;
  const args = ['-O2', '-Wall', '-o', path.join(folder, 'build/netshape'), path.join(folder, 'netshape.c')];
  mkdirSync(path.join(folder, 'build'), { recursive: true });
  const run = spawnSync(process.env.CC || 'cc', args, { encoding: 'utf8' });
  if (run.status === 0) return undefined;
  return run.error?.message ?? run.stderr.split('\n').find((line) => / error: /.test(line)) ?? `status ${run.status}`;
}

function report(what, reason, consequence) {
  if (reason === undefined) return;
  process.stderr.write(`sluice: ${what} was not built: ${reason}\nsluice: ${consequence}\n`);
  if (process.env.SLUICE_REQUIRE_NATIVE === '1') process.exitCode = 1;
}

report('the native addon', build(), 'it works without; mounts are slower, and take root');
report('the wire of `sluice bench`', buildWire(), 'slow links are imitated by a proxy instead');
