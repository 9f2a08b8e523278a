/**
 * The extents of a file's forks: where they are mapped, and every change of that. A fork's extents are held
 * in memory, in file order; each change is made there and in the fork on disk, which is a list inside the
 * inode or, where that is too small, a bmbt. What follows from a change (rmap, refcount, freeing) is deferred.
 * Rules: xfs_bmap.c.
 */
import { BMDR_BLOCK } from '../format/btree.js';
import { FORK_FORMAT, maxForkExtents } from '../format/dinode.js';
import {
  EXTENT_SIZE,
  extentBlocks,
  extentFsblock,
  extentOffset,
  extentUnwritten,
  MAX_EXTENT_BLOCKS,
  packExtent,
} from '../format/extent.js';
import { CorruptionError } from '../format/fault.js';
import { agnoOfFsblock, agnoOfIno, fsblockOf, isFsRange } from '../format/geometry.js';
import { getU64, setU64, viewOf } from '../format/structure.js';
import { type ForkName, forkAt, forkExtents, forkFormat, forkSize } from '../volume/fork.js';
import { allocAnywhere } from './alloc.js';
import { Bmbt } from './bmbt.js';
import { type Node, newKey } from './btreenode.js';
import { REFCOUNT_OP, RMAP_OP } from './defer.js';
import { FORK_LOG, type LiveInode } from './inode.js';
import { RMAP_FLAG } from './rmap.js';
import type { Transaction } from './transaction.js';

/** File offset and length in blocks, start as fsblock. */
export interface Extent {
  readonly offset: number;
  readonly fsblock: number;
  readonly blocks: number;
  readonly unwritten: boolean;
}

/** A fork's extents, in file order. */
export interface ForkMap {
  readonly extents: Extent[];
}

const key = newKey();
const record = new Uint8Array(EXTENT_SIZE);
const recordView = viewOf(record);

const pack = (e: Extent): Uint8Array => {
  packExtent(recordView, 0, e.offset, e.fsblock, e.blocks, e.unwritten);
  return record;
};

const keyOf = (offset: number): typeof key => {
  key[0] = Math.floor(offset / 2 ** 32);
  key[1] = offset % 2 ** 32;
  return key;
};

// ---- the fork in memory

/** A fork's extents, read on first use. Throws CorruptionError where they cannot be true. */
export function forkMap(tx: Transaction, inode: LiveInode, fork: ForkName): ForkMap {
  const known = fork === 'data' ? inode.data : inode.attr;
  if (known !== undefined) return known;
  const extents: Extent[] = [];
  const take = (v: DataView, at: number): void => {
    extents.push({
      offset: extentOffset(v, at),
      fsblock: extentFsblock(v, at),
      blocks: extentBlocks(v, at),
      unwritten: extentUnwritten(v, at),
    });
  };
  const format = forkFormat(inode, fork);
  if (format === FORK_FORMAT.EXTENTS) {
    const at = forkAt(inode, fork);
    const n = Math.min(forkExtents(inode, fork), maxForkExtents(forkSize(inode, fork)));
    for (let i = 0; i < n; i++) take(inode.view, at + i * EXTENT_SIZE);
  } else if (format === FORK_FORMAT.BTREE) {
    const tree = new Bmbt(tx, inode, fork);
    const count = forkExtents(inode, fork);
    for (let more = tree.first(); more && extents.length <= count; more = tree.next())
      take(tree.view, tree.at);
  }
  check(tx, inode, fork, extents);
  const map = { extents };
  if (fork === 'data') inode.data = map;
  else inode.attr = map;
  return map;
}

function check(tx: Transaction, inode: LiveInode, fork: ForkName, extents: readonly Extent[]): void {
  const { g } = tx.engine;
  const structure = `${fork} fork`;
  const { ino } = inode;
  let end = 0;
  extents.forEach((e, i) => {
    if (e.blocks === 0 || !isFsRange(g, e.fsblock, e.blocks) || e.offset < end)
      throw new CorruptionError({
        structure,
        ino,
        field: `bmx[${i}]`,
        value: `offset ${e.offset} start ${e.fsblock} length ${e.blocks}`,
        expected: 'blocks of one AG, behind the extent before',
      });
    end = e.offset + e.blocks;
  });
  const count = forkExtents(inode, fork);
  if (extents.length !== count)
    throw new CorruptionError({
      structure,
      ino,
      field: 'nextents',
      value: count,
      expected: `${extents.length}, the extents found`,
    });
}

