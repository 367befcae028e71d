/** A mount of the container. Source: OCI runtime-spec 1.0.2, config.md, "Mounts". */
export interface RuntimeMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** What Docker and Podman leave to a container's root. Images are built and tried with these, and need no more. */
export const defaultCapabilities: readonly string[] = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_MKNOD',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
];

/** Source: OCI runtime-spec 1.0.2, config-linux.md, "Default Filesystems", and what Docker adds. */
export const defaultMounts: readonly RuntimeMount[] = [
  mount('/proc', 'proc', 'nosuid', 'noexec', 'nodev'),
  mount('/dev', 'tmpfs', 'nosuid', 'strictatime', 'mode=755', 'size=65536k'),
  // 5 is the group tty of every distribution.
  mount('/dev/pts', 'devpts', 'nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'),
  mount('/dev/shm', 'tmpfs', 'nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'),
  mount('/dev/mqueue', 'mqueue', 'nosuid', 'noexec', 'nodev'),
  mount('/sys', 'sysfs', 'nosuid', 'noexec', 'nodev', 'ro'),
  mount('/sys/fs/cgroup', 'cgroup', 'nosuid', 'noexec', 'nodev', 'relatime', 'ro'),
];

/**
 * The same for a container that is run from a user namespace. What the kernel keeps from it: a sysfs of a network that is
 * not its own, so it sees the caller's, read only; control groups; and the group tty, which may have no number there.
 */
export const namespacedMounts: readonly RuntimeMount[] = defaultMounts.flatMap((each) => {
  if (each.type === 'cgroup') return [];
  if (each.type === 'sysfs') return [{ ...each, type: 'bind', source: '/sys', options: ['rbind', ...each.options] }];
  return [{ ...each, options: each.options.filter((option) => !option.startsWith('gid=')) }];
});

/** Files of the kernel that tell a container about its host: it sees empty ones. */
export const maskedPaths: readonly string[] = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
];

/** Files of the kernel that change the host when written to. */
export const readonlyPaths: readonly string[] = [
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
];

function mount(destination: string, type: string, ...options: readonly string[]): RuntimeMount {
  return { destination, type, source: type, options };
}
