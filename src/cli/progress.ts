import { MultiBar, type SingleBar } from 'cli-progress';
import type { Progress, ReportProgress, Stage } from '../convert/progress.ts';
import { bytesText, note } from './output.ts';

/** Shows what a conversion is doing. */
export interface ProgressDisplay {
  readonly report: ReportProgress;
  /** Leaves the terminal as it should be; again does nothing. */
  stop(): void;
}

/**
 * Bars on a terminal, a line for each stage of each layer elsewhere, nothing with `--json`. All on stderr.
 */
export function showProgress(quiet: boolean): ProgressDisplay {
  if (quiet) return { report: () => undefined, stop: () => undefined };
  return process.stderr.isTTY ? showBars() : { report: lineReporter(), stop: () => undefined };
}

function lineReporter(): ReportProgress {
  const stages = new Map<number, Stage>();
  return ({ layer, stage, total }) => {
    if (stages.get(layer) === stage) return;
    stages.set(layer, stage);
    note(`layer ${layer + 1}: ${stage}${total > 0 ? ` ${bytesText(total)}` : ''}`);
  };
}

function showBars(): ProgressDisplay {
  const bars = new Map<number, { bar: SingleBar; stage: Stage; since: number }>();
  const multi = new MultiBar({
    format: 'layer {layer} [{bar}] {stage} {bytes} {rate}',
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: false,
  });
  const report = ({ layer, stage, done, total }: Progress): void => {
    const fields = { layer: layer + 1, stage, bytes: bytesText(total), rate: '' };
    const line = bars.get(layer) ?? {
      bar: multi.create(Math.max(total, 1), 0, fields),
      stage,
      since: performance.now(),
    };
    bars.set(layer, line);
    if (line.stage !== stage) {
      line.stage = stage;
      line.since = performance.now();
    }
    const seconds = (performance.now() - line.since) / 1000;
    const rate = done > 0 && seconds > 0.2 ? `${bytesText(done / seconds)}/s` : '';
    line.bar.setTotal(Math.max(total, 1));
    line.bar.update(stage === 'reused' ? 1 : done, { ...fields, rate });
  };
  return { report, stop: () => multi.stop() };
}
