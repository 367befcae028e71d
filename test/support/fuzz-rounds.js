// `npm run fuzz [-- MINUTES]`: the fuzz tests with new seeds, round after round, until the time is over or one fails.
// SLUICE_FUZZ_SEED is the first seed, SLUICE_FUZZ_CASES multiplies the cases of a round (default: 4).
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';

const minutes = Number(process.argv[2] ?? process.env.SLUICE_FUZZ_MINUTES ?? 5);
const cases = process.env.SLUICE_FUZZ_CASES ?? '4';
const end = Date.now() + minutes * 60_000;

for (let seed = Number(process.env.SLUICE_FUZZ_SEED ?? randomInt(2 ** 31)), round = 1; ; seed++, round++) {
  console.log(`round ${round}: SLUICE_FUZZ_SEED=${seed} SLUICE_FUZZ_CASES=${cases}`);
  const { status } = spawnSync('npx', ['vitest', 'run', 'test/fuzz', '--testTimeout=0'], {
    stdio: 'inherit',
    env: { ...process.env, SLUICE_FUZZ_SEED: `${seed}`, SLUICE_FUZZ_CASES: cases },
  });
  if (status !== 0) process.exit(status ?? 1);
  if (Date.now() >= end) break;
}
