/**
 * A source that stops as a power cut would: after so many sectors written, in the middle of a write if need
 * be, or when it is told to. Nothing reaches the image afterwards.
 */
import type { Source } from './source.js';

const SECTOR = 512;

/** The power is gone: thrown by the write that was cut, and by every one after it. */
export class PowerCut extends Error {
  /** Sectors written before. */
  readonly sectors: number;
  constructor(sectors: number) {
    super(`power cut after ${sectors} sectors written`);
    this.name = 'PowerCut';
    this.sectors = sectors;
  }
}

export class CutSource implements Source {
  readonly under: Source;
  /** Sectors written so far. */
  sectors = 0;
  #limit = Number.POSITIVE_INFINITY;

  constructor(under: Source) {
    this.under = under;
  }

  /** Counts from here on: so many sectors are still written. */
  start(limit = Number.POSITIVE_INFINITY): void {
    this.sectors = 0;
    this.#limit = limit;
  }

  get size(): number {
    return this.under.size;
  }

  read(offset: number, into: Uint8Array): void {
    this.under.read(offset, into);
  }

  write(offset: number, from: Uint8Array): void {
    // Sectors go out one after another, in ascending order: as many of them as there is power for.
    const first = SECTOR - (offset % SECTOR);
    const all = from.length <= first ? 1 : 1 + Math.ceil((from.length - first) / SECTOR);
    const left = this.#limit - this.sectors;
    if (all <= left) {
      this.under.write(offset, from);
      this.sectors += all;
      return;
    }
    if (left > 0) this.under.write(offset, from.subarray(0, first + (left - 1) * SECTOR));
    this.sectors += left;
    throw new PowerCut(this.sectors);
  }

  /** Cuts the power now. Throws PowerCut. */
  cut(): never {
    this.#limit = this.sectors;
    throw new PowerCut(this.sectors);
  }

  sync(): void {
    if (this.sectors >= this.#limit) throw new PowerCut(this.sectors);
    this.under.sync();
  }

  close(): void {
    this.under.close();
  }
}
