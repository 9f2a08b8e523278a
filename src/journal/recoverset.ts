/**
 * What a replay changes, kept in memory by sectors until all of the log has been read and believed: only then
 * does any of it go to the image.
 *
 * Sectors and not blocks: a log that touches one inode in every cluster should not cost a cluster of memory
 * each time. They are found by the page of eight they are in.
 */
import { sealCrc } from '../format/checksum.js';
import { DINODE, XFS_DINODE_MAGIC } from '../format/dinode.js';
import { viewOf } from '../format/structure.js';
import type { Source } from '../image/source.js';
import { PAGE_SECTORS, SECTOR, WriteRun } from './writerun.js';

const PAGE = PAGE_SECTORS * SECTOR;
/**
 * Bytes read from the image at a time, and how many of such windows are kept: items come in runs of neighbours, but a
 * page that was never on disk costs more to read than all that is done with it.
 */
const WINDOW = 8 * 1024;
const WINDOWS = 256;
/** Sectors are kept in slabs of this many. */
const SLAB_SECTORS = 2048;
/** Bytes up to which a loop copies as fast as a call. */
const SMALL = 64;
const MAGIC_0 = XFS_DINODE_MAGIC >> 8;
const MAGIC_1 = XFS_DINODE_MAGIC & 0xff;
const NO_VIEW = viewOf(new Uint8Array(0));

