/**
 * What a replay changes, kept in memory by sectors until all of the log has been read and believed: only then
 * does any of it go to the image.
 *
 * Sectors and not blocks: a log that touches one inode in every cluster should not cost a cluster of memory
 * each time. They are found by the page of eight they are in.
 */
import type { Source } from '../image/source.js';

export const SECTOR = 512;
const PAGE_SECTORS = 8;
const PAGE = PAGE_SECTORS * SECTOR;
/** Bytes read from the image at a time, and how many of such windows are kept: items come in runs of neighbours. */
const WINDOW = 32 * 1024;
const WINDOWS = 256;
/** Sectors are kept in slabs of this many. */
const SLAB_SECTORS = 2048;
/** Sectors are written together up to this many bytes, and over gaps up to so many sectors. */
const WRITE_RUN = 1 << 20;
const GAP_SECTORS = 8;

export class RecoverySet implements Source {
  readonly under: Source;
  /** Parts of the image as they stand underneath: the window of each slot, and its number there. */
  readonly #windows: (Uint8Array | undefined)[] = new Array(WINDOWS).fill(undefined);
  readonly #windowAt = new Float64Array(WINDOWS).fill(-1);
  readonly #pages = new PageTable();
  /** Slot of each sector of each page, less than 0 where it is unchanged. */
  #slots = new Int32Array(1024 * PAGE_SECTORS).fill(-1);
  /** Sectors of each page to be written after all others, as bits: they say how new their block is. */
  #heads = new Uint8Array(1024);
  #used = 0;
  readonly #slabs: Uint8Array[] = [];

  constructor(under: Source) {
    this.under = under;
  }

  get size(): number {
    return this.under.size;
  }

  /** Sectors changed so far. */
  get sectors(): number {
    return this.#used;
  }

  read(offset: number, into: Uint8Array): void {
    let page = -1;
    let base = -1;
    for (let at = 0; at < into.length; ) {
      const from = offset + at;
      const skip = from % SECTOR;
      const count = Math.min(SECTOR - skip, into.length - at);
      const sector = (from - skip) / SECTOR;
      const number = Math.floor(sector / PAGE_SECTORS);
      if (number !== page) {
        page = number;
        base = this.#pages.find(number) * PAGE_SECTORS;
      }
      if (base < 0) {
        const rest = Math.min((number + 1) * PAGE - from, into.length - at);
        this.#readUnder(from, into, at, rest);
        at += rest;
        continue;
      }
      const slot = this.#slots[base + (sector % PAGE_SECTORS)];
      if (slot < 0) this.#readUnder(from, into, at, count);
      else {
        const pos = (slot % SLAB_SECTORS) * SECTOR + skip;
        into.set(this.#slab(slot).subarray(pos, pos + count), at);
      }
      at += count;
    }
  }

  write(offset: number, from: Uint8Array): void {
    this.put(offset, from, 0, from.length);
  }

  /** Writes `length` bytes of `from`, those from `start` on. */
  put(offset: number, from: Uint8Array, start: number, length: number): void {
    for (let at = 0; at < length; ) {
      const to = offset + at;
      const skip = to % SECTOR;
      const count = Math.min(SECTOR - skip, length - at);
      const slot = this.#own((to - skip) / SECTOR, count < SECTOR);
      this.#slab(slot).set(
        from.subarray(start + at, start + at + count),
        (slot % SLAB_SECTORS) * SECTOR + skip,
      );
      at += count;
    }
  }

  /** Nothing is on its way anywhere: see `apply`. */
  sync(): void {}

  close(): void {
    this.under.close();
  }

  /** Marks the sector at `offset` as one that says how new its block is. */
  head(offset: number): void {
    const sector = Math.floor(offset / SECTOR);
    this.#heads[this.#page(Math.floor(sector / PAGE_SECTORS))] |= 1 << (sector % PAGE_SECTORS);
  }

  /**
   * Writes everything to the image underneath and waits until it is on stable storage. A block's sectors are
   * written before the one that tells its LSN: half-written it is still an old one, to be replayed again.
   */
  apply(): void {
    const order = this.#pages.numbers().sort();
    this.#writeSectors(order, false);
    this.under.sync();
    this.#writeSectors(order, true);
    this.under.sync();
    this.#windowAt.fill(-1);
  }

