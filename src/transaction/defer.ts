/**
 * Deferred work: what follows from a change but belongs to transactions of its own, each announced by an
 * intent in the log and finished by a done-item, so that a crash between them loses nothing. The order is
 * Linux's (xfs_defer.c): works of one kind that came up together share an intent; new works go before those
 * still waiting; after each group the transaction rolls.
 */
import { RMAP_OWN } from '../format/btree.js';
import { agbnoOfFsblock, agnoOfFsblock, fsblockOf } from '../format/geometry.js';
import { BMAP_EXTENT, LI, RMAP_EXTENT } from '../format/logitems.js';
import type { ForkName } from '../volume/fork.js';
import { fixFreelist, freeExtent } from './alloc.js';
import { mapExtent, unmapExtent } from './bmap.js';
import type { Engine } from './engine.js';
import { freeItem, Intent, mapItem, physItem } from './items.js';
import { addCowStaging, adjustRefcount, removeCowStaging } from './refcount.js';
import { RMAP_FLAG, type RmapOwner, rmapConvert, rmapMap, rmapUnmap } from './rmap.js';
import { Transaction } from './transaction.js';

/** Operations, as intents name them. */
export const RMAP_OP = {
  MAP: 1,
  MAP_SHARED: 2,
  UNMAP: 3,
  UNMAP_SHARED: 4,
  CONVERT: 5,
  CONVERT_SHARED: 6,
  ALLOC: 7,
  FREE: 8,
} as const;
export const REFCOUNT_OP = { INCREASE: 1, DECREASE: 2, ALLOC_COW: 3, FREE_COW: 4 } as const;
export const BMAP_OP = { MAP: 1, UNMAP: 2 } as const;

export interface FreeWork {
  readonly kind: 'free';
  readonly fsblock: number;
  readonly blocks: number;
  /** Whose rmap record goes too; not kept in the log. */
  readonly owner: RmapOwner | undefined;
}
export interface RmapWork {
  readonly kind: 'rmap';
  readonly op: number;
  readonly fsblock: number;
  readonly blocks: number;
  readonly owner: RmapOwner;
}
export interface RefcountWork {
  readonly kind: 'refcount';
  readonly op: number;
  readonly fsblock: number;
  readonly blocks: number;
}
export interface BmapWork {
  readonly kind: 'bmap';
  readonly op: number;
  readonly ino: number;
  readonly fork: ForkName;
  readonly offset: number;
  readonly fsblock: number;
  readonly blocks: number;
  readonly unwritten: boolean;
}
export type Deferred = FreeWork | RmapWork | RefcountWork | BmapWork;

/** Extents one intent holds at most (XFS_*_MAX_FAST_EXTENTS). */
const GROUP = { free: 16, rmap: 16, refcount: 16, bmap: 1 } as const;

interface Group {
  works: Deferred[];
  intent: Intent;
}

function rmapFlags(work: RmapWork): number {
  const { flags } = work.owner;
  let out: number = work.op;
  if (flags & RMAP_FLAG.ATTR) out += RMAP_EXTENT.ATTR_FORK;
  if (flags & RMAP_FLAG.BMBT) out += RMAP_EXTENT.BMBT_BLOCK;
  if (flags & RMAP_FLAG.UNWRITTEN) out += RMAP_EXTENT.UNWRITTEN;
  return out;
}

