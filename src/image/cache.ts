/**
 * Metadata blocks read once and kept, up to a bound. Two generations stand in for an LRU list: what is
 * touched moves to the young one; when that is full the old one is dropped whole. Nothing per access but a
 * Map lookup.
 */
import type { Source } from './source.js';

export class BlockCache {
  readonly #source: Source;
  readonly #perGeneration: number;
  #young = new Map<number, DataView>();
  #old = new Map<number, DataView>();
  #bytes = 0;

  /** `bound`: bytes of blocks to keep, roughly. */
  constructor(source: Source, bound = 16 * 2 ** 20) {
    this.#source = source;
    this.#perGeneration = bound / 2;
  }

  /** The `length` bytes at `offset`. One key, one length: callers read a block always in the same size. */
  get(offset: number, length: number): DataView {
    let v = this.#young.get(offset);
    if (v !== undefined && v.byteLength === length) return v;
    v = this.#old.get(offset);
    if (v === undefined || v.byteLength !== length) {
      const b = new Uint8Array(length);
      this.#source.read(offset, b);
      v = new DataView(b.buffer);
    }
    if (this.#bytes + length > this.#perGeneration) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#bytes = 0;
    }
    this.#young.set(offset, v);
    this.#bytes += length;
    return v;
  }

  /** Forgets everything: the source was written to behind the cache's back. */
  clear(): void {
    this.#young.clear();
    this.#old.clear();
    this.#bytes = 0;
  }
}
