/**
 * The hash btree over a directory's or an attribute fork's leaves, built in one go. Where each block of it
 * stands in the fork: the root first, then the leaves, then the nodes between, lowest level first.
 */
import { sealCrc } from '../format/checksum.js';
import {
  DA_AT,
  DA_NODE_ENTRY,
  DA_NODE_MAXDEPTH,
  DA3_NODE_HDR,
  daNodeEntries,
  XFS_DA3_NODE_MAGIC,
} from '../format/da.js';
import type { Geometry } from '../format/geometry.js';
import { setU64, viewOf } from '../format/structure.js';
import type { ForkTarget } from './fork.js';

export interface DaShape {
  readonly leaves: number;
  /** Nodes of each level above the leaves, lowest first; the last is 1, the root. Empty: the leaf is the root. */
  readonly nodes: readonly number[];
  /** Blocks of the whole tree. */
  readonly total: number;
}

/** The tree over `leaves` leaves. Throws RangeError past the format's depth. */
export function daShape(leaves: number, blksize: number): DaShape {
  const nodes: number[] = [];
  const room = daNodeEntries(blksize);
  for (let n = leaves; n > 1; ) {
    n = Math.ceil(n / room);
    nodes.push(n);
  }
  if (nodes.length > DA_NODE_MAXDEPTH) throw new RangeError(`${leaves} leaves make too deep a tree`);
  return { leaves, nodes, total: leaves + nodes.reduce((a, b) => a + b, 0) };
}

/** Place of leaf `i` counted in blocks of the tree from its root. */
export const daLeafIndex = (shape: DaShape, i: number): number => (shape.nodes.length === 0 ? 0 : i + 1);

/** Writes the blkinfo every block of the tree starts with; links are fork block numbers, 0 for none. */
export function writeBlkinfo(
  g: Geometry,
  bytes: Uint8Array,
  magic: number,
  daddr: number,
  owner: number,
  back: number,
  forw: number,
): void {
  const v = viewOf(bytes);
  v.setUint32(DA_AT.forw, forw);
  v.setUint32(DA_AT.back, back);
  v.setUint16(DA_AT.magic, magic);
  setU64(v, DA_AT.bno, daddr);
  bytes.set(g.metaUuidBytes, DA_AT.uuid);
  setU64(v, DA_AT.owner, owner);
}

/**
 * Writes the nodes.
 *
 * @param hashes highest hash of each leaf, in order
 * @param blockOf fork block of the tree's n-th block
 */
export function writeDaNodes(
  g: Geometry,
  owner: number,
  shape: DaShape,
  blksize: number,
  hashes: Uint32Array,
  blockOf: (n: number) => number,
  target: ForkTarget,
): void {
  const bytes = new Uint8Array(blksize);
  const v = viewOf(bytes);
  let below = hashes;
  let belowFirst = 1;
  let next = 1 + shape.leaves;
  for (let level = 1; level <= shape.nodes.length; level++) {
    const n = shape.nodes[level - 1];
    const first = level === shape.nodes.length ? 0 : next;
    const above = new Uint32Array(n);
    let from = 0;
    for (let i = 0; i < n; i++) {
      const here = Math.floor(below.length / n) + (i < below.length % n ? 1 : 0);
      const block = blockOf(first + i);
      bytes.fill(0);
      const back = i > 0 ? blockOf(first + i - 1) : 0;
      const forw = i < n - 1 ? blockOf(first + i + 1) : 0;
      writeBlkinfo(g, bytes, XFS_DA3_NODE_MAGIC, target.daddr(block), owner, back, forw);
      v.setUint16(DA3_NODE_HDR.at.count, here);
      v.setUint16(DA3_NODE_HDR.at.level, level);
      for (let k = 0; k < here; k++) {
        const at = DA3_NODE_HDR.size + k * DA_NODE_ENTRY.size;
        v.setUint32(at, below[from + k]);
        v.setUint32(at + DA_NODE_ENTRY.at.before, blockOf(belowFirst + from + k));
      }
      from += here;
      above[i] = below[from - 1];
      sealCrc(bytes, DA_AT.crc);
      target.emit(block, bytes);
    }
    if (first !== 0) {
      belowFirst = first;
      next += n;
    }
    below = above;
  }
}
