/**
 * The geometry of a new filesystem: allocation groups, log, inode alignment. Choices and their order are
 * those of mkfs.xfs 6.1 (xfs_mkfs.c, topology.c), so that the same options give the same filesystem.
 */
import type { Features } from '../format/features.js';
import { BBSIZE } from '../format/log.js';
import { badOption } from './error.js';
import { minimumLogBlocks } from './logsize.js';
import { DEFAULT_BLOCK_SIZE, DEFAULT_SECTOR_SIZE, MAX_LOG_BYTES, type OptionValues } from './options.js';
import type { FeatureChoice } from './profiles.js';
import { formatBytes } from './units.js';

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB = 2 ** 30;
const TIB = 2 ** 40;

const MIN_AG_BYTES = 16 * MIB;
const MAX_AG_BYTES = TIB;
const MIN_LOG_BLOCKS = 512;
const MAX_LOG_BLOCKS = 2 ** 20;
/** Logs of filesystems of 1 GiB and more. */
const MIN_LOG_BYTES = 10 * MIB;
/** What mkfs.xfs gives every filesystem of 300 MiB and more. */
const REALISTIC_LOG_BYTES = 64 * MIB;
const SMALL_FILESYSTEM = 300 * MIB;
const LOG_RATIO = 2048;
const MAX_LOG_STRIPE = 256 * KIB;
const DEFAULT_LOG_STRIPE = 32 * KIB;
const INODES_PER_CHUNK = 64;
const INODE_CLUSTER = 8 * KIB;
const MIN_DIR_BLOCK = 4 * KIB;
/** A log that takes more of the filesystem than this is worth a word. */
const LARGE_LOG_SHARE = 0.8;
/** Blocks of an AG kept for its free list (XFS_ALLOCBT_AGFL_RESERVE). */
const AGFL_RESERVE = 4;

export interface Layout {
  readonly blocksize: number;
  readonly blocklog: number;
  readonly sectsize: number;
  readonly inodesize: number;
  readonly inopblock: number;
  readonly dirblksize: number;
  readonly dblocks: number;
  readonly agblocks: number;
  readonly agcount: number;
  readonly agblklog: number;
  /** Stripe unit and width in blocks. */
  readonly unit: number;
  readonly width: number;
  readonly logAg: number;
  readonly logAgbno: number;
  readonly logblocks: number;
  /** sb_logsunit: bytes, 1 for none. */
  readonly logsunit: number;
  readonly imaxPct: number;
  readonly inoalignmt: number;
  readonly spinoAlign: number;
  readonly features: Features;
  /** Blocks of each AG taken by headers and btree roots. */
  readonly headBlocks: number;
  /** Things mkfs.xfs would say on stderr. */
  readonly warnings: readonly string[];
}

const log2 = (n: number): number => Math.round(Math.log2(n));
const roundUp = (n: number, to: number): number => Math.ceil(n / to) * to;

/**
 * @param bytes size of the image, or of what --size asks for; undefined where -d size alone decides
 * @throws MkfsError naming the option and what is possible
 */
export function planLayout(o: OptionValues, base: FeatureChoice, bytes: number | undefined): Layout {
  const warnings: string[] = [];
  const blocksize = o.blockSize ?? DEFAULT_BLOCK_SIZE;
  const sectsize = o.sectorSize ?? DEFAULT_SECTOR_SIZE;
  if (blocksize < sectsize)
    throw badOption(`-b size=${blocksize}: must be at least the sector size ${sectsize}`);
  if (o.logSectorSize !== undefined && o.logSectorSize !== sectsize)
    throw badOption(`-l sectsize=${o.logSectorSize}: an internal log has the sector size ${sectsize}`);
  const features = chooseFeatures(o, base);
  const dirblksize = chooseDirBlockSize(o, blocksize);
  const inodesize = chooseInodeSize(o, blocksize);
  const dataBlocks = chooseSize(o, blocksize, sectsize, bytes, warnings);
  const stripe = chooseStripe(o, blocksize, sectsize);
  const logStripe = chooseLogStripe(o, blocksize, sectsize, stripe.unit, warnings);
  const ags = chooseAgs(o, blocksize, dataBlocks, stripe, warnings);

  const blocklog = log2(blocksize);
  const inopblock = blocksize / inodesize;
  const cluster = Math.floor((INODE_CLUSTER * (inodesize / 256)) / blocksize);
  const chunk = Math.floor((INODES_PER_CHUNK * inodesize) / blocksize);
  const partial = {
    blocksize,
    blocklog,
    sectsize,
    inodesize,
    inopblock,
    inopblog: log2(inopblock),
    dirblksize,
    dirblkfsbs: dirblksize / blocksize,
    ...ags,
    agblklog: Math.ceil(Math.log2(ags.agblocks)),
    ...stripe,
    logsunit: logStripe === 0 ? 1 : logStripe * blocksize,
    inoalignmt: features.sparseInodes ? chunk : cluster,
    spinoAlign: features.sparseInodes ? cluster : 0,
    features,
    headBlocks: headBlocksOf(sectsize, blocksize, features),
  };
  const log = placeLog(o, partial, logStripe);
  const share = log.logblocks / ags.dblocks;
  if (share > LARGE_LOG_SHARE)
    warnings.push(`the log takes ${log.logblocks} of ${ags.dblocks} blocks: little is left for files`);
  return { ...partial, ...log, imaxPct: chooseMaxPct(o, ags.dblocks, blocksize), warnings };
}

