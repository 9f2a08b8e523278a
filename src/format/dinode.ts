/**
 * The inode core, version 3 (struct xfs_dinode in xfs_format.h): 176 bytes, then the data fork, then at
 * forkoff * 8 bytes the attribute fork, to the end of the inode.
 */
import { bytes, crc, getU64, i8, structure, u8, u16, u32, u64, uuid } from './structure.js';

export const XFS_DINODE_MAGIC = 0x494e; // 'IN'

/**
 * nextents and naextents moved with nrext64: the two layouts differ in these alone, so each has its own
 * table. `DINODE` is the old one; `DINODE64` the one inodes with the nrext64 flag use.
 */
const head = {
  magic: u16,
  mode: u16,
  version: u8,
  format: u8,
  onlink: u16,
  uid: u32,
  gid: u32,
  nlinkv2: u32,
  projid_lo: u16,
  projid_hi: u16,
} as const;
const times = { atime: u64, mtime: u64, ctime: u64, size: u64, nblocks: u64, extsize: u32 } as const;
const tail = {
  forkoff: u8,
  aformat: i8,
  dmevmask: u32,
  dmstate: u16,
  flags: u16,
  gen: u32,
  next_unlinked: u32,
  crc: crc,
  change_count: u64,
  lsn: u64,
  flags2: u64,
  cowextsize: u32,
  pad2: bytes(12),
  crtime: u64,
  inumber: u64,
  uuid: uuid,
} as const;
export const DINODE = structure(
  'dinode',
  { ...head, v3_pad: u64, ...times, nextents: u32, naextents: u16, ...tail },
  176,
);
export const DINODE64 = structure(
  'dinode',
  { ...head, nextents: u64, ...times, naextents: u32, nrext64_pad: u16, ...tail },
  176,
);
export const DINODE_SIZE = DINODE.size;

const AT = DINODE.at;

/** di_format: what a fork holds. */
export const FORK_FORMAT = {
  DEV: 0,
  LOCAL: 1,
  EXTENTS: 2,
  BTREE: 3,
  UUID: 4,
  RMAP: 5,
  META_BTREE: 5,
} as const;
export const FORK_FORMAT_NAME = ['dev', 'local', 'extents', 'btree', 'uuid', 'rmap'] as const;

/** File types of di_mode (the usual S_IF bits). */
export const S_IFMT = 0o170000;
export const S_IF = {
  FIFO: 0o010000,
  CHR: 0o020000,
  DIR: 0o040000,
  BLK: 0o060000,
  REG: 0o100000,
  LNK: 0o120000,
  SOCK: 0o140000,
} as const;

export const DIFLAG = {
  REALTIME: 1 << 0,
  PREALLOC: 1 << 1,
  NEWRTBM: 1 << 2,
  IMMUTABLE: 1 << 3,
  APPEND: 1 << 4,
  SYNC: 1 << 5,
  NOATIME: 1 << 6,
  NODUMP: 1 << 7,
  RTINHERIT: 1 << 8,
  PROJINHERIT: 1 << 9,
  NOSYMLINKS: 1 << 10,
  EXTSIZE: 1 << 11,
  EXTSZINHERIT: 1 << 12,
  NODEFRAG: 1 << 13,
  FILESTREAM: 1 << 14,
} as const;

/** flags2 stays within 32 bits; its high half is zero in every filesystem there is. */
export const DIFLAG2 = {
  DAX: 1 << 0,
  REFLINK: 1 << 1,
  COWEXTSIZE: 1 << 2,
  BIGTIME: 1 << 3,
  NREXT64: 1 << 4,
  METADATA: 1 << 5,
} as const;

/** Largest number of extents a fork may hold, without and with nrext64 (xfs_format.h). */
export const MAX_EXTENTS = { data: 2 ** 31 - 1, attr: 2 ** 15 - 1, data64: 2 ** 48 - 1, attr64: 2 ** 32 - 1 };

export const dinodeFlags2 = (v: DataView, base: number): number => v.getUint32(base + AT.flags2 + 4);
export const dinodeIsReflink = (v: DataView, base: number): boolean =>
  (dinodeFlags2(v, base) & DIFLAG2.REFLINK) !== 0;
export const dinodeIsNrext64 = (v: DataView, base: number): boolean =>
  (dinodeFlags2(v, base) & DIFLAG2.NREXT64) !== 0;

/** Extents of the data fork. */
export const dinodeNextents = (v: DataView, base: number): number =>
  dinodeIsNrext64(v, base) ? getU64(v, base + DINODE64.at.nextents) : v.getUint32(base + AT.nextents);
