/**
 * The superblock: sector 0 of every AG, the first of them primary. Layout: struct xfs_dsb in xfs_format.h;
 * the fields from metadirino on came with Linux 6.13 and 6.15.
 */
import { crcHolds } from './checksum.js';
import { hex, type Report, type Where } from './fault.js';
import { INCOMPAT, LOG_INCOMPAT, RO_COMPAT } from './features.js';
import {
  bytes,
  crc,
  formatUuid,
  getU64,
  structure,
  text,
  u8,
  u16,
  u32,
  u64,
  uuid,
  viewOf,
} from './structure.js';

export const XFS_SB_MAGIC = 0x58465342; // 'XFSB'
/** versionnum: the low nibble is the version, the rest are feature bits every v5 filesystem has set. */
export const VERSION_MASK = 0x000f;
export const VERSION_5 = 5;
export const VERSION_BITS = {
  ATTR: 0x0010,
  NLINK: 0x0020,
  QUOTA: 0x0040,
  ALIGN: 0x0080,
  DALIGN: 0x0100,
  LOGV2: 0x0400,
  SECTOR: 0x0800,
  EXTFLG: 0x1000,
  DIRV2: 0x2000,
  /** Directories that ignore case (mkfs.xfs -n version=ci). */
  BORG: 0x4000,
  MOREBITS: 0x8000,
} as const;
export const FEATURES2 = {
  LAZYSBCOUNT: 0x02,
  ATTR2: 0x08,
  PROJID32: 0x80,
  CRC: 0x100,
  FTYPE: 0x200,
} as const;

export const SUPERBLOCK = structure('sb', {
  magicnum: u32,
  blocksize: u32,
  dblocks: u64,
  rblocks: u64,
  rextents: u64,
  uuid: uuid,
  logstart: u64,
  rootino: u64,
  rbmino: u64,
  rsumino: u64,
  rextsize: u32,
  agblocks: u32,
  agcount: u32,
  rbmblocks: u32,
  logblocks: u32,
  versionnum: u16,
  sectsize: u16,
  inodesize: u16,
  inopblock: u16,
  fname: text(12),
  blocklog: u8,
  sectlog: u8,
  inodelog: u8,
  inopblog: u8,
  agblklog: u8,
  rextslog: u8,
  inprogress: u8,
  imax_pct: u8,
  icount: u64,
  ifree: u64,
  fdblocks: u64,
  frextents: u64,
  uquotino: u64,
  gquotino: u64,
  qflags: u16,
  flags: u8,
  shared_vn: u8,
  inoalignmt: u32,
  unit: u32,
  width: u32,
  dirblklog: u8,
  logsectlog: u8,
  logsectsize: u16,
  logsunit: u32,
  features2: u32,
  bad_features2: u32,
  features_compat: u32,
  features_ro_compat: u32,
  features_incompat: u32,
  features_log_incompat: u32,
  crc: crc,
  spino_align: u32,
  pquotino: u64,
  lsn: u64,
  meta_uuid: uuid,
  metadirino: u64,
  rgcount: u32,
  rgextents: u32,
  rgblklog: u8,
  pad: bytes(7),
  rtstart: u64,
  rtreserved: u64,
});

const AT = SUPERBLOCK.at;

/** Quota flags a v5 filesystem can have (xfs_log_format.h): the bits group and project quota once shared are not. */
const QFLAGS = 0x7cf;
/** Those that say usage is being counted: of users, groups, projects (XFS_*QUOTA_ACCT). */
export const QFLAGS_ACCOUNTING = 0x0001 | 0x0040 | 0x0008;
/** Those that call a quota counted through: of users, groups, projects (XFS_*QUOTA_CHKD). */
export const QFLAGS_CHECKED = 0x0004 | 0x0100 | 0x0400;

/** No inode: all ones on disk, which getU64 reads as 2^64. */
export const NULLFSINO = 2 ** 64;
export const NULLAGBLOCK = 0xffff_ffff;
export const NULLAGINO = 0xffff_ffff;

