/** The superblock's counters and copies against the AG headers. */
import { AGF, AGI } from '../format/ag.js';
import type { Report } from '../format/fault.js';
import { getU64 } from '../format/structure.js';
import { SUPERBLOCK } from '../format/superblock.js';
import type { Volume } from './volume.js';

const AT = SUPERBLOCK.at;

/**
 * Compares the superblock of AG `agno` with what it should agree with. The primary one counts inodes and free
 * blocks over all AGs; a copy agrees with the primary in everything that shapes the filesystem. The counters
 * are only written at unmount, so with `counters: false` (a log that is not clean) they are left alone.
 */
export function checkSuperblockCounters(
  volume: Volume,
  agno: number,
  sector: DataView,
  report: Report,
  options: { counters?: boolean } = {},
): void {
  const bad = (field: string, value: number | string, expected: string): void =>
    report({ structure: 'sb', agno, agbno: 0, field, value, expected });
  if (agno !== 0) {
    for (const { name, type, offset } of SUPERBLOCK.fields) {
      if (!SHAPE.has(name)) continue;
      const value = type.get(sector, offset, false) as number | string;
      const primary = type.get(volume.superblock, offset, false) as number | string;
      if (value !== primary) bad(name, value, `${primary}, as in the primary superblock`);
    }
    return;
  }
  if (options.counters === false) return;
  let icount = 0;
  let ifree = 0;
  let fdblocks = 0;
  for (let i = 0; i < volume.g.agcount; i++) {
    const agf = volume.header(i, 'agf');
    const agi = volume.header(i, 'agi');
    icount += agi.getUint32(AGI.at.count);
    ifree += agi.getUint32(AGI.at.freecount);
    fdblocks +=
      agf.getUint32(AGF.at.freeblks) + agf.getUint32(AGF.at.flcount) + agf.getUint32(AGF.at.btreeblks);
  }
  const same = (name: 'icount' | 'ifree' | 'fdblocks', counted: number, what: string): void => {
    const value = getU64(sector, AT[name]);
    if (value !== counted) bad(name, value, `${counted}, ${what}`);
  };
  same('icount', icount, 'the sum of the AGIs');
  same('ifree', ifree, 'the sum of the AGIs');
  same('fdblocks', fdblocks, 'free, free-list and btree blocks of the AGFs');
}

/** Fields every superblock has alike: set by mkfs and growfs. */
const SHAPE: ReadonlySet<string> = new Set([
  'magicnum',
  'blocksize',
  'dblocks',
  'rblocks',
  'rextents',
  'logstart',
  'rextsize',
  'agblocks',
  'agcount',
  'rbmblocks',
  'logblocks',
  'sectsize',
  'inodesize',
  'inopblock',
  'blocklog',
  'sectlog',
  'inodelog',
  'inopblog',
  'agblklog',
  'dirblklog',
  'logsectlog',
  'logsectsize',
  'logsunit',
  'inoalignmt',
  'spino_align',
]);