/** Extents of the attribute fork. */
export const dinodeNaextents = (v: DataView, base: number): number =>
  dinodeIsNrext64(v, base) ? v.getUint32(base + DINODE64.at.naextents) : v.getUint16(base + AT.naextents);

export const dinodeMode = (v: DataView, base: number): number => v.getUint16(base + AT.mode);
export const dinodeSize = (v: DataView, base: number): number => getU64(v, base + AT.size);
export const dinodeProjid = (v: DataView, base: number): number =>
  v.getUint16(base + AT.projid_hi) * 0x1_0000 + v.getUint16(base + AT.projid_lo);

/** Bytes of the data fork inside an inode of `inodesize` bytes. */
export const dataForkSize = (v: DataView, base: number, inodesize: number): number => {
  const forkoff = v.getUint8(base + AT.forkoff);
  return forkoff === 0 ? inodesize - DINODE_SIZE : Math.min(forkoff * 8, inodesize - DINODE_SIZE);
};
/** Bytes of the attribute fork: 0 where there is none. */
export const attrForkSize = (v: DataView, base: number, inodesize: number): number => {
  const forkoff = v.getUint8(base + AT.forkoff);
  return forkoff === 0 ? 0 : Math.max(0, inodesize - DINODE_SIZE - forkoff * 8);
};
/** Byte position of the attribute fork from the inode's start. */
export const attrForkAt = (v: DataView, base: number): number =>
  DINODE_SIZE + v.getUint8(base + AT.forkoff) * 8;

/** The dinode's layout, by its own nrext64 flag. */
export const dinodeLayout = (v: DataView, base: number): typeof DINODE | typeof DINODE64 =>
  dinodeIsNrext64(v, base) ? DINODE64 : DINODE;

/** Seconds from the bigtime epoch (1901-12-13T20:45:52Z) to the Unix epoch (xfs_format.h). */
export const BIGTIME_EPOCH_OFFSET = 2 ** 31;
/** The last second bigtime has, counted from its epoch (XFS_BIGTIME_TIME_MAX: 2486-07-02). */
const BIGTIME_MAX = 18_446_744_072;

export interface Timespec {
  /** Seconds since the Unix epoch. */
  readonly sec: number;
  readonly nsec: number;
}

export const NSEC_PER_SEC = 1_000_000_000;

/** A timestamp at `at`: nanoseconds since 1901 with bigtime, else two signed 32-bit halves. */
export function readTimestamp(v: DataView, at: number, bigtime: boolean): Timespec {
  if (!bigtime) return { sec: v.getInt32(at), nsec: v.getUint32(at + 4) };
  // 64-bit nanoseconds divided by 10^9 without BigInt: the remainder of the high half carries down.
  const hi = v.getUint32(at);
  const lo = v.getUint32(at + 4);
  const billion = NSEC_PER_SEC;
  const hiSec = Math.floor(hi / billion);
  // (hi % 10^9) * 2^32 passes 2^53, so divide in two 16-bit steps.
  let rest = hi % billion;
  const step1 = rest * 65536 + (lo >>> 16);
  const q1 = Math.floor(step1 / billion);
  rest = step1 % billion;
  const step2 = rest * 65536 + (lo & 0xffff);
  const q2 = Math.floor(step2 / billion);
  const nsec = step2 % billion;
  const sec = hiSec * 2 ** 32 + q1 * 65536 + q2 - BIGTIME_EPOCH_OFFSET;
  return { sec, nsec };
}

/** Writes a timestamp; times outside the format's range are clamped, as Linux does. */
export function writeTimestamp(v: DataView, at: number, t: Timespec, bigtime: boolean): void {
  const wanted = t.sec + BIGTIME_EPOCH_OFFSET;
  const sec = Math.max(0, Math.min(bigtime ? BIGTIME_MAX : 2 ** 32 - 1, wanted));
  const nsec = sec === wanted ? t.nsec : 0;
  if (!bigtime) {
    v.setInt32(at, sec - BIGTIME_EPOCH_OFFSET);
    v.setUint32(at + 4, nsec);
    return;
  }
  // sec * 10^9 passes 2^53: in two steps of 16 bits.
  const billion = NSEC_PER_SEC;
  const upper = Math.floor(sec / 65536) * billion;
  const lower = (upper % 65536) * 65536 + (sec % 65536) * billion + nsec;
  v.setUint32(at, Math.floor(upper / 65536) + Math.floor(lower / 2 ** 32));
  v.setUint32(at + 4, lower % 2 ** 32);
}

/** Bytes an in-inode extent list takes; used to bound nextents of a fork in extents format. */
export const maxForkExtents = (forkSize: number): number => Math.floor(forkSize / 16);
