/** What a file maps, looked at by range. All offsets and lengths in blocks. */
import { type Extent, forkMap, indexAt } from '../transaction/bmap.js';
import type { LiveInode } from '../transaction/inode.js';
import type { Transaction } from '../transaction/transaction.js';

/** The parts of a file's extents that lie in [from, to), in file order. */
export function extentsIn(tx: Transaction, inode: LiveInode, from: number, to: number): Extent[] {
  const { extents } = forkMap(tx, inode, 'data');
  const out: Extent[] = [];
  if (from >= to) return out;
  for (let i = indexAt(extents, from); i < extents.length && extents[i].offset < to; i++) {
    const e = extents[i];
    const start = Math.max(from, e.offset);
    const end = Math.min(to, e.offset + e.blocks);
    out.push({ ...e, offset: start, fsblock: e.fsblock + (start - e.offset), blocks: end - start });
  }
  return out;
}

/** Where file block `at` stands; undefined in a hole. */
export function extentAt(tx: Transaction, inode: LiveInode, at: number): Extent | undefined {
  return extentsIn(tx, inode, at, at + 1)[0];
}

/** File block behind the last extent. */
export function mappedEnd(tx: Transaction, inode: LiveInode): number {
  const last = forkMap(tx, inode, 'data').extents.at(-1);
  return last === undefined ? 0 : last.offset + last.blocks;
}

/** The hole that file block `at` lies in: its first block and the one behind its last. */
export function holeAround(tx: Transaction, inode: LiveInode, at: number): { low: number; high: number } {
  const { extents } = forkMap(tx, inode, 'data');
  const index = indexAt(extents, at);
  const before = extents[index - 1];
  return {
    low: before === undefined ? 0 : before.offset + before.blocks,
    high: extents[index]?.offset ?? Number.MAX_SAFE_INTEGER,
  };
}
