import { type ByteString, byteString } from '../byte-string.ts';

/** The `#!` line of a script. */
export interface ScriptLine {
  readonly interpreter: ByteString;
  /** Words behind it. Linux hands them over as one; env(1) with -S, and people, take them apart. */
  readonly words: readonly ByteString[];
}

/** Linux looks no further for the end of the line. Source: linux/binfmts.h, BINPRM_BUF_SIZE. */
const MAXIMUM_LINE = 256;

/**
 * Reads the first line of a script. Source: Linux, fs/binfmt_script.c.
 * @param head - the beginning of the file
 * @returns undefined when it is no script
 */
export function parseScriptLine(head: Uint8Array): ScriptLine | undefined {
  if (head[0] !== 0x23 || head[1] !== 0x21) return undefined;
  const line = byteString(head.subarray(2, MAXIMUM_LINE)).split('\n', 1)[0] ?? '';
  const [interpreter, ...words] = line.split(/[ \t]+/).filter((word) => word !== '') as ByteString[];
  return interpreter === undefined ? undefined : { interpreter, words };
}

/** What a shell script ends in. */
export interface ScriptExecs {
  /** Programs it names in `exec` lines, in order. */
  readonly programs: readonly ByteString[];
  /** Whether it execs its own arguments. */
  readonly runsArguments: boolean;
}

/** Stops a script of nothing but exec lines. */
const MAXIMUM_PROGRAMS = 16;

/**
 * Finds the programs that a shell script plainly execs: `exec NAME …`, also behind `then` or `&&`, and `exec "$@"`.
 * A name that the shell would have to expand is left out.
 * @param text - a script, or its beginning
 */
export function findExecs(text: ByteString): ScriptExecs {
  const programs = new Set<ByteString>();
  let runsArguments = false;
  for (const line of text.split('\n')) {
    const [, command] = /^(?:[^#'"]*[\s;&|])?exec\s+([^;&|]+)/.exec(line.slice(0, MAXIMUM_LINE)) ?? [];
    if (command === undefined) continue;
    const words = command.trim().split(/\s+/);
    const [program = ''] = words;
    if (/^[\w./+-]+$/.test(program) && !program.startsWith('-') && programs.size < MAXIMUM_PROGRAMS) {
      programs.add(program as ByteString);
    }
    if (words.some((word) => word === '"$@"' || word === '$@')) runsArguments = true;
  }
  return { programs: [...programs], runsArguments };
}
