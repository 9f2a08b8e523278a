/**
 * What is left to do once the log has been replayed: intents without a done-item are finished, files without
 * a name are done away with, blocks held for copies on write are released. All of it in transactions of our
 * own, so that a cut anywhere leaves a log that recovery, ours or Linux's, goes on from. Order and rules:
 * xfs_log_recover.c and the recovery half of each intent item.
 */
import { AGI_UNLINKED_BUCKETS } from '../format/ag.js';
import { CorruptionError } from '../format/fault.js';
import { fsblockOf, type Geometry, isFsRange } from '../format/geometry.js';
import { formatLsn, type Lsn } from '../format/log.js';
import { BMAP_EXTENT, EXTENT_OP_MASK, LI, LI_NAME, RMAP_EXTENT } from '../format/logitems.js';
import type { Source } from '../image/source.js';
import { LogError } from '../journal/error.js';
import { freeExtents, intentId, mapExtents, physExtents } from '../journal/items.js';
import { type RedoResult, redoLog } from '../journal/recover.js';
import type { LogState } from '../journal/scan.js';
import type { OpenIntent } from '../journal/status.js';
import { ANY_OWNER, BMAP_OP, type Deferred, deferCowStaging, REFCOUNT_OP, RMAP_OP } from './defer.js';
import { Engine, type EngineOptions } from './engine.js';
import { clearUnlinked, firstUnlinked } from './iunlink.js';
import { firstCowStaging } from './refcount.js';
import { RMAP_FLAG } from './rmap.js';
import { inactivate } from './truncate.js';

export interface RecoveryResult {
  readonly redo: RedoResult;
  /** Intents finished, by the name of their type. */
  readonly intents: Readonly<Record<string, number>>;
  /** Inodes without a name that were freed, and lists that could not be followed. */
  readonly unlinked: number;
  readonly brokenLists: number;
  /** Blocks that were held for copies on write. */
  readonly cowBlocks: number;
}

/** The works an intent announces. Throws LogError where it cannot be true, or is of a kind not known here. */
export function worksOf(g: Geometry, { item, lsn }: OpenIntent): Deferred[] {
  const bad = (reason: string): LogError => new LogError(lsn, `${LI_NAME[item.type]}: ${reason}`);
  const range = (fsblock: number, blocks: number): void => {
    if (!isFsRange(g, fsblock, blocks))
      throw bad(`${blocks} blocks from ${fsblock} are not of this filesystem`);
  };
  switch (item.type) {
    case LI.EFI:
      return freeExtents(item).map((e) => {
        range(e.start, e.blocks);
        return { kind: 'free', fsblock: e.start, blocks: e.blocks, owner: ANY_OWNER };
      });
    case LI.RUI:
      return mapExtents(item).map((e) => {
        range(e.start, e.blocks);
        const op = e.flags & EXTENT_OP_MASK;
        if (op < RMAP_OP.MAP || op > RMAP_OP.FREE) throw bad(`unknown operation ${op}`);
        let flags = 0;
        if (e.flags & RMAP_EXTENT.ATTR_FORK) flags += RMAP_FLAG.ATTR;
        if (e.flags & RMAP_EXTENT.BMBT_BLOCK) flags += RMAP_FLAG.BMBT;
        if (e.flags & RMAP_EXTENT.UNWRITTEN) flags += RMAP_FLAG.UNWRITTEN;
        const owner = { owner: e.owner, offset: e.offset, flags };
        return { kind: 'rmap', op, fsblock: e.start, blocks: e.blocks, owner };
      });
    case LI.CUI:
      return physExtents(item).map((e) => {
        range(e.start, e.blocks);
        const op = e.flags & EXTENT_OP_MASK;
        if (op < REFCOUNT_OP.INCREASE || op > REFCOUNT_OP.FREE_COW) throw bad(`unknown operation ${op}`);
        return { kind: 'refcount', op, fsblock: e.start, blocks: e.blocks };
      });
    case LI.BUI:
      return mapExtents(item).map((e) => {
        range(e.start, e.blocks);
        const op = e.flags & EXTENT_OP_MASK;
        if (op !== BMAP_OP.MAP && op !== BMAP_OP.UNMAP) throw bad(`unknown operation ${op}`);
        return {
          kind: 'bmap',
          op,
          ino: e.owner,
          fork: e.flags & BMAP_EXTENT.ATTR_FORK ? 'attr' : 'data',
          offset: e.offset,
          fsblock: e.start,
          blocks: e.blocks,
          unwritten: (e.flags & BMAP_EXTENT.UNWRITTEN) !== 0,
        };
      });
  }
  throw bad('finishing intents of this kind is not supported');
}

