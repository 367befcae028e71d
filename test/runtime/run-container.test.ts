import { describe, expect, it } from 'vitest';
import { lastError } from '../../src/runtime/run-container.ts';

describe('lastError()', () => {
  const line = (level: string, msg: string): string => `${JSON.stringify({ level, msg, time: 'now' })}\n`;

  it('is the last thing that a runtime complained of', () => {
    expect(lastError(line('error', 'first') + line('error', 'second') + line('info', 'third'))).toBe('second');
  });

  it.each(['', 'no JSON\n', line('warning', 'x'), '{"level":"error"}\n', 'null\n'])('is nothing in %j', (log) => {
    expect(lastError(log)).toBeUndefined();
  });
});
