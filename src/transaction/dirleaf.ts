/**
 * Leaves of directories: hashes and addresses of names, sorted by hash. What is changed here has no stale
 * entries. Rules: xfs_dir2_leaf.c, xfs_dir2_node.c.
 */
import {
  DIR3_LEAF_HDR,
  freeSpaceBlock,
  LEAF_ENTRY,
  leafSpaceBlock,
  maxLeafEntries,
  NULL_DATAPTR,
  XFS_DIR3_LEAF1_MAGIC,
  XFS_DIR3_LEAFN_MAGIC,
} from '../format/dir.js';
import { verifyDirLeaf } from '../format/dircheck.js';
import { BLFT } from '../format/logitems.js';
import type { Buffer } from './buffers.js';
import type { ForkSpace } from './forkspace.js';
import { closeEntry, firstAtLeast, HashTree, type LeafKind, openEntry, type Step } from './hashtree.js';
import type { Transaction } from './transaction.js';

const AT = DIR3_LEAF_HDR.at;
const FIRST = DIR3_LEAF_HDR.size;

export const leafCount = (b: Buffer): number => b.view.getUint16(AT.count);
export const leafStale = (b: Buffer): number => b.view.getUint16(AT.stale);
export const leafAddress = (b: Buffer, i: number): number =>
  b.view.getUint32(FIRST + i * LEAF_ENTRY.size + LEAF_ENTRY.at.address);
export const leafHash = (b: Buffer, i: number): number => b.view.getUint32(FIRST + i * LEAF_ENTRY.size);

function setCount(tx: Transaction, b: Buffer, count: number): void {
  tx.edit(b, AT.count, 2);
  b.view.setUint16(AT.count, count);
}

/** Takes stale entries out of a leaf. */
export function compactLeaf(tx: Transaction, b: Buffer): void {
  if (leafStale(b) === 0) return;
  const count = leafCount(b);
  tx.edit(b, AT.count, FIRST + count * LEAF_ENTRY.size - AT.count);
  let to: number = FIRST;
  for (let i = 0; i < count; i++) {
    if (leafAddress(b, i) === NULL_DATAPTR) continue;
    const from = FIRST + i * LEAF_ENTRY.size;
    if (from !== to) b.bytes.copyWithin(to, from, from + LEAF_ENTRY.size);
    to += LEAF_ENTRY.size;
  }
  b.bytes.fill(0, to, FIRST + count * LEAF_ENTRY.size);
  b.view.setUint16(AT.count, (to - FIRST) / LEAF_ENTRY.size);
  b.view.setUint16(AT.stale, 0);
}

/** Puts a hash into a leaf that has room and nothing stale. */
export function insertInLeaf(tx: Transaction, b: Buffer, hash: number, address: number): void {
  const count = leafCount(b);
  const index = firstAtLeast(b.view, FIRST, count, hash);
  const at = openEntry(tx, b, FIRST, count, index);
  b.view.setUint32(at, hash);
  b.view.setUint32(at + LEAF_ENTRY.at.address, address);
  setCount(tx, b, count + 1);
}

/** Puts a hash into the tree. Throws NoSpaceError. */
export function insertHash(tree: HashTree, hash: number, address: number): void {
  const { tx, bytes } = tree.space;
  for (;;) {
    const path = tree.descend(hash);
    const leaf = path[path.length - 1].buffer;
    compactLeaf(tx, leaf);
    if (leafCount(leaf) < maxLeafEntries(bytes)) {
      insertInLeaf(tx, leaf, hash, address);
      tree.fixHashes(path);
      return;
    }
    tree.split(path);
  }
}

/** Takes the entry the path leads to out of the tree. */
export function removeHash(tree: HashTree, path: readonly Step[]): void {
  const { tx } = tree.space;
  const { buffer, index } = path[path.length - 1];
  const count = leafCount(buffer);
  closeEntry(tx, buffer, FIRST, count, index);
  setCount(tx, buffer, count - 1);
  compactLeaf(tx, buffer);
  if (leafCount(buffer) === 0) tree.drop(path);
  else tree.fixHashes(path);
}

function splitLeaf(tx: Transaction, from: Buffer, to: Buffer): void {
  const count = leafCount(from);
  const stay = count >> 1;
  const start = FIRST + stay * LEAF_ENTRY.size;
  const end = FIRST + count * LEAF_ENTRY.size;
  to.bytes.set(from.bytes.subarray(start, end), FIRST);
  to.view.setUint16(AT.count, count - stay);
  tx.edit(from, start, end - start);
  from.bytes.fill(0, start, end);
  setCount(tx, from, stay);
}

/** The hashes of a directory past the block form: `single` where one leaf also holds the free lengths. */
export function dirTree(space: ForkSpace, single: boolean): HashTree {
  const { g, inode } = space;
  const root = leafSpaceBlock(g);
  const limit = freeSpaceBlock(g);
  const kind: LeafKind = {
    of: 'dir',
    magic: single ? XFS_DIR3_LEAF1_MAGIC : XFS_DIR3_LEAFN_MAGIC,
    type: single ? BLFT.DIR_LEAF1 : BLFT.DIR_LEAFN,
    countAt: AT.count,
    entries: FIRST,
    check: (b, place, report) => {
      const dataBlocks = Math.ceil(inode.size / space.bytes);
      const expect = { dataBlocks, first: root, end: Math.max(root + 1, space.endBefore(limit)) };
      verifyDirLeaf(g, b, single ? 'leaf1' : 'leafn', place, expect, report);
    },
    split: splitLeaf,
  };
  return new HashTree(space, kind, root, limit);
}
