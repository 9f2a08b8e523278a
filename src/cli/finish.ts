/** The end of every reading command: what was found damaged on the way, a line each, and exit status 1. */
import { describeFault } from '../format/fault.js';
import type { Volume } from '../volume/volume.js';
import { EXIT } from './errors.js';

/** Lines of damage shown; the rest is counted. */
const SHOWN = 50;

export function finishDump(volume: Volume): void {
  volume.close();
  const { faults } = volume;
  if (faults.length === 0) return;
  for (const fault of faults.slice(0, SHOWN)) process.stderr.write(`xfsimg: ${describeFault(fault)}\n`);
  if (faults.length > SHOWN)
    process.stderr.write(`xfsimg: and ${faults.length - SHOWN} more; xfsimg repair -n lists all\n`);
  process.exitCode = EXIT.FAILED;
}