/** Largest AG the format takes: 1 TiB less one block at 4 KiB (xfs_fs.h XFS_MAX_AG_BYTES). */
export const MAX_AG_BYTES = 2 ** 40;
export const MIN_AG_BYTES = 2 ** 24;
/** Fewest blocks an AG can have (xfs_fs.h XFS_MIN_AG_BLOCKS). */
export const MIN_AG_BLOCKS = 64;

const isPowerOf2 = (n: number): boolean => n > 0 && 2 ** Math.round(Math.log2(n)) === n;
const log2ceil = (n: number): number => Math.ceil(Math.log2(n));

/**
 * Checks everything a superblock says of itself, one sector given. Identity (magic, CRC) first; a sector
 * without the magic is reported as that alone.
 */
export function verifySuperblock(sector: Uint8Array, where: Where, report: Report): void {
  const v = viewOf(sector);
  const bad = (field: string, value: number | string, expected: string): void =>
    report({ structure: 'sb', ...where, field, value, expected });
  const u32at = (name: keyof typeof AT): number => v.getUint32(AT[name]);
  const u16at = (name: keyof typeof AT): number => v.getUint16(AT[name]);
  const u8at = (name: keyof typeof AT): number => v.getUint8(AT[name]);
  const u64at = (name: keyof typeof AT): number => getU64(v, AT[name]);

  if (u32at('magicnum') !== XFS_SB_MAGIC) {
    bad('magicnum', hex(u32at('magicnum')), hex(XFS_SB_MAGIC));
    return;
  }
  const version = u16at('versionnum') & VERSION_MASK;
  if (version !== VERSION_5) {
    bad('versionnum', version, 'version 5');
    return;
  }
  const sectsize = u16at('sectsize');
  if (sectsize < 512 || sectsize > 32768 || !isPowerOf2(sectsize))
    bad('sectsize', sectsize, 'a power of two from 512 to 32768');
  else if (sector.length >= sectsize && !crcHolds(sector.subarray(0, sectsize), AT.crc))
    bad('crc', hex(v.getUint32(AT.crc, true)), 'the checksum of the sector');
  const blocksize = u32at('blocksize');
  if (blocksize < 1024 || blocksize > 65536 || !isPowerOf2(blocksize))
    bad('blocksize', blocksize, 'a power of two from 1024 to 65536');
  if (blocksize < sectsize) bad('blocksize', blocksize, `at least the sector size ${sectsize}`);
  if (2 ** u8at('blocklog') !== blocksize)
    bad('blocklog', u8at('blocklog'), `log2 of blocksize ${blocksize}`);
  if (2 ** u8at('sectlog') !== sectsize) bad('sectlog', u8at('sectlog'), `log2 of sectsize ${sectsize}`);
  const inodesize = u16at('inodesize');
  if (inodesize < 512 || inodesize > 2048 || !isPowerOf2(inodesize) || inodesize * 2 > blocksize)
    bad('inodesize', inodesize, 'a power of two from 512 to 2048, at most half a block');
  if (2 ** u8at('inodelog') !== inodesize)
    bad('inodelog', u8at('inodelog'), `log2 of inodesize ${inodesize}`);
  if (u16at('inopblock') !== blocksize / inodesize)
    bad('inopblock', u16at('inopblock'), `blocksize / inodesize = ${blocksize / inodesize}`);
  if (2 ** u8at('inopblog') !== u16at('inopblock'))
    bad('inopblog', u8at('inopblog'), `log2 of inopblock ${u16at('inopblock')}`);

  const agblocks = u32at('agblocks');
  const agcount = u32at('agcount');
  const dblocks = u64at('dblocks');
  if (agblocks < MIN_AG_BLOCKS || agblocks * blocksize > MAX_AG_BYTES)
    bad('agblocks', agblocks, `from ${MIN_AG_BLOCKS} to 1 TiB of blocks`);
  else if (u8at('agblklog') !== log2ceil(agblocks))
    bad('agblklog', u8at('agblklog'), `log2 of agblocks ${agblocks}, rounded up`);
  if (agcount === 0) bad('agcount', agcount, 'at least 1');
  if (dblocks > agcount * agblocks || dblocks <= (agcount - 1) * agblocks)
    bad(
      'dblocks',
      dblocks,
      `more than ${(agcount - 1) * agblocks}, at most ${agcount * agblocks} by agcount ${agcount} and agblocks`,
    );
  const inPool = (fsblock: number): boolean => {
    const agbno = fsblock % 2 ** u8at('agblklog');
    const agno = Math.floor(fsblock / 2 ** u8at('agblklog'));
    return agno < agcount && agbno < agblocks && agno * agblocks + agbno < dblocks;
  };
  if (!inPool(u64at('logstart'))) bad('logstart', u64at('logstart'), 'a block of the filesystem');
  const logblocks = u32at('logblocks');
  if (logblocks === 0 || logblocks > agblocks) bad('logblocks', logblocks, `from 1 to agblocks ${agblocks}`);
  if (u8at('dirblklog') + u8at('blocklog') > 16)
    bad('dirblklog', u8at('dirblklog'), 'directory blocks of at most 64 KiB');
  if (u8at('imax_pct') > 100) bad('imax_pct', u8at('imax_pct'), 'at most 100');
  // mkfs leaves the flag set in the copies.
  if (u8at('inprogress') !== 0 && (where.agno ?? 0) === 0)
    bad('inprogress', u8at('inprogress'), '0 (mkfs did not finish)');
  if (u16at('versionnum') & VERSION_BITS.SECTOR) {
    const logsect = u16at('logsectsize');
    if (logsect < 512 || logsect > 32768 || !isPowerOf2(logsect))
      bad('logsectsize', logsect, 'a power of two from 512 to 32768, by the sector bit of versionnum');
    if (2 ** u8at('logsectlog') !== logsect)
      bad('logsectlog', u8at('logsectlog'), `log2 of logsectsize ${logsect}`);
  }
  const logsunit = u32at('logsunit');
  if (logsunit > 1 && logsunit % blocksize !== 0) bad('logsunit', logsunit, 'a multiple of blocksize');
  if (logsunit > 256 * 1024) bad('logsunit', logsunit, 'at most 262144');
  if (u32at('features2') !== u32at('bad_features2'))
    bad('bad_features2', hex(u32at('bad_features2')), `features2 ${hex(u32at('features2'))}`);
  const needed = FEATURES2.CRC | FEATURES2.LAZYSBCOUNT | FEATURES2.ATTR2 | FEATURES2.PROJID32;
  if ((u32at('features2') & needed) !== needed)
    bad('features2', hex(u32at('features2')), `the v5 bits ${hex(needed)} set`);
  const bits = VERSION_BITS;
  const always = bits.NLINK | bits.ALIGN | bits.LOGV2 | bits.EXTFLG | bits.DIRV2 | bits.MOREBITS;
  if ((u16at('versionnum') & always & ~bits.ALIGN) !== (always & ~bits.ALIGN))
    bad('versionnum', hex(u16at('versionnum')), `the v5 bits ${hex(always)} set`);
  const rootino = u64at('rootino');
  // mkfs writes the root's number into some of the copies only.
  const unset = rootino === NULLFSINO && (where.agno ?? 0) !== 0;
  if (!unset && !inPool(Math.floor(rootino / u16at('inopblock'))))
    bad('rootino', rootino, 'an inode of the filesystem');
  if (u64at('icount') > dblocks * u16at('inopblock'))
    bad('icount', u64at('icount'), `at most ${dblocks * u16at('inopblock')}`);
  if (u64at('ifree') > u64at('icount')) bad('ifree', u64at('ifree'), `at most icount ${u64at('icount')}`);
  if (u64at('fdblocks') > dblocks) bad('fdblocks', u64at('fdblocks'), `at most dblocks ${dblocks}`);
  const incompat = u32at('features_incompat');
  if (incompat & INCOMPAT.SPINODES) {
    // Chunks are aligned to their own size, so that parts of one never fall into two records.
    const align = u32at('inoalignmt');
    const chunk = Math.floor((64 * inodesize) / blocksize);
    if (align !== chunk) bad('inoalignmt', align, `${chunk}, a chunk of inodes, with sparse inodes`);
    const sparse = u32at('spino_align');
    // Half a chunk; zero where that is less than a block.
    const whole = chunk >= 2;
    if (whole ? sparse === 0 || chunk % sparse !== 0 : sparse > chunk)
      bad('spino_align', sparse, whole ? `a divisor of inoalignmt ${chunk}` : `at most inoalignmt ${chunk}`);
  }
  if (u8at('shared_vn') !== 0) bad('shared_vn', u8at('shared_vn'), '0');
  if (u8at('flags') > 1) bad('flags', hex(u8at('flags')), 'no bits but 1, read-only');
  if (u16at('qflags') & ~QFLAGS) bad('qflags', hex(u16at('qflags')), `no bits but ${hex(QFLAGS)}`);
  const rextBytes = u32at('rextsize') * blocksize;
  if (rextBytes < 4096 || rextBytes > 2 ** 30)
    bad('rextsize', u32at('rextsize'), '4 KiB to 1 GiB of blocks, without a realtime device too');
  if (u64at('rblocks') === 0) {
    for (const name of ['rextents', 'frextents'] as const)
      if (u64at(name) !== 0) bad(name, u64at(name), '0 without a realtime device');
    if (u32at('rbmblocks') !== 0) bad('rbmblocks', u32at('rbmblocks'), '0 without a realtime device');
    if (u8at('rextslog') !== 0) bad('rextslog', u8at('rextslog'), '0 without a realtime device');
  }
  if (u32at('unit') > 0 && u32at('width') % u32at('unit') !== 0)
    bad('width', u32at('width'), `a multiple of unit ${u32at('unit')}`);
  if ((u32at('unit') === 0) !== (u32at('width') === 0))
    bad('unit', u32at('unit'), 'zero exactly where width is');
  if (!(incompat & INCOMPAT.META_UUID) && sector.length >= AT.meta_uuid + 16) {
    let zero = true;
    for (let i = 0; i < 16; i++) if (v.getUint8(AT.meta_uuid + i) !== 0) zero = false;
    if (!zero) bad('meta_uuid', formatUuid(v, AT.meta_uuid), 'zero without the meta_uuid feature');
  }
}

