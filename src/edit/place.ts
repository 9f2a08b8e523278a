/** Where new blocks of a file go: beside those it has, in the pieces its extent size hints ask for. */

import { AGF } from '../format/ag.js';
import { DIFLAG, DIFLAG2 } from '../format/dinode.js';
import { MAX_EXTENT_BLOCKS } from '../format/extent.js';
import { agbnoOfFsblock, agnoOfFsblock, fsblockOf } from '../format/geometry.js';
import { allocAnywhere, allocExtent, NoSpaceError } from '../transaction/alloc.js';
import { KEEP_FREE, nearFor } from '../transaction/bmap.js';
import { minFreelist } from '../transaction/freelist.js';
import type { LiveInode } from '../transaction/inode.js';
import { reservedBlocks } from '../transaction/reserve.js';
import type { Transaction } from '../transaction/transaction.js';
import { extentAt } from './extents.js';
import type { Taken } from './hold.js';

/** The hint a copy on write has where the file asks for none (XFS_DEFAULT_COWEXTSZ_HINT), in blocks. */
const DEFAULT_COW_HINT = 32;

/** The extent size hint of a file in blocks; 0: none. */
export const sizeHint = (inode: LiveInode): number =>
  (inode.flags & DIFLAG.EXTSIZE) !== 0 ? inode.extsize : 0;

/** The same for blocks that take the place of shared ones (xfs_get_cowextsz_hint). */
export function cowHint(inode: LiveInode): number {
  const own = (inode.flags2 & DIFLAG2.COWEXTSIZE) !== 0 ? inode.cowextsize : 0;
  return Math.max(own, sizeHint(inode)) || DEFAULT_COW_HINT;
}

/** File blocks [from, to), to be allocated; the hint may widen that to at most [low, high). */
export interface Wanted {
  readonly from: number;
  readonly to: number;
  readonly hint: number;
  readonly low: number;
  readonly high: number;
  /** Most extents to take. */
  readonly max: number;
}

/**
 * Takes blocks for a range of a file: in one piece where that is possible, else in as few as the free space
 * allows; with `max` of them the end of the range may be left out. Throws NoSpaceError.
 */
export function takeBlocks(tx: Transaction, inode: LiveInode, want: Wanted): Taken[] {
  const { from, to, hint } = want;
  if (hint > 0) {
    const one = takeBeside(tx, inode, from, to) ?? takeAligned(tx, inode, want);
    if (one !== undefined) return [one];
  }
  const out: Taken[] = [];
  let near = nearBlock(tx, inode, from);
  for (let at = from; at < to && out.length < want.max; ) {
    const max = Math.min(to - at, MAX_EXTENT_BLOCKS);
    const got = allocAnywhere(tx, { near, min: 1, max, left: KEEP_FREE });
    out.push({ offset: at, ...got });
    at += got.blocks;
    near = got.fsblock;
  }
  return out;
}

function nearBlock(tx: Transaction, inode: LiveInode, from: number): number {
  const before = from > 0 ? extentAt(tx, inode, from - 1) : undefined;
  return before?.fsblock ?? nearFor(tx, inode, 'data', from);
}

/** The blocks that continue what the file has before or behind the range, if they are free. */
function takeBeside(tx: Transaction, inode: LiveInode, from: number, to: number): Taken | undefined {
  const { g } = tx.engine;
  const blocks = to - from;
  if (blocks > MAX_EXTENT_BLOCKS) return undefined;
  const before = from > 0 ? extentAt(tx, inode, from - 1) : undefined;
  const behind = extentAt(tx, inode, to);
  const places = [
    ...(before === undefined ? [] : [before.fsblock + 1]),
    ...(behind === undefined ? [] : [behind.fsblock - blocks]),
  ];
  for (const place of places) {
    const agno = agnoOfFsblock(g, place);
    const near = agbnoOfFsblock(g, place);
    if (place < 0 || agno >= g.agcount) continue;
    const request = { min: blocks, max: blocks, near, exact: true, left: KEEP_FREE };
    const got = allocExtent(tx, agno, request);
    if (got !== undefined) return { offset: from, fsblock: fsblockOf(g, agno, got.agbno), blocks };
  }
  return undefined;
}

/** The range widened to multiples of the hint, in one piece. */
function takeAligned(tx: Transaction, inode: LiveInode, want: Wanted): Taken | undefined {
  const { hint } = want;
  const start = Math.max(want.low, Math.floor(want.from / hint) * hint);
  const blocks = Math.min(want.high, Math.ceil(want.to / hint) * hint) - start;
  if (blocks > MAX_EXTENT_BLOCKS) return undefined;
  try {
    const near = nearBlock(tx, inode, want.from);
    const got = allocAnywhere(tx, { near, min: blocks, max: blocks, left: KEEP_FREE });
    return { offset: start, ...got };
  } catch (error) {
    if (error instanceof NoSpaceError) return undefined;
    throw error;
  }
}

/** Throws NoSpaceError where fewer than `blocks` are left for a file to take. */
export function assertSpare(tx: Transaction, blocks: number): void {
  if (spareBlocks(tx, blocks) < blocks) throw new NoSpaceError();
}

/** Blocks files can still have; counted up to `enough` of them. */
export function spareBlocks(tx: Transaction, enough = Number.POSITIVE_INFINITY): number {
  let spare = 0;
  for (let agno = 0; agno < tx.engine.g.agcount && spare < enough; agno++) spare += spareIn(tx, agno);
  return spare;
}

/** Blocks of an AG a file can still have. */
function spareIn(tx: Transaction, agno: number): number {
  const { engine } = tx;
  const { view } = engine.agf(agno);
  const need = minFreelist(tx, agno);
  const listed = Math.min(view.getUint32(AGF.at.flcount), need);
  const free = view.getUint32(AGF.at.freeblks) + listed;
  return Math.max(0, free - reservedBlocks(engine, agno, false) - need - KEEP_FREE);
}
