/**
 * A filesystem opened for reading: its geometry, its AG headers and its blocks through one cache.
 *
 * Opening checks the primary superblock and refuses what this program does not read; nothing else is
 * touched until asked for. Everything found wrong later goes to `report`: by default it is kept in `faults`,
 * and the caller that cannot go on gets a CorruptionError instead.
 */
import { AG_SECTOR, AGF, AGFL, agflSize, verifyAgf, verifyAgfl, verifyAgi } from '../format/ag.js';
import { CorruptionError, type Fault, type Report } from '../format/fault.js';
import { blockOffset, type Geometry, geometryOf } from '../format/geometry.js';
import { XFS_MD_MAGIC_V1, XFS_MD_MAGIC_V2 } from '../format/metadump.js';
import { getU64, viewOf } from '../format/structure.js';
import { SUPERBLOCK, unsupportedFeatures, verifySuperblock, XFS_SB_MAGIC } from '../format/superblock.js';
import { BlockCache } from '../image/cache.js';
import type { Source } from '../image/source.js';

/** This is no XFS, or one this program does not read. */
export class UnsupportedError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UnsupportedError';
  }
}

/** Most faults of one volume that are kept: a block of noise should not fill memory with them. */
const MAX_FAULTS = 1000;

export class Volume {
  readonly source: Source;
  readonly g: Geometry;
  /** The primary superblock's sector. */
  readonly superblock: DataView;
  readonly cache: BlockCache;
  /** What verifiers found so far, in order, the first thousand of them. */
  readonly faults: Fault[] = [];
  /** Takes every fault; replace it to stop at the first (`throwFault`) or to count. */
  report: Report = (fault) => {
    if (this.faults.length < MAX_FAULTS) this.faults.push(fault);
  };

  constructor(source: Source, superblock: Uint8Array, cacheBytes?: number) {
    this.source = source;
    this.superblock = viewOf(superblock);
    this.g = geometryOf(superblock);
    this.cache = new BlockCache(source, cacheBytes);
  }

  /** Inodes in use, by the superblock's counters. */
  get inodesInUse(): number {
    const { icount, ifree } = SUPERBLOCK.at;
    return getU64(this.superblock, icount) - getU64(this.superblock, ifree);
  }

  /** Block `agbno` of AG `agno`, from the cache. Do not write into it. */
  block(agno: number, agbno: number): DataView {
    return this.cache.get(blockOffset(this.g, agno, agbno), this.g.blocksize);
  }

  /** The sector of an AG header. It is not verified: see `agf`, `agi`, `agfl`. */
  header(agno: number, which: keyof typeof AG_SECTOR): DataView {
    // Read by byte count of a sector, at an offset no block of metadata is cached under but block 0's.
    const offset = blockOffset(this.g, agno, 0) + AG_SECTOR[which] * this.g.sectsize;
    const b = new Uint8Array(this.g.sectsize);
    this.source.read(offset, b);
    return viewOf(b);
  }

  /** The AGF of an AG, verified; faults go to `report`. */
  agf(agno: number, report: Report = this.report): DataView {
    const v = this.header(agno, 'agf');
    verifyAgf(this.g, agno, bytesOf(v), report);
    return v;
  }

  /** The AGI of an AG, verified; faults go to `report`. */
  agi(agno: number, report: Report = this.report): DataView {
    const v = this.header(agno, 'agi');
    verifyAgi(this.g, agno, bytesOf(v), report);
    return v;
  }

  /** The AGFL of an AG, verified against its AGF's slots. */
  agfl(agno: number, agf: DataView, report: Report = this.report): DataView {
    const v = this.header(agno, 'agfl');
    const first = agf.getUint32(AGF.at.flfirst);
    verifyAgfl(this.g, agno, bytesOf(v), first, agf.getUint32(AGF.at.flcount), report);
    return v;
  }

  close(): void {
    this.source.close();
  }
}

/** The bytes a view covers. */
export const bytesOf = (v: DataView): Uint8Array =>
  new Uint8Array(v.buffer as ArrayBuffer, v.byteOffset, v.byteLength);

/** Blocks on an AG's free list, in ring order; values are not checked. */
export function agflBlocks(g: Geometry, agf: DataView, agfl: DataView): number[] {
  const slots = agflSize(g.sectsize);
  const first = agf.getUint32(AGF.at.flfirst) % slots;
  const count = Math.min(agf.getUint32(AGF.at.flcount), slots);
  const out: number[] = [];
  for (let i = 0; i < count; i++) out.push(agfl.getUint32(AGFL.size + ((first + i) % slots) * 4));
  return out;
}

/** What the first bytes of an image say it is, when it is not XFS: for the error message. */
function sniff(source: Source): string {
  const head = new Uint8Array(Math.min(source.size, 4096));
  source.read(0, head);
  const v = viewOf(head);
  if (head.length >= 4 && [XFS_MD_MAGIC_V1, XFS_MD_MAGIC_V2].includes(v.getUint32(0)))
    return 'an xfs_metadump file (xfsimg mdrestore makes an image of it)';
  if (head.length >= 1082 && v.getUint16(1080, true) === 0xef53) return 'an ext2/3/4 filesystem';
  if (head.length >= 520 && String.fromCharCode(...head.subarray(512, 520)) === 'EFI PART')
    return 'a disk with a GPT partition table (use --partition N)';
  if (head.length >= 512 && v.getUint16(510) === 0x55aa)
    return 'a boot sector: perhaps a whole disk (use --partition N)';
  if (head.every((b) => b === 0)) return 'zeros';
  if (head.every((b) => b >= 9 && b < 127)) return 'text';
  return 'unknown data';
}

/** Smallest source worth looking at: a superblock's fields end before this. */
const MIN_SIZE = 512;

/**
 * Opens the filesystem in `source`. Throws UnsupportedError for what is not XFS or not a kind this program
 * reads (naming the feature), CorruptionError for a superblock that contradicts itself.
 */
export function openVolume(source: Source, options: { cacheBytes?: number } = {}): Volume {
  if (source.size === 0) throw new UnsupportedError('not an XFS filesystem: the image is empty (0 bytes)');
  if (source.size < MIN_SIZE)
    throw new UnsupportedError(`not an XFS filesystem: the image has only ${source.size} bytes`);
  const probe = new Uint8Array(512);
  source.read(0, probe);
  const v = viewOf(probe);
  if (v.getUint32(0) !== XFS_SB_MAGIC)
    throw new UnsupportedError(`not an XFS filesystem: found ${sniff(source)}`);
  const version = v.getUint16(SUPERBLOCK.at.versionnum) & 0xf;
  if (version === 4)
    throw new UnsupportedError('XFS version 4 is not supported: only version 5 (mkfs.xfs -m crc=1)');
  const sectsize = v.getUint16(SUPERBLOCK.at.sectsize);
  const readable = sectsize >= 512 && sectsize <= 32768 && source.size >= sectsize;
  const sector = new Uint8Array(readable ? sectsize : 512);
  source.read(0, sector);
  verifySuperblock(sector, { agno: 0, agbno: 0 }, (fault) => {
    throw new CorruptionError(fault);
  });
  const missing = unsupportedFeatures(sector);
  if (missing.length > 0)
    throw new UnsupportedError(`this filesystem uses what xfsimg does not support: ${missing.join(', ')}`);
  const volume = new Volume(source, sector, options.cacheBytes);
  const needed = volume.g.dblocks * volume.g.blocksize;
  if (source.size < needed)
    throw new UnsupportedError(
      `truncated image: the superblock's ${volume.g.dblocks} blocks take ${needed} bytes, the image has ${source.size}`,
    );
  return volume;
}
