import { spawn } from 'node:child_process';

/** How a tool ended. */
export interface ToolResult {
  /** 0 when it succeeded. */
  readonly status: number;
  /** What it said on stderr, or why it could not be started. */
  readonly message: string;
}

/** Complaints longer than this are cut: they go into an error message. */
const maximumMessage = 2000;

/**
 * Runs one of the system's tools, such as mount(8), without a shell. Does not throw, for a missing tool either.
 * @param inherited - becomes descriptor 3 of the tool; stays open here
 */
export function runTool(
  command: string,
  args: readonly string[],
  inherited?: number,
  environment: Readonly<Record<string, string>> = {},
): Promise<ToolResult> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'ignore', 'pipe', ...(inherited === undefined ? [] : [inherited])],
      env: { ...process.env, ...environment, LC_ALL: 'C' },
    });
    let message = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      message = (message + text).slice(0, maximumMessage);
    });
    child.on('error', (error) => resolve({ status: -1, message: error.message }));
    child.on('close', (status) => resolve({ status: status ?? -1, message: message.trim() }));
  });
}