function chooseFeatures(o: OptionValues, base: FeatureChoice): Features {
  const pick = (value: number | undefined, otherwise: boolean): boolean =>
    value === undefined ? otherwise : value === 1;
  const finobt = pick(o.finobt, base.finobt);
  if (!finobt && o.inobtcount === 1)
    throw badOption('-m inobtcount=1: needs the free inode btree, which -m finobt=0 leaves out');
  const reflink = pick(o.reflink, base.reflink);
  if (!reflink && (o.cowExtentSize ?? 0) > 0)
    throw badOption(`-d cowextsize=${o.cowExtentSize}: needs -m reflink=1`);
  return {
    finobt,
    inobtcount: finobt && pick(o.inobtcount, base.inobtcount),
    rmapbt: pick(o.rmapbt, base.rmapbt),
    reflink,
    bigtime: pick(o.bigtime, base.bigtime),
    sparseInodes: pick(o.sparseInodes, base.sparseInodes),
    nrext64: pick(o.nrext64, base.nrext64),
    ftype: true,
    metaUuid: false,
    needsrepair: false,
    exchangeRange: false,
    parent: false,
    metadir: false,
  };
}

function chooseDirBlockSize(o: OptionValues, blocksize: number): number {
  const size = o.dirBlockSize ?? Math.max(blocksize, MIN_DIR_BLOCK);
  if (size < blocksize) throw badOption(`-n size=${size}: must be at least the block size ${blocksize}`);
  return size;
}

function chooseInodeSize(o: OptionValues, blocksize: number): number {
  const size = o.inodesPerBlock === undefined ? (o.inodeSize ?? 512) : blocksize / o.inodesPerBlock;
  const most = Math.min(blocksize / 2, 2 * KIB);
  const flag = o.inodesPerBlock === undefined ? `-i size=${size}` : `-i perblock=${o.inodesPerBlock}`;
  if (size < 512 || size > most)
    throw badOption(`${flag}: inodes in blocks of ${blocksize} bytes have from 512 to ${most} bytes`);
  return size;
}

/** Blocks of the filesystem. */
function chooseSize(
  o: OptionValues,
  blocksize: number,
  sectsize: number,
  bytes: number | undefined,
  warnings: string[],
): number {
  // An image is used up to a whole number of sectors and KiB.
  const unit = Math.max(sectsize, KIB);
  const usable = bytes === undefined ? undefined : Math.floor(bytes / unit) * unit;
  let blocks: number;
  if (o.dataSize !== undefined) {
    if (o.dataSize % KIB !== 0) throw badOption(`-d size=${o.dataSize}: must be a multiple of 1 KiB`);
    blocks = Math.floor(o.dataSize / blocksize);
    if (o.dataSize % blocksize !== 0)
      warnings.push(
        `-d size=${o.dataSize} is not a multiple of the block size ${blocksize}: ${blocks * blocksize} is used`,
      );
    if (usable !== undefined && blocks * blocksize > usable)
      throw badOption(`-d size=${formatBytes(o.dataSize)}: the image has only ${formatBytes(usable)}`);
  } else {
    if (usable === undefined) throw badOption('no size: give --size, or -d size=');
    blocks = Math.floor(usable / blocksize);
  }
  if (blocks * blocksize < MIN_AG_BYTES)
    throw badOption(
      `${o.dataSize === undefined ? 'size' : '-d size'}=${formatBytes(blocks * blocksize)}: an XFS filesystem has at least 16 MiB`,
    );
  return blocks;
}

