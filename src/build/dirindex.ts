/**
 * The index of a directory past the block form: the single leaf, or leaves under a hash btree with free-space
 * blocks.
 */
import { sealCrc } from '../format/checksum.js';
import { DA_AT } from '../format/da.js';
import {
  DIR3_BLK_HDR,
  DIR3_FREE_HDR,
  DIR3_LEAF_HDR,
  freeSpaceBlock,
  LEAF_ENTRY,
  LEAF_TAIL,
  leafSpaceBlock,
  maxFreeBests,
  maxLeafEntries,
  XFS_DIR3_FREE_MAGIC,
  XFS_DIR3_LEAF1_MAGIC,
  XFS_DIR3_LEAFN_MAGIC,
} from '../format/dir.js';
import type { Geometry } from '../format/geometry.js';
import { setU64, viewOf } from '../format/structure.js';
import { type DaShape, daLeafIndex, daShape, writeBlkinfo, writeDaNodes } from './danode.js';
import type { ForkTarget } from './fork.js';

/** What is indexed: entries by hash, and the longest free run of each data block. */
export interface DirIndex {
  readonly g: Geometry;
  readonly ino: number;
  readonly target: ForkTarget;
  readonly count: number;
  hash(i: number): number;
  address(i: number): number;
  readonly best: Uint16Array;
}

/** Whether one leaf holds `entries` entries and the free runs of the data blocks. */
export const fitsLeaf1 = (blksize: number, entries: number, dataBlocks: number): boolean =>
  DIR3_LEAF_HDR.size + entries * LEAF_ENTRY.size + dataBlocks * 2 + LEAF_TAIL.size <= blksize;

/** Leaves are filled to three quarters: names that come later find room. */
export function leafShape(blksize: number, entries: number): DaShape {
  const room = maxLeafEntries(blksize);
  const fill = Math.max(1, room - (room >> 2));
  return daShape(entries <= room ? 1 : Math.ceil(entries / fill), blksize);
}

/** Address, UUID and owner of a data or free-space block; the magic is the caller's. */
export function sealHeader(g: Geometry, bytes: Uint8Array, ino: number, daddr: number): void {
  const v = viewOf(bytes);
  setU64(v, DIR3_BLK_HDR.at.bno, daddr);
  bytes.set(g.metaUuidBytes, DIR3_BLK_HDR.at.uuid);
  setU64(v, DIR3_BLK_HDR.at.owner, ino);
}

function writeEntries(index: DirIndex, v: DataView, from: number, count: number): void {
  v.setUint16(DIR3_LEAF_HDR.at.count, count);
  for (let i = 0; i < count; i++) {
    v.setUint32(DIR3_LEAF_HDR.size + i * LEAF_ENTRY.size, index.hash(from + i));
    v.setUint32(DIR3_LEAF_HDR.size + i * LEAF_ENTRY.size + 4, index.address(from + i));
  }
}

export function writeLeaf1(index: DirIndex): void {
  const { g, ino, target, best } = index;
  const bytes = new Uint8Array(g.dirblksize);
  const v = viewOf(bytes);
  const block = leafSpaceBlock(g);
  writeBlkinfo(g, bytes, XFS_DIR3_LEAF1_MAGIC, target.daddr(block), ino, 0, 0);
  writeEntries(index, v, 0, index.count);
  const tail = g.dirblksize - LEAF_TAIL.size;
  v.setUint32(tail, best.length);
  for (let i = 0; i < best.length; i++) v.setUint16(tail - (best.length - i) * 2, best[i]);
  sealCrc(bytes, DA_AT.crc);
  target.emit(block, bytes);
}

export function writeLeaves(index: DirIndex, shape: DaShape): void {
  const { g, ino, target } = index;
  const bytes = new Uint8Array(g.dirblksize);
  const v = viewOf(bytes);
  const blockOf = (n: number): number => leafSpaceBlock(g) + n * g.dirblkfsbs;
  const leafBlock = (i: number): number => blockOf(daLeafIndex(shape, i));
  const n = shape.leaves;
  const hashes = new Uint32Array(n);
  let from = 0;
  for (let i = 0; i < n; i++) {
    const here = cutAfter(index, i, n, from) - from;
    bytes.fill(0);
    const back = i > 0 ? leafBlock(i - 1) : 0;
    const forw = i < n - 1 ? leafBlock(i + 1) : 0;
    writeBlkinfo(g, bytes, XFS_DIR3_LEAFN_MAGIC, target.daddr(leafBlock(i)), ino, back, forw);
    writeEntries(index, v, from, here);
    from += here;
    hashes[i] = index.hash(from - 1);
    sealCrc(bytes, DA_AT.crc);
    target.emit(leafBlock(i), bytes);
  }
  writeDaNodes(g, ino, shape, g.dirblksize, hashes, blockOf, target);
}

/** Where leaf `i` of `n` ends: names of one hash stay together, if the next leaf has room for them. */
function cutAfter(index: DirIndex, i: number, n: number, from: number): number {
  const { count, g } = index;
  if (i === n - 1) return count;
  const even = Math.floor(((i + 1) * count) / n);
  let cut = even;
  while (cut > from && index.hash(cut - 1) === index.hash(even)) cut--;
  const most = Math.floor(((i + 2) * count) / n) - cut;
  return cut === from || most > maxLeafEntries(g.dirblksize) ? even : cut;
}

export function writeFreeIndex(index: DirIndex): void {
  const { g, ino, target, best } = index;
  const room = maxFreeBests(g.dirblksize);
  const bytes = new Uint8Array(g.dirblksize);
  const v = viewOf(bytes);
  for (let k = 0; k * room < best.length; k++) {
    const here = Math.min(room, best.length - k * room);
    const block = freeSpaceBlock(g) + k * g.dirblkfsbs;
    bytes.fill(0);
    v.setUint32(0, XFS_DIR3_FREE_MAGIC);
    sealHeader(g, bytes, ino, target.daddr(block));
    v.setUint32(DIR3_FREE_HDR.at.firstdb, k * room);
    v.setUint32(DIR3_FREE_HDR.at.nvalid, here);
    v.setUint32(DIR3_FREE_HDR.at.nused, here);
    for (let i = 0; i < here; i++) v.setUint16(DIR3_FREE_HDR.size + i * 2, best[k * room + i]);
    sealCrc(bytes, DIR3_BLK_HDR.at.crc);
    target.emit(block, bytes);
  }
}
