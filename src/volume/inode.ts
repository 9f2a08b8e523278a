/**
 * Inodes: one by number, checked; and all of a filesystem in disk order, chunk by chunk through the inobt,
 * with one read a chunk.
 */

import { sameUuidAt } from '../format/ag.js';
import { crcHolds } from '../format/checksum.js';
import {
  attrForkSize,
  DIFLAG,
  DIFLAG2,
  DINODE,
  DINODE_SIZE,
  DINODE64,
  dataForkSize,
  dinodeFlags2,
  dinodeIsNrext64,
  dinodeIsReflink,
  dinodeMode,
  dinodeNaextents,
  dinodeNextents,
  dinodeProjid,
  dinodeSize,
  FORK_FORMAT,
  MAX_EXTENTS,
  NSEC_PER_SEC,
  readTimestamp,
  S_IF,
  S_IFMT,
  type Timespec,
  XFS_DINODE_MAGIC,
} from '../format/dinode.js';
import { CorruptionError, hex, type Report } from '../format/fault.js';
import {
  agbnoOfAgino,
  aginoOfIno,
  agLength,
  agnoOfIno,
  blockOffset,
  type Geometry,
  INODES_PER_CHUNK,
  inoOf,
  isInoInRange,
} from '../format/geometry.js';
import { verifyLsn } from '../format/log.js';
import { formatUuid, getU64 } from '../format/structure.js';
import { NULLAGINO } from '../format/superblock.js';
import { agTree, walkLeaves } from './btree.js';
import { bytesOf, type Volume } from './volume.js';

const AT = DINODE.at;

/** An inode's bytes with names for what stands in them. Nothing is copied: getters read the block. */
export class Inode {
  readonly ino: number;
  readonly view: DataView;
  /** Byte at which the inode begins in `view`. */
  readonly base: number;
  readonly inodesize: number;

  constructor(ino: number, view: DataView, base: number, inodesize: number) {
    this.ino = ino;
    this.view = view;
    this.base = base;
    this.inodesize = inodesize;
  }

  get mode(): number {
    return dinodeMode(this.view, this.base);
  }
  /** S_IFREG, S_IFDIR ... */
  get type(): number {
    return this.mode & S_IFMT;
  }
  get isDir(): boolean {
    return this.type === S_IF.DIR;
  }
  get isRegular(): boolean {
    return this.type === S_IF.REG;
  }
  get size(): number {
    return dinodeSize(this.view, this.base);
  }
  /** The same to the last byte where it passes 2^53: a sparse file can. */
  get exactSize(): bigint {
    return this.view.getBigUint64(this.base + AT.size);
  }
  get format(): number {
    return this.view.getUint8(this.base + AT.format);
  }
  get aformat(): number {
    return this.view.getInt8(this.base + AT.aformat);
  }
  get nlink(): number {
    return this.view.getUint32(this.base + AT.nlinkv2);
  }
  get uid(): number {
    return this.view.getUint32(this.base + AT.uid);
  }
  get gid(): number {
    return this.view.getUint32(this.base + AT.gid);
  }
  get projid(): number {
    return dinodeProjid(this.view, this.base);
  }
  get generation(): number {
    return this.view.getUint32(this.base + AT.gen);
  }
  get nblocks(): number {
    return getU64(this.view, this.base + AT.nblocks);
  }
  get flags(): number {
    return this.view.getUint16(this.base + AT.flags);
  }
  get flags2(): number {
    return dinodeFlags2(this.view, this.base);
  }
  get isReflink(): boolean {
    return dinodeIsReflink(this.view, this.base);
  }
  get nextents(): number {
    return dinodeNextents(this.view, this.base);
  }
  get naextents(): number {
    return dinodeNaextents(this.view, this.base);
  }
  get extsize(): number {
    return this.view.getUint32(this.base + AT.extsize);
  }
  get cowextsize(): number {
    return this.view.getUint32(this.base + AT.cowextsize);
  }
  get nextUnlinked(): number {
    return this.view.getUint32(this.base + AT.next_unlinked);
  }
  #time(at: number): Timespec {
    return readTimestamp(this.view, this.base + at, (this.flags2 & DIFLAG2.BIGTIME) !== 0);
  }
  get atime(): Timespec {
    return this.#time(AT.atime);
  }
  get mtime(): Timespec {
    return this.#time(AT.mtime);
  }
  get ctime(): Timespec {
    return this.#time(AT.ctime);
  }
  get crtime(): Timespec {
    return this.#time(AT.crtime);
  }
  /** Byte in `view` where the data fork begins. */
  get dataAt(): number {
    return this.base + DINODE_SIZE;
  }
  get dataSize(): number {
    return dataForkSize(this.view, this.base, this.inodesize);
  }
  get hasAttrFork(): boolean {
    return this.view.getUint8(this.base + AT.forkoff) !== 0;
  }
  /** Byte in `view` where the attribute fork begins. */
  get attrAt(): number {
    return this.dataAt + this.view.getUint8(this.base + AT.forkoff) * 8;
  }
  get attrSize(): number {
    return attrForkSize(this.view, this.base, this.inodesize);
  }
  /** Device number of a block or character device: Linux's 32-bit coding, 20 bits of minor. */
  get rdev(): { major: number; minor: number } {
    const dev = this.view.getUint32(this.dataAt);
    return { major: dev >>> 18, minor: dev & 0x3ffff };
  }
}

