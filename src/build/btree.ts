/**
 * A btree made in one go from sorted records into blocks the caller has set aside: no insertions, no splits,
 * every block filled alike. mkfs makes one-block trees with it, repair and populated mkfs deep ones.
 *
 *     const shape = btreeShape(BTREES.rmapbt, g.blocksize, count);   // how many blocks to set aside
 *     const tree = bulkLoad({ kind, blocksize, count, writeRecord, blocks, ... });
 *     agf.rmaproot = tree.root; agf.rmaplevel = tree.levels;
 *
 * Records are written by the caller straight into the leaf (`writeRecord(i, view, at)`), so that a repair of
 * millions of records can keep them in typed arrays.
 */
import {
  BTREES,
  type BtreeKind,
  keyAt,
  LONG_BLOCK,
  maxRecords,
  ptrAt,
  recordAt,
  SHORT_BLOCK,
} from '../format/btree.js';
import { sealCrc } from '../format/checksum.js';
import { setU64, viewOf } from '../format/structure.js';
import { NULLAGBLOCK } from '../format/superblock.js';

export interface BtreeShape {
  /** Height of the tree, 1 for a root that is a leaf; with a root in the inode, levels below and with it. */
  readonly levels: number;
  /** Blocks of each level, leaves first; the root in an inode is not counted. */
  readonly blocks: readonly number[];
  /** Sum of `blocks`. */
  readonly total: number;
}

/**
 * Entries to put into each block of a level: three quarters full, as a tree grows after random insertions,
 * but never below the half that every block except the root must hold.
 */
const target = (max: number): number => {
  const min = max >> 1;
  return Math.max(min, max - ((max - min) >> 1));
};

/**
 * How many blocks `count` records take.
 *
 * @param rootCapacity pointers a root inside an inode holds (bmbt): the tree ends below it. Without it the
 *   root is a block.
 * @param full fill blocks to the last slot: for trees that will only be read
 */
export function btreeShape(
  kind: BtreeKind,
  blocksize: number,
  count: number,
  rootCapacity?: number,
  full = false,
): BtreeShape {
  const blocks: number[] = [];
  let entries = count;
  for (let level = 0; ; level++) {
    const max = maxRecords(kind, blocksize, level);
    const per = full ? max : target(max);
    let n = Math.max(1, Math.ceil(entries / per));
    // A last block that would stay under half is shared out; two blocks that fit into one become one.
    if (n > 1 && Math.floor(entries / n) < max >> 1) n = Math.max(1, Math.floor(entries / (max >> 1)));
    if (entries <= max && rootCapacity === undefined) n = 1;
    blocks.push(n);
    if (rootCapacity === undefined ? n === 1 : n <= rootCapacity) break;
    entries = n;
  }
  return {
    levels: blocks.length + (rootCapacity === undefined ? 0 : 1),
    blocks,
    total: blocks.reduce((a, b) => a + b, 0),
  };
}

export interface BulkLoad {
  readonly kind: BtreeKind;
  readonly blocksize: number;
  readonly count: number;
  /** Writes record `i` at byte `at` of a leaf. Records come in key order. */
  writeRecord(i: number, view: DataView, at: number): void;
  readonly shape: BtreeShape;
  /** The address of the n-th block of the tree: agbno, or fsblock for a bmbt. Leaves first, root last. */
  block(n: number): number;
  /** Disk address of a block in 512-byte units. */
  daddr(block: number): number;
  /** agno, or the inode of a bmbt. */
  readonly owner: number;
  /** 16 bytes. */
  readonly uuid: Uint8Array;
  /** Takes each finished block; `bytes` is used again for the next. */
  emit(block: number, bytes: Uint8Array): void;
}

export interface LoadedBtree {
  /** The topmost block; with a root in the inode, the first block below it. */
  readonly root: number;
  /** As in the shape. */
  readonly levels: number;
  /** Low keys (`kind.nodeKeySize` bytes each) and addresses of the top level's blocks. */
  readonly top: { readonly keys: Uint8Array; readonly pointers: readonly number[] };
}

/** Builds the tree. Throws RangeError where the shape does not fit the records. */
export function bulkLoad(load: BulkLoad): LoadedBtree {
  const { kind, blocksize, shape } = load;
  const bytes = new Uint8Array(blocksize);
  const view = viewOf(bytes);
  const keySize = kind.nodeKeySize;
  let keys = new Uint8Array(0);
  let pointers: number[] = [];
  let next = 0;
  for (let level = 0; level < shape.blocks.length; level++) {
    const entries = level === 0 ? load.count : pointers.length;
    const n = shape.blocks[level];
    const max = maxRecords(kind, blocksize, level);
    if (entries > n * max) throw new RangeError(`${kind.name}: ${entries} entries do not fit ${n} blocks`);
    const newKeys = new Uint8Array(n * keySize);
    const newPointers: number[] = [];
    let from = 0;
    for (let i = 0; i < n; i++) {
      // The first blocks take the remainder, one entry each.
      const here = Math.floor(entries / n) + (i < entries % n ? 1 : 0);
      const self = load.block(next + i);
      bytes.fill(0);
      writeHeader(load, view, level, here, {
        self,
        left: i > 0 ? load.block(next + i - 1) : undefined,
        right: i < n - 1 ? load.block(next + i + 1) : undefined,
      });
      if (level === 0) {
        for (let r = 0; r < here; r++) load.writeRecord(from + r, view, recordAt(kind, r));
        leafKey(kind, view, here, newKeys, i * keySize);
      } else {
        bytes.set(keys.subarray(from * keySize, (from + here) * keySize), keyAt(kind, 0));
        for (let r = 0; r < here; r++) {
          const at = ptrAt(kind, blocksize, r);
          if (kind.long) setU64(view, at, pointers[from + r]);
          else view.setUint32(at, pointers[from + r]);
        }
        nodeKey(kind, keys, from, here, newKeys, i * keySize);
      }
      sealCrc(bytes, kind.long ? LONG_BLOCK.at.crc : SHORT_BLOCK.at.crc);
      load.emit(self, bytes);
      newPointers.push(self);
      from += here;
    }
    next += n;
    keys = newKeys;
    pointers = newPointers;
  }
  return { root: pointers[0], levels: shape.levels, top: { keys, pointers } };
}

