import { once } from 'node:events';
import { Command } from 'commander';
import type { DemoPlace, DemoResult } from '../demo/demo.ts';
import { addJsonOption } from './options.ts';
import { bytesText, columnsText, note, printResult } from './output.ts';
import { cleanUpOnSignals } from './signals.ts';

interface DemoFlags {
  readonly keep?: boolean;
  readonly json?: boolean;
}

const examples = `
Examples:
  sluice demo
  sluice demo --json
  sluice demo --keep      look around, with the commands it prints, until Ctrl-C

Needs no network, no other image and no configuration: the registry listens on loopback, and the image is made of what
this machine has. As root, or where fusermount3 and /dev/fuse may be used, the image is mounted; elsewhere its files are
read by the verified reader instead. Everything lies in one folder below TMPDIR, about 1 GiB, and is removed at the end.`;

export function demoCommand(): Command {
  const command = new Command('demo')
    .summary('show all of it on this machine, in half a minute')
    .description('Converts, starts and damages a sample image with a registry of its own, and prints what that cost.')
    .option('--keep', 'stay with registry and image up until Ctrl-C')
    .addHelpText('after', examples);
  return addJsonOption(command).action(demo);
}

async function demo(flags: DemoFlags): Promise<void> {
  const { runDemo } = await import('../demo/demo.ts');
  const signal = cleanUpOnSignals();
  const report = flags.json === true ? () => undefined : (text: string) => note(`- ${text}`);
  const print = (result: DemoResult): void => printResult(flags.json, result, () => resultText(result));
  const look = async (result: DemoResult, place: DemoPlace): Promise<void> => {
    print(result);
    note(placeText(place));
    if (!signal.aborted) await once(signal, 'abort');
  };
  const result = await runDemo({ report, look: flags.keep === true ? look : undefined, signal });
  if (flags.keep !== true) print(result);
}

function resultText(result: DemoResult): string {
  const { image, converted, pull, lazy } = result;
  const rows = [
    ['', 'full pull', 'lazily'],
    ['image in the registry', bytesText(image.size), bytesText(converted.size)],
    ['fetched for the start', bytesText(pull.fetched), bytesText(lazy.fetched)],
    ['share of the image', percentText(pull.fetched / image.size), percentText(lazy.share)],
    ['time to the first result', secondsText(pull.seconds), secondsText(lazy.seconds)],
  ];
  const printed = lazy.result === pull.result ? `both printed    ${lazy.result}` : 'THE RESULTS DIFFER';
  return [
    ...(lazy.notMounted === undefined ? [] : [`NOT MOUNTED, files were copied out instead: ${lazy.notMounted}\n`]),
    `${image.layers} layers, ${bytesText(image.unpackedSize)} unpacked; converted in ${secondsText(converted.seconds)}\n`,
    columnsText(rows, '<>>'),
    printed,
    '',
    ...diseaseTexts(result),
    '',
    'The registry is on loopback: over a slower link, whatever fetches more is slower still.',
  ]
    .map((line) => `${line}\n`)
    .join('');
}

/** What is wrong with layers that are tars, and what became of it. */
function diseaseTexts({ repeated, hidden, flippedBit }: DemoResult): string[] {
  const { file, refused, readAfterwards } = flippedBit;
  const healed = readAfterwards ? 'and its content when the bit was right again' : 'AND NOTHING GOOD AFTERWARDS';
  return [
    `stored twice    ${bytesText(repeated.notStoredAgain)} of repeated content: not stored again`,
    `removed         ${bytesText(hidden.size)} that an upper layer removes: ${bytesText(hidden.fetched)} of it fetched`,
    `unverified      one flipped bit: ${file} ${refused === undefined ? 'WAS READ' : `gave ${refused}, ${healed}`}`,
  ];
}

function placeText({ source, converted, root }: DemoPlace): string {
  return `
Everything is still here. Try, in another terminal:
  ls ${root}
  sluice inspect ${converted}
  sluice cat ${converted} /app/main.js
  sluice check --source ${source} ${converted}
Ctrl-C ends and removes it.`;
}

function percentText(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function secondsText(seconds: number): string {
  return `${seconds.toFixed(2)} s`;
}
