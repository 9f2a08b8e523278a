/**
 * Names saved from directories that are damaged. Every entry ends with its own offset, and its hash stands in
 * the index: the two together find where entries begin again after a broken one, and how long its name was.
 */
import { sameUuid } from '../../format/ag.js';
import { crcHolds } from '../../format/checksum.js';
import { DA_AT, daHash } from '../../format/da.js';
import { DINODE_SIZE, FORK_FORMAT } from '../../format/dinode.js';
import {
  BLOCK_TAIL,
  blockEntriesEnd,
  byteToAddress,
  DATA_ENTRY,
  DATA_FREE_TAG,
  DIR3_BLK_HDR,
  DIR3_DATA_HDR,
  DIR3_LEAF_HDR,
  dataEntrySize,
  FTYPE_MAX,
  freeSpaceBlock,
  LEAF_ENTRY,
  LEAF_TAIL,
  leafSpaceBlock,
  NULL_DATAPTR,
  SF_ENTRY,
  sfEntrySize,
  sfHdrSize,
  sfIno,
  sfInoSize,
  XFS_DIR3_BLOCK_MAGIC,
  XFS_DIR3_DATA_MAGIC,
  XFS_DIR3_LEAF1_MAGIC,
  XFS_DIR3_LEAFN_MAGIC,
} from '../../format/dir.js';
import { blockOffset, type Geometry, isInoInRange } from '../../format/geometry.js';
import { getU64 } from '../../format/structure.js';
import { ForkBlocks } from '../../volume/forkblocks.js';
import { type Inode, readInode } from '../../volume/inode.js';
import { bytesOf, type Volume } from '../../volume/volume.js';

/** Takes a name: bytes that are only good during the call, what it names, and the type it gives. */
export type NameVisitor = (name: Uint8Array, ino: number, ftype: number) => void;

const DOT = 0x2e;
const SLASH = 0x2f;

const isDots = (b: Uint8Array): boolean =>
  b[0] === DOT && (b.length === 1 || (b.length === 2 && b[1] === DOT));

const isLegal = (b: Uint8Array): boolean => b.length > 0 && !b.includes(SLASH) && !b.includes(0);

/** Visits every name that can be saved, '.' and '..' left out. */
export function salvageNames(volume: Volume, ino: number, visit: NameVisitor): void {
  const inode = readInode(volume, ino, { verify: false });
  const take: NameVisitor = (name, child, ftype) => {
    if (isLegal(name) && !isDots(name)) visit(name, child, ftype);
  };
  if (inode.format === FORK_FORMAT.LOCAL) salvageShortForm(volume, inode, take);
  else new BlockSalvage(volume, inode, take).run();
}

// Short form.

interface ShortEntry {
  readonly name: Uint8Array;
  readonly ino: number;
  readonly ftype: number;
  readonly offset: number;
  readonly next: number;
}

function shortEntry(
  fork: Uint8Array,
  v: DataView,
  at: number,
  end: number,
  i8: boolean,
  g: Geometry,
  after: number,
): ShortEntry | undefined {
  if (at + SF_ENTRY.size >= end) return undefined;
  const { ftype } = g.features;
  const namelen = fork[at];
  const next = at + sfEntrySize(namelen, i8, ftype);
  const offset = v.getUint16(at + SF_ENTRY.at.offset);
  if (next > end || offset % 8 !== 0 || offset <= after) return undefined;
  const from = at + SF_ENTRY.size;
  const name = fork.subarray(from, from + namelen);
  const type = ftype ? fork[from + namelen] : 0;
  const ino = sfIno(v, next - sfInoSize(i8), i8);
  if (!isLegal(name) || type >= FTYPE_MAX || !isInoInRange(g, ino)) return undefined;
  return { name, ino, ftype: type, offset, next };
}

/** Entries that follow each other from `at`, their offsets ascending. */
function shortChain(
  fork: Uint8Array,
  v: DataView,
  at: number,
  end: number,
  i8: boolean,
  g: Geometry,
): { entries: ShortEntry[]; end: number } {
  const entries: ShortEntry[] = [];
  let next = at;
  let after = 0;
  while (next < end) {
    const entry = shortEntry(fork, v, next, end, i8, g, after);
    if (entry === undefined) break;
    entries.push(entry);
    after = entry.offset;
    next = entry.next;
  }
  return { entries, end: next };
}

function salvageShortForm(volume: Volume, inode: Inode, visit: NameVisitor): void {
  const room = Math.min(inode.dataSize, inode.inodesize - DINODE_SIZE);
  const from = inode.view.byteOffset + inode.dataAt;
  const whole = new Uint8Array(inode.view.buffer as ArrayBuffer, from, room);
  const v = new DataView(whole.buffer, whole.byteOffset, whole.length);
  const count = v.getUint8(0);
  const sized = inode.size >= sfHdrSize(false) && inode.size <= room ? inode.size : room;
  let best: { got: [Uint8Array, number, number][]; score: number } | undefined;
  // Both the size and the count may be wrong, and whether inode numbers take four bytes or eight.
  for (const i8 of v.getUint8(1) === 0 ? [false, true] : [true, false])
    for (const end of new Set([sized, room])) {
      const got = shortNames(whole, v, count, end, i8, volume.g);
      const score = got.whole ? 1000 + got.names.length : got.names.length;
      if (best === undefined || score > best.score) best = { got: got.names, score };
    }
  for (const [name, child, type] of best?.got ?? []) visit(name, child, type);
}

