import type { Operations } from '../fuse/operations.ts';
import { HotWants } from '../hot/hot-wants.ts';
import { imageOperations } from './image-operations.ts';
import { ImageView, SharedView } from './image-view.ts';
import type { FromThread, MountTask } from './messages.ts';
import { ReadCounters } from './read-counters.ts';
import { TraceLog } from './trace-log.ts';

/** The images that one thread serves, each opened once however many mounts show it. */
export class ThreadImages {
  readonly #views = new Map<number, { readonly view: SharedView; users: number }>();
  readonly #thread: number;
  readonly #post: (message: FromThread) => void;

  /** @param thread - number of this thread among those of its mounts */
  constructor(thread: number, post: (message: FromThread) => void) {
    this.#thread = thread;
    this.#post = post;
  }

  /** A mount's operations, until it is closed. */
  open({ fd, image, wants: buffer, trace, counters, maximumReadahead }: MountTask): Operations {
    const known = this.#views.get(image.id) ?? { view: new SharedView(image), users: 0 };
    this.#views.set(image.id, known);
    known.users++;
    const log = new TraceLog(trace);
    const wants = buffer && new HotWants(buffer);
    const post = this.#post;
    const operations = imageOperations(new ImageView(known.view, image.hot), {
      counter: new ReadCounters(counters).counter(this.#thread),
      record: (nid, offset, length) => {
        log.add(nid, offset, length);
        wants?.add(nid);
      },
      postMiss: (miss) => post({ kind: 'miss', fd, ...miss }),
      interrupt: (unique) => post({ kind: 'interrupt', fd, unique }),
    });
    return { ...operations, maximumReadahead };
  }

  close({ image }: MountTask): void {
    const known = this.#views.get(image.id);
    if (known === undefined || --known.users > 0) return;
    this.#views.delete(image.id);
    known.view.close();
  }
}
