/**
 * A source whose writes stay in memory: `-n` runs a whole recovery or repair against it and the image
 * underneath is never touched. Pages of 4 KiB are copied up on the first write to them.
 */
import type { Source } from './source.js';

const PAGE = 4096;

export class OverlaySource implements Source {
  readonly under: Source;
  readonly #pages: Map<number, Uint8Array>;

  /** `pages`: what another overlay of the same source holds, as `contents` gives it. */
  constructor(under: Source, pages = new Map<number, Uint8Array>()) {
    this.under = under;
    this.#pages = pages;
  }

  /** The pages that were written, by their number. */
  get contents(): Map<number, Uint8Array> {
    return this.#pages;
  }

  get size(): number {
    return this.under.size;
  }

  /** Pages written so far. */
  get dirtyPages(): number {
    return this.#pages.size;
  }

  /** The changed pages, in ascending order: byte offset and contents. */
  *pages(): Generator<[number, Uint8Array]> {
    for (const index of [...this.#pages.keys()].sort((a, b) => a - b))
      yield [index * PAGE, this.#pages.get(index)!];
  }

  read(offset: number, into: Uint8Array): void {
    this.under.read(offset, into);
    if (this.#pages.size === 0) return;
    const end = offset + into.length;
    for (let index = Math.floor(offset / PAGE); index * PAGE < end; index++) {
      const page = this.#pages.get(index);
      if (page === undefined) continue;
      const from = Math.max(offset, index * PAGE);
      const to = Math.min(end, index * PAGE + page.length);
      into.set(page.subarray(from - index * PAGE, to - index * PAGE), from - offset);
    }
  }

  write(offset: number, from: Uint8Array): void {
    const end = offset + from.length;
    for (let index = Math.floor(offset / PAGE); index * PAGE < end; index++) {
      let page = this.#pages.get(index);
      if (page === undefined) {
        page = new Uint8Array(Math.min(PAGE, this.size - index * PAGE));
        this.under.read(index * PAGE, page);
        this.#pages.set(index, page);
      }
      const at = Math.max(offset, index * PAGE);
      const to = Math.min(end, index * PAGE + page.length);
      page.set(from.subarray(at - offset, to - offset), at - index * PAGE);
    }
  }

  sync(): void {}

  close(): void {
    this.under.close();
  }
}