function shortNames(
  fork: Uint8Array,
  v: DataView,
  count: number,
  end: number,
  i8: boolean,
  g: Geometry,
): { names: [Uint8Array, number, number][]; whole: boolean } {
  const { ftype } = g.features;
  const first = sfHdrSize(i8);
  const names: [Uint8Array, number, number][] = [];
  const takeAll = (entries: readonly ShortEntry[]): void => {
    for (const e of entries) names.push([e.name, e.ino, e.ftype]);
  };
  const head = shortChain(fork, v, first, end, i8, g);
  takeAll(head.entries);
  if (head.end === end) return { names, whole: true };
  // By count alone: what stands behind the last entry need not be zero.
  if (head.entries.length >= count && count > 0) {
    names.length = count;
    return { names, whole: true };
  }
  const fixed = sfEntrySize(0, i8, ftype);
  for (let at = head.end + fixed + 1; at <= end; at++) {
    const rest = shortChain(fork, v, at, end, i8, g);
    if (rest.end !== end) continue;
    const from = head.end + SF_ENTRY.size;
    const to = at - fixed + SF_ENTRY.size;
    const type = ftype ? fork[to] : 0;
    const name = fork.subarray(from, to);
    // One entry stands between: its name reaches to where its type and number must be.
    if (isLegal(name) && type < FTYPE_MAX) names.push([name, sfIno(v, at - sfInoSize(i8), i8), type]);
    takeAll(rest.entries);
    return { names, whole: false };
  }
  return { names, whole: false };
}

// Blocks.

class BlockSalvage {
  readonly #volume: Volume;
  readonly #ino: number;
  readonly #blocks: ForkBlocks;
  readonly #visit: NameVisitor;
  /** Hashes by address, as the index has them. */
  readonly #hashes = new Map<number, number>();

  constructor(volume: Volume, inode: Inode, visit: NameVisitor) {
    this.#volume = volume;
    this.#ino = inode.ino;
    this.#visit = visit;
    this.#blocks = new ForkBlocks(volume, inode, 'data', () => {});
  }

