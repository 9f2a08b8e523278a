/**
 * Standard output, or a file, through one buffer, written synchronously: rows come out of a walk that never yields to the
 * event loop, so a stream would queue them all in memory.
 */
import { fstatSync, writeSync } from 'node:fs';
import { putInteger } from '../../dump/ascii.js';
import { textToBytes } from '../../format/text.js';
import { reason } from '../../image/source.js';
import { CliError } from '../errors.js';

const SIZE = 64 * 1024;
/** Bytes after which the buffer is written the first time; then after twice as many, up to all of it. */
const FIRST = 512;
/** Milliseconds between attempts on a pipe that is full and does not block. */
const WAIT = 2;

function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, WAIT);
}

/** The reader closed the pipe. Nothing is wrong: the program is to end quietly. */
function endQuietly(): never {
  process.exit(0);
}

/**
 * Whether standard output is a terminal. What is no character device is none: then the stream, which takes
 * milliseconds to set up, is not touched.
 */
export function stdoutIsTerminal(): boolean {
  try {
    return fstatSync(1).isCharacterDevice() && process.stdout.isTTY === true;
  } catch {
    return false;
  }
}

export class Output {
  readonly #fd: number;
  readonly #onClosed: () => never;
  readonly bytes = Buffer.allocUnsafe(SIZE);
  readonly #name: string;
  /**
   * Bytes after which the buffer is written. Few at first: the reader has the first rows at once, and V8 knows what
   * happens then before it optimizes what writes rows. Else it would do that twice.
   */
  #limit = FIRST;
  used = 0;

  /**
   * `onClosed` is called when the reader has gone away; by default the process exits with status 0. `name` is
   * for the CliError thrown where writing fails.
   */
  constructor(fd = 1, onClosed: () => never = endQuietly, name = 'standard output') {
    this.#fd = fd;
    this.#onClosed = onClosed;
    this.#name = name;
  }

  /** Makes room for `n` bytes (at most 64 KiB) at `used`. */
  reserve(n: number): void {
    if (this.used + n > this.#limit) this.flush();
  }

  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.used++] = value;
  }

  /** Bytes as they stand. */
  raw(b: Uint8Array): void {
    if (b.length > SIZE) {
      this.flush();
      this.#write(b, b.length);
      return;
    }
    this.reserve(b.length);
    this.bytes.set(b, this.used);
    this.used += b.length;
  }

  /** Text as UTF-8. */
  text(s: string): void {
    const length = s.length;
    if (length > 256) return this.raw(textToBytes(s));
    this.reserve(length);
    const { bytes } = this;
    let at = this.used;
    for (let i = 0; i < length; i++) {
      const c = s.charCodeAt(i);
      if (c >= 0x80) return this.raw(textToBytes(s));
      bytes[at++] = c;
    }
    this.used = at;
  }

  /** A safe integer in decimal. */
  integer(value: number): void {
    this.reserve(17);
    this.used = putInteger(this.bytes, this.used, value);
  }

  flush(): void {
    const n = this.used;
    this.used = 0;
    this.#limit = Math.min(2 * this.#limit, SIZE);
    if (n > 0) this.#write(this.bytes, n);
  }

  #write(b: Uint8Array, length: number): void {
    let done = 0;
    while (done < length) {
      try {
        done += writeSync(this.#fd, b, done, length - done);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'EAGAIN') pause();
        else if (code === 'EPIPE') this.#onClosed();
        else throw new CliError(`${this.#name}: cannot write: ${reason(error)}`);
      }
    }
  }
}

/** Writes text to standard output at once. */
export function say(text: string): void {
  const out = new Output();
  out.text(text);
  out.flush();
}