/** Data stripe in blocks. */
function chooseStripe(o: OptionValues, blocksize: number, sectsize: number): { unit: number; width: number } {
  let unit: number;
  let width: number;
  let flag: string;
  if ((o.stripeUnit ?? 0) > 0 || (o.stripeWidth ?? 0) > 0) {
    if (o.stripeUnit === undefined) throw badOption('-d sw needs -d su, the stripe unit in bytes');
    if (o.stripeWidth === undefined) throw badOption('-d su needs -d sw, the width in stripe units');
    unit = o.stripeUnit;
    width = o.stripeUnit * o.stripeWidth;
    flag = `-d su=${o.stripeUnit},sw=${o.stripeWidth}`;
  } else {
    if ((o.stripeUnitSectors === undefined) !== (o.stripeWidthSectors === undefined))
      throw badOption('-d sunit and -d swidth go together');
    unit = (o.stripeUnitSectors ?? 0) * BBSIZE;
    width = (o.stripeWidthSectors ?? 0) * BBSIZE;
    flag = `-d sunit=${o.stripeUnitSectors},swidth=${o.stripeWidthSectors}`;
  }
  if (width > 2 ** 31 - 1) throw badOption(`${flag}: a stripe width of ${width} bytes, at most 2147483647`);
  if (unit === 0 && width === 0) return { unit: 0, width: 0 };
  if (unit === 0 || width === 0) throw badOption(`${flag}: unit and width are both above 0 or both 0`);
  if (unit % sectsize !== 0)
    throw badOption(`${flag}: a stripe unit of ${unit} bytes, not a multiple of the sector size ${sectsize}`);
  if (unit > width || width % unit !== 0)
    throw badOption(`${flag}: the width ${width} is not a multiple of the unit ${unit}`);
  if (unit % blocksize !== 0 || width % blocksize !== 0)
    throw badOption(
      `${flag}: unit ${unit} and width ${width} must be multiples of the block size ${blocksize}`,
    );
  return { unit: unit / blocksize, width: width / blocksize };
}

/** Log stripe unit in blocks, 0 for none. */
function chooseLogStripe(
  o: OptionValues,
  blocksize: number,
  sectsize: number,
  stripeUnit: number,
  warnings: string[],
): number {
  let bytes = 0;
  let flag = '';
  if (o.logStripeUnitSectors !== undefined) {
    bytes = o.logStripeUnitSectors * BBSIZE;
    flag = `-l sunit=${o.logStripeUnitSectors}`;
  } else if (o.logStripeUnit !== undefined) {
    bytes = o.logStripeUnit;
    flag = `-l su=${o.logStripeUnit}`;
  } else if (sectsize > BBSIZE) bytes = blocksize;
  if (bytes % blocksize !== 0)
    throw badOption(`${flag}: must be a multiple of the block size ${blocksize} bytes`);
  const unit = bytes > 0 ? bytes / blocksize : stripeUnit;
  if (unit * blocksize <= MAX_LOG_STRIPE) return unit;
  if (flag !== '')
    warnings.push(`log stripe unit of ${unit * blocksize} bytes is above 256 KiB: 32 KiB is used`);
  return Math.floor(DEFAULT_LOG_STRIPE / blocksize);
}

interface Ags {
  readonly dblocks: number;
  readonly agblocks: number;
  readonly agcount: number;
}

/** Largest AG in blocks: 1 TiB less a byte. */
const maxAgBlocks = (blocksize: number): number => Math.floor((MAX_AG_BYTES - 1) / blocksize);

/** How many AGs of what size where nothing was asked for. */
function defaultAgs(blocks: number, blocksize: number, striped: boolean): number {
  const bytes = blocks * blocksize;
  const largest = maxAgBlocks(blocksize);
  if (bytes >= 32 * TIB) return largest;
  let shift: number;
  if (!striped && bytes >= 4 * TIB) return largest;
  if (!striped && bytes >= 128 * MIB) shift = 2;
  else {
    shift = 5;
    if (bytes <= 512 * GIB) shift--;
    if (bytes <= 8 * GIB) shift--;
    if (bytes < 128 * MIB) shift--;
    if (bytes < 64 * MIB) shift--;
    if (bytes < 32 * MIB) shift--;
  }
  const size = Math.floor(blocks / 2 ** shift);
  return blocks % 2 ** shift !== 0 && size < largest ? size + 1 : size;
}