const DATA_FORMATS: Record<number, readonly number[]> = {
  [S_IF.REG]: [FORK_FORMAT.EXTENTS, FORK_FORMAT.BTREE, FORK_FORMAT.META_BTREE],
  [S_IF.DIR]: [FORK_FORMAT.LOCAL, FORK_FORMAT.EXTENTS, FORK_FORMAT.BTREE],
  [S_IF.LNK]: [FORK_FORMAT.LOCAL, FORK_FORMAT.EXTENTS, FORK_FORMAT.BTREE],
  [S_IF.CHR]: [FORK_FORMAT.DEV],
  [S_IF.BLK]: [FORK_FORMAT.DEV],
  [S_IF.FIFO]: [FORK_FORMAT.DEV],
  [S_IF.SOCK]: [FORK_FORMAT.DEV],
};

/**
 * Checks an inode's core. `allocated` is what the inobt says; a free inode needs no more than its identity.
 * Returns whether the core can be used.
 */
export function verifyInode(g: Geometry, inode: Inode, allocated: boolean, report: Report): boolean {
  const { view: v, base, ino } = inode;
  let ok = true;
  const bad = (field: string, value: number | string, expected: string): void => {
    ok = false;
    report({ structure: 'dinode', ino, field, value, expected });
  };
  if (v.getUint16(base + AT.magic) !== XFS_DINODE_MAGIC) {
    bad('magic', hex(v.getUint16(base + AT.magic)), hex(XFS_DINODE_MAGIC));
    return false;
  }
  const b = bytesOf(v).subarray(base, base + g.inodesize);
  if (!crcHolds(b, AT.crc)) bad('crc', hex(v.getUint32(base + AT.crc, true)), 'the checksum of the inode');
  verifyLsn(g, v, base + AT.lsn, bad);
  verifyIdentity(g, inode, bad);
  const mode = inode.mode;
  if (!allocated) {
    if (mode !== 0) bad('mode', `0${mode.toString(8)}`, '0: the inode btree calls it free');
    return ok;
  }
  if (mode === 0) {
    bad('mode', 0, 'a file type: the inode btree calls it allocated');
    return false;
  }
  verifyFields(g, inode, bad);
  verifyLinks(g, inode, bad);
  verifyTimes(inode, bad);
  return ok;
}

/**
 * Checks what a log item makes of an inode, in use or free, as strictly as xfs_dinode_verify: all but its checksum and
 * LSN, which recovery computes, and its place on an unlinked list, which is logged by another item.
 */
export function verifyCore(g: Geometry, inode: Inode, bad: Bad): void {
  const { view: v, base, flags2, format, nblocks, size } = inode;
  verifyIdentity(g, inode, bad);
  verifyFields(g, inode, bad);
  const onlink = v.getUint16(base + AT.onlink);
  const metadata = (flags2 & DIFLAG2.METADATA) !== 0;
  if (onlink !== 0 && !metadata) bad('onlink', onlink, '0');
  if (format === FORK_FORMAT.META_BTREE && !metadata) bad('format', format, 'no btree of metadata in a file');
  if (!dinodeIsNrext64(v, base) && getU64(v, base + AT.v3_pad) !== 0)
    bad('v3_pad', hex(getU64(v, base + AT.v3_pad)), '0');
  const extents = inode.nextents + inode.naextents;
  if (extents > nblocks || (extents === 0 && nblocks !== 0 && format !== FORK_FORMAT.META_BTREE))
    bad('nblocks', nblocks, `room for ${extents} extents, 0 for none`);
  if (inode.isDir && format !== FORK_FORMAT.LOCAL && size > 0 && size <= inode.dataSize)
    bad('format', format, `1, local, for a directory of ${size} bytes`);
  const forkoff = v.getUint8(base + AT.forkoff);
  if (inode.mode !== 0 && format === FORK_FORMAT.DEV && forkoff > 1)
    bad('forkoff', forkoff, '0 or 1 for a device');
}