/** Blocks of a staging extent released in one transaction. */
const COW_STEP = 1 << 20;

/** Frees what the refcount btrees hold for copies on write. Returns the number of blocks. */
export function releaseCowStaging(engine: Engine): number {
  const { g } = engine;
  if (!g.features.reflink) return 0;
  let total = 0;
  for (let agno = 0; agno < g.agcount; agno++)
    for (let more = true; more; )
      more = engine.run((tx) => {
        const run = firstCowStaging(tx, agno);
        if (run === undefined) return false;
        const blocks = Math.min(run.blocks, COW_STEP);
        const fsblock = fsblockOf(g, agno, run.start);
        deferCowStaging(tx, fsblock, blocks, false);
        tx.defer({ kind: 'free', fsblock, blocks, owner: undefined });
        total += blocks;
        return true;
      });
  return total;
}

/**
 * Frees the files on the lists of unlinked inodes. A list that leads to something that is no such inode is
 * emptied, as Linux does: what it held is for repair to find.
 */
export function freeUnlinkedInodes(engine: Engine): { freed: number; brokenLists: number } {
  const { g } = engine;
  let freed = 0;
  let brokenLists = 0;
  for (let agno = 0; agno < g.agcount; agno++)
    for (let bucket = 0; bucket < AGI_UNLINKED_BUCKETS; bucket++)
      for (;;) {
        const ino = engine.run((tx) => firstUnlinked(tx, agno, bucket));
        if (ino === undefined) break;
        if (isFreeable(engine, ino)) {
          inactivate(engine, ino);
          freed++;
          continue;
        }
        engine.run((tx) => clearUnlinked(tx, agno, bucket));
        brokenLists++;
        break;
      }
  return { freed, brokenLists };
}

function isFreeable(engine: Engine, ino: number): boolean {
  try {
    return engine.inode(ino).nlink === 0;
  } catch (error) {
    if (error instanceof CorruptionError) return false;
    throw error;
  }
}

/**
 * Full recovery of a log that is not clean: replay, then everything above, then counters and an unmount
 * record. Nothing is written before all of the log has been read and believed. Throws LogError where it
 * cannot be, CorruptionError where the filesystem does not bear finishing what the log announces.
 */
export function recoverLog(
  source: Source,
  g: Geometry,
  state: LogState,
  options: EngineOptions = {},
): RecoveryResult {
  const redo = redoLog(state);
  const works = redo.openIntents.map((open) => worksOf(g, open));
  redo.set.apply();
  source.sync();

  const engine = new Engine(source, g, state, options);
  engine.log.clearStale();
  const intents: Record<string, number> = {};
  const adopted = redo.openIntents.map((open, i) => {
    const name = LI_NAME[open.item.type].toLowerCase();
    intents[name] = (intents[name] ?? 0) + 1;
    const { item, lsn } = open;
    return engine.adopt(item.type, intentId(item), item.regions[0], lsn as Lsn, works[i]);
  });
  engine.settle();
  adopted.forEach((intent, i) => {
    try {
      engine.finish(intent, works[i]);
    } catch (error) {
      if (error instanceof CorruptionError)
        throw new LogError(
          redo.openIntents[i].lsn,
          `the ${LI_NAME[intent.type]} there (LSN ${formatLsn(redo.openIntents[i].lsn)}) cannot be finished: ${error.message}`,
        );
      throw error;
    }
  });
  const { freed, brokenLists } = freeUnlinkedInodes(engine);
  const cowBlocks = releaseCowStaging(engine);
  engine.close({ always: true });
  return { redo, intents, unlinked: freed, brokenLists, cowBlocks };
}
