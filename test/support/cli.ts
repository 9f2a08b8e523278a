import { fileURLToPath } from 'node:url';
import { type RunOptions, type RunResult, run } from './oracle.js';

const main = fileURLToPath(new URL('../../bin/xfsimg.js', import.meta.url));

/** The command line that runs the program as it was built last (`npm test` builds first): for shells and `script`. */
export const programArgs: readonly string[] = [process.execPath, main];

/** Run the program to its end, whatever its status. Output keeps every byte, as latin1, unless asked otherwise. */
export function xfsimg(args: readonly string[], options: RunOptions = {}): RunResult {
  const [command, ...rest] = programArgs;
  return run(command, [...rest, ...args], { status: 'any', encoding: 'latin1', ...options });
}