/** The intent that announces works of one kind. */
export function intentOf(engine: Engine, works: readonly Deferred[]): Intent {
  const id = engine.nextIntentId();
  switch (works[0].kind) {
    case 'free': {
      const extents = works as readonly FreeWork[];
      return new Intent(LI.EFI, id, freeItem(LI.EFI, id, extents), extents);
    }
    case 'rmap': {
      const extents = (works as readonly RmapWork[]).map((w) => ({
        owner: w.owner.owner,
        fsblock: w.fsblock,
        offset: w.owner.offset,
        blocks: w.blocks,
        flags: rmapFlags(w),
      }));
      return new Intent(LI.RUI, id, mapItem(LI.RUI, id, extents));
    }
    case 'refcount': {
      const extents = (works as readonly RefcountWork[]).map((w) => ({
        fsblock: w.fsblock,
        blocks: w.blocks,
        flags: w.op,
      }));
      return new Intent(LI.CUI, id, physItem(LI.CUI, id, extents));
    }
    case 'bmap': {
      const extents = (works as readonly BmapWork[]).map((w) => ({
        owner: w.ino,
        fsblock: w.fsblock,
        offset: w.offset,
        blocks: w.blocks,
        flags:
          w.op + (w.fork === 'attr' ? BMAP_EXTENT.ATTR_FORK : 0) + (w.unwritten ? BMAP_EXTENT.UNWRITTEN : 0),
      }));
      return new Intent(LI.BUI, id, mapItem(LI.BUI, id, extents));
    }
  }
}

function groups(engine: Engine, works: readonly Deferred[]): Group[] {
  const out: Group[] = [];
  let run: Deferred[] = [];
  const close = (): void => {
    if (run.length > 0) out.push({ works: run, intent: intentOf(engine, run) });
    run = [];
  };
  for (const work of works) {
    if (run.length > 0 && (run[0].kind !== work.kind || run.length >= GROUP[work.kind])) close();
    run.push(work);
  }
  close();
  return out;
}

/** Does one work. Returns what is left of it for another transaction, if anything. */
function perform(tx: Transaction, work: Deferred): Deferred | undefined {
  const { g } = tx.engine;
  switch (work.kind) {
    case 'free':
      freeExtent(
        tx,
        agnoOfFsblock(g, work.fsblock),
        agbnoOfFsblock(g, work.fsblock),
        work.blocks,
        work.owner,
      );
      return undefined;
    case 'rmap': {
      const agno = agnoOfFsblock(g, work.fsblock);
      const agbno = agbnoOfFsblock(g, work.fsblock);
      fixFreelist(tx, agno);
      if (work.op === RMAP_OP.MAP || work.op === RMAP_OP.MAP_SHARED || work.op === RMAP_OP.ALLOC)
        rmapMap(tx, agno, agbno, work.blocks, work.owner);
      else if (work.op === RMAP_OP.CONVERT || work.op === RMAP_OP.CONVERT_SHARED)
        rmapConvert(tx, agno, agbno, work.blocks, work.owner);
      else rmapUnmap(tx, agno, agbno, work.blocks, work.owner);
      return undefined;
    }
    case 'refcount':
      return performRefcount(tx, work);
    case 'bmap': {
      const inode = tx.engine.inode(work.ino);
      const extent = {
        offset: work.offset,
        fsblock: work.fsblock,
        blocks: work.blocks,
        unwritten: work.unwritten,
      };
      if (work.op === BMAP_OP.MAP) mapExtent(tx, inode, work.fork, extent);
      else unmapExtent(tx, inode, work.fork, extent.offset, extent.blocks, 'keep');
      return undefined;
    }
  }
}

function performRefcount(tx: Transaction, work: RefcountWork): Deferred | undefined {
  const { g } = tx.engine;
  const agno = agnoOfFsblock(g, work.fsblock);
  const agbno = agbnoOfFsblock(g, work.fsblock);
  if (work.op === REFCOUNT_OP.ALLOC_COW) addCowStaging(tx, agno, agbno, work.blocks);
  else if (work.op === REFCOUNT_OP.FREE_COW) removeCowStaging(tx, agno, agbno, work.blocks);
  else {
    const delta = work.op === REFCOUNT_OP.INCREASE ? 1 : -1;
    const done = adjustRefcount(tx, agno, agbno, work.blocks, delta, (start, blocks) => {
      tx.defer({ kind: 'free', fsblock: fsblockOf(g, agno, start), blocks, owner: undefined });
    });
    if (done < work.blocks) return { ...work, fsblock: work.fsblock + done, blocks: work.blocks - done };
  }
  return undefined;
}

/**
 * Commits a transaction and works off everything it deferred, in transactions of their own. Where one of
 * those fails the engine is failed: what is in the log says what is left to do.
 */
