/** Sizes in bytes and in blocks, and what stands behind the end of a file. */
import { fsblockOffset } from '../format/geometry.js';
import { unmapExtent } from '../transaction/bmap.js';
import type { LiveInode } from '../transaction/inode.js';
import type { Transaction } from '../transaction/transaction.js';
import type { Edit } from './edit.js';
import { extentAt, extentsIn, mappedEnd } from './extents.js';
import { ZeroInput } from './input.js';
import type { Patch } from './rewrite.js';

/** Largest size a file can have, in bytes (Linux's MAX_LFS_FILESIZE). */
export const MAX_FILE_SIZE = 2n ** 63n - 1n;

/** No byte becomes another. */
export const NO_PATCH: Patch = { from: 0n, to: 0n, input: new ZeroInput(), at: 0 };

/** Blocks that so many bytes take. */
export const blocksOf = (edit: Edit, bytes: bigint): number =>
  blockOf(edit, bytes + BigInt(edit.g.blocksize) - 1n);
/** The block a byte of a file is in. */
export const blockOf = (edit: Edit, byte: bigint): number => Number(byte / BigInt(edit.g.blocksize));
/** The first byte of a block of a file. */
export const byteOf = (edit: Edit, block: number): bigint => BigInt(block) * BigInt(edit.g.blocksize);

export function setSize(tx: Transaction, inode: LiveInode, size: bigint): void {
  tx.editInode(inode);
  inode.setSize(size);
}

/**
 * The block the end of a file cuts in two, if anything but zeros stands in it behind the end: where the file
 * grows, that would show.
 */
export function shownTail(edit: Edit, inode: LiveInode): { from: number; to: number }[] {
  const { g } = edit;
  const used = Number(inode.exactSize % BigInt(g.blocksize));
  if (used === 0) return [];
  const block = blockOf(edit, inode.exactSize);
  const e = extentAt(edit.engine.begin(), inode, block);
  if (e === undefined || e.unwritten) return [];
  const tail = new Uint8Array(g.blocksize - used);
  edit.source.read(fsblockOffset(g, e.fsblock) + used, tail);
  return tail.some((byte) => byte !== 0) ? [{ from: block, to: block + 1 }] : [];
}

/** Takes written blocks behind the end of the file away: it is about to grow over them, and they would show. */
export function dropBehind(tx: Transaction, inode: LiveInode, from: number, to: number): void {
  for (const e of extentsIn(tx, inode, from, to))
    if (!e.unwritten) unmapExtent(tx, inode, 'data', e.offset, e.blocks);
}

/** Unmaps everything from a block on. */
export function unmapBehind(tx: Transaction, inode: LiveInode, from: number): void {
  const end = mappedEnd(tx, inode);
  if (end > from) unmapExtent(tx, inode, 'data', from, end - from);
}
