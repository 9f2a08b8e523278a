/** A source that dies: after so many sectors written, in the middle of a write if need be. */
import type { Source } from '../../src/image/source.js';

const SECTOR = 512;

export class Cut extends Error {}

export class CutSource implements Source {
  readonly under: Source;
  /** Sectors still to be written before the cut. */
  #left: number;
  /** Sectors written so far. */
  written = 0;
  /** Sectors written at the end of each write: a cut there falls between two writes. */
  readonly ends: number[] = [];

  constructor(under: Source, sectors = Number.POSITIVE_INFINITY) {
    this.under = under;
    this.#left = sectors;
  }

  get size(): number {
    return this.under.size;
  }

  read(offset: number, into: Uint8Array): void {
    this.under.read(offset, into);
  }

  write(offset: number, from: Uint8Array): void {
    // Sectors go out one after another, in ascending order.
    for (let at = 0; at < from.length; ) {
      if (this.#left === 0) throw new Cut('cut');
      const count = Math.min(SECTOR - ((offset + at) % SECTOR), from.length - at);
      this.under.write(offset + at, from.subarray(at, at + count));
      this.#left--;
      this.written++;
      at += count;
    }
    this.ends.push(this.written);
  }

  sync(): void {
    this.under.sync();
  }

  close(): void {
    this.under.close();
  }
}
