/** What a layer is going through, in order. `reused` stands for everything between nothing and `push`. */
export type Stage = 'fetch' | 'unpack' | 'compress' | 'push' | 'reused' | 'done';

/** One step forward. */
export interface Progress {
  /** Index of the layer, lowest 0. */
  readonly layer: number;
  readonly stage: Stage;
  /** Bytes of the stage done so far, and in all; 0 of 0 when the stage just began and its size is unknown. */
  readonly done: number;
  readonly total: number;
}

export type ReportProgress = (progress: Progress) => void;
