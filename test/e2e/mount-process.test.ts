import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { convertTree } from '../support/conformance-image.ts';
import { run } from '../support/process.ts';
import { type SluiceResult, sluice } from '../support/sluice.ts';
import { SluiceMount } from '../support/sluice-mount.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';

const hello = { path: 'hello', mode: 0o100644, data: [{ offset: 0, bytes: Buffer.from('hello\n') }] };

describe.skipIf(!isRoot() || !has('cat', 'umount'))('sluice mount', () => {
  let directory: string;
  let image: string;
  let count = 0;

  beforeAll(async () => {
    directory = makeTemporaryDirectory();
    image = await convertTree([{ path: '', mode: 0o040755 }, hello], directory);
  });
  afterAll(() => removeTemporaryDirectory(directory));

  const cache = (): string[] => ['--cache-dir', path.join(directory, 'cache')];
  const fresh = (): string => path.join(directory, `mnt-${count++}`);
  const mount = (at: string, ...flags: readonly string[]): Promise<SluiceMount> =>
    SluiceMount.start([...cache(), ...flags, image], at);
  /** Of a command that has to fail: its status, and the code on its standard error. */
  const failed = ({ status, stdout, stderr }: SluiceResult): [number, string] => {
    expect(stdout).toBe('');
    return [status, (JSON.parse(stderr) as { error: { code: string } }).error.code];
  };

  it('returns when the mount answers, and says where and who', async () => {
    const at = fresh();
    await mkdir(at);
    const { status, stdout, stderr } = await sluice(['mount', '--json', ...cache(), image, at]);
    expect([status, stderr]).toEqual([0, '']);
    const result = JSON.parse(stdout) as { pid: number };
    expect(result).toEqual({ image, mountPoint: at, pid: result.pid });
    expect(await run('cat', [path.join(at, 'hello')])).toBe('hello\n');
    expect((await sluice(['umount', at])).status).toBe(0);
    expect(readdirSync(at)).toEqual([]);
  });

  it.each(['fuse', 'libfuse'])('ends with the mount when umount(8) takes it away, driver %s', async (driver) => {
    const mounted = await mount(fresh(), '--driver', driver);
    expect(mounted.isAlive()).toBe(true);
    await run('umount', [mounted.directory]);
    await mounted.ended();
  });

  it.each(['fuse', 'libfuse'])('unmounts when it is told to end, driver %s', async (driver) => {
    const mounted = await mount(fresh(), '--driver', driver);
    process.kill(mounted.pid, 'SIGTERM');
    await mounted.ended();
    expect(readdirSync(mounted.directory)).toEqual([]);
  });

  it('hides what the directory holds, and mounts over a mount', async () => {
    const at = fresh();
    mkdirSync(at);
    writeFileSync(path.join(at, 'below'), '');
    const first = await mount(at);
    const second = await mount(at, '--cache-dir', path.join(directory, 'other'));
    expect(readdirSync(at)).toEqual(['hello']);
    await run('umount', [at]);
    await second.ended();
    expect(first.isAlive()).toBe(true);
    expect(readdirSync(at)).toEqual(['hello']);
    await first.stop();
    expect(readdirSync(at)).toEqual(['below']);
  });

  it('does not mount twice in one place by one daemon', async () => {
    const mounted = await mount(fresh());
    const result = await sluice(['mount', '--json', ...cache(), image, mounted.directory]);
    expect(failed(result)).toEqual([2, 'SLUICE_OPTION_INVALID']);
    expect(result.stderr).toContain('is mounted there already');
    await mounted.stop();
  });

  it.each(['fuse', 'libfuse'])('says so when the mount point does not exist, driver %s', async (driver) => {
    const result = await sluice(['mount', '--json', '--driver', driver, ...cache(), image, path.join(directory, 'no')]);
    expect(failed(result)).toEqual([8, 'SLUICE_MOUNT_FAILED']);
    expect(result.stderr).toContain(path.join(directory, 'no'));
  });

  it('says so when the mount point is a file', async () => {
    const file = path.join(directory, 'file');
    writeFileSync(file, '');
    const result = await sluice(['mount', '--json', ...cache(), image, file]);
    expect(failed(result)).toEqual([8, 'SLUICE_MOUNT_FAILED']);
  });

  it.each([
    ['is there', (layout: string) => `oci:${layout}:missing`, 3, 'SLUICE_IMAGE_NOT_FOUND'],
    ['was converted', (layout: string) => `oci:${layout}:original`, 4, 'SLUICE_MANIFEST_UNSUPPORTED'],
    ['has a name', () => 'docker://', 2, 'SLUICE_REFERENCE_INVALID'],
  ])('says so when no image %s', async (_what, name, status, code) => {
    const at = fresh();
    await mkdir(at);
    const result = await sluice(['mount', '--json', ...cache(), name(path.join(directory, 'layout')), at]);
    expect(failed(result)).toEqual([status, code]);
    if (code === 'SLUICE_MANIFEST_UNSUPPORTED') expect(result.stderr).toContain('sluice convert');
  });

  it('refuses a driver it does not know, and a directory that is no mount', async () => {
    expect((await sluice(['mount', '--driver', 'other', image, directory])).status).toBe(2);
    const { status, stderr } = await sluice(['umount', directory]);
    expect([status, stderr]).toEqual([8, expect.stringContaining('SLUICE_UNMOUNT_FAILED')]);
  });
});
