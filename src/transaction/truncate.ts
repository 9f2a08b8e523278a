/**
 * Cutting forks down and doing away with files nobody names any more: work of any size, in as many
 * transactions as it takes. Each leaves a filesystem recovery can go on from. Rules: xfs_inode.c.
 */
import { FORK_FORMAT, S_IF } from '../format/dinode.js';
import { fsblockOffset } from '../format/geometry.js';
import { ILOG } from '../format/logitems.js';
import { type ForkName, forkAt, forkFormat, forkSize } from '../volume/fork.js';
import { forkMap, unmapExtent } from './bmap.js';
import type { Engine } from './engine.js';
import { ForkSpace } from './forkspace.js';
import { freeInode } from './ialloc.js';
import type { LiveInode } from './inode.js';
import { removeUnlinked } from './iunlink.js';
import type { Transaction } from './transaction.js';

/** Extents unmapped in one transaction. */
const PER_TRANSACTION = 2;

/** Frees everything a fork maps from file block `from` on, last extents first. */
export function truncateFork(engine: Engine, ino: number, fork: ForkName, from: number): void {
  for (let more = true; more; )
    engine.run((tx) => {
      const inode = engine.inode(ino);
      const { extents } = forkMap(tx, inode, fork);
      const last = extents[extents.length - 1];
      const end = last === undefined ? from : last.offset + last.blocks;
      more = end > from && unmapExtent(tx, inode, fork, from, end - from, 'free', PER_TRANSACTION) > from;
    });
}

const hasBlocks = (inode: LiveInode, fork: ForkName): boolean => {
  if (fork === 'attr' && !inode.hasAttrFork) return false;
  const format = forkFormat(inode, fork);
  return format === FORK_FORMAT.EXTENTS || format === FORK_FORMAT.BTREE;
};

/** Makes a fork an empty list of extents: what stood in the inode itself goes. */
function clearFork(tx: Transaction, inode: LiveInode, fork: ForkName): void {
  tx.editInode(inode, ILOG.CORE);
  const at = forkAt(inode, fork);
  inode.buffer.bytes.fill(0, at, at + forkSize(inode, fork));
  inode.setFormat(fork, FORK_FORMAT.EXTENTS);
  inode.forget();
}

/**
 * Does away with an inode whose link count is 0 and which is on an unlinked list: its blocks are freed, or
 * where they are shared lose an owner; then the inode itself.
 */
export function inactivate(engine: Engine, ino: number): void {
  const inode = engine.inode(ino);
  // Blocks of directories, links and attributes are metadata: what the log holds of them is cancelled.
  if (hasBlocks(inode, 'data')) {
    if (inode.type === S_IF.REG) truncateFork(engine, ino, 'data', 0);
    else {
      engine.run((tx) => freeMetadataFork(tx, engine.inode(ino), 'data'));
    }
  }
  if (hasBlocks(inode, 'attr')) engine.run((tx) => freeMetadataFork(tx, engine.inode(ino), 'attr'));
  engine.run((tx) => {
    const now = engine.inode(ino);
    if (now.hasAttrFork) clearFork(tx, now, 'attr');
    if (forkFormat(now, 'data') === FORK_FORMAT.LOCAL) clearFork(tx, now, 'data');
    removeUnlinked(tx, now);
    freeInode(tx, now);
  });
}

/**
 * Frees a fork of metadata blocks, all in one transaction: half a tree of attributes would be none. Their
 * buffers are cancelled in the log; of a symbolic link every extent is one.
 */
export function freeMetadataFork(tx: Transaction, inode: LiveInode, fork: ForkName): void {
  const { g } = tx.engine;
  const { extents } = forkMap(tx, inode, fork);
  if (fork === 'data' && !inode.isDir)
    for (const e of extents) tx.cancelAt(fsblockOffset(g, e.fsblock), e.blocks * g.blocksize);
  else new ForkSpace(tx, inode, fork).cancelFrom(0);
  const last = extents[extents.length - 1];
  if (last !== undefined) unmapExtent(tx, inode, fork, 0, last.offset + last.blocks);
}
