/**
 * What follows from a superblock: sizes, shifts and the three ways to name a block.
 *
 *   agbno    block within an AG, 0 .. agblocks-1
 *   fsblock  agno << agblklog | agbno: what inodes and btrees of files store; has gaps between AGs
 *   offset   byte in the image: (agno * agblocks + agbno) * blocksize
 *
 * and an inode number is agno << (agblklog + inopblog) | agino. All plain numbers: divisions and powers of
 * two instead of shifts wherever a value can pass 32 bits.
 */
import { type Features, featuresOf } from './features.js';
import type { Lsn } from './log.js';
import { formatUuid, getU64, viewOf } from './structure.js';
import { FEATURES2, SUPERBLOCK, VERSION_BITS } from './superblock.js';

const AT = SUPERBLOCK.at;

/** Inodes of a chunk, the unit of the inode btrees (xfs_format.h XFS_INODES_PER_CHUNK). */
export const INODES_PER_CHUNK = 64;

export interface Geometry {
  readonly blocksize: number;
  readonly blocklog: number;
  readonly sectsize: number;
  readonly inodesize: number;
  readonly inodelog: number;
  readonly inopblock: number;
  readonly inopblog: number;
  readonly agcount: number;
  readonly agblocks: number;
  readonly agblklog: number;
  readonly dblocks: number;
  readonly logstart: number;
  readonly logblocks: number;
  readonly logsectsize: number;
  readonly logsunit: number;
  /** Directory block in bytes, and in filesystem blocks. */
  readonly dirblksize: number;
  readonly dirblkfsbs: number;
  readonly rootino: number;
  readonly inoalignmt: number;
  readonly spinoAlign: number;
  readonly unit: number;
  readonly width: number;
  readonly imaxPct: number;
  readonly features: Features;
  /** UUID shown to the user, and the one metadata blocks carry (they differ with meta_uuid). */
  readonly uuid: string;
  readonly metaUuid: string;
  /** The metadata UUID as it stands in blocks: 16 bytes. */
  readonly metaUuidBytes: Uint8Array;
  /**
   * Head of the log, which no LSN in metadata can be ahead of: Linux refuses such a block. Known to who has
   * scanned the log and has it looked at (repair); undefined: LSNs are not judged.
   */
  head?: Lsn;
}

/** Derives the geometry of a superblock that has been verified. */
export function geometryOf(sector: Uint8Array): Geometry {
  const v = viewOf(sector);
  const features = featuresOf(v.getUint32(AT.features_ro_compat), v.getUint32(AT.features_incompat));
  const blocksize = v.getUint32(AT.blocksize);
  const dirblklog = v.getUint8(AT.dirblklog);
  const sectsize = v.getUint16(AT.sectsize);
  const uuidAt = features.metaUuid ? AT.meta_uuid : AT.uuid;
  const ownLogSector = (v.getUint16(AT.versionnum) & VERSION_BITS.SECTOR) !== 0;
  return {
    blocksize,
    blocklog: v.getUint8(AT.blocklog),
    sectsize,
    inodesize: v.getUint16(AT.inodesize),
    inodelog: v.getUint8(AT.inodelog),
    inopblock: v.getUint16(AT.inopblock),
    inopblog: v.getUint8(AT.inopblog),
    agcount: v.getUint32(AT.agcount),
    agblocks: v.getUint32(AT.agblocks),
    agblklog: v.getUint8(AT.agblklog),
    dblocks: getU64(v, AT.dblocks),
    logstart: getU64(v, AT.logstart),
    logblocks: v.getUint32(AT.logblocks),
    logsectsize: ownLogSector ? v.getUint16(AT.logsectsize) : 512,
    logsunit: v.getUint32(AT.logsunit),
    dirblksize: blocksize * 2 ** dirblklog,
    dirblkfsbs: 2 ** dirblklog,
    rootino: getU64(v, AT.rootino),
    inoalignmt: v.getUint32(AT.inoalignmt),
    spinoAlign: v.getUint32(AT.spino_align),
    unit: v.getUint32(AT.unit),
    width: v.getUint32(AT.width),
    imaxPct: v.getUint8(AT.imax_pct),
    // Before the incompat bit, v4 had ftype in features2; v5 always has the incompat bit.
    features: { ...features, ftype: features.ftype || (v.getUint32(AT.features2) & FEATURES2.FTYPE) !== 0 },
    uuid: formatUuid(v, AT.uuid),
    metaUuid: formatUuid(v, uuidAt),
    metaUuidBytes: sector.slice(uuidAt, uuidAt + 16),
  };
}

export const agnoOfFsblock = (g: Geometry, fsblock: number): number => Math.floor(fsblock / 2 ** g.agblklog);
export const agbnoOfFsblock = (g: Geometry, fsblock: number): number => fsblock % 2 ** g.agblklog;
export const fsblockOf = (g: Geometry, agno: number, agbno: number): number => agno * 2 ** g.agblklog + agbno;

/** Byte offset of a block in the image. */
export const blockOffset = (g: Geometry, agno: number, agbno: number): number =>
  (agno * g.agblocks + agbno) * g.blocksize;
export const fsblockOffset = (g: Geometry, fsblock: number): number =>
  blockOffset(g, agnoOfFsblock(g, fsblock), agbnoOfFsblock(g, fsblock));

/** Blocks of an AG: the last one may be shorter. */
export const agLength = (g: Geometry, agno: number): number =>
  agno < g.agcount - 1 ? g.agblocks : g.dblocks - (g.agcount - 1) * g.agblocks;

/** Whether [agbno, agbno + blocks) lies inside AG `agno`. */
export const isAgRange = (g: Geometry, agno: number, agbno: number, blocks: number): boolean =>
  agno < g.agcount && blocks >= 1 && agbno + blocks <= agLength(g, agno);

/** Whether [fsblock, fsblock + blocks) lies inside one AG of the filesystem. */
export const isFsRange = (g: Geometry, fsblock: number, blocks: number): boolean =>
  isAgRange(g, agnoOfFsblock(g, fsblock), agbnoOfFsblock(g, fsblock), blocks);

export const agnoOfIno = (g: Geometry, ino: number): number =>
  Math.floor(ino / 2 ** (g.agblklog + g.inopblog));
export const aginoOfIno = (g: Geometry, ino: number): number => ino % 2 ** (g.agblklog + g.inopblog);
export const inoOf = (g: Geometry, agno: number, agino: number): number =>
  agno * 2 ** (g.agblklog + g.inopblog) + agino;
export const agbnoOfAgino = (g: Geometry, agino: number): number => Math.floor(agino / g.inopblock);

/** Byte offset of an inode in the image. */
export const inodeOffset = (g: Geometry, ino: number): number => {
  const agino = aginoOfIno(g, ino);
  return blockOffset(g, agnoOfIno(g, ino), agbnoOfAgino(g, agino)) + (agino % g.inopblock) * g.inodesize;
};

/** Whether an inode number points into an AG, past its headers. */
export const isInoInRange = (g: Geometry, ino: number): boolean => {
  if (!Number.isSafeInteger(ino) || ino < 1) return false;
  const agno = agnoOfIno(g, ino);
  const agbno = agbnoOfAgino(g, aginoOfIno(g, ino));
  return agno < g.agcount && agbno >= firstFreeAgbno(g) && agbno < agLength(g, agno);
};

/** Number of the first block past the four AG header sectors (xfs_ialloc.h, xfs_ag.c). */
export const firstFreeAgbno = (g: Geometry): number => Math.ceil((4 * g.sectsize) / g.blocksize);