function chooseAgs(
  o: OptionValues,
  blocksize: number,
  dataBlocks: number,
  stripe: { unit: number; width: number },
  warnings: string[],
): Ags {
  const minBlocks = MIN_AG_BYTES / blocksize;
  const maxBlocks = maxAgBlocks(blocksize);
  const countOf = (size: number): number => Math.ceil(dblocks / size);
  let dblocks = dataBlocks;
  let agblocks: number;
  let agcount: number;
  if (o.agSize !== undefined) {
    if (o.agSize % blocksize !== 0)
      throw badOption(`-d agsize=${o.agSize}: must be a multiple of the block size ${blocksize}`);
    agblocks = o.agSize / blocksize;
    agcount = countOf(agblocks);
  } else if (o.agCount !== undefined) {
    agcount = o.agCount;
    agblocks = Math.ceil(dblocks / agcount);
  } else {
    agblocks = defaultAgs(dblocks, blocksize, stripe.unit > 0);
    agcount = countOf(agblocks);
  }
  if (stripe.unit > 0) {
    const { unit, width } = stripe;
    if (agblocks % unit !== 0) {
      let aligned = roundUp(agblocks, unit);
      if (aligned > maxBlocks) aligned = Math.floor(agblocks / unit) * unit;
      agblocks = aligned;
      if (o.agCount === undefined) agcount = countOf(agblocks);
      if (o.agSize !== undefined)
        warnings.push(`-d agsize is rounded to ${agblocks} blocks, the stripe unit is ${unit}`);
    }
    if (agblocks % width === 0 && width !== unit && agcount > 1) {
      // Every AG would begin on the same disk.
      if (o.agCount !== undefined || o.agSize !== undefined)
        warnings.push(
          `the AG size is a multiple of the stripe width, so all AGs begin on one disk: ${agblocks - unit} blocks would not`,
        );
      else {
        agblocks = agblocks - unit < minBlocks ? agblocks + unit : agblocks - unit;
        agcount = countOf(agblocks);
      }
    }
  }
  const flag =
    o.agCount === undefined ? `agsize=${formatBytes(agblocks * blocksize)}` : `agcount=${o.agCount}`;
  // A last AG that would be too small is left out.
  const rest = dblocks % agblocks;
  if (rest !== 0 && rest < minBlocks && agcount > 1) {
    agcount--;
    dblocks = agcount * agblocks;
    if (o.agCount !== undefined)
      warnings.push(`-d agcount=${o.agCount}: the last AG would be under 16 MiB and is left out`);
  }
  if (agblocks < minBlocks || agblocks > maxBlocks)
    throw badOption(
      `-d ${flag}: makes AGs of ${agblocks} blocks, but they have from ${minBlocks} to ${maxBlocks} (16 MiB to 1 TiB)`,
    );
  if (agblocks > dblocks)
    throw badOption(`-d ${flag}: AGs of ${agblocks} blocks in a filesystem of ${dblocks}`);
  // Rounding AGs up to the stripe can leave fewer of them than were asked for.
  if (countOf(agblocks) !== agcount) agcount = countOf(agblocks);
  const last = dblocks - (agcount - 1) * agblocks;
  if (last < minBlocks)
    throw badOption(`-d ${flag}: leaves ${last} blocks for the last AG, it needs ${minBlocks}`);
  return { dblocks, agblocks, agcount };
}

/** Headers (four sectors), and a root each for the free-space trees, the inode tree and the optional ones. */
function headBlocksOf(sectsize: number, blocksize: number, f: Features): number {
  let blocks = Math.floor((3 * sectsize) / blocksize) + 1 + 3;
  if (f.finobt) blocks++;
  if (f.rmapbt) blocks++;
  if (f.reflink) blocks++;
  return blocks;
}

type LogInput = Omit<Layout, 'logAg' | 'logAgbno' | 'logblocks' | 'imaxPct' | 'warnings'> & {
  readonly inopblog: number;
  readonly dirblkfsbs: number;
};