/** Features this program does not read, by name; empty where it reads the filesystem. */
export function unsupportedFeatures(sector: Uint8Array): string[] {
  const v = viewOf(sector);
  const out: string[] = [];
  const unknown = (mask: string, value: number, known: Record<string, number>): void => {
    let rest = value;
    for (const bit of Object.values(known)) rest &= ~bit;
    for (let i = 0; i < 32; i++) if ((rest >>> i) & 1) out.push(`${mask} feature bit ${i}`);
  };
  const incompat = v.getUint32(AT.features_incompat);
  if (v.getUint32(AT.features_compat) !== 0) unknown('compat', v.getUint32(AT.features_compat), {});
  unknown('ro-compat', v.getUint32(AT.features_ro_compat), RO_COMPAT);
  unknown('incompat', incompat, INCOMPAT);
  unknown('log-incompat', v.getUint32(AT.features_log_incompat), LOG_INCOMPAT);
  if (incompat & INCOMPAT.ZONED) out.push('zoned realtime device');
  if (incompat & INCOMPAT.ZONE_GAPS) out.push('zoned realtime device with gaps');
  if (v.getUint16(AT.versionnum) & VERSION_BITS.BORG) out.push('case-insensitive names (ascii-ci)');
  if (getU64(v, AT.rblocks) > 0) out.push('realtime device');
  if (getU64(v, AT.logstart) === 0) out.push('external log device');
  return out;
}

/** A superblock's words of feature bits. */
export type FeatureWord =
  | 'features_compat'
  | 'features_ro_compat'
  | 'features_incompat'
  | 'features_log_incompat';

/** Sets or clears bits of one feature word in a superblock's sector. The checksum is the caller's to set right. */
export function setFeatureBits(sector: Uint8Array, word: FeatureWord, bits: number, on: boolean): void {
  const v = viewOf(sector);
  const now = v.getUint32(AT[word]);
  v.setUint32(AT[word], (on ? now | bits : now & ~bits) >>> 0);
}
