/**
 * Directories from sorted entries, in the smallest form that holds them: planned first, so that the caller
 * can set blocks aside, then written.
 *
 *     const plan = planDir(g, entries, parent, room);
 *     if (plan.form === 'short') fork = shortFormDir(...);
 *     else { ...set aside plan.blocks..., writeDir(g, ino, parent, entries, plan, target) }
 */
import { sealCrc } from '../format/checksum.js';
import { daHash } from '../format/da.js';
import {
  BLOCK_TAIL,
  blockEntriesEnd,
  byteToAddress,
  DATA_ENTRY,
  DATA_FREE_TAG,
  DIR3_BLK_HDR,
  DIR3_DATA_HDR,
  dataEntrySize,
  FTYPE,
  firstDataOffset,
  freeSpaceBlock,
  LEAF_ENTRY,
  leafSpaceBlock,
  MAX_SHORT_INUM,
  maxFreeBests,
  SF_ENTRY,
  sfEntrySize,
  sfHdrSize,
  XFS_DIR3_BLOCK_MAGIC,
  XFS_DIR3_DATA_MAGIC,
} from '../format/dir.js';
import type { Geometry } from '../format/geometry.js';
import { setU64, viewOf } from '../format/structure.js';
import type { DaShape } from './danode.js';
import { fitsLeaf1, leafShape, sealHeader, writeFreeIndex, writeLeaf1, writeLeaves } from './dirindex.js';
import type { ForkTarget } from './fork.js';

/** Names of one directory without '.' and '..', in columns: name i is pool[start[i] .. start[i] + length[i]). */
export interface DirEntries {
  readonly count: number;
  readonly pool: Uint8Array;
  readonly start: ArrayLike<number>;
  readonly length: ArrayLike<number>;
  readonly ino: ArrayLike<number>;
  readonly ftype: ArrayLike<number>;
}

export interface DirPlan {
  readonly form: 'short' | 'block' | 'leaf' | 'node';
  /** di_size in bytes. */
  readonly size: number;
  /** Runs of the fork to be set aside, in filesystem blocks: data, leaves, free index. */
  readonly blocks: readonly { readonly offset: number; readonly count: number }[];
  readonly dataBlocks: number;
  readonly leaves: DaShape | undefined;
}

/** Bytes of the short form, which counts `parent` for the size of inode numbers. */
function shortFormSize(g: Geometry, e: DirEntries, parent: number): { size: number; big: number } {
  let big = parent > MAX_SHORT_INUM ? 1 : 0;
  let names = 0;
  for (let i = 0; i < e.count; i++) {
    if (e.ino[i] > MAX_SHORT_INUM) big++;
    names += e.length[i];
  }
  const i8 = big > 0;
  return { size: sfHdrSize(i8) + names + e.count * sfEntrySize(0, i8, g.features.ftype), big };
}

/** The smallest form for these entries; `room` is what the inode has for the short form. */
export function planDir(g: Geometry, e: DirEntries, parent: number, room: number): DirPlan {
  const none = { blocks: [], dataBlocks: 0, leaves: undefined };
  if (e.count < 256) {
    const { size } = shortFormSize(g, e, parent);
    if (size <= room) return { form: 'short', size, ...none };
  }
  const { ftype } = g.features;
  const blksize = g.dirblksize;
  let at = firstDataOffset(ftype);
  let dataBlocks = 1;
  for (let i = 0; i < e.count; i++) {
    const size = dataEntrySize(e.length[i], ftype);
    if (at + size > blksize) {
      dataBlocks++;
      at = DIR3_DATA_HDR.size;
    }
    at += size;
  }
  const indexed = e.count + 2;
  const size = dataBlocks * blksize;
  const data = { offset: 0, count: dataBlocks * g.dirblkfsbs };
  if (dataBlocks === 1 && at <= blockEntriesEnd(blksize, indexed))
    return { form: 'block', size, blocks: [data], dataBlocks, leaves: undefined };
  if (fitsLeaf1(blksize, indexed, dataBlocks)) {
    const leaf = { offset: leafSpaceBlock(g), count: g.dirblkfsbs };
    return { form: 'leaf', size, blocks: [data, leaf], dataBlocks, leaves: undefined };
  }
  const leaves = leafShape(blksize, indexed);
  const free = Math.ceil(dataBlocks / maxFreeBests(blksize));
  return {
    form: 'node',
    size,
    blocks: [
      data,
      { offset: leafSpaceBlock(g), count: leaves.total * g.dirblkfsbs },
      { offset: freeSpaceBlock(g), count: free * g.dirblkfsbs },
    ],
    dataBlocks,
    leaves,
  };
}