  /** Writes the sectors that are heads, or those that are none. What lies between them is written as it stands. */
  #writeSectors(order: Float64Array, heads: boolean): void {
    const sectors = new Float64Array(WRITE_RUN / SECTOR);
    const slots = new Int32Array(sectors.length);
    let count = 0;
    const buffer = new Uint8Array(WRITE_RUN);
    const end = (): void => {
      if (count === 0) return;
      const first = sectors[0];
      const span = sectors[count - 1] - first + 1;
      const run = buffer.subarray(0, span * SECTOR);
      if (span > count) this.under.read(first * SECTOR, run);
      for (let i = 0; i < count; i++) {
        const pos = (slots[i] % SLAB_SECTORS) * SECTOR;
        run.set(this.#slab(slots[i]).subarray(pos, pos + SECTOR), (sectors[i] - first) * SECTOR);
      }
      this.under.write(first * SECTOR, run);
      count = 0;
    };
    for (let p = 0; p < order.length; p++) {
      const page = this.#pages.find(order[p]);
      for (let i = 0; i < PAGE_SECTORS; i++) {
        const slot = this.#slots[page * PAGE_SECTORS + i];
        if (slot < 0 || ((this.#heads[page] >>> i) & 1) !== (heads ? 1 : 0)) continue;
        const sector = order[p] * PAGE_SECTORS + i;
        if (
          count > 0 &&
          (sector - sectors[count - 1] > GAP_SECTORS + 1 || sector - sectors[0] >= sectors.length)
        )
          end();
        sectors[count] = sector;
        slots[count++] = slot;
      }
    }
    end();
  }

  #slab(slot: number): Uint8Array {
    return this.#slabs[Math.floor(slot / SLAB_SECTORS)];
  }

  /** The number a page has here; it gets one where it had none. */
  #page(number: number): number {
    const page = this.#pages.add(number);
    if (page >= this.#heads.length) {
      const slots = new Int32Array(2 * this.#slots.length).fill(-1);
      slots.set(this.#slots);
      this.#slots = slots;
      const heads = new Uint8Array(2 * this.#heads.length);
      heads.set(this.#heads);
      this.#heads = heads;
    }
    return page;
  }

  /** The slot of a sector that is going to be changed; `load`: with its present contents. */
  #own(sector: number, load: boolean): number {
    const at = this.#page(Math.floor(sector / PAGE_SECTORS)) * PAGE_SECTORS + (sector % PAGE_SECTORS);
    const known = this.#slots[at];
    if (known >= 0) return known;
    const slot = this.#used++;
    if (slot % SLAB_SECTORS === 0) this.#slabs.push(new Uint8Array(SLAB_SECTORS * SECTOR));
    if (load) this.#readUnder(sector * SECTOR, this.#slab(slot), (slot % SLAB_SECTORS) * SECTOR, SECTOR);
    this.#slots[at] = slot;
    return slot;
  }

  /** Bytes of the image underneath, all in one page. */
  #readUnder(offset: number, into: Uint8Array, at: number, count: number): void {
    const number = Math.floor(offset / WINDOW);
    const i = number % WINDOWS;
    const first = number * WINDOW;
    let window = this.#windows[i];
    if (window === undefined) {
      window = new Uint8Array(WINDOW);
      this.#windows[i] = window;
    }
    if (this.#windowAt[i] !== number) {
      this.#windowAt[i] = -1;
      this.under.read(first, window.subarray(0, Math.min(WINDOW, this.size - first)));
      this.#windowAt[i] = number;
    }
    into.set(window.subarray(offset - first, offset - first + count), at);
  }
}

/** Numbers pages in the order they come: a hash table of nothing but numbers. */
class PageTable {
  #keys = new Float64Array(4096).fill(-1);
  #ids = new Int32Array(4096);
  #count = 0;

  /** The number of a page, or -1. */
  find(page: number): number {
    const at = this.#place(page);
    return this.#keys[at] === page ? this.#ids[at] : -1;
  }

  add(page: number): number {
    const at = this.#place(page);
    if (this.#keys[at] === page) return this.#ids[at];
    this.#keys[at] = page;
    this.#ids[at] = this.#count++;
    if (2 * this.#count > this.#keys.length) this.#grow();
    return this.#count - 1;
  }

  /** All pages. */
  numbers(): Float64Array {
    return this.#keys.filter((key) => key >= 0);
  }

  #place(page: number): number {
    const mask = this.#keys.length - 1;
    let at = Math.imul(page | 0, 0x9e37_79b1) >>> 7;
    for (at &= mask; this.#keys[at] !== page && this.#keys[at] >= 0; at = (at + 1) & mask);
    return at;
  }

  #grow(): void {
    const keys = this.#keys;
    const ids = this.#ids;
    this.#keys = new Float64Array(2 * keys.length).fill(-1);
    this.#ids = new Int32Array(2 * keys.length);
    for (let i = 0; i < keys.length; i++)
      if (keys[i] >= 0) {
        const at = this.#place(keys[i]);
        this.#keys[at] = keys[i];
        this.#ids[at] = ids[i];
      }
  }
}