export class RecoverySet implements Source {
  readonly under: Source;
  /** Parts of the image as they stand underneath: the window of each slot, and its number there. */
  readonly #windows: (Uint8Array | undefined)[] = new Array(WINDOWS).fill(undefined);
  readonly #windowAt = new Float64Array(WINDOWS).fill(-1);
  readonly #windowViews: DataView[] = [];
  readonly #pages = new PageTable();
  /** Slot of each sector of each page, less than 0 where it is unchanged. */
  #slots = new Int32Array(1024 * PAGE_SECTORS).fill(-1);
  /** Sectors of each page that say how new their block is, as bits: those of blocks within the page, and others. */
  #heads: Uint8Array = new Uint8Array(1024);
  #farHeads: Uint8Array = new Uint8Array(1024);
  /** Sectors of each page an inode begins in whose checksum is still to be computed. */
  #inodes: Uint8Array = new Uint8Array(1024);
  #used = 0;
  readonly #slabs: Uint8Array[] = [];
  readonly #slabViews: DataView[] = [];
  /** What `locate` found. */
  view: DataView = NO_VIEW;
  at = 0;

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
    for (let done = 0; done < into.length; ) {
      const from = offset + done;
      const number = Math.floor(from / PAGE);
      const inside = from - number * PAGE;
      const count = Math.min(PAGE - inside, into.length - done);
      const page = this.#pages.find(number);
      if (page < 0) this.#readUnder(from, into, done, count);
      else this.#readPage(page, number * PAGE, inside, into, done, count);
      done += count;
    }
  }

  /** `count` bytes of a page some of whose sectors are changed, from `inside` on. */
  #readPage(page: number, start: number, inside: number, into: Uint8Array, to: number, count: number): void {
    const end = inside + count;
    for (let at = inside; at < end; ) {
      const slot = this.#slots[page * PAGE_SECTORS + (at >>> 9)];
      const stop = Math.min(end, this.#runEnd(page, at >>> 9, (end - 1) >>> 9) * SECTOR);
      if (slot < 0) this.#readUnder(start + at, into, to + at - inside, stop - at);
      else {
        const pos = (slot % SLAB_SECTORS) * SECTOR + (at % SECTOR);
        copy(this.#slab(slot), pos, into, to + at - inside, stop - at);
      }
      at = stop;
    }
  }

  /** The sector behind those from `first` to `last` that lie together in a slab, or are unchanged all. */
  #runEnd(page: number, first: number, last: number): number {
    const base = page * PAGE_SECTORS;
    const slot = this.#slots[base + first];
    let next = first + 1;
    if (slot < 0) while (next <= last && this.#slots[base + next] < 0) next++;
    else {
      const room = SLAB_SECTORS - (slot % SLAB_SECTORS);
      while (next <= last && next - first < room && this.#slots[base + next] === slot + next - first) next++;
    }
    return next;
  }

  /**
   * Finds the sector a byte is in as it stands now: `view` and `at` give it, to be read until the set is next read or
   * written.
   */
  locate(offset: number): void {
    const number = Math.floor(offset / PAGE);
    const inside = offset - number * PAGE;
    const page = this.#pages.find(number);
    const slot = page < 0 ? -1 : this.#slots[page * PAGE_SECTORS + (inside >>> 9)];
    if (slot < 0) {
      const window = Math.floor(offset / WINDOW);
      this.#load(window);
      this.view = this.#windowViews[window % WINDOWS];
      this.at = offset - window * WINDOW;
    } else {
      this.view = this.#slabViews[Math.floor(slot / SLAB_SECTORS)];
      this.at = (slot % SLAB_SECTORS) * SECTOR + (inside % SECTOR);
    }
  }

  write(offset: number, from: Uint8Array): void {
    this.put(offset, from, 0, from.length);
  }

  /** Writes `length` bytes of `from`, those from `start` on. */
  put(offset: number, from: Uint8Array, start: number, length: number): void {
    for (let done = 0; done < length; ) {
      const to = offset + done;
      const number = Math.floor(to / PAGE);
      const inside = to - number * PAGE;
      const count = Math.min(PAGE - inside, length - done);
      this.#putPage(this.#page(number), number * PAGE, inside, from, start + done, count);
      done += count;
    }
  }

  #putPage(
    page: number,
    offset: number,
    inside: number,
    from: Uint8Array,
    start: number,
    count: number,
  ): void {
    const end = inside + count;
    const first = inside >>> 9;
    const last = (end - 1) >>> 9;
    for (let s = first; s <= last; s++) {
      const slot = page * PAGE_SECTORS + s;
      if (this.#slots[slot] < 0)
        this.#slots[slot] = this.#own(offset + s * SECTOR, s * SECTOR < inside || (s + 1) * SECTOR > end);
    }
    for (let at = inside; at < end; ) {
      const slot = this.#slots[page * PAGE_SECTORS + (at >>> 9)];
      const stop = Math.min(end, this.#runEnd(page, at >>> 9, last) * SECTOR);
      const pos = (slot % SLAB_SECTORS) * SECTOR + (at % SECTOR);
      copy(from, start + at - inside, this.#slab(slot), pos, stop - at);
      at = stop;
    }
  }

  /** Nothing is on its way anywhere: see `apply`. */
  sync(): void {}

  close(): void {
    this.under.close();
  }

  /** Marks the sector at `offset`, the first of a block of `length` bytes, as one that says how new its block is. */
  head(offset: number, length: number): void {
    const number = Math.floor(offset / PAGE);
    const page = this.#page(number);
    const inside = offset - number * PAGE;
    const bit = 1 << (inside >>> 9);
    if (inside + length > PAGE) this.#farHeads[page] |= bit;
    else this.#heads[page] |= bit;
  }

  /** Notes that the inode at `offset` was changed: `sealInodes` gives it its checksum. */
  inode(offset: number): void {
    const number = Math.floor(offset / PAGE);
    this.#inodes[this.#page(number)] |= 1 << ((offset - number * PAGE) >>> 9);
  }

  /** What stands in these bytes is no inode any more. */
  noInodes(offset: number, length: number): void {
    const end = offset + length;
    for (let number = Math.floor(offset / PAGE); number * PAGE < end; number++) {
      const page = this.#pages.find(number);
      if (page < 0 || this.#inodes[page] === 0) continue;
      for (let s = 0; s < PAGE_SECTORS; s++) {
        const at = number * PAGE + s * SECTOR;
        if (at >= offset && at < end) this.#inodes[page] &= ~(1 << s);
      }
    }
  }

  /** Computes the checksums of all inodes noted. */
  sealInodes(inodesize: number): void {
    const numbers = this.#pages.numbers();
    const inode = new Uint8Array(inodesize);
    for (let p = 0; p < numbers.length; p++) {
      const page = this.#pages.find(numbers[p]);
      const bits = this.#inodes[page];
      if (bits === 0) continue;
      this.#inodes[page] = 0;
      for (let s = 0; s < PAGE_SECTORS; s++) {
        if (((bits >>> s) & 1) === 0) continue;
        const offset = numbers[p] * PAGE + s * SECTOR;
        const slot = this.#slots[page * PAGE_SECTORS + s];
        if (inodesize === SECTOR && slot >= 0) {
          const pos = (slot % SLAB_SECTORS) * SECTOR;
          const slab = this.#slab(slot);
          if (slab[pos] === MAGIC_0 && slab[pos + 1] === MAGIC_1)
            sealCrc(slab.subarray(pos, pos + SECTOR), DINODE.at.crc);
        } else {
          this.read(offset, inode);
          if (inode[0] !== MAGIC_0 || inode[1] !== MAGIC_1) continue;
          sealCrc(inode, DINODE.at.crc);
          this.put(offset + DINODE.at.crc, inode, DINODE.at.crc, 4);
        }
        this.head(offset, inodesize);
      }
    }
  }

  /**
   * Writes everything to the image underneath and waits until it is on stable storage. A block's sectors are
   * written before the one that tells its LSN: half-written it is still an old one, to be replayed again. Where a
   * block lies within one page, which goes to stable storage in one piece, the order of the writes is enough;
   * of others the heads wait until all else is there.
   */
  apply(): void {
    const order = this.#pages.numbers().sort();
    const run = new WriteRun(this.under);
    let far = false;
    for (const late of [false, true]) {
      for (let p = 0; p < order.length; p++) {
        const page = this.#pages.find(order[p]);
        far ||= this.#farHeads[page] !== 0;
        run.page(order[p]);
        for (let s = 0; s < PAGE_SECTORS; s++) {
          const slot = this.#slots[page * PAGE_SECTORS + s];
          if (slot < 0 || (((this.#farHeads[page] >>> s) & 1) === 1) !== late) continue;
          const head = late || ((this.#heads[page] >>> s) & 1) === 1;
          run.add(order[p] * PAGE_SECTORS + s, this.#slab(slot), (slot % SLAB_SECTORS) * SECTOR, head);
        }
      }
      run.end();
      this.under.sync();
      if (!far) break;
    }
    this.#windowAt.fill(-1);
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
      this.#heads = doubled(this.#heads);
      this.#farHeads = doubled(this.#farHeads);
      this.#inodes = doubled(this.#inodes);
    }
    return page;
  }

  /** A new slot, for the sector at `offset`; `load`: with its present contents. */
  #own(offset: number, load: boolean): number {
    const slot = this.#used++;
    if (slot % SLAB_SECTORS === 0) {
      this.#slabs.push(new Uint8Array(SLAB_SECTORS * SECTOR));
      this.#slabViews.push(viewOf(this.#slabs[this.#slabs.length - 1]));
    }
    if (load) this.#readUnder(offset, this.#slab(slot), (slot % SLAB_SECTORS) * SECTOR, SECTOR);
    return slot;
  }

  /** Bytes of the image underneath, all in one page. */
  #readUnder(offset: number, into: Uint8Array, at: number, count: number): void {
    const number = Math.floor(offset / WINDOW);
    const window = this.#load(number);
    const from = offset - number * WINDOW;
    copy(window, from, into, at, count);
  }

  /** A window of the image underneath, read in where needed. */
  #load(number: number): Uint8Array {
    const i = number % WINDOWS;
    let window = this.#windows[i];
    if (window === undefined) {
      window = new Uint8Array(WINDOW);
      this.#windows[i] = window;
      this.#windowViews[i] = viewOf(window);
    }
    if (this.#windowAt[i] !== number) {
      this.#windowAt[i] = -1;
      const first = number * WINDOW;
      this.under.read(first, window.subarray(0, Math.min(WINDOW, this.size - first)));
      this.#windowAt[i] = number;
    }
    return window;
  }
}

function copy(from: Uint8Array, start: number, to: Uint8Array, at: number, count: number): void {
  if (count > SMALL) to.set(from.subarray(start, start + count), at);
  else for (let i = 0; i < count; i++) to[at + i] = from[start + i];
}

const doubled = (of: Uint8Array): Uint8Array => {
  const larger = new Uint8Array(2 * of.length);
  larger.set(of);
  return larger;
};

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
