import { closeSync, openSync, writeSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { LinkSpeed } from './wire.ts';

/** Bytes of one direction of one connection that are on their way: a sender that is ahead of them has to wait. */
const maximumQueued = 1 << 20;

/** One way of the link. All connections share its rate. */
class Direction {
  #freeMs = 0;

  /** @returns when the last of `bytes` bytes that are sent now has arrived, by performance.now() */
  arrivalMs(bytes: number, { megabitsPerSecond, roundTripMs }: LinkSpeed): number {
    const sentMs = megabitsPerSecond > 0 ? (bytes * 8) / (megabitsPerSecond * 1000) : 0;
    this.#freeMs = Math.max(this.#freeMs, performance.now()) + sentMs;
    return this.#freeMs + roundTripMs / 2;
  }
}

/**
 * A slow link for machines without namespaces: a TCP proxy on loopback that holds back what it passes on. Bytes are
 * delayed, packets are not: a connection costs a round trip, as it does in truth, but does not start slowly, and nothing
 * is ever lost.
 */
export class ShapingProxy {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #toClient = new Direction();
  readonly #toServer = new Direction();
  readonly #counter: number;
  readonly #buffer = Buffer.alloc(8);
  #received = 0;
  #speed: LinkSpeed;

  private constructor(server: Server, target: number, speed: LinkSpeed, counterFile: string) {
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
    this.#speed = speed;
    this.#counter = openSync(counterFile, 'w');
    this.#count(0);
    server.on('connection', (client) => this.#join(client, connect(target, '127.0.0.1')));
  }

  /**
   * @param target - port on loopback
   * @param counterFile - is given the number of bytes that reached clients, 8 bytes little-endian
   */
  static async open(target: number, speed: LinkSpeed, counterFile: string): Promise<ShapingProxy> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.on('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return new ShapingProxy(server, target, speed, counterFile);
  }

  /** From the next byte on. */
  reshape(speed: LinkSpeed): void {
    this.#speed = speed;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
    closeSync(this.#counter);
  }

  #join(client: Socket, server: Socket): void {
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => other.destroy());
      socket.on('close', () => this.#sockets.delete(socket));
    }
    // The handshake that a link would have cost before the first byte.
    const openMs = performance.now() + this.#speed.roundTripMs;
    this.#carry(client, server, this.#toServer, openMs);
    this.#carry(server, client, this.#toClient, openMs);
  }

  #carry(from: Socket, to: Socket, direction: Direction, openMs: number): void {
    let queued = 0;
    let lastMs = openMs;
    const after = (bytes: number, deliver: () => void): void => {
      lastMs = Math.max(lastMs, openMs + this.#speed.roundTripMs / 2, direction.arrivalMs(bytes, this.#speed));
      setTimeout(deliver, lastMs - performance.now());
    };
    from.on('data', (piece: Buffer) => {
      queued += piece.length;
      if (queued > maximumQueued) from.pause();
      after(piece.length, () => {
        queued -= piece.length;
        if (queued <= maximumQueued) from.resume();
        if (to.destroyed) return;
        to.write(piece);
        if (direction === this.#toClient) this.#count(piece.length);
      });
    });
    from.on('end', () => after(0, () => to.end()));
  }

  #count(bytes: number): void {
    this.#received += bytes;
    this.#buffer.writeBigUInt64LE(BigInt(this.#received));
    writeSync(this.#counter, this.#buffer, 0, 8, 0);
  }
}
