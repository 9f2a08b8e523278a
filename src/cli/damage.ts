/**
 * Faults met while reading: one line each on stderr, the command goes on with what it can read, and ends with
 * status 1.
 */
import { CorruptionError, describeFault, type Fault } from '../format/fault.js';
import { printable } from '../format/text.js';
import type { Volume } from '../volume/volume.js';
import { EXIT } from './errors.js';

/** Lines shown; beyond these faults are only counted. */
const MAX_LINES = 50;

export class Damage {
  readonly #image: string;
  readonly #seen = new Set<string>();
  #count = 0;

  /** From now on the volume's faults are shown as they are found. `image`: its path, for the lines. */
  constructor(volume: Volume, image: string) {
    this.#image = image;
    volume.report = (fault) => this.fault(fault);
  }

  fault(fault: Fault): void {
    this.line(describeFault(fault));
  }

  /** Shows something else that went wrong and is no reason to stop. */
  line(message: string): void {
    if (this.#count < MAX_LINES) {
      // The same block can be met twice, on the way to two files.
      if (this.#seen.has(message)) return;
      this.#seen.add(message);
      process.stderr.write(`xfsimg: ${this.#image}: ${printable(message)}\n`);
    }
    this.#count++;
    process.exitCode = EXIT.FAILED;
  }

  /** Runs `fn`; damage it cannot go on from is shown, and its result is then undefined. */
  guard<T>(fn: () => T): T | undefined {
    try {
      return fn();
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      this.fault(error.fault);
      return undefined;
    }
  }

  /** To be called at the end: says how many faults were not shown. */
  finish(): void {
    if (this.#count > MAX_LINES)
      process.stderr.write(`xfsimg: ${this.#image}: ${this.#count - MAX_LINES} more faults\n`);
  }
}
