/**
 * How high each btree can become in a filesystem: bounds of the free list, of transactions and so of the log
 * (xfs_btree.c, xfs_alloc.c, xfs_rmap_btree.c, xfs_refcount_btree.c, xfs_ialloc.c, xfs_bmap.c).
 */
import { BTREES, type BtreeKind, maxLeafRecords, maxNodeRecords } from '../format/btree.js';
import { MAX_EXTENTS } from '../format/dinode.js';
import type { Features } from '../format/features.js';

/** Fewest entries a block other than the root holds: leaf, node. */
export const minRecords = (kind: BtreeKind, blocksize: number): readonly [leaf: number, node: number] => [
  maxLeafRecords(kind, blocksize) >> 1,
  maxNodeRecords(kind, blocksize) >> 1,
];

/** Height of a tree of `records` records whose blocks hold the least they may. */
export function heightOfRecords([leaf, node]: readonly [number, number], records: number): number {
  let height = 1;
  for (let blocks = Math.ceil(records / leaf); blocks > 1; blocks = Math.ceil(blocks / node)) height++;
  return height;
}

/** Height of a tree that takes up `blocks` blocks, its nodes as thin as they may be. */
export function heightOfBlocks([, node]: readonly [number, number], blocks: number): number {
  if (blocks < 1) return 0;
  let width = 2;
  let left = blocks - 1;
  let height = 1;
  while (width < left) {
    left -= width;
    width *= node;
    height++;
  }
  return height;
}

export interface HeightGeometry {
  readonly blocksize: number;
  readonly agblocks: number;
  readonly agblklog: number;
  readonly inopblog: number;
  readonly features: Features;
}

export interface MaxHeights {
  readonly alloc: number;
  readonly inobt: number;
  /** 0 without the feature. */
  readonly rmap: number;
  readonly refcount: number;
  readonly dataFork: number;
  readonly attrFork: number;
}

export function maxHeights(g: HeightGeometry): MaxHeights {
  const min = (kind: BtreeKind): readonly [number, number] => minRecords(kind, g.blocksize);
  const chunks = 2 ** (g.agblklog + g.inopblog - 6);
  let rmap = 0;
  if (g.features.rmapbt) {
    // Shared blocks have any number of owners: only the AG's size bounds the tree.
    rmap = g.features.reflink
      ? heightOfBlocks(min(BTREES.rmapbt), g.agblocks)
      : heightOfRecords(min(BTREES.rmapbt), g.agblocks);
  }
  const { nrext64 } = g.features;
  return {
    alloc: heightOfRecords(min(BTREES.bnobt), Math.floor((g.agblocks + 1) / 2)),
    inobt: heightOfRecords(min(BTREES.inobt), Math.floor(chunks)),
    rmap,
    refcount: g.features.reflink ? heightOfRecords(min(BTREES.refcountbt), g.agblocks) : 0,
    dataFork: bmbtHeight(min(BTREES.bmbt), nrext64 ? MAX_EXTENTS.data64 : MAX_EXTENTS.data, 3),
    attrFork: bmbtHeight(min(BTREES.bmbt), nrext64 ? MAX_EXTENTS.attr64 : MAX_EXTENTS.attr, 2),
  };
}

/** The root in the inode holds at least `root` pointers. */
function bmbtHeight([leaf, node]: readonly [number, number], extents: number, root: number): number {
  let height = 1;
  for (let blocks = Math.ceil(extents / leaf); blocks > 1; height++)
    blocks = blocks <= root ? 1 : Math.ceil(blocks / node);
  return height;
}
