/** Milliseconds as seconds; a dash for what was not told apart. */
export function seconds(ms: number | undefined): string {
  return ms === undefined ? '–' : (ms / 1000).toFixed(2);
}

/** Bytes as megabytes of 10^6. */
export function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

export function percent(share: number): string {
  return Number.isFinite(share) ? `${(share * 100).toFixed(1)} %` : '–';
}

/** Round steps for an axis from 0 to at least `greatest`: 1, 2 or 5 times a power of ten, at most `most` of them. */
export function axisTicks(greatest: number, most = 6): number[] {
  if (!(greatest > 0)) return [0, 1];
  const rough = greatest / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) ?? rough;
  const count = Math.ceil(greatest / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, i) => Number((i * step).toPrecision(12)));
}
