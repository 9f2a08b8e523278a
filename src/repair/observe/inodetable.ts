/**
 * Every inode there is, in columns. An inode's slot is its chunk's number times 64 plus its place in the
 * chunk; chunks are numbered in ascending order over all AGs, so slots ascend with inode numbers.
 */
import { type Geometry, INODES_PER_CHUNK, inoOf } from '../../format/geometry.js';
import type { InodeChunk } from '../../volume/inode.js';

export const SLOT = {
  /** In use, by the inobt. */
  USED: 1 << 0,
  REFLINK: 1 << 1,
  /** Its core did not verify. */
  DOUBTFUL: 1 << 2,
  /** Takes part in sharing that evidence supports. */
  SHARES: 1 << 3,
  /** Quota, realtime and metadata-directory inodes: no directory entry leads to them, nothing may share. */
  SYSTEM: 1 << 4,
  /** On an unlinked list. */
  UNLINKED: 1 << 5,
  /** Its forks hold another number of blocks than it says. */
  BLOCKS_DIFFER: 1 << 6,
  /** One of its forks lists an extent that cannot be: the others of the list may be wrong too. */
  ODD_FORK: 1 << 7,
} as const;

/** File types that no directory entry may give share the last bit of `types`. */
export const MAX_TYPE_BIT = 15;

/** What directory entries say of inodes: one element a slot. */
export class EntryColumns {
  /** Entries that name the inode, '.' and '..' left out. */
  readonly count: Uint32Array;
  /** File types they give: bit n for FTYPE n. */
  readonly types: Uint16Array;
  /** Slot of the first directory (in slot order) that names the inode; -1 where none does. */
  readonly heldBy: Int32Array;
  /**
   * With parent pointers: the sums of all entries that name the inode, less those of its parent pointers. 0 where
   * the two say the same.
   */
  readonly parents: Int32Array;

  constructor(slots: number, parents: boolean) {
    this.count = new Uint32Array(slots);
    this.types = new Uint16Array(slots);
    this.heldBy = new Int32Array(slots).fill(-1);
    this.parents = new Int32Array(parents ? slots : 0);
  }

  /** Adds what other directories say: of whichever stretch they are, the result is that of one scan. */
  merge(other: EntryColumns): void {
    const { count, types, heldBy, parents } = this;
    for (let slot = 0; slot < parents.length; slot++) parents[slot] += other.parents[slot];
    for (let slot = 0; slot < count.length; slot++) {
      if (other.count[slot] === 0) continue;
      if (count[slot] === 0 || other.heldBy[slot] < heldBy[slot]) heldBy[slot] = other.heldBy[slot];
      count[slot] += other.count[slot];
      types[slot] |= other.types[slot];
    }
  }
}

/** The table's columns as threads share them. */
export type SharedTable = Pick<
  InodeTable,
  'chunks' | 'chunkIno' | 'holemask' | 'freeHigh' | 'freeLow' | 'flags' | 'type' | 'nlink'
>;

/** A column in memory that other threads can see. */
const shared = (bytes: number): SharedArrayBuffer => new SharedArrayBuffer(bytes);

export class InodeTable {
  readonly #g: Geometry;
  /** First inode number of each chunk, and its masks. */
  chunkIno = new Float64Array(64);
  holemask = new Uint16Array(64);
  freeHigh = new Uint32Array(64);
  freeLow = new Uint32Array(64);
  chunks = 0;
  /** Chunks of AG n: firstChunk[n] to firstChunk[n + 1] - 1. */
  readonly firstChunk: Uint32Array;

  /** finobt records, in order: chunk's first inode and masks. */
  finobt = { count: 0, ino: new Float64Array(64), high: new Uint32Array(64), low: new Uint32Array(64) };

  // One element a slot, once `freeze` was called.
  flags: Uint8Array = new Uint8Array(0);
  /** File type as directories store it (FTYPE). */
  type: Uint8Array = new Uint8Array(0);
  nlink: Uint32Array = new Uint32Array(0);
  entries = new EntryColumns(0, false);
  #last = 0;

  constructor(g: Geometry) {
    this.#g = g;
    this.firstChunk = new Uint32Array(g.agcount + 1);
  }

