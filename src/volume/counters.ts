/** The superblock's counters and copies against the AG headers. */
import { AGF, AGI } from '../format/ag.js';
import { RMAP_OWN, rmapOwner } from '../format/btree.js';
import { S_IF } from '../format/dinode.js';
import { CorruptionError, type Report } from '../format/fault.js';
import { agbnoOfFsblock, agLength, agnoOfFsblock, fsblockOf } from '../format/geometry.js';
import { getU64 } from '../format/structure.js';
import { NULLFSINO, SUPERBLOCK } from '../format/superblock.js';
import { walkRecords } from './check.js';
import { readInode } from './inode.js';
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
  checkInodeNumbers(volume, sector, bad);
  checkLogPlace(volume, bad);
  const last = volume.g.agcount - 1;
  const length = volume.header(last, 'agf').getUint32(AGF.at.length);
  if (length !== agLength(volume.g, last))
    bad('dblocks', getU64(sector, AT.dblocks), `${last * volume.g.agblocks + length}, by the last AGF`);
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

type Bad = (field: string, value: number | string, expected: string) => void;

/** Inodes the superblock names: the root is a directory, the others are files or not there. */
function checkInodeNumbers(volume: Volume, sector: DataView, bad: Bad): void {
  const typeOf = (ino: number): number => {
    try {
      return readInode(volume, ino).type;
    } catch (error) {
      if (error instanceof CorruptionError) return 0;
      throw error;
    }
  };
  const rootino = getU64(sector, AT.rootino);
  if (typeOf(rootino) !== S_IF.DIR) bad('rootino', rootino, 'the inode of a directory');
  for (const name of ['rbmino', 'rsumino', 'uquotino', 'gquotino', 'pquotino'] as const) {
    const ino = getU64(sector, AT[name]);
    if (ino !== 0 && ino !== NULLFSINO && typeOf(ino) !== S_IF.REG)
      bad(name, ino, 'null, or the inode of a file');
  }
}

/** The log lies where the rmapbt has it. Without an rmapbt nothing else says where it ends. */
function checkLogPlace(volume: Volume, bad: Bad): void {
  const { g } = volume;
  if (!g.features.rmapbt) return;
  const agno = agnoOfFsblock(g, g.logstart);
  const agbno = agbnoOfFsblock(g, g.logstart);
  const silent: Report = () => {};
  let start = -1;
  let blocks = 0;
  const tally = walkRecords(
    volume,
    agno,
    'rmapbt',
    (v, at) => {
      if (rmapOwner(v, at) !== RMAP_OWN.LOG || start >= 0) return;
      start = v.getUint32(at);
      blocks = v.getUint32(at + 4);
    },
    silent,
  );
  if (!tally.sound) return;
  if (start !== agbno)
    bad(
      'logstart',
      g.logstart,
      start < 0 ? 'a block the rmapbt gives to the log' : `${fsblockOf(g, agno, start)}, by the rmapbt`,
    );
  else if (blocks !== g.logblocks) bad('logblocks', g.logblocks, `${blocks}, by the rmapbt`);
}

/** Fields every superblock has alike: set by mkfs and growfs. */
const SHAPE: ReadonlySet<string> = new Set([
  'magicnum',
  'blocksize',
  'dblocks',
  'rblocks',
  'rextents',
  'logstart',
  'uuid',
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
