import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import type { ProcessConfig } from '../../src/oci/config.ts';
import { containerProcess } from '../../src/runtime/container-process.ts';
import { containerOptions } from './container-options.ts';

const image: ProcessConfig = {
  entrypoint: ['/entry', '-v'],
  command: ['serve'],
  environment: ['PATH=/bin', 'MODE=image'],
  workingDirectory: '/srv',
  user: '',
  labels: {},
  stopSignal: undefined,
};

describe('containerProcess()', () => {
  it.each([
    ['the image’s entrypoint and command', {}, ['/entry', '-v', 'serve']],
    ['a command instead of the image’s', { command: ['a', 'b'] }, ['/entry', '-v', 'a', 'b']],
    ['an entrypoint, and no command that was meant for another', { entrypoint: '/sh' }, ['/sh']],
    ['an entrypoint and a command', { entrypoint: '/sh', command: ['-c', 'x'] }, ['/sh', '-c', 'x']],
    ['a command alone after an empty entrypoint', { entrypoint: '', command: ['ls'] }, ['ls']],
  ])('executes %s', (_what, options, args) => {
    expect(containerProcess(image, containerOptions(options), 'box').args).toEqual(args);
  });

  it.each([
    ['nothing', { ...image, entrypoint: [], command: [] }, {}],
    ['an empty entrypoint alone', image, { entrypoint: '' }],
    ['a relative working directory', image, { workingDirectory: 'srv' }],
    ['a relative working directory of the image', { ...image, workingDirectory: 'srv' }, {}],
  ])('refuses %s', (_what, config, options) => {
    expect(() => containerProcess(config, containerOptions(options), 'box')).toThrow(UsageError);
  });

  it('sets each variable once: what the caller says, else the image, else a default', () => {
    const options = containerOptions({ environment: ['MODE=mine', 'EMPTY=', 'URL=a=b'], terminal: true });
    expect(containerProcess(image, options, 'box').env.toSorted()).toEqual(
      ['PATH=/bin', 'HOSTNAME=box', 'TERM=xterm', 'MODE=mine', 'EMPTY=', 'URL=a=b'].toSorted(),
    );
    expect(containerProcess({ ...image, environment: [] }, containerOptions({}), 'box').env).toContain(
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    );
  });

  it('starts where the caller says, else where the image does', () => {
    expect(containerProcess(image, containerOptions({}), 'box').cwd).toBe('/srv');
    expect(containerProcess(image, containerOptions({ workingDirectory: '/tmp' }), 'box').cwd).toBe('/tmp');
  });
});