function placeLog(
  o: OptionValues,
  l: LogInput,
  logStripe: number,
): { logAg: number; logAgbno: number; logblocks: number } {
  const { blocksize } = l;
  let least = Math.max(MIN_LOG_BLOCKS, minimumLogBlocks(l));
  if (o.logSize === undefined && l.dblocks * blocksize >= GIB)
    least = Math.max(least, MIN_LOG_BYTES / blocksize);
  let most = maxUsable(l) - 1;
  if (most < least)
    throw badOption(
      `size: the smallest log for these features has ${least} blocks and an AG only room for ${most}: ` +
        'make the filesystem larger, or fewer and larger AGs',
    );
  const chosen = o.logSize !== undefined;
  if (chosen && (o.logSize as number) % KIB !== 0)
    throw badOption(`-l size=${o.logSize}: must be a multiple of 1 KiB`);
  let blocks = chosen ? Math.floor((o.logSize as number) / blocksize) : defaultLogBlocks(l, least, most);
  const tooLarge = (limit: number): Error =>
    badOption(
      `-l size=${formatBytes(blocks * blocksize)}: an internal log has from ${least} to ${limit} blocks of ${blocksize} bytes here`,
    );
  if (chosen && (blocks > most || blocks > l.agblocks - l.headBlocks)) throw tooLarge(most);

  if (o.logAg !== undefined && o.logAg >= l.agcount)
    throw badOption(`-l agnum=${o.logAg}: must be from 0 to ${l.agcount - 1}`);
  const agno = o.logAg ?? Math.floor(l.agcount / 2);
  if (agno === 0) {
    // Room for an aligned inode chunk and its free list stays in front of the root directory.
    const chunk = Math.floor((INODES_PER_CHUNK * l.inodesize) / blocksize);
    most -= Math.max(chunk * 4, l.unit * 2);
    if (chosen && blocks > most) throw tooLarge(most);
    blocks = Math.min(blocks, most);
  }
  let agbno = l.headBlocks;
  const align = logStripe > 0 ? logStripe : l.unit;
  const length = agno < l.agcount - 1 ? l.agblocks : l.dblocks - (l.agcount - 1) * l.agblocks;
  if (align > 0) {
    // The alignment counts in filesystem block numbers, which have gaps between AGs.
    const start = agno * 2 ** l.agblklog + agbno;
    agbno = roundUp(start, align) - agno * 2 ** l.agblklog;
    if (blocks % align !== 0) {
      if (chosen)
        throw badOption(
          `-l size=${formatBytes(blocks * blocksize)}: must be a multiple of the log stripe unit, ${align * blocksize} bytes`,
        );
      const up = roundUp(blocks, align);
      blocks =
        up > MAX_LOG_BLOCKS || up * blocksize > MAX_LOG_BYTES || up > most
          ? Math.floor(blocks / align) * align
          : up;
    }
    if (agbno + blocks > length && blocks > align) blocks -= align;
  }
  if (agbno + blocks > length)
    throw badOption(
      `${chosen ? `-l size=${formatBytes(blocks * blocksize)}` : 'size'}: the log of ${blocks} blocks does not fit AG ${agno}, ${length} blocks`,
    );
  if (blocks < least) throw tooSmall(blocks, least, blocksize);
  if (blocks > MAX_LOG_BLOCKS || blocks * blocksize > MAX_LOG_BYTES)
    throw tooLarge(Math.min(MAX_LOG_BLOCKS, Math.floor(MAX_LOG_BYTES / blocksize)));
  return { logAg: agno, logAgbno: agbno, logblocks: blocks };
}

const tooSmall = (blocks: number, least: number, blocksize: number): Error =>
  badOption(
    `-l size=${formatBytes(blocks * blocksize)}: the log needs at least ${least} blocks of ${blocksize} bytes with these features`,
  );

/** Blocks of an AG that files could ever use (xfs_alloc_ag_max_usable). */
function maxUsable(l: LogInput): number {
  let taken = Math.ceil((4 * l.sectsize) / l.blocksize) + AGFL_RESERVE + 3;
  if (l.features.finobt) taken++;
  if (l.features.rmapbt) taken++;
  if (l.features.reflink) taken++;
  return l.agblocks - taken;
}

function defaultLogBlocks(l: LogInput, least: number, most: number): number {
  const bytes = l.dblocks * l.blocksize;
  let blocks = Math.floor(Math.floor(bytes / LOG_RATIO) / l.blocksize);
  blocks = Math.max(blocks, REALISTIC_LOG_BYTES / l.blocksize);
  if (bytes < SMALL_FILESYSTEM) blocks = least;
  blocks = Math.min(Math.max(least, blocks), most, MAX_LOG_BLOCKS);
  return blocks * l.blocksize > MAX_LOG_BYTES ? Math.floor(MAX_LOG_BYTES / l.blocksize) : blocks;
}

function chooseMaxPct(o: OptionValues, dblocks: number, blocksize: number): number {
  if (o.maxPct !== undefined && o.maxPct > 0) return o.maxPct;
  const bytes = dblocks * blocksize;
  return bytes < TIB ? 25 : bytes < 50 * TIB ? 5 : 1;
}
