import { defineConfig, type RolldownOptions } from 'rolldown';

const common = {
  platform: 'node',
  // What commands load when they need it is loaded with what they share: that is meant.
  checks: { ineffectiveDynamicImport: false },
  external: /^(?:cli-progress|fuse-native|undici|zstd-codec)(?:\/|$)/,
} satisfies RolldownOptions;

/** A worker thread is one file: a start waits for it, and every further file costs a millisecond. */
const worker = (name: string, input: string): RolldownOptions => ({
  ...common,
  input: { [name]: input },
  output: { dir: 'bundle', entryFileNames: '[name].js', codeSplitting: false },
});

export default defineConfig([
  {
    ...common,
    input: { main: 'src/cli/main.ts' },
    output: {
      dir: 'bundle',
      entryFileNames: '[name].js',
      chunkFileNames: '[name].js',
      codeSplitting: { groups: [{ name: 'shared', minShareCount: 2 }] },
    },
  },
  worker('serve-worker', 'src/mount/serve-worker.ts'),
  worker('push-worker', 'src/mount/push-worker.ts'),
  worker('invalidate-worker', 'src/fuse/invalidate-worker.ts'),
  worker('worker', 'src/convert/worker.ts'),
]);
