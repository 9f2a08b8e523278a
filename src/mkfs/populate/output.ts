/** Writes to an image, gathered: what lies side by side goes out in one piece. */
import type { Source } from '../../image/source.js';

const CAPACITY = 2 ** 20;
/** Bytes after which those written are sent on their way to the disk: the sync at the end waits for the last only. */
const BEHIND = 32 * 2 ** 20;

export class Output {
  readonly #source: Source;
  readonly #buffer = new Uint8Array(CAPACITY);
  #start = 0;
  #used = 0;
  #unsynced = 0;

  constructor(source: Source) {
    this.#source = source;
  }

  write(offset: number, bytes: Uint8Array): void {
    if (offset !== this.#start + this.#used || this.#used + bytes.length > CAPACITY) this.flush();
    if (bytes.length >= CAPACITY / 2) {
      this.#emit(offset, bytes);
      return;
    }
    if (this.#used === 0) this.#start = offset;
    this.#buffer.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  /** Bytes that are to be filled at once and then stand at `offset`: at most 1 MiB of them. */
  room(offset: number, length: number): Uint8Array {
    if (offset !== this.#start + this.#used || this.#used + length > CAPACITY) this.flush();
    if (this.#used === 0) this.#start = offset;
    const from = this.#used;
    this.#used += length;
    return this.#buffer.subarray(from, this.#used);
  }

  /** Writes zeros over [offset, offset + length). */
  zero(offset: number, length: number): void {
    const zeros = new Uint8Array(Math.min(length, 65536));
    for (let done = 0; done < length; done += zeros.length)
      this.write(offset + done, zeros.subarray(0, Math.min(zeros.length, length - done)));
  }

  /** Reads back what was written. */
  read(offset: number, into: Uint8Array): void {
    const at = offset - this.#start;
    if (this.#used > 0 && at >= 0 && at + into.length <= this.#used) {
      into.set(this.#buffer.subarray(at, at + into.length));
      return;
    }
    if (at < this.#used && at + into.length > 0) this.flush();
    this.#source.read(offset, into);
  }

  flush(): void {
    if (this.#used === 0) return;
    this.#emit(this.#start, this.#buffer.subarray(0, this.#used));
    this.#used = 0;
  }

  #emit(offset: number, bytes: Uint8Array): void {
    this.#source.write(offset, bytes);
    this.#unsynced += bytes.length;
    if (this.#unsynced < BEHIND) return;
    this.#unsynced = 0;
    this.#source.startSync?.();
  }
}
