/** Counters of AG headers and the superblock against what they count; the inode btrees against each other. */

import { getU64 } from '../../format/structure.js';
import { SUPERBLOCK } from '../../format/superblock.js';
import type { Finding } from '../finding.js';
import { agfBtreeblks, agfField, agiField } from '../observe/aglook.js';
import type { InodeTable } from '../observe/inodetable.js';
import type { Observation } from '../observe/observe.js';
import type { Comparison } from './compare.js';

export function judgeCounters(o: Observation, comparisons: readonly Comparison[], out: Finding[]): void {
  const { features } = o.volume.g;
  if (features.needsrepair)
    out.push({
      code: 'superblock.needsrepair',
      severity: 'damage',
      message: 'the superblock says that a repair was begun and not finished: Linux does not mount it so',
      action: 'clear the needsrepair bit',
    });
  let free = 0;
  let inodes = 0;
  let freeInodes = 0;
  let sound = true;
  const wrong = (agno: number | undefined, header: string, field: string, value: number, expected: number) =>
    out.push({
      code: 'counter.wrong',
      severity: 'damage',
      agno,
      message: `${header}${agno === undefined ? '' : ` of AG ${agno}`}: ${field} is ${value}, and there are ${expected}`,
      evidence: { field: `${header}.${field}`, value: String(value), expected: String(expected) },
      action: `set it to ${expected}`,
    });
  o.ags.forEach((look, agno) => {
    const { trees } = look;
    const agf = (field: Parameters<typeof agfField>[1], expected: number): void => {
      if (agfField(look, field) !== expected) wrong(agno, 'agf', field, agfField(look, field), expected);
    };
    const agi = (field: Parameters<typeof agiField>[1], expected: number): void => {
      if (agiField(look, field) !== expected) wrong(agno, 'agi', field, agiField(look, field), expected);
    };
    let blocks = 0;
    let longest = 0;
    for (let i = 0; i < look.byStart.count; i++) {
      blocks += look.byStart.blocks[i];
      if (look.byStart.blocks[i] > longest) longest = look.byStart.blocks[i];
    }
    const freeSound = trees.bnobt?.sound === true && trees.cntbt?.sound === true;
    const rmapSound = !features.rmapbt || trees.rmapbt?.sound === true;
    if (trees.bnobt?.sound) {
      agf('freeblks', blocks);
      agf('longest', longest);
    }
    if (freeSound && rmapSound) agf('btreeblks', agfBtreeblks(look));
    if (trees.rmapbt?.sound) agf('rmapblocks', trees.rmapbt.blocks);
    if (trees.refcountbt?.sound) agf('refcntblocks', trees.refcountbt.blocks);
    if (trees.inobt?.sound) {
      agi('count', look.inodes);
      agi('freecount', look.freeInodes);
      if (features.inobtcount) agi('ino_blocks', trees.inobt.blocks);
      if (features.inobtcount && trees.finobt?.sound) agi('fino_blocks', trees.finobt.blocks);
    }
    sound &&= freeSound && rmapSound && trees.inobt?.sound === true;
    free += blocks + look.freeList.length + agfBtreeblks(look);
    inodes += look.inodes;
    freeInodes += look.freeInodes;
    const differs = comparisons[agno].freeDiffers;
    if (differs !== undefined)
      out.push({
        code: 'free.trees',
        severity: 'damage',
        agno,
        agbno: differs.start,
        blocks: differs.blocks,
        message: `AG ${agno}: the bnobt and the cntbt do not record the same extents, first at block ${differs.start}`,
        action: 'rebuild both',
      });
    if (trees.finobt?.sound && trees.inobt?.sound) judgeFinobt(o.table, agno, out);
  });
  if (!sound) return;
  const sb = (field: 'icount' | 'ifree' | 'fdblocks', expected: number): void => {
    const value = getU64(o.volume.superblock, SUPERBLOCK.at[field]);
    if (value !== expected) wrong(undefined, 'superblock', field, value, expected);
  };
  sb('icount', inodes);
  sb('ifree', freeInodes);
  sb('fdblocks', free);
}

/** The finobt holds the inobt's records that have a free inode, and no other. */
function judgeFinobt(table: InodeTable, agno: number, out: Finding[]): void {
  const { finobt } = table;
  const from = table.firstChunk[agno];
  const to = table.firstChunk[agno + 1];
  const first = from < to ? table.chunkIno[from] : 0;
  const last = from < to ? table.chunkIno[to - 1] : -1;
  // Both are ascending; this AG's part of the finobt's records lies between its first and last chunk.
  let k = 0;
  while (k < finobt.count && finobt.ino[k] < first) k++;
  const differ = (ino: number, says: string): void => {
    out.push({
      code: 'inode.trees',
      severity: 'damage',
      agno,
      ino,
      message: `the chunk of inode ${ino}: ${says}`,
      action: 'rebuild the finobt from the inobt',
    });
  };
  for (let chunk = from; chunk < to; chunk++) {
    const ino = table.chunkIno[chunk];
    while (k < finobt.count && finobt.ino[k] < ino)
      differ(finobt.ino[k++], 'the finobt has it, the inobt not');
    const same = k < finobt.count && finobt.ino[k] === ino;
    if (table.hasFree(chunk)) {
      if (!same) differ(ino, 'it has free inodes, and the finobt does not have it');
      else if (finobt.high[k] !== table.freeHigh[chunk] || finobt.low[k] !== table.freeLow[chunk])
        differ(ino, 'the finobt and the inobt call other inodes free');
    } else if (same) differ(ino, 'all of its inodes are in use, and the finobt has it');
    if (same) k++;
  }
  for (; k < finobt.count && finobt.ino[k] <= last; k++)
    differ(finobt.ino[k], 'the finobt has it, the inobt not');
}