/** The data fork of a short-form directory. */
export function shortFormDir(g: Geometry, e: DirEntries, parent: number): Uint8Array {
  const { size, big } = shortFormSize(g, e, parent);
  const i8 = big > 0;
  const { ftype } = g.features;
  const bytes = new Uint8Array(size);
  const v = viewOf(bytes);
  const putIno = (at: number, ino: number): void => {
    if (i8) setU64(v, at, ino);
    else v.setUint32(at, ino);
  };
  v.setUint8(0, e.count);
  v.setUint8(1, big);
  putIno(2, parent);
  let at = sfHdrSize(i8);
  // Each entry knows where it would stand in a data block.
  let offset = firstDataOffset(ftype);
  for (let i = 0; i < e.count; i++) {
    const namelen = e.length[i];
    v.setUint8(at, namelen);
    v.setUint16(at + SF_ENTRY.at.offset, offset);
    bytes.set(e.pool.subarray(e.start[i], e.start[i] + namelen), at + SF_ENTRY.size);
    if (ftype) v.setUint8(at + SF_ENTRY.size + namelen, e.ftype[i]);
    putIno(at + SF_ENTRY.size + namelen + (ftype ? 1 : 0), e.ino[i]);
    offset += dataEntrySize(namelen, ftype);
    at += sfEntrySize(namelen, i8, ftype);
  }
  return bytes;
}

/** Writes the block, leaf and node forms. */
export function writeDir(
  g: Geometry,
  ino: number,
  parent: number,
  e: DirEntries,
  plan: DirPlan,
  target: ForkTarget,
): void {
  new DirWriter(g, ino, parent, e, plan, target).write();
}

class DirWriter {
  readonly #g: Geometry;
  readonly #ino: number;
  readonly #parent: number;
  readonly #e: DirEntries;
  readonly #plan: DirPlan;
  readonly #target: ForkTarget;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** Hash and address of every entry, '.' and '..' first; longest free run of each data block. */
  readonly #hash: Uint32Array;
  readonly #address: Uint32Array;
  readonly #best: Uint16Array;

  constructor(g: Geometry, ino: number, parent: number, e: DirEntries, plan: DirPlan, target: ForkTarget) {
    this.#g = g;
    this.#ino = ino;
    this.#parent = parent;
    this.#e = e;
    this.#plan = plan;
    this.#target = target;
    this.#bytes = new Uint8Array(g.dirblksize);
    this.#view = viewOf(this.#bytes);
    this.#hash = new Uint32Array(e.count + 2);
    this.#address = new Uint32Array(e.count + 2);
    this.#best = new Uint16Array(plan.dataBlocks);
  }

