import { isMoreUrgent, priorities, type ReadPriority } from './fetch-store.ts';
import type { Flights } from './flights.ts';
import { Link } from './link.ts';
import { perPriority } from './traffic.ts';

/** Range requests of a process under way at once. */
const MAXIMUM_REQUESTS = 32;
/** Of one image's: more connections than this share the link, and hardly fill it better. */
const MAXIMUM_REQUESTS_OF_IMAGE = 8;
/** Bytes that these requests ask for: bounds what is in memory, however many images there are. */
const MAXIMUM_BYTES = 32 * 1024 * 1024;

/** Of all that, the part that is not kept free for what is more urgent. */
const share: Readonly<Record<ReadPriority, number>> = { demand: 1, prefetch: 3 / 4, background: 1 / 4 };

/** A request that is under way. */
export interface RunningRequest {
  /** Its priority rises when somebody more urgent comes to wait for it. */
  readonly request: { readonly priority: ReadPriority; readonly bytes: number };
  /** Fulfilled when it is over. */
  readonly done: Promise<void>;
}

/** The reads of one image that wait for a request. */
export interface RequestQueue {
  waiting(priority: ReadPriority): number;
  /**
   * Sends a request, if there is one to be sent now.
   * @param maximumBytes - what it may ask for; one chunk may always be
   */
  send(priority: ReadPriority, maximumBytes: number): RunningRequest | undefined;
}

/** What a process fetches at a moment. */
export interface FetchLoad {
  readonly requests: number;
  /** Compressed, of these requests. */
  readonly bytes: number;
  /** Chunks that wait for one. */
  readonly waiting: Readonly<Record<ReadPriority, number>>;
}

/** Things that several images have in common, for as long as one of them has it. */
class Shared<T> {
  readonly #values = new Map<string, { readonly value: T; users: number }>();

  take(key: string, make: () => T): T {
    const entry = this.#values.get(key) ?? { value: make(), users: 0 };
    entry.users++;
    this.#values.set(key, entry);
    return entry.value;
  }

  leave(key: string): void {
    const entry = this.#values.get(key);
    if (entry !== undefined && --entry.users === 0) this.#values.delete(key);
  }
}

/**
 * Decides whose request is next, over all images of a process: demand before prefetch before background, and image by
 * image in turns. Each process needs one.
 */
export class FetchScheduler {
  readonly now: () => number;
  /** With something waiting. Who sent a request last is at the end. */
  #queues: RequestQueue[] = [];
  readonly #running = new Map<RunningRequest, RequestQueue>();
  readonly #flights = new Shared<Flights>();
  readonly #links = new Shared<Link>();
  #isScheduled = false;

  /** @param now - milliseconds from any fixed point */
  constructor(now: () => number = () => performance.now()) {
    this.now = now;
  }

  /** The way to a place; to be left when it is used no more. */
  takeLink(name: string): Link {
    return this.#links.take(name, () => new Link(name, this.now));
  }

  leaveLink(name: string): void {
    this.#links.leave(name);
  }

  /** Fetches under way of a blob that is cut in one way; to be left when they are used no more. */
  takeFlights(key: string): Flights {
    return this.#flights.take(key, () => new Map());
  }

  leaveFlights(key: string): void {
    this.#flights.leave(key);
  }

  get load(): FetchLoad {
    const running = [...this.#running.keys()];
    return {
      requests: running.length,
      bytes: running.reduce((sum, { request }) => sum + request.bytes, 0),
      waiting: perPriority((priority) => this.#queues.reduce((sum, queue) => sum + queue.waiting(priority), 0)),
    };
  }

  /** Something waits in `queue`, or may be sent now. Requests go out after the turn, so that all its reads are seen together. */
  schedule(queue: RequestQueue): void {
    if (!this.#queues.includes(queue)) this.#queues.push(queue);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      for (const priority of priorities) while (this.#sendOne(priority));
      this.#queues = this.#queues.filter((each) => priorities.some((priority) => each.waiting(priority) > 0));
    });
  }

  #sendOne(priority: ReadPriority): boolean {
    const room = this.#room(priority);
    if (room <= 0) return false;
    for (const queue of this.#queues) {
      if (queue.waiting(priority) === 0 || !this.#mayHaveMore(queue, priority)) continue;
      const request = queue.send(priority, room);
      if (request === undefined) continue;
      this.#queues = [...this.#queues.filter((other) => other !== queue), queue];
      this.#running.set(request, queue);
      void request.done.then(() => {
        this.#running.delete(request);
        this.schedule(queue);
      });
      return true;
    }
    return false;
  }

  /** Bytes; none when there are requests enough. */
  #room(priority: ReadPriority): number {
    let [requests, bytes] = [0, 0];
    for (const { request } of this.#running.keys()) {
      // What is more urgent takes no part in the share of what is less so, or it would keep it from ever going out.
      if (isMoreUrgent(request.priority, priority)) continue;
      requests++;
      bytes += request.bytes;
    }
    const isFull = this.#running.size >= MAXIMUM_REQUESTS || requests >= MAXIMUM_REQUESTS * share[priority];
    const left = MAXIMUM_BYTES - this.load.bytes;
    return isFull ? 0 : Math.min(left, MAXIMUM_BYTES * share[priority] - bytes);
  }

  #mayHaveMore(queue: RequestQueue, priority: ReadPriority): boolean {
    const own = [...this.#running.values()].filter((owner) => owner === queue);
    return own.length < MAXIMUM_REQUESTS_OF_IMAGE * share[priority];
  }
}
