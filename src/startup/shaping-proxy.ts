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
    server.on('connection', (client) =>
      this.#join(client, connect({ port: target, host: '127.0.0.1', allowHalfOpen: true })),
    );
  }

  /**
   * @param target - port on loopback
   * @param counterFile - is given the number of bytes that reached clients, 8 bytes little-endian
   */
  static async open(target: number, speed: LinkSpeed, counterFile: string): Promise<ShapingProxy> {
    const server = createServer({ allowHalfOpen: true });
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

  /** Passes on what `from` sends, piece by piece and in order; an empty piece is its end. */
  #carry(from: Socket, to: Socket, direction: Direction, openMs: number): void {
    const queue: { readonly dueMs: number; readonly piece: Uint8Array }[] = [];
    let queued = 0;
    const wait = (): void => {
      if (queue[0]) setTimeout(deliver, queue[0].dueMs - performance.now());
    };
    // A timer may fire a millisecond early, and two of them in any order: one at a time, and only for what is due.
    const deliver = (): void => {
      while (queue[0] && queue[0].dueMs <= performance.now()) {
        const piece = queue.shift()?.piece ?? new Uint8Array();
        queued -= piece.length;
        if (direction === this.#toClient) this.#count(piece.length);
        if (piece.length === 0) to.end();
        else if (!to.destroyed) to.write(piece);
      }
      if (queued <= maximumQueued) from.resume();
      wait();
    };
    const send = (piece: Uint8Array): void => {
      const dueMs = Math.max(openMs + this.#speed.roundTripMs / 2, direction.arrivalMs(piece.length, this.#speed));
      queued += piece.length;
      if (queued > maximumQueued) from.pause();
      queue.push({ dueMs, piece });
      if (queue.length === 1) wait();
    };
    from.on('data', send);
    from.on('end', () => send(new Uint8Array()));
  }

  #count(bytes: number): void {
    this.#received += bytes;
    this.#buffer.writeBigUInt64LE(BigInt(this.#received));
    writeSync(this.#counter, this.#buffer, 0, 8, 0);
  }
}