  write(): void {
    const block = this.#plan.form === 'block';
    this.#writeData(block);
    if (block) return;
    const order = hashOrder(this.#hash, this.#address);
    const index = {
      g: this.#g,
      ino: this.#ino,
      target: this.#target,
      count: this.#hash.length,
      hash: (i: number): number => this.#hash[order[i]],
      address: (i: number): number => this.#address[order[i]],
      best: this.#best,
    };
    if (this.#plan.leaves === undefined) writeLeaf1(index);
    else {
      writeLeaves(index, this.#plan.leaves);
      writeFreeIndex(index);
    }
  }

  #writeData(block: boolean): void {
    const g = this.#g;
    const e = this.#e;
    const { ftype } = g.features;
    const blksize = g.dirblksize;
    const dots = Uint8Array.of(0x2e, 0x2e);
    let db = 0;
    let at = this.#begin(db, block);
    at = this.#entry(db, at, 0, dots, 0, 1, this.#ino, FTYPE.DIR);
    at = this.#entry(db, at, 1, dots, 0, 2, this.#parent, FTYPE.DIR);
    for (let i = 0; i < e.count; i++) {
      if (at + dataEntrySize(e.length[i], ftype) > blksize) {
        this.#end(db, at, blksize, false);
        at = this.#begin(++db, false);
      }
      at = this.#entry(db, at, i + 2, e.pool, e.start[i], e.length[i], e.ino[i], e.ftype[i]);
    }
    this.#end(db, at, block ? blockEntriesEnd(blksize, e.count + 2) : blksize, block);
  }

  /** Starts data block `db`; returns where its first entry goes. */
  #begin(db: number, block: boolean): number {
    this.#bytes.fill(0);
    this.#view.setUint32(0, block ? XFS_DIR3_BLOCK_MAGIC : XFS_DIR3_DATA_MAGIC);
    sealHeader(this.#g, this.#bytes, this.#ino, this.#target.daddr(db * this.#g.dirblkfsbs));
    return DIR3_DATA_HDR.size;
  }

  #entry(
    db: number,
    at: number,
    index: number,
    pool: Uint8Array,
    from: number,
    length: number,
    ino: number,
    type: number,
  ): number {
    const v = this.#view;
    const { ftype } = this.#g.features;
    const size = dataEntrySize(length, ftype);
    setU64(v, at, ino);
    v.setUint8(at + DATA_ENTRY.at.namelen, length);
    const name = at + DATA_ENTRY.size;
    for (let i = 0; i < length; i++) this.#bytes[name + i] = pool[from + i];
    if (ftype) v.setUint8(name + length, type);
    v.setUint16(at + size - 2, at);
    this.#hash[index] = daHash(pool, from, from + length);
    this.#address[index] = byteToAddress(db * this.#g.dirblksize + at);
    return at + size;
  }

  /** Ends a data block whose entries end at `at`: what is left up to `end` is one free region. */
  #end(db: number, at: number, end: number, block: boolean): void {
    const v = this.#view;
    if (at < end) {
      v.setUint16(at, DATA_FREE_TAG);
      v.setUint16(at + 2, end - at);
      v.setUint16(end - 2, at);
      v.setUint16(DIR3_DATA_HDR.at.bestfree, at);
      v.setUint16(DIR3_DATA_HDR.at.bestfree + 2, end - at);
    }
    this.#best[db] = end - at;
    if (block) {
      const order = hashOrder(this.#hash, this.#address);
      for (let i = 0; i < order.length; i++) {
        v.setUint32(end + i * LEAF_ENTRY.size, this.#hash[order[i]]);
        v.setUint32(end + i * LEAF_ENTRY.size + 4, this.#address[order[i]]);
      }
      v.setUint32(this.#g.dirblksize - BLOCK_TAIL.size, order.length);
    }
    sealCrc(this.#bytes, DIR3_BLK_HDR.at.crc);
    this.#target.emit(db * this.#g.dirblkfsbs, this.#bytes);
  }
}

/** Indices by hash, and by address where hashes are the same. */
function hashOrder(hash: Uint32Array, address: Uint32Array): Uint32Array {
  const n = hash.length;
  const order = new Uint32Array(n);
  if (n <= 2 ** 21) {
    // Hash and index side by side in the 53 bits of a double sort without a comparator. Addresses ascend
    // with the index.
    const keys = new Float64Array(n);
    for (let i = 0; i < n; i++) keys[i] = hash[i] * 2 ** 21 + i;
    keys.sort();
    for (let i = 0; i < n; i++) order[i] = keys[i] % 2 ** 21;
    return order;
  }
  for (let i = 0; i < n; i++) order[i] = i;
  return order.sort((a, b) => hash[a] - hash[b] || address[a] - address[b]);
}