function verifyIdentity(g: Geometry, { view: v, base, ino }: Inode, bad: Bad): void {
  if (v.getUint8(base + AT.version) !== 3) bad('version', v.getUint8(base + AT.version), '3');
  if (!sameUuidAt(g, v, base + AT.uuid)) bad('uuid', formatUuid(v, base + AT.uuid), g.metaUuid);
  if (getU64(v, base + AT.inumber) !== ino) bad('inumber', getU64(v, base + AT.inumber), `${ino}`);
}

/** The fields of a core by the filesystem and by each other. */
function verifyFields(g: Geometry, inode: Inode, bad: Bad): void {
  const { view: v, base, mode } = inode;
  const formats = DATA_FORMATS[inode.type];
  if (mode !== 0 && formats === undefined) bad('mode', `0${mode.toString(8)}`, 'a known file type');
  else if (formats?.includes(inode.format) === false)
    bad('format', inode.format, `one of ${formats.join(', ')}, by its mode`);
  // As a number the largest size there is, 2^63 - 1, is 2^63.
  if (v.getUint8(base + AT.size) >= 0x80) bad('size', inode.size, 'below 2^63');
  if ((inode.isDir || inode.type === S_IF.LNK) && inode.size === 0 && inode.nlink > 0)
    bad('size', 0, 'above 0 for a directory or symlink');
  if (inode.type === S_IF.LNK && inode.size > 1024) bad('size', inode.size, 'at most 1024 for a symlink');
  if (inode.format === FORK_FORMAT.DEV && inode.size !== 0)
    bad('size', inode.size, '0: mode says a device, fifo or socket');
  if (inode.nblocks > g.dblocks) bad('nblocks', inode.nblocks, `at most ${g.dblocks}`);
  const forkoff = v.getUint8(base + AT.forkoff);
  if (forkoff * 8 >= g.inodesize - DINODE_SIZE)
    bad('forkoff', forkoff, `below ${(g.inodesize - DINODE_SIZE) / 8}`);
  if (forkoff === 0 && inode.aformat !== FORK_FORMAT.EXTENTS && inode.aformat !== 0)
    bad('aformat', inode.aformat, '2 without an attribute fork');
  if (forkoff !== 0 && (inode.aformat < FORK_FORMAT.LOCAL || inode.aformat > FORK_FORMAT.BTREE))
    bad('aformat', inode.aformat, '1, 2 or 3');
  verifyExtentCounts(g, inode, bad);
  const known =
    DIFLAG2.DAX |
    (g.features.reflink ? DIFLAG2.REFLINK | DIFLAG2.COWEXTSIZE : 0) |
    (g.features.bigtime ? DIFLAG2.BIGTIME : 0) |
    (g.features.nrext64 ? DIFLAG2.NREXT64 : 0) |
    (g.features.metadir ? DIFLAG2.METADATA : 0);
  if (inode.flags2 & ~known || v.getUint32(base + AT.flags2) !== 0)
    bad(
      'flags2',
      hex(getU64(v, base + AT.flags2)),
      `no bits but ${hex(known)} with this filesystem's features`,
    );
  if (inode.isReflink && !inode.isRegular)
    bad('flags2', hex(inode.flags2), 'the reflink flag only where mode says a regular file');
  if ((inode.flags2 & DIFLAG2.DAX) !== 0 && !inode.isRegular && !inode.isDir)
    bad('flags2', hex(inode.flags2), 'the dax flag only where mode says a file or directory');
  if (inode.flags & 0x8000) bad('flags', hex(inode.flags), 'bit 15 clear');
  if (inode.flags & DIFLAG.REALTIME)
    bad('flags', hex(inode.flags), 'no realtime flag without a realtime device');
  if (!inode.isDir && inode.flags & DIR_FLAGS)
    bad('flags', hex(inode.flags), 'flags of directories only where mode says a directory');
  if (dinodeIsNrext64(v, base) && v.getUint16(base + DINODE64.at.nrext64_pad) !== 0)
    bad('nrext64_pad', v.getUint16(base + DINODE64.at.nrext64_pad), '0');
  verifyHints(g, inode, bad);
}

