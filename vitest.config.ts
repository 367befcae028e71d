import { defineConfig } from 'vitest/config';
import { CountReporter } from './test/support/reporter.ts';

export default defineConfig({
  test: {
    // Seconds that a daemon stays without a mount: none is to outlive its test.
    env: { SLUICE_IDLE_EXIT: '0.5' },
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    reporters: ['default', new CountReporter()],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Two cores, real mounts and a real registry: files run in child processes so that a stuck mount
    // takes down only its own file.
    pool: 'forks',
    maxWorkers: 2,
  },
});