function writeHeader(
  load: BulkLoad,
  view: DataView,
  level: number,
  numrecs: number,
  at: { self: number; left: number | undefined; right: number | undefined },
): void {
  const { kind } = load;
  if (kind.long) {
    const A = LONG_BLOCK.at;
    view.setUint32(A.magic, kind.magic);
    view.setUint16(A.level, level);
    view.setUint16(A.numrecs, numrecs);
    setLongPointer(view, A.leftsib, at.left);
    setLongPointer(view, A.rightsib, at.right);
    setU64(view, A.bno, load.daddr(at.self));
    new Uint8Array(view.buffer, view.byteOffset + A.uuid, 16).set(load.uuid);
    setU64(view, A.owner, load.owner);
    return;
  }
  const A = SHORT_BLOCK.at;
  view.setUint32(A.magic, kind.magic);
  view.setUint16(A.level, level);
  view.setUint16(A.numrecs, numrecs);
  view.setUint32(A.leftsib, at.left ?? NULLAGBLOCK);
  view.setUint32(A.rightsib, at.right ?? NULLAGBLOCK);
  setU64(view, A.bno, load.daddr(at.self));
  new Uint8Array(view.buffer, view.byteOffset + A.uuid, 16).set(load.uuid);
  view.setUint32(A.owner, load.owner);
}

function setLongPointer(view: DataView, at: number, block: number | undefined): void {
  if (block === undefined) {
    view.setUint32(at, 0xffff_ffff);
    view.setUint32(at + 4, 0xffff_ffff);
  } else setU64(view, at, block);
}

/** The key of a leaf in the node above: its first record's key, and for rmapbt the highest key of all. */
function leafKey(kind: BtreeKind, view: DataView, count: number, into: Uint8Array, at: number): void {
  if (count === 0) return;
  const out = viewOf(into);
  const first = recordAt(kind, 0);
  if (!kind.overlapping) {
    // Of every other tree the key is the head of the record: start block, start inode, or start and length.
    for (let b = 0; b < kind.key.size; b++) into[at + b] = view.getUint8(first + b);
    if (kind === BTREES.bmbt) setU64(out, at, bmbtOffset(view, first));
    return;
  }
  rmapKey(view, first, out, at, false);
  const high = at + kind.key.size;
  rmapKey(view, first, out, high, true);
  const scratch = new Uint8Array(kind.key.size);
  const scratchView = viewOf(scratch);
  for (let r = 1; r < count; r++) {
    rmapKey(view, recordAt(kind, r), scratchView, 0, true);
    if (compareRmapKeys(scratchView, 0, out, high) > 0) into.set(scratch, high);
  }
}

function nodeKey(
  kind: BtreeKind,
  keys: Uint8Array,
  from: number,
  count: number,
  into: Uint8Array,
  at: number,
): void {
  const size = kind.nodeKeySize;
  into.set(keys.subarray(from * size, (from + 1) * size), at);
  if (!kind.overlapping) return;
  const v = viewOf(keys);
  const out = viewOf(into);
  const half = kind.key.size;
  for (let i = from + 1; i < from + count; i++)
    if (compareRmapKeys(v, i * size + half, out, at + half) > 0)
      into.set(keys.subarray(i * size + half, (i + 1) * size), at + half);
}

/** File offset of a packed extent (its unwritten bit is no part of the key). */
const bmbtOffset = (v: DataView, at: number): number =>
  (v.getUint32(at) & 0x7fff_ffff) * 2 ** 23 + (v.getUint32(at + 4) >>> 9);

const RMAP_ATTR_BMBT = 0xc000_0000;
const RMAP_BMBT = 0x4000_0000;
const RMAP_OFFSET_HIGH = 0x003f_ffff;

/**
 * Key of an rmap record: start, owner, and offset with the fork and bmbt bits but without the unwritten bit.
 * The high key names the record's last block, and the last file block where the record has file offsets.
 */
function rmapKey(v: DataView, at: number, out: DataView, to: number, high: boolean): void {
  const blocks = v.getUint32(at + 4) - 1;
  const flags = (v.getUint32(at + 16) & RMAP_ATTR_BMBT) >>> 0;
  const nonInode = v.getInt32(at + 8) < 0;
  out.setUint32(to, high ? v.getUint32(at) + blocks : v.getUint32(at));
  out.setUint32(to + 4, v.getUint32(at + 8));
  out.setUint32(to + 8, v.getUint32(at + 12));
  let offset = (v.getUint32(at + 16) & RMAP_OFFSET_HIGH) * 2 ** 32 + v.getUint32(at + 20);
  if (high && !nonInode && (flags & RMAP_BMBT) === 0) offset += blocks;
  setU64(out, to + 12, offset);
  out.setUint32(to + 12, (out.getUint32(to + 12) | flags) >>> 0);
}

function compareRmapKeys(a: DataView, i: number, b: DataView, j: number): number {
  for (let word = 0; word < 20; word += 4) {
    const d = a.getUint32(i + word) - b.getUint32(j + word);
    if (d !== 0) return d;
  }
  return 0;
}
