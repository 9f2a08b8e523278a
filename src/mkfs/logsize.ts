/**
 * The smallest log a filesystem may have: Linux refuses to mount one whose largest transaction does not fit
 * three times. The arithmetic is that of xfs_log_rlimit.c and xfs_trans_resv.c to the byte, the worst case of
 * older kernels included (rmap trees taken as nine levels high, eight rolls of a write with reflink), because
 * a log sized by it must satisfy them all. Newer kernels ask for more in one case, rmapbt without reflink, and
 * are given it here though mkfs.xfs 6.1 does not.
 */
import { maxHeights } from '../build/heights.js';
import { BTREES, LONG_BLOCK, maxLeafRecords } from '../format/btree.js';
import type { Features } from '../format/features.js';
import { BBSIZE, XLOG_HEADER_CYCLE_SIZE, XLOG_MAX_RECORD_SIZE } from '../format/log.js';

export interface LogSizeGeometry {
  readonly blocksize: number;
  readonly sectsize: number;
  readonly inodesize: number;
  readonly agblocks: number;
  readonly agblklog: number;
  readonly inopblog: number;
  /** Blocks of a directory block. */
  readonly dirblkfsbs: number;
  readonly inoalignmt: number;
  /** sb_logsunit: bytes, 1 for none. */
  readonly logsunit: number;
  readonly features: Features;
}

/** Op header and buf log format of a logged buffer, rounded up to 128 bytes. */
const BUF_OVERHEAD = 128;
const OP_HEADER = 12;
const INODE_LOG_FORMAT = 56;
const TRANS_HEADER = 16;
/** Six dquots: log format (24) and disk_dquot (104) each. */
const DQUOT_RES = (24 + 104) * 6;
const DA_NODE_MAXDEPTH = 5;
const SYMLINK_MAXLEN = 1024;
const MAXNAMELEN = 256;
/** Height older kernels assumed of every rmap tree with reflink (XFS_OLD_REFLINK_RMAP_MAXLEVELS). */
const OLD_RMAP_HEIGHT = 9;
const OLD_REFLINK_ROLLS = 8;
/** Transactions of the largest size a log must hold (XFS_MIN_LOG_FACTOR). */
const LOG_FACTOR = 3;

interface Reservation {
  /** Bytes of one roll. */
  readonly bytes: number;
  readonly rolls: number;
}

/** The smallest log in blocks. */
export function minimumLogBlocks(g: LogSizeGeometry): number {
  const largest = largestTransaction(g);
  let bytes = unitReservation(largest.bytes, g.logsunit);
  if (largest.rolls > 1) bytes *= largest.rolls;
  let basic = Math.ceil(bytes / BBSIZE);
  if (g.logsunit > 1) {
    const sunit = g.logsunit / BBSIZE;
    basic = Math.ceil(basic / sunit) * sunit + 2 * sunit;
  } else basic += 2 * BBSIZE; // bytes taken as basic blocks since the first of these formulas
  return Math.ceil((basic * LOG_FACTOR) / (g.blocksize / BBSIZE));
}

/** What a transaction of `bytes` takes in the log with record headers, split operations and padding. */
function unitReservation(bytes: number, logsunit: number): number {
  const headers = (XLOG_MAX_RECORD_SIZE / XLOG_HEADER_CYCLE_SIZE) * BBSIZE;
  const space = XLOG_MAX_RECORD_SIZE - headers;
  let unit = bytes + OP_HEADER + TRANS_HEADER + OP_HEADER;
  let records = Math.ceil(unit / space);
  unit += OP_HEADER * records;
  while (records === 0 || Math.ceil(unit / space) > records) {
    unit += OP_HEADER;
    records++;
  }
  unit += headers * records + headers;
  return unit + 2 * (logsunit > 1 ? logsunit : BBSIZE);
}

