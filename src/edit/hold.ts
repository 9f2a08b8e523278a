/**
 * New blocks between their allocation and the transaction that maps them into a file: nobody owns them, and a
 * crash must not leak them. There are two ways.
 *
 *   efi         the transaction that allocates them logs that they are to be freed (EFI), the one that maps
 *               them logs that this is done (EFD): a crash in between has recovery free them
 *   refcountbt  what Linux does: they are recorded in the refcount btree's domain of blocks held for a copy
 *               on write, and under the owner "cow" in the rmapbt; the mapping is a chain of intents (BUI,
 *               CUI, RUI), and a mount frees what is still recorded (xfs_reflink.c)
 */
import { type Extent, mapExtent, unmapExtent } from '../transaction/bmap.js';
import { BMAP_OP, deferCowStaging, holdExtent, REFCOUNT_OP } from '../transaction/defer.js';
import type { Engine } from '../transaction/engine.js';
import type { LiveInode } from '../transaction/inode.js';
import type { Intent } from '../transaction/items.js';
import type { Transaction } from '../transaction/transaction.js';
import { extentsIn } from './extents.js';

export const COW_PROTOCOLS = ['efi', 'refcountbt'] as const;
export type CowProtocol = (typeof COW_PROTOCOLS)[number];

/** Blocks allocated for file blocks [offset, offset + blocks). */
export interface Taken {
  readonly offset: number;
  readonly fsblock: number;
  readonly blocks: number;
}

export interface Held extends Taken {
  /** The EFI; undefined where the refcount btree records it. */
  readonly intent: Intent | undefined;
}

/** Records with the transaction that allocated them that blocks belong to nobody yet. */
export function hold(tx: Transaction, protocol: CowProtocol, taken: Taken): Held {
  const { fsblock, blocks } = taken;
  if (protocol === 'efi') return { ...taken, intent: holdExtent(tx, fsblock, blocks) };
  deferCowStaging(tx, fsblock, blocks, true);
  return { ...taken, intent: undefined };
}

function release(tx: Transaction, held: Held): void {
  if (held.intent === undefined) deferCowStaging(tx, held.fsblock, held.blocks, false);
  else tx.done(held.intent);
}

const free = (tx: Transaction, fsblock: number, blocks: number): void => {
  if (blocks > 0) tx.defer({ kind: 'free', fsblock, blocks, owner: undefined });
};

/**
 * Maps file blocks [from, to) to the blocks held for them, in place of whatever is mapped there, which loses
 * an owner. What was held beyond that is freed, or with `keepSlack` mapped as unwritten.
 */
export function mapHeld(
  tx: Transaction,
  inode: LiveInode,
  held: Held,
  from: number,
  to: number,
  keepSlack: boolean,
): void {
  const before = from - held.offset;
  const after = held.offset + held.blocks - to;
  const now: Extent = {
    offset: from,
    fsblock: held.fsblock + before,
    blocks: to - from,
    unwritten: false,
  };
  const slack = (offset: number, fsblock: number, blocks: number): void => {
    if (!keepSlack) free(tx, fsblock, blocks);
    else if (blocks > 0) mapExtent(tx, inode, 'data', { offset, fsblock, blocks, unwritten: true });
  };
  if (held.intent !== undefined) {
    release(tx, held);
    unmapExtent(tx, inode, 'data', from, to - from);
    mapExtent(tx, inode, 'data', now);
  } else {
    deferUnmap(tx, inode, from, to);
    release(tx, held);
    tx.defer({ kind: 'bmap', op: BMAP_OP.MAP, ino: inode.ino, fork: 'data', ...now });
  }
  slack(held.offset, held.fsblock, before);
  slack(to, held.fsblock + held.blocks - after, after);
}

/** Defers, one by one, that the file no longer maps what it maps in [from, to). */
function deferUnmap(tx: Transaction, inode: LiveInode, from: number, to: number): void {
  for (const e of extentsIn(tx, inode, from, to)) {
    tx.defer({ kind: 'bmap', op: BMAP_OP.UNMAP, ino: inode.ino, fork: 'data', ...e });
    tx.defer({ kind: 'refcount', op: REFCOUNT_OP.DECREASE, fsblock: e.fsblock, blocks: e.blocks });
  }
}

/** Gives held blocks back: they are not needed after all. */
export function dropHeld(engine: Engine, held: readonly Held[]): void {
  engine.run((tx) => {
    for (const h of held) {
      release(tx, h);
      free(tx, h.fsblock, h.blocks);
    }
  });
}
