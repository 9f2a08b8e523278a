/**
 * Ctrl-C while an image is changed: the operation under way is finished, what is done is written back, and the
 * message says how much that is. (Without this the program ends at once and leaves a log to be replayed.)
 */
import { CliError, EXIT } from './errors.js';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

export class Interrupt {
  #asked = false;
  readonly #ask = (): void => {
    this.#asked = true;
  };

  constructor() {
    for (const signal of SIGNALS) process.on(signal, this.#ask);
  }

  /** Lets the event loop turn, so that a signal gets in. Throws CliError after one; `done` says what is kept. */
  async turn(done: () => string): Promise<void> {
    await new Promise(setImmediate);
    if (this.#asked) throw new CliError(`interrupted: ${done()}`, EXIT.INTERRUPTED);
  }

  /** Signals end the program again. */
  end(): void {
    for (const signal of SIGNALS) process.off(signal, this.#ask);
  }
}