/** Flags that a directory hands on to what is made in it. */
const DIR_FLAGS = DIFLAG.RTINHERIT | DIFLAG.PROJINHERIT | DIFLAG.NOSYMLINKS | DIFLAG.EXTSZINHERIT;

export type Bad = (field: string, value: number | string, expected: string) => void;

const TIMES = ['atime', 'mtime', 'ctime', 'crtime'] as const;

/** Longest extent size hint (XFS_MAX_BMBT_EXTLEN). */
const MAX_HINT = 2 ** 21 - 1;

/** Extent size hints stand exactly where their flags do, for files and directories (xfs_inode_buf.c). */
function verifyHints(g: Geometry, inode: Inode, bad: Bad): void {
  const { flags, extsize, cowextsize } = inode;
  const hinted = (flags & (DIFLAG.EXTSIZE | DIFLAG.EXTSZINHERIT)) !== 0;
  const limit = Math.min(MAX_HINT, Math.floor(g.agblocks / 2));
  if ((flags & DIFLAG.EXTSIZE) !== 0 && !inode.isRegular)
    bad('flags', hex(flags), 'the extsize flag only where mode says a regular file');
  // An inode that is freed loses its flags and keeps its hints.
  const used = inode.mode !== 0;
  if (hinted ? extsize === 0 || extsize > limit : used && extsize !== 0)
    bad('extsize', extsize, hinted ? `1 to ${limit} by its flags` : '0 without a flag for it in flags');
  const cow = (inode.flags2 & DIFLAG2.COWEXTSIZE) !== 0;
  if (cow && !inode.isRegular && !inode.isDir)
    bad('flags2', hex(inode.flags2), 'the cowextsize flag only where mode says a file or directory');
  if (cow ? cowextsize === 0 || cowextsize > limit : used && cowextsize !== 0)
    bad('cowextsize', cowextsize, cow ? `1 to ${limit} by flags2` : '0 without its flag in flags2');
}

/** Without the bigtime flag a time is two numbers, the second of nanoseconds. */
function verifyTimes({ view: v, base, flags2 }: Inode, bad: Bad): void {
  if (flags2 & DIFLAG2.BIGTIME) return;
  for (const time of TIMES) {
    const nsec = v.getUint32(base + AT[time] + 4);
    if (nsec >= NSEC_PER_SEC) bad(`${time}.nsec`, nsec, `below ${NSEC_PER_SEC} without the bigtime flag`);
  }
}

/** An inode with names is on no unlinked list; one without may name the next on its list. */
function verifyLinks(g: Geometry, inode: Inode, bad: Bad): void {
  const next = inode.nextUnlinked;
  if (next === NULLAGINO) return;
  if (inode.nlink > 0) bad('next_unlinked', next, 'null: nlinkv2 says it has names');
  else if (!isInoInRange(g, inoOf(g, agnoOfIno(g, inode.ino), next)))
    bad('next_unlinked', next, 'null or an inode of the AG');
}

function verifyExtentCounts(g: Geometry, inode: Inode, bad: Bad): void {
  const { view: v, base } = inode;
  const big = dinodeIsNrext64(v, base);
  const n = inode.nextents;
  const an = inode.naextents;
  if (n > (big ? MAX_EXTENTS.data64 : MAX_EXTENTS.data)) bad('nextents', n, 'a count the format allows');
  else if (n + an > g.dblocks + g.inodesize)
    bad('nextents', n, `at most ${g.dblocks}, the filesystem's blocks`);
  const inline = Math.floor(inode.dataSize / 16);
  if (inode.format === FORK_FORMAT.EXTENTS && n > inline)
    bad('nextents', n, `at most ${inline} in extents format, in the inode itself`);
  if (inode.format === FORK_FORMAT.BTREE && n <= inline)
    bad('nextents', n, `more than ${inline} in btree format: fewer fit the inode itself`);
  if (inode.format === FORK_FORMAT.LOCAL) {
    if (n !== 0) bad('nextents', n, '0 in local format');
    if (inode.size > inode.dataSize) bad('size', inode.size, `at most ${inode.dataSize} in local format`);
  }
  if (inode.format === FORK_FORMAT.DEV && n !== 0) bad('nextents', n, '0 for a device');
  const ainline = Math.floor(inode.attrSize / 16);
  if (inode.hasAttrFork) {
    if (inode.aformat === FORK_FORMAT.EXTENTS && an > ainline)
      bad('naextents', an, `at most ${ainline} by aformat 2, in the inode itself`);
    if (inode.aformat === FORK_FORMAT.BTREE && an <= ainline)
      bad('naextents', an, `more than ${ainline} by aformat 3: fewer fit the inode itself`);
    if (inode.aformat === FORK_FORMAT.LOCAL && an !== 0) bad('naextents', an, '0 by aformat 1, local');
  } else if (an !== 0) bad('naextents', an, '0 without an attribute fork');
}

