import { spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DescriptorSink } from '../../src/log/descriptor-sink.ts';
import { LogFile } from '../../src/log/log-file.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';

let directory: string;
beforeEach(() => {
  directory = makeTemporaryDirectory();
});
afterEach(() => removeTemporaryDirectory(directory));

const lineOf = (i: number): string => `line ${String(i).padStart(6, '0')} ${'x'.repeat(20)}\n`;

describe('LogFile', () => {
  const text = (name: string): string => readFileSync(path.join(directory, name), 'utf8');

  it('keeps two files of at most its bound, and every line of them whole and in order', () => {
    const file = LogFile.open(path.join(directory, 'log'), 1000);
    for (let i = 0; i < 1000; i++) expect(file.write(lineOf(i))).toBe(true);
    file.close();
    expect(readdirSync(directory).sort()).toEqual(['log', 'log.1']);
    expect(Math.max(text('log').length, text('log.1').length)).toBeLessThanOrEqual(1000);
    const lines = (text('log.1') + text('log')).split(/(?<=\n)/);
    const first = 1000 - lines.length;
    expect(lines).toEqual(lines.map((_, i) => lineOf(first + i)));
    expect(lines.length).toBeGreaterThan(1000 / lineOf(0).length);
  });

  it('goes on where the process before ended, for nobody else to read', () => {
    for (const i of [1, 2]) {
      const file = LogFile.open(path.join(directory, 'log'));
      file.write(lineOf(i));
      file.close();
    }
    expect(text('log')).toBe(lineOf(1) + lineOf(2));
    expect(statSync(path.join(directory, 'log')).mode & 0o777).toBe(0o600);
  });

  it('loses no line when two processes write to it', () => {
    const files = [1, 2].map(() => LogFile.open(path.join(directory, 'log'), 1000));
    const lines = Array.from({ length: 40 }, (_, i) => lineOf(i));
    for (const [i, line] of lines.entries()) expect(files[i % 2]?.write(line)).toBe(true);
    for (const file of files) file.close();
    expect(text('log').length).toBeLessThanOrEqual(1000);
    expect(text('log.1') + text('log')).toBe(lines.join(''));
  });

  it('begins again when it was renamed or deleted', () => {
    const file = LogFile.open(path.join(directory, 'log'));
    file.write(lineOf(1));
    renameSync(path.join(directory, 'log'), path.join(directory, 'log.old'));
    file.write(lineOf(2));
    rmSync(path.join(directory, 'log'));
    file.write(lineOf(3));
    file.close();
    expect([text('log.old'), text('log')]).toEqual([lineOf(1), lineOf(3)]);
  });

  it('loses lines while its folder is away, and goes on when it is there again', () => {
    const folder = path.join(directory, 'folder');
    mkdirSync(folder);
    const file = LogFile.open(path.join(folder, 'log'));
    expect(file.write(lineOf(1))).toBe(true);
    rmSync(folder, { recursive: true });
    expect(file.write(lineOf(2))).toBe(false);
    expect(file.write(lineOf(3))).toBe(false);
    mkdirSync(folder);
    expect(file.write(lineOf(4))).toBe(true);
    file.close();
    expect(text('folder/log')).toBe(lineOf(4));
  });

  it('loses lines on a full disk, and does not throw', () => {
    const file = LogFile.open('/dev/full');
    expect(file.write(lineOf(1))).toBe(false);
    file.close();
  });

  it('does not follow a link: whoever can write to its folder cannot choose another file', () => {
    spawnSync('ln', ['-s', '/etc/passwd', path.join(directory, 'log')]);
    expect(() => LogFile.open(path.join(directory, 'log'))).toThrow(/ELOOP/);
  });
});

describe('DescriptorSink', () => {
  it('does not wait for a pipe nobody reads, and goes on with a line of its own when somebody does', () => {
    const fifo = path.join(directory, 'pipe');
    spawnSync('mkfifo', [fifo]);
    const fd = openSync(fifo, constants.O_RDWR);
    const sink = DescriptorSink.open(fd);
    const long = (i: number): string => `${i} ${'y'.repeat(6000)}\n`;
    let count = 0;
    while (sink.write(long(count))) count++;
    expect(count).toBeGreaterThan(5);
    const buffer = Buffer.alloc(1 << 20);
    let text = buffer.toString('utf8', 0, readSync(fd, buffer));
    expect(sink.write('after\n')).toBe(true);
    text += buffer.toString('utf8', 0, readSync(fd, buffer));
    const lines = text.split('\n');
    expect(lines.slice(0, count)).toEqual(Array.from({ length: count }, (_, i) => long(i).trimEnd()));
    expect(lines.slice(-2)).toEqual(['after', '']);
    // Whoever else writes to the descriptor waits as before.
    const flags = Number.parseInt(/flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '', 8);
    expect(flags & constants.O_NONBLOCK).toBe(0);
    sink.close();
    closeSync(fd);
  });

  it('does not overwrite what others write to the same file', () => {
    const fd = openSync(path.join(directory, 'stderr'), 'w');
    const sink = DescriptorSink.open(fd);
    sink.write('ours\n');
    writeSync(fd, 'theirs\n');
    sink.write('ours again\n');
    sink.close();
    closeSync(fd);
    expect(readFileSync(path.join(directory, 'stderr'), 'utf8')).toBe('ours\ntheirs\nours again\n');
  });

  it('loses lines when its descriptor is closed, and does not throw', () => {
    const fd = openSync(path.join(directory, 'stderr'), 'w');
    const sink = DescriptorSink.open(fd);
    closeSync(fd);
    expect(sink.write('lost\n')).toBe(false);
  });
});
