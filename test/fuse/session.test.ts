import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants, readFileSync } from 'node:fs';
import { open, readdir, readFile, readlink, stat } from 'node:fs/promises';
import { constants as errnoConstants } from 'node:os';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { replyData, replyError } from '../../src/fuse/device.ts';
import { opcode } from '../../src/fuse/format.ts';
import { findMount } from '../../src/fuse/mount-info.ts';
import type { FuseSession } from '../../src/fuse/session.ts';
import { describeConformance } from '../support/conformance.ts';
import { conformanceTree, patternBytes, type TestEntry } from '../support/conformance-tree.ts';
import { type MemoryMount, mountMemory } from '../support/fuse-mount.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';

const run = promisify(execFile);
const { EINTR, EIO } = errnoConstants.errno;

const smallTree: readonly TestEntry[] = [
  { path: '', mode: 0o040755 },
  { path: 'file', mode: 0o100644, data: [{ offset: 0, bytes: Buffer.from('hello\n') }] },
  { path: 'slow', mode: 0o100644, size: 65536, pending: true },
  { path: 'directory', mode: 0o040755 },
  { path: 'directory/below', mode: 0o100644 },
  { path: 'link', mode: 0o120777, target: 'file' },
  { path: 'large', mode: 0o100644, data: [{ offset: 0, bytes: patternBytes(4 << 20, 9) }] },
];

/** A fresh copy of the module, so that the native addon is looked for again. */
async function sessionOf(engine: string): Promise<typeof FuseSession> {
  vi.stubEnv('SLUICE_ENGINE', engine);
  vi.resetModules();
  return (await import('../../src/fuse/session.ts')).FuseSession;
}

