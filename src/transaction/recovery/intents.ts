/** Intents that recovery found without their done-item: from the log's words to the engine's works. */

import { RMAP_OWN } from '../../format/btree.js';
import { MAX_FILE_OFFSET } from '../../format/extent.js';
import { agbnoOfFsblock, firstFreeAgbno, isFsRange, isInoInRange } from '../../format/geometry.js';
import { BMAP_EXTENT, EXTENT_OP_MASK, LI, LI_NAME, RMAP_EXTENT } from '../../format/logitems.js';
import { LogError } from '../../journal/error.js';
import { freeExtents, intentId, type MapExtent, mapExtents, physExtents } from '../../journal/items.js';
import type { OpenIntent } from '../../journal/status.js';
import { ANY_OWNER, BMAP_OP, type Deferred, REFCOUNT_OP, RMAP_OP } from '../defer.js';
import type { Engine } from '../engine.js';
import type { Intent } from '../items.js';
import { RMAP_FLAG } from '../rmap.js';
import { finishAttr } from './attr.js';
import { finishExchange } from './exchange.js';

/** Finishes intents in the order they were logged. Throws LogError for one that cannot be true. */
export function finishIntents(engine: Engine, open: readonly OpenIntent[]): void {
  const finish: (() => void)[] = [];
  // All are taken over before the first is finished: the log is not cut off behind any of them.
  for (const o of open) {
    const adopt = (works: Deferred[]): Intent =>
      engine.adopt(o.item.type, intentId(o.item), o.item.region(0)!, o.lsn, works);
    if (o.item.type === LI.ATTRI) {
      const intent = adopt([]);
      finish.push(() => finishAttr(engine, intent, o));
    } else if (o.item.type === LI.XMI) {
      const intent = adopt([]);
      finish.push(() => finishExchange(engine, intent, o));
    } else {
      const works = worksOf(engine, o);
      const intent = adopt(works);
      finish.push(() => engine.finish(intent, works));
    }
  }
  for (const work of finish) work();
}

function worksOf(engine: Engine, { item, lsn }: OpenIntent): Deferred[] {
  const { g } = engine;
  const name = LI_NAME[item.type];
  const bad = (what: string): never => {
    throw new LogError(lsn, `${name} item ${what}`);
  };
  const check = (start: number, blocks: number): void => {
    if (!isFsRange(g, start, blocks) || agbnoOfFsblock(g, start) < firstFreeAgbno(g))
      bad(`of blocks ${start} to ${start + blocks}, outside the filesystem`);
  };
  const operation = (flags: number, ops: Readonly<Record<string, number>>, bits = {}): number => {
    const op = flags & EXTENT_OP_MASK;
    if (!Object.values(ops).includes(op)) bad(`with operation ${op}`);
    const known = Object.values<number>(bits).reduce((all, bit) => all | bit, EXTENT_OP_MASK);
    if ((flags & ~known) !== 0) bad(`with flags 0x${flags.toString(16)}`);
    return op;
  };
  /** What an extent of a file says besides its blocks. */
  const checkFile = ({ owner, offset, blocks }: MapExtent): void => {
    if (!isInoInRange(g, owner)) bad(`of inode ${owner}, outside the filesystem`);
    if (offset + blocks - 1 > MAX_FILE_OFFSET) bad(`at offset ${offset} of a file`);
  };
  switch (item.type) {
    case LI.EFI:
      return freeExtents(item).map(({ start, blocks }) => {
        check(start, blocks);
        return { kind: 'free', fsblock: start, blocks, owner: ANY_OWNER };
      });
    case LI.RUI:
      return mapExtents(item).map((e) => {
        check(e.start, e.blocks);
        if (e.owner > RMAP_OWN.FS || e.owner < RMAP_OWN.COW) checkFile(e);
        let flags = 0;
        if (has(e.flags, RMAP_EXTENT.ATTR_FORK)) flags += RMAP_FLAG.ATTR;
        if (has(e.flags, RMAP_EXTENT.BMBT_BLOCK)) flags += RMAP_FLAG.BMBT;
        if (has(e.flags, RMAP_EXTENT.UNWRITTEN)) flags += RMAP_FLAG.UNWRITTEN;
        const op = operation(e.flags, RMAP_OP, RMAP_EXTENT);
        const owner = { owner: e.owner, offset: e.offset, flags };
        return { kind: 'rmap', op, fsblock: e.start, blocks: e.blocks, owner };
      });
    case LI.CUI:
      return physExtents(item).map((e) => {
        check(e.start, e.blocks);
        return {
          kind: 'refcount',
          op: operation(e.flags, REFCOUNT_OP),
          fsblock: e.start,
          blocks: e.blocks,
        };
      });
    case LI.BUI:
      return mapExtents(item).map((e) => {
        check(e.start, e.blocks);
        checkFile(e);
        return {
          kind: 'bmap',
          op: operation(e.flags, BMAP_OP, BMAP_EXTENT),
          ino: e.owner,
          fork: has(e.flags, BMAP_EXTENT.ATTR_FORK) ? 'attr' : 'data',
          offset: e.offset,
          fsblock: e.start,
          blocks: e.blocks,
          unwritten: has(e.flags, BMAP_EXTENT.UNWRITTEN),
        };
      });
    default:
      throw new LogError(lsn, `an unfinished ${name} item, which xfsimg does not finish`);
  }
}

const has = (flags: number, bit: number): boolean => Math.floor(flags / bit) % 2 === 1;
