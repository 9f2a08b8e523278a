/** A source that dies: after so many sectors changed, in the middle of a write if need be. */
import type { Source } from '../../src/image/source.js';

const SECTOR = 512;

export class Cut extends Error {}

export class CutSource implements Source {
  readonly under: Source;
  readonly #sector = new Uint8Array(SECTOR);
  /** Sectors still to be changed before the cut. */
  #left: number;
  /** Sectors changed so far: one written as it stands leaves nothing else behind, wherever the cut is. */
  written = 0;
  /** Sectors changed at the end of each write: a cut there falls between two writes. */
  readonly ends: number[] = [];
  /** Each change in order, where it is asked for. */
  readonly changes: { offset: number; bytes: Uint8Array }[] | undefined;

  constructor(under: Source, sectors = Number.POSITIVE_INFINITY, options: { record?: boolean } = {}) {
    this.under = under;
    if (options.record) this.changes = [];
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
      const count = Math.min(SECTOR - ((offset + at) % SECTOR), from.length - at);
      const sector = from.subarray(at, at + count);
      const before = this.#sector.subarray(0, count);
      this.under.read(offset + at, before);
      at += count;
      if (equal(before, sector)) continue;
      if (this.#left === 0) throw new Cut('cut');
      this.under.write(offset + at - count, sector);
      this.changes?.push({ offset: offset + at - count, bytes: sector.slice() });
      this.#left--;
      this.written++;
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

function equal(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
