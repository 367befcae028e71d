import { execFile } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));

const heading = `# Commands

What \`--help\` prints. After a change: \`npx vitest run test/cli/reference.test.ts -u\`.

Results go to stdout, all else to stderr. With \`--json\`, a result is one JSON document on stdout, and an error is one
JSON object on stderr. The exit status is that of the error's family: [errors.md](errors.md).
`;

/** What the command prints for a person whose home is /home/you. */
async function help(...args: readonly string[]): Promise<string> {
  const env = { PATH: process.env.PATH, HOME: '/home/you' };
  const { stdout } = await run(process.execPath, [path.join(root, 'bin/sluice.js'), ...args, '--help'], { env });
  return stdout.trimEnd();
}

describe('docs/cli.md', () => {
  it('is what the commands say of themselves', async () => {
    const overview = await help();
    const [, list = ''] = overview.split('\nCommands:\n');
    const names = Array.from(list.split('\n\n')[0]?.matchAll(/^ {2}([a-z]+)/gm) ?? [], ([, name = '']) => name);
    expect(names).toContain('demo');
    const parts = [heading, '## sluice', block(overview)];
    for (const name of names) {
      if (name !== 'help') parts.push(`## sluice ${name}`, block(await help(name)));
    }
    await expect(`${parts.join('\n')}`).toMatchFileSnapshot(path.join(root, 'docs/cli.md'));
  });
});

function block(text: string): string {
  return `\n\`\`\`text\n${text}\n\`\`\`\n`;
}
