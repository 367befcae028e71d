import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WorkerPool } from '../../src/convert/worker-pool.ts';
import { workerFile } from '../../src/worker-file.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';

/** A worker that does what its request says. */
const script = `
import { parentPort, threadId } from 'node:worker_threads';
parentPort.on('message', (request) => {
  if (request === 'die') process.exit(3);
  if (request === 'throw') throw new Error('thrown outside of a job');
  if (request === 'die later') setImmediate(() => process.exit(4));
  if (request !== 'never') parentPort.postMessage({ result: [request, threadId] });
});
`;

describe('WorkerPool', () => {
  let directory: string;
  let file: URL;
  beforeAll(async () => {
    directory = makeTemporaryDirectory();
    const scriptPath = path.join(directory, 'worker.mjs');
    await writeFile(scriptPath, script);
    file = pathToFileURL(scriptPath);
  });
  afterAll(() => removeTemporaryDirectory(directory));

  async function withPool<Result>(size: number, use: (pool: WorkerPool) => Promise<Result>): Promise<Result> {
    const pool = new WorkerPool(file, size);
    try {
      return await use(pool);
    } finally {
      await pool.close();
    }
  }

  it('answers every job, with no more threads than it may have', () =>
    withPool(2, async (pool) => {
      const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => pool.run<[number, number]>(i)));
      expect(answers.map(([request]) => request)).toEqual(Array.from({ length: 20 }, (_, i) => i));
      expect(new Set(answers.map(([, thread]) => thread)).size).toBeLessThanOrEqual(2);
    }));

  it.each(['die', 'throw'])('fails the job of a thread that ends (%s), and does the others', (request) =>
    withPool(2, async (pool) => {
      const jobs = ['a', request, 'b', request, 'c', 'd'].map((job) => pool.run<[string, number]>(job));
      const outcomes = await Promise.allSettled(jobs);
      expect(outcomes.map(({ status }) => status)).toEqual([
        'fulfilled',
        'rejected',
        'fulfilled',
        'rejected',
        'fulfilled',
        'fulfilled',
      ]);
    }),
  );

  it('gives no job to a thread that ended after its last one', () =>
    withPool(1, async (pool) => {
      await pool.run('die later');
      await expect.poll(async () => (await pool.run<[string, number]>('a').catch(() => ['gone']))[0]).toBe('a');
    }));

  it('knows all its threads after one threw: none outlives close()', async () => {
    const pool = new WorkerPool(file, 3);
    await Promise.allSettled(['a', 'b', 'throw'].map((request) => pool.run(request)));
    const running = ['never', 'never'].map((request) => pool.run(request));
    // A job that is accepted by the third thread shows that the other two have theirs.
    await pool.run('c');
    const settled = Promise.allSettled(running);
    await pool.close();
    expect((await settled).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  });

  it('fails jobs that wait when it is closed', async () => {
    const pool = new WorkerPool(file, 1);
    const jobs = Promise.allSettled([pool.run('never'), pool.run('a')]);
    await pool.close();
    expect((await jobs).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  });

  it('fails jobs whose thread cannot be started', async () => {
    const pool = new WorkerPool(new URL('nowhere.mjs', file), 2);
    const outcomes = await Promise.allSettled(['a', 'b', 'c'].map((request) => pool.run(request)));
    expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
    await pool.close();
  });

  it('hands on errors of the converter with class, code and facts', async () => {
    const pool = new WorkerPool(
      workerFile('worker', new URL('../../src/convert/worker-pool.ts', import.meta.url).href),
      1,
    );
    try {
      const layer = path.join(directory, 'layer');
      await writeFile(layer, 'no tar');
      const request = {
        kind: 'unpack',
        blob: { path: layer, offset: 0, length: 6 },
        digest: `sha256:${'0'.repeat(64)}`,
        size: 6,
        diffId: '',
        spool: path.join(directory, 'spool'),
      };
      await expect(pool.run(request)).rejects.toMatchObject({
        name: 'IntegrityError',
        code: 'SLUICE_DIGEST_MISMATCH',
        facts: { expected: request.digest, actual: expect.stringMatching(/^sha256:/) },
      });
    } finally {
      await pool.close();
    }
  });
});
