/**
 * Space of an AG that files may not have, because its btrees may yet need it: the refcount btree and the
 * finobt, which cannot fail once a transaction has begun, and the rmapbt. Linux sets the same amounts aside
 * at mount and warns where they are gone. Sizes: xfs_ag_resv.c and the calc_reserves of each tree.
 */
import { AGF, AGI } from '../format/ag.js';
import { BTREES, type BtreeKind, maxRecords } from '../format/btree.js';
import { agLength, agnoOfFsblock, type Geometry, INODES_PER_CHUNK } from '../format/geometry.js';
import type { Engine } from './engine.js';

/** Blocks of the largest tree that so many records can make, every block half full. */
function worstSize(kind: BtreeKind, blocksize: number, records: number): number {
  let level = 0;
  let blocks = records;
  let total = 0;
  do {
    blocks = Math.ceil(blocks / (maxRecords(kind, blocksize, level) >> 1));
    total += blocks;
    level = 1;
  } while (blocks > 1);
  return total;
}

/** What an AG's trees ask for at most, their present size included. */
function asked(g: Geometry, agno: number): { metadata: number; rmap: number } {
  const holdsLog = g.logstart > 0 && agnoOfFsblock(g, g.logstart) === agno;
  const length = agLength(g, agno) - (holdsLog ? g.logblocks : 0);
  let metadata = 0;
  if (g.features.reflink) metadata += worstSize(BTREES.refcountbt, g.blocksize, length);
  if (g.features.finobt)
    metadata += worstSize(BTREES.finobt, g.blocksize, Math.floor((length * g.inopblock) / INODES_PER_CHUNK));
  const rmap = g.features.rmapbt
    ? Math.max(Math.floor(length / 100), worstSize(BTREES.rmapbt, g.blocksize, length))
    : 0;
  return { metadata, rmap };
}

/**
 * Blocks that must stay free in an AG after an allocation. `metadata`: the allocation is for a tree with a
 * reservation of its own.
 */
export function reservedBlocks(engine: Engine, agno: number, metadata: boolean): number {
  const { g } = engine;
  let ask = engine.asked.get(agno);
  if (ask === undefined) {
    ask = asked(g, agno);
    engine.asked.set(agno, ask);
  }
  const agf = engine.agf(agno).view;
  const rmap = Math.max(0, ask.rmap - (g.features.rmapbt ? agf.getUint32(AGF.at.rmapblocks) : 0));
  if (metadata) return rmap;
  let used = g.features.reflink ? agf.getUint32(AGF.at.refcntblocks) : 0;
  // Without the counter the tree's present blocks are reserved once more.
  if (g.features.finobt && g.features.inobtcount) used += engine.agi(agno).view.getUint32(AGI.at.fino_blocks);
  return rmap + Math.max(0, ask.metadata - used);
}