  run(): void {
    const { g } = this.#volume;
    const leaves = leafSpaceBlock(g);
    const free = freeSpaceBlock(g);
    this.#each(leaves, free, (v) => this.#index(v));
    this.#each(0, leaves, (v, at) => {
      const { sure, likely } = this.#isData(v, at);
      // A block that is not where it should be in the fork is known by its own address.
      if (at % this.#blocks.fsbs === 0 ? likely : sure) {
        this.#data(v, at);
        return true;
      }
      return false;
    });
  }

  /** Every directory block that may begin in [from, to); `fn` says whether it was one. */
  #each(from: number, to: number, fn: (v: DataView, at: number) => boolean): void {
    const { extents, fsbs } = this.#blocks;
    let next = from;
    for (let i = 0; i < extents.count; i++) {
      const end = Math.min(to, extents.offset[i] + extents.blocks[i]);
      for (let at = Math.max(next, extents.offset[i]); at < end; at = next) {
        const v = this.#blocks.read(at);
        next = at + (v !== undefined && fn(v, at) ? fsbs : 1);
      }
    }
  }

  #index(v: DataView): boolean {
    const magic = v.getUint16(DA_AT.magic);
    if (magic !== XFS_DIR3_LEAF1_MAGIC && magic !== XFS_DIR3_LEAFN_MAGIC && !this.#owned(v, DA_AT))
      return false;
    const room = Math.floor((v.byteLength - DIR3_LEAF_HDR.size - LEAF_TAIL.size) / LEAF_ENTRY.size);
    const count = Math.min(v.getUint16(DIR3_LEAF_HDR.at.count), room);
    this.#hashesAt(v, DIR3_LEAF_HDR.size, count);
    return true;
  }

  #hashesAt(v: DataView, from: number, count: number): void {
    for (let i = 0; i < count; i++) {
      const address = v.getUint32(from + i * LEAF_ENTRY.size + LEAF_ENTRY.at.address);
      if (address !== NULL_DATAPTR) this.#hashes.set(address, v.getUint32(from + i * LEAF_ENTRY.size));
    }
  }

  #owned(v: DataView, at: { readonly uuid: number; readonly owner: number }): boolean {
    return sameUuid(this.#volume.g, bytesOf(v), at.uuid) && getU64(v, at.owner) === this.#ino;
  }

  /** Of a data block's five signs two may be damaged: its entries carry signs of their own. */
  #isData(v: DataView, at: number): { sure: boolean; likely: boolean } {
    const { g } = this.#volume;
    const A = DIR3_BLK_HDR.at;
    const place = this.#blocks.place(at);
    const magic = v.getUint32(A.magic);
    const signs = [
      magic === XFS_DIR3_BLOCK_MAGIC || magic === XFS_DIR3_DATA_MAGIC,
      crcHolds(bytesOf(v), A.crc),
      sameUuid(g, bytesOf(v), A.uuid),
      getU64(v, A.owner) === this.#ino,
      place !== undefined && getU64(v, A.bno) === blockOffset(g, place.agno, place.agbno) / 512,
    ];
    const hold = signs.filter((s) => s).length;
    return { sure: hold >= 4 && signs[4], likely: hold >= 3 };
  }

  #data(v: DataView, fileBlock: number): void {
    const size = v.byteLength;
    const bytes = bytesOf(v);
    const { ftype } = this.#volume.g.features;
    const base = byteToAddress(fileBlock * this.#volume.g.blocksize);
    let end = size;
    const isBlock =
      v.getUint32(0) === XFS_DIR3_BLOCK_MAGIC ||
      (v.getUint32(0) !== XFS_DIR3_DATA_MAGIC && this.#blocks.end <= this.#blocks.fsbs);
    if (isBlock) {
      const count = v.getUint32(size - BLOCK_TAIL.size);
      const tail = blockEntriesEnd(size, count);
      if (tail > DIR3_DATA_HDR.size) {
        end = tail;
        this.#hashesAt(v, tail, count);
      }
    }
    let at: number = DIR3_DATA_HDR.size;
    while (at + 8 <= end) {
      const next = this.#step(bytes, v, at, end, base, ftype, true);
      if (next > 0) {
        at = next;
        continue;
      }
      let to = at + 8;
      while (to + 8 <= end && this.#step(bytes, v, to, end, base, ftype, false) <= 0) to += 8;
      this.#broken(bytes, v, at, Math.min(to, end), base, ftype);
      at = to;
    }
  }

  /** Where the entry or free region at `at` ends, 0 where none can stand there. With `take` it is visited. */
  #step(
    bytes: Uint8Array,
    v: DataView,
    at: number,
    end: number,
    base: number,
    ftype: boolean,
    take: boolean,
  ): number {
    if (v.getUint16(at) === DATA_FREE_TAG) {
      const length = v.getUint16(at + 2);
      if (length < 8 || length % 8 !== 0 || at + length > end) return 0;
      return v.getUint16(at + length - 2) === at ? at + length : 0;
    }
    if (at + DATA_ENTRY.size > end) return 0;
    const namelen = bytes[at + DATA_ENTRY.at.namelen];
    const next = at + dataEntrySize(namelen, ftype);
    if (namelen === 0 || next > end) return 0;
    const from = at + DATA_ENTRY.size;
    const name = bytes.subarray(from, from + namelen);
    const tagged = v.getUint16(next - 2) === at;
    const hash = this.#hashes.get(base + (at >>> 3));
    if (hash === undefined ? !tagged : hash !== daHash(name)) {
      // The tag vouches for the room the entry takes; the hash tells a name of another length in it.
      if (!tagged || hash === undefined || lengthByHash(bytes, at, next, hash, ftype) > 0) return 0;
    }
    if (take) this.#visit(name, getU64(v, at), ftype ? bytes[from + namelen] : 0);
    return next;
  }

  /** Bytes [at, to) hold one broken entry if its tag says so: the hash tells how long its name is. */
  #broken(bytes: Uint8Array, v: DataView, at: number, to: number, base: number, ftype: boolean): void {
    const hash = this.#hashes.get(base + (at >>> 3));
    const from = at + DATA_ENTRY.size;
    let length = 0;
    let next = to;
    if (hash !== undefined) {
      // Regions behind it may be broken too: its own tag shows where it ends.
      for (next = at + 16; next <= to && length === 0; next += 8)
        if (v.getUint16(next - 2) === at) length = lengthByHash(bytes, at, next, hash, ftype);
      if (length === 0) length = lengthByHash(bytes, at, to, hash, ftype);
    } else if (v.getUint16(to - 2) === at && v.getUint16(at) !== DATA_FREE_TAG) {
      const stored = bytes[at + DATA_ENTRY.at.namelen];
      if (dataEntrySize(stored, ftype) === to - at) length = stored;
    }
    if (length === 0) return;
    const name = bytes.subarray(from, from + length);
    this.#visit(name, getU64(v, at), ftype ? bytes[from + length] : 0);
  }
}

/** The length of a name whose entry takes bytes [at, to), by its hash; 0 where none has it. */
function lengthByHash(bytes: Uint8Array, at: number, to: number, hash: number, ftype: boolean): number {
  const from = at + DATA_ENTRY.size;
  for (let length = Math.min(255, to - from - 2); length > 0; length--) {
    if (dataEntrySize(length, ftype) < to - at) break;
    if (dataEntrySize(length, ftype) === to - at && daHash(bytes, from, from + length) === hash)
      return length;
  }
  return 0;
}
