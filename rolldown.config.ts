import { defineConfig } from 'rolldown';

/**
 * What `bin/sluice.js` runs: the command and its worker threads, in few files. Loading them takes a third of the time
 * that loading the modules one by one takes (ADR-0011). Packages that are slow to load stay outside: they are imported
 * when they are needed. All files lie in one folder, one level below the package's root, as `src/native.ts` does.
 */
export default defineConfig({
  input: {
    main: 'src/cli/main.ts',
    'serve-worker': 'src/mount/serve-worker.ts',
    'invalidate-worker': 'src/fuse/invalidate-worker.ts',
    worker: 'src/convert/worker.ts',
  },
  platform: 'node',
  external: /^(?:cli-progress|fuse-native|undici|zstd-codec)(?:\/|$)/,
  output: { dir: 'bundle', entryFileNames: '[name].js', chunkFileNames: '[name].js' },
});
