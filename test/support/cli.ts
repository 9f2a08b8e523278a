import { fileURLToPath } from 'node:url';
import { type RunOptions, type RunResult, run } from './oracle.js';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** The command line that runs the program from its sources: for shells and for `script`. */
export const programArgs: readonly string[] = [process.execPath, '--import', 'tsx', main];

/** Run the program to its end, whatever its status. Output keeps every byte, as latin1, unless asked otherwise. */
export function xfsimg(args: readonly string[], options: RunOptions = {}): RunResult {
  const [command, ...rest] = programArgs;
  return run(command, [...rest, ...args], { status: 'any', encoding: 'latin1', ...options });
}
