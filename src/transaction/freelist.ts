/**
 * The AGFL: a ring of free blocks kept ready for the two free-space btrees and the rmapbt, which cannot ask
 * the free-space btrees for blocks while they are being changed. Its blocks count as free; those the trees
 * take from it count in btreeblks. Rules: xfs_alloc.c.
 */
import { AGF, AGFL, agflSize } from '../format/ag.js';
import { CorruptionError } from '../format/fault.js';
import { agLength } from '../format/geometry.js';
import type { Transaction } from './transaction.js';

/** Takes a block off the list. `btree`: for one of the trees that btreeblks counts. */
export function getFreelist(tx: Transaction, agno: number, btree: boolean): number {
  const { g } = tx.engine;
  const agf = tx.engine.agf(agno);
  const first = agf.view.getUint32(AGF.at.flfirst);
  const count = agf.view.getUint32(AGF.at.flcount);
  const slots = agflSize(g.sectsize);
  const bad = (field: string, value: number, expected: string): never => {
    throw new CorruptionError({ structure: 'agfl', agno, agbno: 0, field, value, expected });
  };
  if (count === 0) bad('flcount', 0, 'a free block for a btree');
  if (first >= slots) bad('flfirst', first, `below ${slots}`);
  const agbno = tx.engine.agfl(agno).view.getUint32(AGFL.size + first * 4);
  if (agbno === 0 || agbno >= agLength(g, agno)) bad(`bno[${first}]`, agbno, 'a block of the AG');
  tx.put32(agf, AGF.at.flfirst, (first + 1) % slots);
  tx.put32(agf, AGF.at.flcount, count - 1);
  if (btree) tx.add32(agf, AGF.at.btreeblks, 1);
  return agbno;
}

/** Puts a block on the list. `btree`: it comes from one of the trees that btreeblks counts. */
export function putFreelist(tx: Transaction, agno: number, agbno: number, btree: boolean): void {
  const { g } = tx.engine;
  const agf = tx.engine.agf(agno);
  // Checked against the AGF when it is first read: before that one changes.
  const agfl = tx.engine.agfl(agno);
  const slots = agflSize(g.sectsize);
  const count = agf.view.getUint32(AGF.at.flcount);
  if (count >= slots)
    throw new CorruptionError({
      structure: 'agf',
      agno,
      agbno: 0,
      field: 'flcount',
      value: count,
      expected: `below ${slots}`,
    });
  const last = (agf.view.getUint32(AGF.at.fllast) + 1) % slots;
  tx.put32(agf, AGF.at.fllast, last);
  tx.put32(agf, AGF.at.flcount, count + 1);
  if (btree) tx.add32(agf, AGF.at.btreeblks, -1);
  tx.put32(agfl, AGFL.size + last * 4, agbno);
}

/**
 * Blocks the list must hold before an extent is allocated or freed: every level of each tree that takes its
 * blocks here may split twice, the root once (xfs_alloc_min_freelist).
 */
export function minFreelist(tx: Transaction, agno: number): number {
  const { view } = tx.engine.agf(agno);
  let need = 2 * view.getUint32(AGF.at.bnolevel) + 2 * view.getUint32(AGF.at.cntlevel);
  if (tx.engine.g.features.rmapbt) need += 2 * view.getUint32(AGF.at.rmaplevel);
  return need;
}