function largestTransaction(g: LogSizeGeometry): Reservation {
  const { blocksize: bs, sectsize: ss, features: f } = g;
  const heights = maxHeights(g);
  const buf = (count: number, size: number): number => count * (size + BUF_OVERHEAD);
  const inode = (count: number): number =>
    count * (4 * OP_HEADER + INODE_LOG_FORMAT + g.inodesize + 2 * LONG_BLOCK.size);

  /** The largest of them; `rmapHeight` and the old counts make it the minimum-log flavour. */
  const rmapHeight = f.rmapbt && f.reflink ? OLD_RMAP_HEIGHT : heights.rmap;
  const allocFree = (ops: number): number =>
    ops * 2 * (2 * heights.alloc - 1) + (f.rmapbt ? ops * (2 * rmapHeight - 1) : 0);
  const refcount = (ops: number): number => ops * (2 * heights.refcount - 1);

  const inobt = buf(heights.inobt, bs) + buf(allocFree(1), bs);
  const finobt = f.finobt ? inobt : 0;
  const chunkFree = buf(allocFree(1), bs) + buf(inodeChunkBlocks(g), 0);
  const chunkAlloc = buf(allocFree(1), bs);
  const cluster = inodeClusterBytes(g);

  // Blocks a change to a directory or attribute fork can log, its bmbt blocks included.
  const contiguous = maxLeafRecords(BTREES.bnobt, bs) - (maxLeafRecords(BTREES.bnobt, bs) >> 1);
  const extentsAdd = (extents: number, height: number): number =>
    Math.ceil(extents / contiguous) * (height - 1);
  const dirBmap = extentsAdd(g.dirblkfsbs, heights.dataFork);
  const dirOp = g.dirblkfsbs * (DA_NODE_MAXDEPTH + 2) + (DA_NODE_MAXDEPTH + 2) * dirBmap + 1;

  const refcountOld = f.reflink ? buf(refcount(2), bs) : 0;
  const write =
    DQUOT_RES +
    Math.max(
      inode(1) + buf(heights.dataFork, bs) + buf(3, ss) + buf(allocFree(2), bs) + refcountOld,
      buf(5, ss) + buf(allocFree(2), bs) + refcountOld,
    );
  const itruncate =
    DQUOT_RES +
    Math.max(
      inode(1) + buf(heights.dataFork + 1, bs),
      buf(9, ss) + buf(allocFree(4), bs) + (f.reflink ? buf(refcount(4), bs) : 0),
    );
  // Linux from 6.16 on counts the completion of an atomic write: a truncation as it is reserved today.
  const atomicWrite =
    DQUOT_RES +
    Math.max(
      inode(1) + buf(heights.dataFork + 1, bs),
      buf(9, ss) + buf(allocFree(4), bs),
      f.reflink ? buf(2, ss) + buf(refcount(2), bs) : 0,
    );
  const atomicWriteRolls = 2 + (f.reflink || f.rmapbt ? 1 : 0) + (f.reflink ? 1 : 0) + (f.rmapbt ? 1 : 0);
  const unlinkedRemove = buf(1, ss) + 2 * cluster;
  const unlinkedAdd = buf(1, ss) + cluster;
  const createModify = inode(2) + buf(1, ss) + bs + buf(dirOp, bs) + finobt;
  const createAlloc = buf(2, ss) + ss + chunkAlloc + inobt + finobt;
  const create = DQUOT_RES + Math.max(createAlloc, createModify);
  const attrsetm = DQUOT_RES + inode(1) + buf(1, ss) + buf(DA_NODE_MAXDEPTH, bs);
  const attrsetrt = buf(1, ss) + buf(heights.attrFork, bs);

  const writeRolls = f.reflink ? OLD_REFLINK_ROLLS : 2;
  // In the order the kernel lists them: of two that need the same space the first one counts.
  const all: Reservation[] = [
    { bytes: write, rolls: writeRolls },
    { bytes: itruncate, rolls: writeRolls },
    // rename
    {
      bytes: DQUOT_RES + Math.max(inode(5) + buf(2 * dirOp, bs), buf(7, ss) + buf(allocFree(3), bs)),
      rolls: 2,
    },
    // link
    {
      bytes:
        DQUOT_RES + unlinkedRemove + Math.max(inode(2) + buf(dirOp, bs), buf(3, ss) + buf(allocFree(1), bs)),
      rolls: 2,
    },
    // remove
    {
      bytes:
        DQUOT_RES + unlinkedAdd + Math.max(inode(2) + buf(dirOp, bs), buf(4, ss) + buf(allocFree(2), bs)),
      rolls: 2,
    },
    // symlink
    { bytes: create + buf(1, SYMLINK_MAXLEN), rolls: 3 },
    { bytes: create, rolls: 2 },
    // tmpfile
    { bytes: DQUOT_RES + createAlloc + unlinkedAdd, rolls: 2 },
    // mkdir
    { bytes: create, rolls: 3 },
    // ifree
    {
      bytes: DQUOT_RES + inode(1) + buf(3, ss) + unlinkedRemove + chunkFree + inobt + finobt,
      rolls: 2,
    },
    // growdata
    { bytes: buf(3, ss) + buf(allocFree(1), bs), rolls: 2 },
    // addafork
    {
      bytes:
        DQUOT_RES +
        inode(1) +
        buf(2, ss) +
        buf(1, g.dirblkfsbs * bs) +
        buf(dirBmap + 1, bs) +
        buf(allocFree(1), bs),
      rolls: 2,
    },
    // attrinval
    {
      bytes: Math.max(inode(1) + buf(heights.attrFork, bs), buf(9, ss) + buf(allocFree(4), bs)),
      rolls: 1,
    },
    { bytes: attrsetm, rolls: 3 },
    // attrrm
    {
      bytes:
        DQUOT_RES +
        Math.max(
          inode(1) + buf(DA_NODE_MAXDEPTH, bs) + bs * heights.attrFork + buf(heights.dataFork, 0),
          buf(5, ss) + buf(allocFree(2), bs),
        ),
      rolls: 3,
    },
    // growrtalloc
    { bytes: buf(2, ss) + buf(heights.dataFork, bs) + inode(1) + buf(allocFree(1), bs), rolls: 2 },
    // qm_dqalloc
    { bytes: write + buf(1, bs - 1), rolls: writeRolls },
    { bytes: atomicWrite, rolls: atomicWriteRolls },
  ];

  let best: Reservation = { bytes: 0, rolls: 0 };
  for (const r of all) if (r.bytes * r.rolls > best.bytes * best.rolls) best = r;

  // The largest attribute value that is logged, set at run time: the whole of it in one unit.
  const value = Math.floor(bs / 2) + Math.floor(bs / 4) - MAXNAMELEN - 1;
  const attrBlocks =
    DA_NODE_MAXDEPTH +
    DA_NODE_MAXDEPTH * extentsAdd(1, heights.attrFork) +
    Math.ceil(value / bs) +
    extentsAdd(value, heights.attrFork);
  const attrset = attrsetm + attrsetrt * attrBlocks;
  if (attrset > best.bytes * best.rolls) best = { bytes: attrset, rolls: 3 };
  return best;
}

/** Blocks an inode chunk takes. */
const inodeChunkBlocks = (g: LogSizeGeometry): number => Math.max(64, 2 ** g.inopblog) / 2 ** g.inopblog;

/** Bytes of the inode buffers Linux reads and logs together. */
export function inodeClusterBytes(
  g: Pick<LogSizeGeometry, 'blocksize' | 'inodesize' | 'inoalignmt'>,
): number {
  let size = 8192;
  const scaled = size * (g.inodesize / 256);
  if (g.inoalignmt >= Math.floor(scaled / g.blocksize)) size = scaled;
  return Math.max(size, g.blocksize);
}