export function commitAndFinish(engine: Engine, first: Transaction): void {
  let pending: Group[] = [];
  let tx = first;
  for (;;) {
    const fresh = groups(engine, tx.deferred);
    tx.deferred = [];
    for (const group of fresh) tx.intent(group.intent);
    pending = [...fresh, ...pending];
    tx.commit();
    engine.committed();
    if (pending.length === 0) return;
    tx = new Transaction(engine);
    try {
      finishGroup(tx, pending);
    } catch (error) {
      tx.abort();
      engine.fail(error);
      throw error;
    }
  }
}

/** Works off the first group, or part of it. */
function finishGroup(tx: Transaction, pending: Group[]): void {
  const { engine } = tx;
  for (const group of pending.slice(1))
    if (engine.checkpoints.isOld(group.intent)) {
      tx.done(group.intent);
      group.intent = intentOf(engine, group.works);
      tx.intent(group.intent);
    }
  const group = pending[0];
  tx.done(group.intent);
  for (let i = 0; i < group.works.length; i++) {
    const rest = perform(tx, group.works[i]);
    if (rest === undefined) continue;
    group.works = [rest, ...group.works.slice(i + 1)];
    group.intent = intentOf(engine, group.works);
    tx.intent(group.intent);
    return;
  }
  pending.shift();
}

/**
 * Finishes an intent that recovery found in the log: does its works, with everything that follows from them,
 * and logs the done-item. `intent` must have been adopted (`Checkpoints.adoptIntent`).
 */
export function finishIntent(engine: Engine, intent: Intent, works: readonly Deferred[]): void {
  const tx = new Transaction(engine);
  const pending: Group[] = [{ works: [...works], intent }];
  try {
    finishGroup(tx, pending);
    // What is left of the group waits for a transaction of its own, behind what came up meanwhile.
    for (const group of pending) {
      tx.done(group.intent);
      tx.deferred.push(...group.works);
    }
  } catch (error) {
    tx.abort();
    engine.fail(error);
    throw error;
  }
  commitAndFinish(engine, tx);
}

/**
 * Finishes such an intent by one transaction of the caller's: what `work` does, with all that follows from it,
 * and the done-item.
 */
export function finishIntentBy(engine: Engine, intent: Intent, work: (tx: Transaction) => void): void {
  const tx = new Transaction(engine);
  try {
    tx.done(intent);
    work(tx);
  } catch (error) {
    tx.abort();
    engine.fail(error);
    throw error;
  }
  commitAndFinish(engine, tx);
}

/**
 * Logs with a transaction that an extent it allocated is to be freed, unless `tx.done(intent)` says otherwise
 * later: a crash in between leaks nothing, and nobody owns the blocks until then.
 */
export function holdExtent(tx: Transaction, fsblock: number, blocks: number): Intent {
  const intent = intentOf(tx.engine, [{ kind: 'free', fsblock, blocks, owner: undefined }]);
  tx.intent(intent);
  return intent;
}

/** The owner an extent freed by recovery has: whoever the rmapbt names, if anybody. */
export const ANY_OWNER: RmapOwner = { owner: RMAP_OWN.UNKNOWN, offset: 0, flags: 0 };

/**
 * Records blocks as held for a copy on write (`hold`), or no longer: in the refcount btree and, under the
 * owner "cow", in the rmapbt.
 */
export function deferCowStaging(tx: Transaction, fsblock: number, blocks: number, hold: boolean): void {
  const owner: RmapOwner = { owner: RMAP_OWN.COW, offset: 0, flags: 0 };
  const refcount: RefcountWork = {
    kind: 'refcount',
    op: hold ? REFCOUNT_OP.ALLOC_COW : REFCOUNT_OP.FREE_COW,
    fsblock,
    blocks,
  };
  const rmap: RmapWork = { kind: 'rmap', op: hold ? RMAP_OP.ALLOC : RMAP_OP.FREE, fsblock, blocks, owner };
  const { rmapbt } = tx.engine.g.features;
  if (hold) tx.defer(refcount);
  if (rmapbt) tx.defer(rmap);
  if (!hold) tx.defer(refcount);
}
