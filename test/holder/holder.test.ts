import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Holder } from '../../src/holder/holder.ts';
import { loadNative } from '../../src/native.ts';
import { eventually } from '../support/process.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';

const native = loadNative();
if (native === undefined) console.warn('holder: not tested, because the addon was not built');
const toy = fileURLToPath(new URL('toy-daemon.js', import.meta.url));

interface Held {
  readonly status: Promise<number>;
  readonly events: string[];
  lines(): string[];
  /** Waits for as many lines; the pid in the last of them that has one. */
  pidAfter(lines: number): Promise<number>;
}

function withHolder(mode: string, use: (held: Held) => Promise<void>): Promise<void> {
  return withTemporaryDirectory(async (directory) => {
    const log = path.join(directory, 'log');
    writeFileSync(log, '');
    for (const name of ['one', 'two', 'three']) writeFileSync(`${log}.${name}`, `content of ${name}`);
    const events: string[] = [];
    const status = Holder.run({
      native: native!,
      command: [process.execPath, toy, log, ...(mode === '' ? [] : [mode])],
      onEvent: (event) => void events.push(event),
    });
    const lines = (): string[] => readFileSync(log, 'utf8').split('\n').slice(0, -1);
    const pidAfter = async (count: number): Promise<number> => {
      await eventually(`${count} lines`, () => lines()[count - 1]);
      return Number(
        lines()
          .findLast((line) => line.includes(' pid '))
          ?.split(' pid ')[1],
      );
    };
    await use({ status, events, lines, pidAfter });
  });
}

const withoutPid = (line: string): string => line.replace(/ (pid|to) \d+$/, '');
const kept = 'serve 0 one content of one, 2 three content of three';

describe.skipIf(native === undefined)('Holder.run()', () => {
  it('ends with a daemon that ends by itself, and hands signals on', () =>
    withHolder('', async ({ status, pidAfter, lines }) => {
      await pidAfter(1);
      process.emit('SIGTERM');
      expect(await status).toBe(0);
      expect(lines().at(-1)).toBe('term');
    }));

  it('ends with a daemon that cannot start', () =>
    withHolder('broken', async ({ status, events }) => {
      expect(await status).toBe(3);
      expect(events).toEqual([]);
    }));

  it('gives what a killed daemon kept to another one, again and again', () =>
    withHolder('', async ({ status, pidAfter, lines, events }) => {
      for (let kills = 0; kills < 3; kills++) process.kill(await pidAfter(kills + 1), 'SIGKILL');
      process.kill(await pidAfter(4), 'SIGTERM');
      expect(await status).toBe(0);
      expect(lines().map(withoutPid)).toEqual(['serve ', kept, kept, kept, 'term']);
      expect(events.filter((event) => event === 'daemon died')).toHaveLength(3);
    }));

  it('replaces a daemon that asks for it, which serves until the other one is prepared', () =>
    withHolder('', async ({ status, pidAfter, lines, events }) => {
      process.kill(await pidAfter(1), 'SIGUSR2');
      process.kill(await pidAfter(5), 'SIGTERM');
      expect(await status).toBe(0);
      const prepared = 'prepare [{"id":0,"record":"one"},{"id":2,"record":"three"}]';
      expect(lines().map(withoutPid)).toEqual(['serve ', prepared, 'release', kept, 'upgraded', 'term']);
      expect(events).toEqual(['daemon started', 'daemon started', 'upgraded']);
    }));

  it('leaves everything as it is when the other one cannot prepare', () =>
    withHolder('', async ({ status, pidAfter, lines }) => {
      process.env.UPGRADE_TO = 'unprepared';
      const pid = await pidAfter(1);
      // The one that runs was started before the variable was there: a second one has it.
      process.kill(pid, 'SIGKILL');
      process.kill(await pidAfter(2), 'SIGUSR2');
      delete process.env.UPGRADE_TO;
      process.kill(await pidAfter(3), 'SIGTERM');
      expect(await status).toBe(0);
      expect(lines().map(withoutPid).slice(1)).toEqual([
        kept,
        'SLUICE_UPGRADE_FAILED Cannot replace the daemon: the new daemon (pid) did not get ready; see the log',
        'term',
      ]);
    }));
});
