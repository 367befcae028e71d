import type { Cell } from './summarise.ts';
import { megabytes, percent, seconds } from './units.ts';

interface Column {
  readonly title: string;
  /** @param imageBytes - what a plain pull fetches */
  readonly text: (cell: Cell, imageBytes: number) => string;
}

/** What is said of a lane, in the terminal and on the page. */
export const columns: readonly Column[] = [
  { title: 'lane', text: ({ lane }) => lane },
  { title: 'ready s', text: ({ ready }) => seconds(ready.median) },
  { title: 'least–greatest', text: ({ ready }) => `${seconds(ready.least)}–${seconds(ready.greatest)}` },
  { title: 'pull', text: ({ pullMs }) => seconds(pullMs) },
  { title: 'mount', text: ({ mountMs }) => seconds(mountMs) },
  { title: 'first exec', text: ({ firstExecMs }) => seconds(firstExecMs) },
  { title: 'MB', text: ({ bytes }) => megabytes(bytes) },
  { title: 'requests', text: ({ requests }) => `${Math.round(requests)}` },
  { title: 'of image', text: ({ bytes }, imageBytes) => percent(bytes / imageBytes) },
  { title: 'CPU s', text: ({ cpuMs }) => seconds(cpuMs) },
];