/**
 * Inode `ino`, checked. Throws CorruptionError where the number cannot be one, or the inode does not verify.
 * With `verify: false` the bytes are taken as they stand.
 */
export function readInode(volume: Volume, ino: number, options: { verify?: boolean } = {}): Inode {
  const { g } = volume;
  if (!isInoInRange(g, ino))
    throw new CorruptionError({
      structure: 'dinode',
      ino,
      field: 'number',
      value: ino,
      expected: 'an inode number of this filesystem',
    });
  const agino = aginoOfIno(g, ino);
  const block = volume.block(agnoOfIno(g, ino), agbnoOfAgino(g, agino));
  const inode = new Inode(ino, block, (agino % g.inopblock) * g.inodesize, g.inodesize);
  if (options.verify !== false)
    verifyInode(g, inode, true, (fault) => {
      throw new CorruptionError(fault);
    });
  return inode;
}

/** One record of the inobt or finobt, its sparse fields told apart. */
export interface InodeChunk {
  /** First inode of the chunk within its AG. */
  agino: number;
  /** One bit per four inodes: set where the chunk has no blocks. 0 without sparse inodes. */
  holemask: number;
  count: number;
  freecount: number;
  /** The free mask: inodes 32..63 and 0..31 of the chunk. */
  freeHigh: number;
  freeLow: number;
}

/** Reads the record at `at` of an inobt leaf into `into`, which is reused. */
export function readChunk(g: Geometry, leaf: DataView, at: number, into: InodeChunk): void {
  into.agino = leaf.getUint32(at);
  if (g.features.sparseInodes) {
    into.holemask = leaf.getUint16(at + 4);
    into.count = leaf.getUint8(at + 6);
    into.freecount = leaf.getUint8(at + 7);
  } else {
    into.holemask = 0;
    into.count = INODES_PER_CHUNK;
    into.freecount = leaf.getUint32(at + 4);
  }
  into.freeHigh = leaf.getUint32(at + 8);
  into.freeLow = leaf.getUint32(at + 12);
}

export const newChunk = (): InodeChunk => ({
  agino: 0,
  holemask: 0,
  count: 0,
  freecount: 0,
  freeHigh: 0,
  freeLow: 0,
});

/** Whether inode `i` (0..63) of a chunk has blocks on disk. */
export const chunkHas = (c: InodeChunk, i: number): boolean => ((c.holemask >>> (i >> 2)) & 1) === 0;
/** Whether inode `i` (0..63) of a chunk is free. */
export const chunkFree = (c: InodeChunk, i: number): boolean =>
  (((i < 32 ? c.freeLow : c.freeHigh) >>> (i & 31)) & 1) === 1;

const popcount = (n: number): number => {
  let x = n - ((n >>> 1) & 0x5555_5555);
  x = (x & 0x3333_3333) + ((x >>> 2) & 0x3333_3333);
  return (((x + (x >>> 4)) & 0x0f0f_0f0f) * 0x0101_0101) >>> 24;
};