describe.skipIf(!isRoot()).each(['native', 'portable'])('FuseSession with SLUICE_ENGINE=%s', (engine) => {
  let Session: typeof FuseSession;
  const mountSmall = (options: { source?: string; workers?: number; clone?: boolean } = {}) =>
    mountMemory(Session.open, { entries: smallTree, ...options });

  beforeAll(async () => {
    Session = await sessionOf(engine);
  });
  afterAll(() => vi.unstubAllEnvs());

  /** Mounts, lets `use` work on the mount, and takes it down whatever happens. */
  async function withMount(
    use: (mounted: MemoryMount) => Promise<void>,
    options?: Parameters<typeof mountSmall>[0],
  ): Promise<void> {
    const mounted = await mountSmall(options);
    try {
      await use(mounted);
    } finally {
      await mounted.stop();
    }
  }

  describe('conformance', () => {
    const entries = conformanceTree();
    let mounted: MemoryMount;
    beforeAll(async () => {
      mounted = await mountMemory(Session.open, { entries, workers: 2 });
    });
    afterAll(() => mounted.stop());
    describeConformance(() => mounted.directory, entries);
  });

  it('open() shows type and source, of any characters, and raises the readahead', async () => {
    const source = 'docker.io/a b,c\\d:e@sha256:f';
    await withMount(
      async (mounted) => {
        const info = findMount(mounted.directory);
        expect(info).toMatchObject({ type: 'fuse.sluice', source });
        await stat(mounted.directory);
        if (!mounted.session.readahead.set(1024)) return;
        expect(readFileSync(`/sys/class/bdi/${info?.device}/read_ahead_kb`, 'utf8').trim()).toBe('1024');
      },
      { source },
    );
  });

  it('open() says what is wrong with a mount point', async () => {
    const directory = makeTemporaryDirectory();
    const opened = Session.open({ mountPoint: `${directory}/missing`, source: 'x' });
    await expect(opened).rejects.toMatchObject({ code: 'SLUICE_MOUNT_FAILED' });
    await removeTemporaryDirectory(directory);
  });

  it('the kernel keeps names, attributes, links, pages and directories, and opens cost no request', async () => {
    await withMount(async (mounted) => {
      const look = async (): Promise<void> => {
        expect((await readFile(`${mounted.directory}/link`, 'latin1')).length).toBe(6);
        expect((await stat(`${mounted.directory}/directory/below`)).size).toBe(0);
        expect((await readFile(`${mounted.directory}/large`)).length).toBe(4 << 20);
        await expect(stat(`${mounted.directory}/missing`)).rejects.toThrow('ENOENT');
        expect((await readdir(mounted.directory)).length).toBe(5);
      };
      const requests = (): number[] =>
        ['lookup', 'getattr', 'readlink', 'read', 'readdir', 'readdirplus'].map((name) => mounted.count(name));
      await look();
      // The second round is answered from the cache but for what the first one left to the readdir cache.
      await look();
      const before = requests();
      for (let i = 0; i < 3; i++) await look();
      expect(requests()).toEqual(before);
      // 4 MiB in requests of up to 1 MiB.
      expect(mounted.count('read')).toBeLessThan(20);
    });
  });

  it.skipIf(!has('python3'))('a directory handle of an earlier mount of the same tree is good', async () => {
    // The new mount knows nothing of the inode, and has to look up "." and ".." of its node ID.
    const script = `
import ctypes, os, sys
c = ctypes.CDLL(None, use_errno=True)
top = os.open(sys.argv[1], os.O_RDONLY)
if len(sys.argv) == 2:
  handle = ctypes.create_string_buffer(136)
  ctypes.c_uint.from_buffer(handle).value = 128
  if c.name_to_handle_at(top, b'directory', handle, ctypes.byref(ctypes.c_int()), 0): sys.exit('no handle')
  print(handle.raw.hex())
else:
  fd = c.open_by_handle_at(top, bytes.fromhex(sys.argv[2]), os.O_RDONLY)
  if fd < 0: sys.exit(os.strerror(ctypes.get_errno()))
  print(os.readlink('/proc/self/fd/%d' % fd)[len(sys.argv[1]):], os.listdir(fd))`;
    let handle = '';
    await withMount(async (mounted) => {
      handle = (await run('python3', ['-c', script, mounted.directory])).stdout.trim();
    });
    await withMount(async (mounted) => {
      const { stdout } = await run('python3', ['-c', script, mounted.directory, handle]);
      expect(stdout.trim()).toBe("/directory ['below']");
    });
  });

  it('replyData() answers a pending read from another thread, others are served meanwhile', async () => {
    await withMount(async (mounted) => {
      const reading = readFile(`${mounted.directory}/slow`);
      const pending = await mounted.nextPending();
      expect(await readFile(`${mounted.directory}/file`, 'latin1')).toBe('hello\n');
      const bytes = patternBytes(pending.length, 5);
      const half = pending.length / 2;
      expect(replyData(pending.fd, pending.unique, [bytes.subarray(0, half), bytes.subarray(half)])).toBe(true);
      expect((await reading).equals(bytes.subarray(0, 65536))).toBe(true);
      expect(replyData(pending.fd, pending.unique, [bytes])).toBe(false);
    });
  });

  it('replyError() fails one read, and the next one asks again', async () => {
    await withMount(async (mounted) => {
      const file = await open(`${mounted.directory}/slow`, constants.O_RDONLY | constants.O_DIRECT);
      for (let i = 0; i < 2; i++) {
        const reading = file.read(Buffer.alloc(4096), 0, 4096, 0);
        reading.catch(() => undefined);
        const pending = await mounted.nextPending();
        expect(replyError(pending.fd, pending.unique, EIO)).toBe(true);
        await expect(reading).rejects.toMatchObject({ code: 'EIO' });
      }
      await file.close();
    });
  });

  it('replyData() with more than was asked for is an error, here and for the reader', async () => {
    await withMount(async (mounted) => {
      const file = await open(`${mounted.directory}/slow`, constants.O_RDONLY | constants.O_DIRECT);
      const reading = file.read(Buffer.alloc(4096), 0, 4096, 0);
      reading.catch(() => undefined);
      const { fd, unique, length } = await mounted.nextPending();
      expect(() => replyData(fd, unique, [Buffer.alloc(length + 1)])).toThrow('kernel refuses');
      await expect(reading).rejects.toMatchObject({ code: 'EIO' });
      await file.close();
    });
  });

  it('an answer the kernel refuses is EIO for one reader, is reported, and the worker goes on', async () => {
    const entries = [...smallTree, { path: 'wrong', mode: 0o120777, target: 'x'.repeat(5000) }];
    const mounted = await mountMemory(Session.open, { entries });
    try {
      for (let i = 0; i < 2; i++) {
        await expect(readlink(`${mounted.directory}/wrong`)).rejects.toMatchObject({ code: 'EIO' });
        expect(await mounted.nextFailure()).toEqual({ code: 'SLUICE_FUSE_PROTOCOL', opcode: opcode.readlink });
      }
      expect(await readFile(`${mounted.directory}/link`, 'latin1')).toBe('hello\n');
    } finally {
      await mounted.stop();
    }
  });

  it('terminate() of workers that wait for a request ends them with the mount', async () => {
    await withMount(
      async (mounted) => {
        expect(await readFile(`${mounted.directory}/file`, 'latin1')).toBe('hello\n');
        mounted.terminate();
        await mounted.session.unmount({ abort: true, lazy: true });
        expect(await mounted.ended()).toEqual([1, 1]);
      },
      { workers: 2 },
    );
  });

  it.skipIf(!has('dd')).each(['SIGINT', 'SIGKILL'] as const)(
    '%s ends a direct read once it is answered EINTR',
    async (signal) => {
      await withMount(async (mounted) => {
        const reader = spawn('dd', [`if=${mounted.directory}/slow`, 'iflag=direct', 'bs=4096', 'count=1'], {
          stdio: 'ignore',
        });
        const ended = once(reader, 'exit');
        const pending = await mounted.nextPending();
        reader.kill(signal);
        expect(await mounted.nextInterrupt()).toBe(pending.unique);
        expect(replyError(pending.fd, pending.unique, EINTR)).toBe(true);
        expect(await ended).toEqual([null, signal]);
      });
    },
  );

  it('SIGKILL ends a buffered read at once, answered or not', async () => {
    await withMount(async (mounted) => {
      const reader = spawn('cat', [`${mounted.directory}/slow`], { stdio: 'ignore' });
      const ended = once(reader, 'exit');
      const pending = await mounted.nextPending();
      reader.kill('SIGKILL');
      expect(await ended).toEqual([null, 'SIGKILL']);
      replyError(pending.fd, pending.unique, EIO);
    });
  });

  it('unmount() refuses while a file is open; lazy takes the mount away and ends with the last file', async () => {
    await withMount(async (mounted) => {
      const file = await open(`${mounted.directory}/file`);
      await expect(mounted.session.unmount()).rejects.toMatchObject({ code: 'SLUICE_UNMOUNT_FAILED' });
      await mounted.session.unmount({ lazy: true });
      expect(findMount(mounted.directory)).toBeUndefined();
      expect(await readdir(mounted.directory)).toEqual([]);
      expect((await file.readFile('latin1')).toString()).toBe('hello\n');
      await file.close();
      expect(await mounted.ended()).toEqual([0]);
    });
  });

  it('unmount() with abort and lazy ends a mount with reads pending', async () => {
    await withMount(async (mounted) => {
      const reading = readFile(`${mounted.directory}/slow`);
      reading.catch(() => undefined);
      const pending = await mounted.nextPending();
      await mounted.session.unmount({ abort: true, lazy: true });
      await expect(reading).rejects.toThrow();
      expect(await mounted.ended()).toEqual([0]);
      expect(replyError(pending.fd, pending.unique, EIO)).toBe(false);
    });
  });

  it('several workers share a descriptor', async () => {
    await withMount(
      async (mounted) => {
        const copies = await Promise.all(Array.from({ length: 20 }, () => readFile(`${mounted.directory}/large`)));
        expect(copies.every((copy) => copy.equals(patternBytes(4 << 20, 9)))).toBe(true);
        await mounted.session.unmount();
        expect(await mounted.ended()).toEqual([0, 0, 0]);
      },
      { workers: 3 },
    );
  });

  it('clone() gives a worker a descriptor of its own, or says that it takes the addon', async () => {
    await withMount(async (mounted) => {
      if (engine === 'portable') {
        expect(() => mounted.session.clone()).toThrow(expect.objectContaining({ code: 'SLUICE_NATIVE_MISSING' }));
        return;
      }
      await mounted.start(mounted.session.clone(), smallTree);
      const reads = Array.from({ length: 8 }, () => readFile(`${mounted.directory}/large`));
      const slow = readFile(`${mounted.directory}/slow`);
      const pending = await mounted.nextPending();
      expect(replyData(pending.fd, pending.unique, [Buffer.alloc(pending.length)])).toBe(true);
      await Promise.all([slow, ...reads]);
    });
  });

  it('unmount() removes what a dead server left behind', async () => {
    const directory = makeTemporaryDirectory();
    const session = await Session.open({ mountPoint: directory, source: 'x' });
    session.close();
    await expect(stat(directory)).rejects.toMatchObject({ code: 'ENOTCONN' });
    await session.unmount();
    expect(findMount(directory)).toBeUndefined();
    await removeTemporaryDirectory(directory);
  });
});
