import { readFileSync } from 'node:fs';

/** One mount of this process's mount namespace. */
export interface MountInfo {
  /** `0:57`: names the mount in /sys/class/bdi; the part after the colon names it in /sys/fs/fuse/connections. */
  readonly device: string;
  readonly type: string;
  readonly source: string;
}

/**
 * What is mounted on `mountPoint`, the topmost when there are several; undefined when nothing is.
 * Reads /proc, and never touches the mount: whoever serves it would wait for itself.
 *
 * @param mountPoint - canonical, as realpath(3) gives it
 * Source: proc(5), /proc/pid/mountinfo.
 */
export function findMount(mountPoint: string): MountInfo | undefined {
  return parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8'), mountPoint);
}

export function parseMountInfo(text: string, mountPoint: string): MountInfo | undefined {
  let found: MountInfo | undefined;
  for (const line of text.split('\n')) {
    // ID, parent, device, root, mount point, options, optional fields, "-", type, source, super options
    const fields = line.split(' ');
    const [, , device, , target] = fields;
    if (device === undefined || target === undefined || unescapeOctal(target) !== mountPoint) continue;
    const [type = '', source = ''] = fields.slice(fields.indexOf('-', 6) + 1);
    found = { device, type: unescapeOctal(type), source: unescapeOctal(source) };
  }
  return found;
}

/** Space, tab, newline and backslash are written as three octal digits; all of them are single bytes of UTF-8. */
function unescapeOctal(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_match, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