/** Checks what an inobt record says of itself. Returns whether its chunk can be read. */
export function verifyChunk(
  g: Geometry,
  tree: string,
  agno: number,
  agbno: number,
  index: number,
  c: InodeChunk,
  report: Report,
): boolean {
  let ok = true;
  const bad = (field: string, value: number | string, expected: string): void => {
    ok = false;
    report({ structure: tree, agno, agbno, field: `recs[${index + 1}].${field}`, value, expected });
  };
  const first = agbnoOfAgino(g, c.agino);
  const lastBlock = agbnoOfAgino(g, c.agino + INODES_PER_CHUNK - 1);
  // A sparse chunk may lap over the AG's end with inodes it does not have.
  if (first === 0 || first >= agLength(g, agno) || (c.holemask === 0 && lastBlock >= agLength(g, agno)))
    bad('startino', c.agino, 'a chunk inside the AG');
  if (c.agino % Math.min(INODES_PER_CHUNK, g.inopblock) !== 0)
    bad('startino', c.agino, 'a multiple of the inodes in a block');
  const present = INODES_PER_CHUNK - 4 * popcount(c.holemask);
  if (c.count !== present) bad('count', c.count, `${present}, by the holemask`);
  let holesLow = 0;
  let holesHigh = 0;
  if (c.holemask !== 0)
    for (let i = 0; i < 16; i++) {
      if (((c.holemask >>> i) & 1) === 0) continue;
      if (i < 8) holesLow |= 0xf << (i * 4);
      else holesHigh |= 0xf << ((i - 8) * 4);
    }
  const free = popcount(c.freeLow & ~holesLow) + popcount(c.freeHigh & ~holesHigh);
  if (c.freecount !== free) bad('freecount', c.freecount, `${free}, by the free mask`);
  if ((c.freeLow & holesLow) !== holesLow || (c.freeHigh & holesHigh) !== holesHigh)
    bad('free', hex(c.freeHigh * 2 ** 32 + c.freeLow), 'holes of the chunk marked free');
  return ok;
}

/** Takes an inode of the walk. `inode` is made anew for each, its bytes shared with the chunk read. */
export type InodeVisitor = (inode: Inode, allocated: boolean) => void;

/**
 * Visits inodes of the AGs given (all by default) in number order: those in use, and with `free: true` the
 * rest. One read of a chunk's blocks serves its 64 inodes. The inodes are not verified: the visitor decides.
 */
export function walkInodes(
  volume: Volume,
  visit: InodeVisitor,
  options: { agno?: number; free?: boolean; report?: Report } = {},
): void {
  const { g } = volume;
  const report = options.report ?? volume.report;
  const chunk = newChunk();
  const from = options.agno ?? 0;
  const to = options.agno ?? g.agcount - 1;
  for (let agno = from; agno <= to; agno++) {
    walkLeaves(
      volume,
      agTree(volume, agno, 'inobt', report),
      (leaf, numrecs, first, _agno, agbno) => {
        for (let i = 0; i < numrecs; i++) {
          readChunk(g, leaf, first + i * 16, chunk);
          if (verifyChunk(g, 'inobt', agno, agbno, i, chunk, report))
            visitChunk(volume, agno, chunk, visit, options.free === true);
        }
      },
      report,
    );
  }
}

function visitChunk(
  volume: Volume,
  agno: number,
  chunk: InodeChunk,
  visit: InodeVisitor,
  withFree: boolean,
): void {
  const { g } = volume;
  if (chunk.count === chunk.freecount && !withFree) return;
  // Inodes start and end at block borders, except that with 64 KiB blocks a chunk is part of one block.
  const startBlock = agbnoOfAgino(g, chunk.agino);
  const blocks = Math.max(1, INODES_PER_CHUNK / g.inopblock);
  const offset = blockOffset(g, agno, startBlock) + (chunk.agino % g.inopblock) * g.inodesize;
  const b = new Uint8Array(INODES_PER_CHUNK * g.inodesize);
  const view = new DataView(b.buffer);
  if (chunk.holemask === 0) volume.source.read(offset, b);
  else {
    const perBlock = g.inodesize * Math.min(g.inopblock, INODES_PER_CHUNK);
    for (let i = 0; i < blocks; i++) {
      const firstInode = i * Math.min(g.inopblock, INODES_PER_CHUNK);
      let any = false;
      for (let k = 0; k < Math.min(g.inopblock, INODES_PER_CHUNK); k += 4)
        if (chunkHas(chunk, firstInode + k)) any = true;
      if (any) volume.source.read(offset + i * perBlock, b.subarray(i * perBlock, (i + 1) * perBlock));
    }
  }
  for (let i = 0; i < INODES_PER_CHUNK; i++) {
    if (!chunkHas(chunk, i)) continue;
    const free = chunkFree(chunk, i);
    if (free && !withFree) continue;
    visit(new Inode(inoOf(g, agno, chunk.agino + i), view, i * g.inodesize, g.inodesize), !free);
  }
}
