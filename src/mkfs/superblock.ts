/** The superblock of a new filesystem. */
import { INCOMPAT, RO_COMPAT } from '../format/features.js';
import { viewOf } from '../format/structure.js';
import { FEATURES2, SUPERBLOCK, VERSION_5, VERSION_BITS, XFS_SB_MAGIC } from '../format/superblock.js';
import type { Layout } from './layout.js';

export interface Counters {
  readonly icount: number;
  readonly ifree: number;
  readonly fdblocks: number;
}

export interface SpecialInodes {
  readonly root: number;
  readonly rtBitmap: number;
  readonly rtSummary: number;
}

const NULL_INO = 2n ** 64n - 1n;
const log2 = (n: number): number => Math.round(Math.log2(n));

/**
 * One sector, its checksum not yet computed. Copies of AGs other than 0 are written before anything is
 * allocated: counters as they are then, no special inodes, "in progress".
 *
 * @param label bytes of the label, at most 12
 */
export function encodeSuperblock(
  l: Layout,
  uuid: string,
  label: Uint8Array,
  counters: Counters,
  inodes: Partial<SpecialInodes>,
  inprogress: boolean,
): Uint8Array {
  const sector = new Uint8Array(l.sectsize);
  const f = l.features;
  const bits = VERSION_BITS;
  let version = VERSION_5 | bits.NLINK | bits.EXTFLG | bits.DIRV2 | bits.ALIGN | bits.LOGV2 | bits.MOREBITS;
  if (l.unit > 0) version |= bits.DALIGN;
  const ownSector = l.sectsize > 512;
  if (ownSector) version |= bits.SECTOR;
  const features2 = FEATURES2.LAZYSBCOUNT | FEATURES2.PROJID32 | FEATURES2.CRC | FEATURES2.ATTR2;
  let roCompat = 0;
  if (f.finobt) roCompat |= RO_COMPAT.FINOBT;
  if (f.rmapbt) roCompat |= RO_COMPAT.RMAPBT;
  if (f.reflink) roCompat |= RO_COMPAT.REFLINK;
  if (f.inobtcount) roCompat |= RO_COMPAT.INOBTCNT;
  let incompat = INCOMPAT.FTYPE;
  if (f.sparseInodes) incompat |= INCOMPAT.SPINODES;
  if (f.bigtime) incompat |= INCOMPAT.BIGTIME;
  if (f.nrext64) incompat |= INCOMPAT.NREXT64;
  SUPERBLOCK.encode(viewOf(sector), 0, {
    magicnum: XFS_SB_MAGIC,
    blocksize: l.blocksize,
    dblocks: l.dblocks,
    uuid,
    logstart: l.logAg * 2 ** l.agblklog + l.logAgbno,
    rootino: inodes.root ?? NULL_INO,
    rbmino: inodes.rtBitmap ?? NULL_INO,
    rsumino: inodes.rtSummary ?? NULL_INO,
    // No realtime device: an extent of one block, 4 KiB at least.
    rextsize: Math.max(1, 4096 / l.blocksize),
    agblocks: l.agblocks,
    agcount: l.agcount,
    logblocks: l.logblocks,
    versionnum: version,
    sectsize: l.sectsize,
    inodesize: l.inodesize,
    inopblock: l.inopblock,
    blocklog: l.blocklog,
    sectlog: log2(l.sectsize),
    inodelog: log2(l.inodesize),
    inopblog: log2(l.inopblock),
    agblklog: l.agblklog,
    inprogress: inprogress ? 1 : 0,
    imax_pct: l.imaxPct,
    icount: counters.icount,
    ifree: counters.ifree,
    fdblocks: counters.fdblocks,
    inoalignmt: l.inoalignmt,
    unit: l.unit,
    width: l.width,
    dirblklog: log2(l.dirblksize / l.blocksize),
    logsectlog: ownSector ? log2(l.sectsize) : 0,
    logsectsize: ownSector ? l.sectsize : 0,
    logsunit: l.logsunit,
    features2,
    bad_features2: features2,
    features_ro_compat: roCompat,
    features_incompat: incompat,
    spino_align: l.spinoAlign,
  });
  sector.set(label, SUPERBLOCK.at.fname);
  return sector;
}
