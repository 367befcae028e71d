import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const run = promisify(execFile);
const built = (name: string): string => new URL(`../../dist/mount/${name}.js`, import.meta.url).href;

/** Whether the library is part of the process. */
const loaded = `(await import('node:fs')).readFileSync('/proc/self/maps', 'utf8').includes('fuse-native')`;
const evaluate = async (code: string, env: NodeJS.ProcessEnv = {}): Promise<string> => {
  const args = ['--input-type=module', '--eval', code];
  return (await run(process.execPath, args, { env: { ...process.env, ...env } })).stdout.trim();
};

describe('LibfuseMount', () => {
  it('loads the library when a mount is asked for, not before', async () => {
    const code = `
      await import('${built('serve-image')}');
      await import('${built('libfuse-mount')}');
      const before = ${loaded};
      await import('${built('libfuse-session')}');
      console.log(before, ${loaded});`;
    expect(await evaluate(code)).toBe('false true');
  });

  it('start() says what to install when the library cannot be loaded', async () => {
    // node-gyp-build, by which fuse-native finds its binary, looks for one of this platform.
    const code = `
      const { LibfuseMount } = await import('${built('libfuse-mount')}');
      const error = await LibfuseMount.start({ mountPoint: '/' }).catch((error) => error);
      console.log(error.code, error.exit, error.message);`;
    expect(await evaluate(code, { npm_config_platform: 'none', PREBUILDS_ONLY: '1' })).toMatch(
      /^SLUICE_FUSE_UNAVAILABLE 8 Cannot use driver "libfuse": .*apt-get install libfuse2/,
    );
  });
});
