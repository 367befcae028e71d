import { describe, expect, it } from 'vitest';
import { type RuntimeConfigParts, runtimeConfig, stopSignal } from '../../src/runtime/runtime-config.ts';
import { containerOptions } from './container-options.ts';

const parts: RuntimeConfigParts = {
  process: { args: ['/bin/true'], env: ['A=1'], cwd: '/srv' },
  user: { uid: 1, gid: 2, additionalGids: [3] },
  options: containerOptions({}),
  rootfs: '/x/rootfs',
  hostname: 'box',
  files: { '/etc/hosts': '/x/hosts' },
  unifiedCgroups: false,
  privileges: 'full',
};
const namespaces = (changes: Partial<RuntimeConfigParts>): string[] =>
  runtimeConfig({ ...parts, ...changes }).linux.namespaces.map(({ type }) => type);

describe('runtimeConfig()', () => {
  it('has what is executed, as whom, and where', () => {
    const { process, root, hostname } = runtimeConfig(parts);
    expect(process).toMatchObject({ ...parts.process, user: parts.user, terminal: false });
    expect(root).toEqual({ path: '/x/rootfs', readonly: false });
    expect(hostname).toBe('box');
  });

  it('leaves root what Docker does, and no capability to change the machine', () => {
    const { bounding, effective, permitted } = runtimeConfig(parts).process.capabilities;
    expect(bounding).toHaveLength(14);
    expect([effective, permitted]).toEqual([bounding, bounding]);
    expect(bounding).not.toContain('CAP_SYS_ADMIN');
  });

  it('has a namespace of its own for each thing it may not see', () => {
    expect(namespaces({})).toEqual(['pid', 'ipc', 'uts', 'mount']);
    expect(namespaces({ options: containerOptions({ network: 'none' }) })).toContain('network');
    expect(namespaces({ unifiedCgroups: true })).toContain('cgroup');
  });

  it('mounts volumes last, so that they may lie on what is mounted before', () => {
    const volumes = [{ source: '/data', destination: '/dev/shm/data', readOnly: true }];
    const { mounts } = runtimeConfig({ ...parts, options: containerOptions({ volumes }) });
    expect(mounts.at(-1)).toEqual({
      destination: '/dev/shm/data',
      type: 'bind',
      source: '/data',
      options: ['rbind', 'rprivate', 'ro'],
    });
    expect(mounts.map(({ destination }) => destination)).toEqual([
      ...['/proc', '/dev', '/dev/pts', '/dev/shm', '/dev/mqueue', '/sys', '/sys/fs/cgroup', '/etc/hosts'],
      '/dev/shm/data',
    ]);
  });

  it('asks for nothing that a user namespace cannot give', () => {
    const { mounts, linux } = runtimeConfig({ ...parts, privileges: 'namespaced' });
    expect(linux.resources).toBeUndefined();
    expect(mounts.map(({ type }) => type)).not.toContain('cgroup');
    expect(mounts.find(({ destination }) => destination === '/sys')).toMatchObject({ type: 'bind', source: '/sys' });
    expect(mounts.flatMap(({ options }) => options)).not.toContain('gid=5');
  });

  it('passes on a terminal and a root file system that cannot be written to', () => {
    const config = runtimeConfig({ ...parts, options: containerOptions({ terminal: true, readOnly: true }) });
    expect([config.process.terminal, config.root.readonly]).toEqual([true, true]);
  });
});

describe('stopSignal()', () => {
  it.each([
    [undefined, 'SIGTERM'],
    ['', 'SIGTERM'],
    ['SIGQUIT', 'SIGQUIT'],
    ['QUIT', 'SIGQUIT'],
    ['3', 'SIGQUIT'],
  ])('takes %s for %s', (text, name) => {
    expect(stopSignal(text)).toBe(name);
  });

  it('refuses a signal that does not exist', () => {
    expect(() => stopSignal('SIGNOPE')).toThrow('there is no such signal');
  });
});
