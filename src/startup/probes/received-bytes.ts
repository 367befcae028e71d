import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

/** Where it is counted what the client gets: by its network device, or by the proxy of a link without namespaces. */
export type ByteCounter =
  | { readonly kind: 'device'; readonly name: string }
  /** 8 bytes, little-endian: what came so far. */
  | { readonly kind: 'file'; readonly path: string };

/** What the client's end of the link has received so far, bytes. Cheap enough to be asked every few milliseconds. */
export interface ReceivedBytes {
  read(): number;
  close(): void;
}

export function openReceivedBytes(counter: ByteCounter): ReceivedBytes {
  if (counter.kind === 'device') {
    return { read: () => deviceBytes(readFileSync('/proc/net/dev', 'latin1'), counter.name), close: () => undefined };
  }
  const fd = openSync(counter.path, 'r');
  const buffer = Buffer.alloc(8);
  return {
    read: () => (readSync(fd, buffer, 0, 8, 0) === 8 ? Number(buffer.readBigUInt64LE()) : 0),
    close: () => closeSync(fd),
  };
}

/** Source: proc(5), /proc/net/dev: a line a device, its first number is the bytes received. */
export function deviceBytes(text: string, name: string): number {
  for (const line of text.split('\n')) {
    const [device = '', numbers = ''] = line.split(':');
    if (device.trim() === name) return Number(numbers.trim().split(/\s+/)[0]);
  }
  return 0;
}
