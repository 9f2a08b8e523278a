/**
 * Ctrl-C in long commands: what is left behind is whole, and one line says what that is and how to go on. Three ways:
 *   Interrupt         between operations: the one under way is finished, what is done is written back
 *   untilInterrupted  in work that never yields to the event loop: it ends at once, as by a crash, which the log or
 *                     the removal of an unfinished file makes good
 *   endingAt          in work that yields: the program ends there
 * Without any of them the program ends at once and silently, with an image that is as sound as after a crash.
 */
import { Script } from 'node:vm';
import { CliError, EXIT } from './errors.js';

/** Work that was ended in its middle: nothing it had in memory is to be used again. */
export class Stopped extends CliError {
  constructor(words: string) {
    super(`interrupted: ${words}`, EXIT.INTERRUPTED);
    this.name = 'Stopped';
  }
}

/** Where work that is to be called from a script finds it. */
const WORK = Symbol.for('xfsimg.work');

/**
 * What `work` returns; it is ended in its middle by Ctrl-C, without its `finally`. V8 looks for that only in scripts
 * that are run so, and in all they call. Throws Stopped with `words` then.
 */
export function untilInterrupted<T>(words: string, work: () => T): T {
  const place = globalThis as unknown as Record<symbol, (() => T) | undefined>;
  place[WORK] = work;
  try {
    return new Script("globalThis[Symbol.for('xfsimg.work')]()").runInThisContext({ breakOnSigint: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_INTERRUPTED') throw error;
    throw new Stopped(words);
  } finally {
    place[WORK] = undefined;
  }
}

/** What becomes of the changes of an image that were under way. */
export const asByCrash = (image: string): string =>
  `${image}: each operation is there whole or not at all, as after a crash; xfsimg log IMAGE replay, or the next change, ends what the log holds`;

/** What becomes of a filesystem that was not yet filled. */
export const unfinished = (path: string): string => `${path}: not filled: the same command begins anew`;

/** What `work` resolves to; a signal ends the program with `words` when the event loop turns next. */
export async function endingAt<T>(words: string, work: () => Promise<T>): Promise<T> {
  const end = (): never => {
    process.stderr.write(`${process.stderr.isTTY ? '\r\x1b[K' : ''}xfsimg: interrupted: ${words}\n`);
    process.exit(EXIT.INTERRUPTED);
  };
  for (const signal of SIGNALS) process.on(signal, end);
  try {
    return await work();
  } finally {
    for (const signal of SIGNALS) process.off(signal, end);
  }
}

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