  add(agno: number, c: InodeChunk): void {
    const i = this.chunks++;
    if (i === this.chunkIno.length) {
      const grow = <T extends Float64Array | Uint16Array | Uint32Array>(from: T): T => {
        const to = new (from.constructor as new (n: number) => T)(i * 2);
        to.set(from);
        return to;
      };
      this.chunkIno = grow(this.chunkIno);
      this.holemask = grow(this.holemask);
      this.freeHigh = grow(this.freeHigh);
      this.freeLow = grow(this.freeLow);
    }
    this.chunkIno[i] = inoOf(this.#g, agno, c.agino);
    this.holemask[i] = c.holemask;
    this.freeHigh[i] = c.freeHigh;
    this.freeLow[i] = c.freeLow;
    this.firstChunk[agno + 1] = this.chunks;
  }

  /** Takes a record of the finobt. */
  addFree(agno: number, c: InodeChunk): void {
    const f = this.finobt;
    const i = f.count++;
    if (i === f.ino.length) {
      const ino = new Float64Array(i * 2);
      const high = new Uint32Array(i * 2);
      const low = new Uint32Array(i * 2);
      ino.set(f.ino);
      high.set(f.high);
      low.set(f.low);
      Object.assign(f, { ino, high, low });
    }
    f.ino[i] = inoOf(this.#g, agno, c.agino);
    f.high[i] = c.freeHigh;
    f.low[i] = c.freeLow;
  }

  /** All chunks are in: makes room for what is known of each inode. */
  freeze(): void {
    // AGs without a chunk end where the one before them does.
    for (let n = 1; n < this.firstChunk.length; n++)
      this.firstChunk[n] = Math.max(this.firstChunk[n], this.firstChunk[n - 1]);
    const n = this.slots;
    this.flags = new Uint8Array(shared(n));
    this.type = new Uint8Array(shared(n));
    this.nlink = new Uint32Array(shared(n * 4));
    this.entries = new EntryColumns(n, this.#g.features.parent);
  }

  /** Slots of all chunks there are. */
  get slots(): number {
    return this.chunks * INODES_PER_CHUNK;
  }

  /** What another thread needs to scan inodes: `flags`, `type` and `nlink` are the same memory in all. */
  share(): SharedTable {
    const { chunks, flags, type, nlink } = this;
    return {
      chunks,
      chunkIno: this.chunkIno.subarray(0, chunks),
      holemask: this.holemask.subarray(0, chunks),
      freeHigh: this.freeHigh.subarray(0, chunks),
      freeLow: this.freeLow.subarray(0, chunks),
      flags,
      type,
      nlink,
    };
  }

  /** The table on the other side of `share`: for scanning, with no more than that takes. */
  static from(g: Geometry, columns: SharedTable): InodeTable {
    return Object.assign(new InodeTable(g), columns);
  }

  /** Whether a chunk has a free inode: the mask's bits for inodes it does not have are set too. */
  hasFree(chunk: number): boolean {
    const holes = this.holemask[chunk];
    if (holes === 0) return this.freeHigh[chunk] !== 0 || this.freeLow[chunk] !== 0;
    for (let i = 0; i < INODES_PER_CHUNK; i++) {
      const word = i < 32 ? this.freeLow[chunk] : this.freeHigh[chunk];
      if (((holes >>> (i >> 2)) & 1) === 0 && (word >>> (i & 31)) & 1) return true;
    }
    return false;
  }

  /** Slot of a directory that names the inode in `slot`; -1 where none does. */
  get heldBy(): Int32Array {
    return this.entries.heldBy;
  }

  ino(slot: number): number {
    return this.chunkIno[slot >>> 6] + (slot & 63);
  }

  /** The slot of inode `ino`, or -1 where no chunk has it. */
  slot(ino: number): number {
    const { chunkIno } = this;
    let chunk = this.#last;
    const d = ino - chunkIno[chunk];
    if (!(d >= 0 && d < INODES_PER_CHUNK) || chunk >= this.chunks) {
      let low = 0;
      let high = this.chunks - 1;
      while (low < high) {
        const middle = (low + high + 1) >>> 1;
        if (chunkIno[middle] <= ino) low = middle;
        else high = middle - 1;
      }
      chunk = low;
      this.#last = chunk;
    }
    const i = ino - chunkIno[chunk];
    if (this.chunks === 0 || i < 0 || i >= INODES_PER_CHUNK) return -1;
    if ((this.holemask[chunk] >>> (i >> 2)) & 1) return -1;
    return chunk * INODES_PER_CHUNK + i;
  }
}