/** Index of the extent that holds file block `offset`, or of the next one. */
export function indexAt(extents: readonly Extent[], offset: number): number {
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (extents[middle].offset + extents[middle].blocks <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

// ---- single changes, in memory and on disk

const inlineMax = (inode: LiveInode, fork: ForkName): number => maxForkExtents(forkSize(inode, fork));

/** Writes the list inside the inode from extent `from` on. */
function writeInline(tx: Transaction, inode: LiveInode, fork: ForkName, from: number): void {
  const { extents } = forkMap(tx, inode, fork);
  tx.editInode(inode, FORK_LOG[fork].extents);
  const at = forkAt(inode, fork);
  for (let i = from; i < extents.length; i++) {
    const e = extents[i];
    packExtent(inode.view, at + i * EXTENT_SIZE, e.offset, e.fsblock, e.blocks, e.unwritten);
  }
}

function replaceExtent(tx: Transaction, inode: LiveInode, fork: ForkName, index: number, now: Extent): void {
  const { extents } = forkMap(tx, inode, fork);
  const before = extents[index];
  extents[index] = now;
  tx.onAbort(() => inode.forget());
  if (forkFormat(inode, fork) === FORK_FORMAT.EXTENTS) {
    writeInline(tx, inode, fork, index);
    return;
  }
  const tree = new Bmbt(tx, inode, fork);
  if (!tree.lookupEQ(keyOf(before.offset))) lost(inode, before);
  tree.update(pack(now));
}

function insertExtent(tx: Transaction, inode: LiveInode, fork: ForkName, index: number, now: Extent): void {
  const { extents } = forkMap(tx, inode, fork);
  tx.onAbort(() => inode.forget());
  tx.editInode(inode);
  extents.splice(index, 0, now);
  inode.setExtentCount(fork, extents.length);
  if (forkFormat(inode, fork) === FORK_FORMAT.EXTENTS) {
    if (extents.length <= inlineMax(inode, fork)) writeInline(tx, inode, fork, index);
    else extentsToBtree(tx, inode, fork);
    return;
  }
  new Bmbt(tx, inode, fork).insert(pack(now));
}

function removeExtent(tx: Transaction, inode: LiveInode, fork: ForkName, index: number): void {
  const { extents } = forkMap(tx, inode, fork);
  tx.onAbort(() => inode.forget());
  tx.editInode(inode);
  const [gone] = extents.splice(index, 1);
  inode.setExtentCount(fork, extents.length);
  if (forkFormat(inode, fork) === FORK_FORMAT.EXTENTS) {
    writeInline(tx, inode, fork, index);
    return;
  }
  const tree = new Bmbt(tx, inode, fork);
  if (!tree.lookupEQ(keyOf(gone.offset))) lost(inode, gone);
  tree.remove();
  if (extents.length <= inlineMax(inode, fork)) btreeToExtents(tx, inode, fork);
}

function lost(inode: LiveInode, e: Extent): never {
  throw new CorruptionError({
    structure: 'bmbt',
    ino: inode.ino,
    field: 'recs',
    value: 'no record',
    expected: `the extent at file block ${e.offset}`,
  });
}

/** The list no longer fits the inode: it becomes the leaf of a bmbt. */
export function extentsToBtree(tx: Transaction, inode: LiveInode, fork: ForkName): void {
  const { extents } = forkMap(tx, inode, fork);
  tx.editInode(inode, FORK_LOG[fork].root);
  const tree = new Bmbt(tx, inode, fork);
  const leaf = tree.newBlock(0, extents[0]?.fsblock ?? -1);
  extents.forEach((e, i) => {
    packExtent(leaf.view, leaf.entries + i * EXTENT_SIZE, e.offset, e.fsblock, e.blocks, e.unwritten);
  });
  leaf.view.setUint16(leaf.countAt, extents.length);
  inode.setFormat(fork, FORK_FORMAT.BTREE);
  const at = forkAt(inode, fork);
  inode.buffer.bytes.fill(0, at, at + forkSize(inode, fork));
  inode.view.setUint16(at + BMDR_BLOCK.at.level, 1);
  inode.view.setUint16(at + BMDR_BLOCK.at.numrecs, 1);
  const root = tree.root();
  setU64(inode.view, root.entries, extents[0].offset);
  setU64(inode.view, root.ptrs, leaf.ptr);
}

/** The extents fit the inode again: the bmbt's blocks are freed. */
function btreeToExtents(tx: Transaction, inode: LiveInode, fork: ForkName): void {
  const tree = new Bmbt(tx, inode, fork);
  const blocks: Node[] = [];
  const collect = (node: Node): void => {
    if (!node.inInode) blocks.push(node);
    if (node.level === 0) return;
    for (let i = 0; i < node.count; i++)
      collect(tree.block(getU64(node.view, node.ptrs + i * 8), node.level - 1));
  };
  collect(tree.root());
  for (const node of blocks) tree.freeBlock(node);
  inode.setFormat(fork, FORK_FORMAT.EXTENTS);
  const at = forkAt(inode, fork);
  inode.buffer.bytes.fill(0, at, at + forkSize(inode, fork));
  writeInline(tx, inode, fork, 0);
}

// ---- what callers ask for

const rmapFlagsOf = (fork: ForkName, unwritten: boolean): number =>
  (fork === 'attr' ? RMAP_FLAG.ATTR : 0) + (unwritten ? RMAP_FLAG.UNWRITTEN : 0);

/** Defers a change of the rmapbt for an extent of a file. */
function deferRmap(tx: Transaction, inode: LiveInode, fork: ForkName, op: number, e: Extent): void {
  if (!tx.engine.g.features.rmapbt) return;
  const shared = inode.isReflink && fork === 'data' ? 1 : 0;
  tx.defer({
    kind: 'rmap',
    op: op + shared,
    fsblock: e.fsblock,
    blocks: e.blocks,
    owner: { owner: inode.ino, offset: e.offset, flags: rmapFlagsOf(fork, e.unwritten) },
  });
}

/** Whether two extents are one: they continue each other in the file and on disk, in the same state. */
const continues = (a: Extent, b: Extent): boolean =>
  a.offset + a.blocks === b.offset &&
  a.fsblock + a.blocks === b.fsblock &&
  a.unwritten === b.unwritten &&
  a.blocks + b.blocks <= MAX_EXTENT_BLOCKS;

/** Puts an extent into the hole it lies over, merged with its neighbours; no accounting. */
function insertMerged(tx: Transaction, inode: LiveInode, fork: ForkName, e: Extent): void {
  const { g } = tx.engine;
  const { extents } = forkMap(tx, inode, fork);
  const index = indexAt(extents, e.offset);
  const next = extents[index];
  if (next !== undefined && next.offset < e.offset + e.blocks)
    throw new CorruptionError({
      structure: `${fork} fork`,
      ino: inode.ino,
      field: `bmx[${index}].startoff`,
      value: next.offset,
      expected: `no extent over file blocks ${e.offset} to ${e.offset + e.blocks - 1}`,
    });
  const sameAg = (a: Extent): boolean => agnoOfFsblock(g, a.fsblock) === agnoOfFsblock(g, e.fsblock);
  const left =
    index > 0 && sameAg(extents[index - 1]) && continues(extents[index - 1], e)
      ? extents[index - 1]
      : undefined;
  const joined: Extent = left === undefined ? e : { ...left, blocks: left.blocks + e.blocks };
  const withRight = next !== undefined && sameAg(next) && continues(joined, next);
  if (left !== undefined && withRight) {
    removeExtent(tx, inode, fork, index);
    replaceExtent(tx, inode, fork, index - 1, { ...joined, blocks: joined.blocks + next.blocks });
  } else if (left !== undefined) replaceExtent(tx, inode, fork, index - 1, joined);
  else if (withRight) replaceExtent(tx, inode, fork, index, { ...e, blocks: e.blocks + next.blocks });
  else insertExtent(tx, inode, fork, index, e);
}

/** Takes [offset, offset + blocks) out of extent `index`, which covers it; no accounting. */
function carve(
  tx: Transaction,
  inode: LiveInode,
  fork: ForkName,
  index: number,
  offset: number,
  blocks: number,
): void {
  const e = forkMap(tx, inode, fork).extents[index];
  const before = offset - e.offset;
  const after = e.blocks - before - blocks;
  const tail: Extent = {
    ...e,
    offset: offset + blocks,
    fsblock: e.fsblock + before + blocks,
    blocks: after,
  };
  if (before > 0) {
    replaceExtent(tx, inode, fork, index, { ...e, blocks: before });
    if (after > 0) insertExtent(tx, inode, fork, index + 1, tail);
  } else if (after > 0) replaceExtent(tx, inode, fork, index, tail);
  else removeExtent(tx, inode, fork, index);
}

/** Maps an extent into a hole of a fork. The blocks are the inode's from now on. */
export function mapExtent(tx: Transaction, inode: LiveInode, fork: ForkName, e: Extent): void {
  tx.editInode(inode);
  insertMerged(tx, inode, fork, e);
  inode.setNblocks(inode.nblocks + e.blocks);
  deferRmap(tx, inode, fork, RMAP_OP.MAP, e);
}

/**
 * Unmaps what is mapped in [offset, offset + blocks), from the end, at most `limit` extents of it. The
 * blocks are freed, or where the file may share them lose one owner; with `keep` their fate is the caller's.
 * Returns the file block from which on nothing is mapped in the range: `offset` when all is done.
 */
export function unmapExtent(
  tx: Transaction,
  inode: LiveInode,
  fork: ForkName,
  offset: number,
  blocks: number,
  fate: 'free' | 'keep' = 'free',
  limit = Number.POSITIVE_INFINITY,
): number {
  const { extents } = forkMap(tx, inode, fork);
  const end = offset + blocks;
  let done = 0;
  for (;;) {
    // The last extent that begins before the end of the range.
    let index = indexAt(extents, end);
    if (index >= extents.length || extents[index].offset >= end) index--;
    const e = extents[index];
    if (e === undefined || e.offset + e.blocks <= offset) return offset;
    if (done++ >= limit) return Math.min(end, e.offset + e.blocks);
    const from = Math.max(offset, e.offset);
    const to = Math.min(end, e.offset + e.blocks);
    const gone: Extent = { ...e, offset: from, fsblock: e.fsblock + (from - e.offset), blocks: to - from };
    tx.editInode(inode);
    carve(tx, inode, fork, index, from, to - from);
    inode.setNblocks(inode.nblocks - gone.blocks);
    deferRmap(tx, inode, fork, RMAP_OP.UNMAP, gone);
    if (fate === 'free') deferFree(tx, inode, fork, gone);
  }
}

/** Defers what becomes of blocks a file no longer maps. */
export function deferFree(tx: Transaction, inode: LiveInode, fork: ForkName, gone: Extent): void {
  const { fsblock, blocks } = gone;
  if (inode.isReflink && fork === 'data')
    tx.defer({ kind: 'refcount', op: REFCOUNT_OP.DECREASE, fsblock, blocks });
  else tx.defer({ kind: 'free', fsblock, blocks, owner: undefined });
}

/** Marks what is mapped in [offset, offset + blocks) as written, or as unwritten. */
export function convertExtents(
  tx: Transaction,
  inode: LiveInode,
  offset: number,
  blocks: number,
  unwritten: boolean,
): void {
  const end = offset + blocks;
  for (let at = offset; at < end; ) {
    const { extents } = forkMap(tx, inode, 'data');
    const index = indexAt(extents, at);
    const e = extents[index];
    if (e === undefined || e.offset >= end) return;
    const from = Math.max(at, e.offset);
    const to = Math.min(end, e.offset + e.blocks);
    at = to;
    if (e.unwritten === unwritten) continue;
    const changed: Extent = {
      offset: from,
      fsblock: e.fsblock + (from - e.offset),
      blocks: to - from,
      unwritten,
    };
    tx.editInode(inode);
    carve(tx, inode, 'data', index, from, to - from);
    insertMerged(tx, inode, 'data', changed);
    deferRmap(tx, inode, 'data', RMAP_OP.CONVERT, changed);
  }
}

/**
 * Allocates blocks for a hole of a fork and maps them: up to `blocks` from `offset` on, at least `min`.
 * Returns what was mapped. Throws NoSpaceError.
 */
export function allocateExtent(
  tx: Transaction,
  inode: LiveInode,
  fork: ForkName,
  offset: number,
  blocks: number,
  options: { min?: number; unwritten?: boolean; near?: number; metadata?: boolean } = {},
): Extent {
  const got = allocAnywhere(tx, {
    near: options.near ?? nearFor(tx, inode, fork, offset),
    min: options.min ?? 1,
    max: Math.min(blocks, MAX_EXTENT_BLOCKS),
    left: KEEP_FREE,
    busy: options.metadata === true && tx.engine.reusesBusy,
  });
  const extent: Extent = {
    offset,
    fsblock: got.fsblock,
    blocks: got.blocks,
    unwritten: options.unwritten ?? false,
  };
  mapExtent(tx, inode, fork, extent);
  return extent;
}

/** Blocks an allocation for a file leaves in its AG, so that freeing something always works (xfs_alloc_set_aside). */
export const KEEP_FREE = 8;

/** Where blocks for file block `offset` should be: behind the extent before it, else near the inode. */
export function nearFor(tx: Transaction, inode: LiveInode, fork: ForkName, offset: number): number {
  const { g } = tx.engine;
  const { extents } = forkMap(tx, inode, fork);
  const before = extents[indexAt(extents, offset) - 1];
  if (before !== undefined) {
    const want = before.fsblock + before.blocks;
    if (isFsRange(g, want, 1)) return want;
  }
  const home = Math.floor(inode.ino / g.inopblock);
  return isFsRange(g, home, 1) ? home : fsblockOf(g, agnoOfIno(g, inode.ino), 0);
}
