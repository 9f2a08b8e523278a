/**
 * The seven btrees: six per AG with 32-bit "short" pointers, and the bmbt of a file's fork with 64-bit
 * "long" ones. A block is a header, then either records (level 0) or keys followed by pointers, both arrays
 * sized for a full block. Layouts: struct xfs_btree_block and the record structures in xfs_format.h.
 */
import { AGF, AGI } from './ag.js';
import { BMBT_REC } from './extent.js';
import { bits, crc, i64, type Structure, structure, u8, u16, u32, u64, uuid } from './structure.js';

export const SHORT_BLOCK = structure('short btree block', {
  magic: u32,
  level: u16,
  numrecs: u16,
  leftsib: u32,
  rightsib: u32,
  bno: u64,
  lsn: u64,
  uuid: uuid,
  owner: u32,
  crc: crc,
});

export const LONG_BLOCK = structure('long btree block', {
  magic: u32,
  level: u16,
  numrecs: u16,
  leftsib: u64,
  rightsib: u64,
  bno: u64,
  lsn: u64,
  uuid: uuid,
  owner: u64,
  crc: crc,
  pad: u32,
});

/** The bmbt's root in an inode: no siblings, CRC or owner, for the inode vouches for it. */
export const BMDR_BLOCK = structure('bmdr block', { level: u16, numrecs: u16 });

export const ALLOC_REC = structure('alloc rec', { startblock: u32, blockcount: u32 });
export const INOBT_REC = structure('inobt rec', { startino: u32, freecount: u32, free: u64 });
/** With sparse inodes the 32 bits of freecount are split up. */
export const SPARSE_INOBT_REC = structure('inobt rec', {
  startino: u32,
  holemask: u16,
  count: u8,
  freecount: u8,
  free: u64,
});
export const INOBT_KEY = structure('inobt key', { startino: u32 });
/** The flags share the u64 with the offset: bits 63 (attr fork), 62 (bmbt block), 61 (unwritten). */
export const RMAP_REC = structure(
  'rmap rec',
  {
    startblock: bits(0, 32),
    blockcount: bits(32, 32),
    owner: { ...bits(64, 64), get: (v, at) => i64.get(v, at + 8, false) },
    offset: bits(138, 54),
    extentflag: bits(130, 1),
    attrfork: bits(128, 1),
    bmbtblock: bits(129, 1),
  },
  24,
);
export const RMAP_KEY = structure(
  'rmap key',
  {
    startblock: bits(0, 32),
    owner: { ...bits(32, 64), get: (v, at) => i64.get(v, at + 4, false) },
    offset: bits(106, 54),
    extentflag: bits(98, 1),
    attrfork: bits(96, 1),
    bmbtblock: bits(97, 1),
  },
  20,
);
export const REFCOUNT_REC = structure(
  'refcount rec',
  { cowflag: bits(0, 1), startblock: bits(1, 31), blockcount: bits(32, 32), refcount: bits(64, 32) },
  12,
);
export const REFCOUNT_KEY = structure('refcount key', { cowflag: bits(0, 1), startblock: bits(1, 31) }, 4);
export const BMBT_KEY = structure('bmbt key', { startoff: u64 });

/** Owners in the rmapbt that are no inode (xfs_format.h XFS_RMAP_OWN_*). */
export const RMAP_OWN = {
  NULL: -1,
  UNKNOWN: -2,
  FS: -3,
  LOG: -4,
  AG: -5,
  INOBT: -6,
  INODES: -7,
  REFC: -8,
  COW: -9,
} as const;
export const RMAP_OWNER_NAME: Record<number, string> = {
  [-1]: 'null',
  [-2]: 'unknown',
  [-3]: 'fs',
  [-4]: 'log',
  [-5]: 'ag',
  [-6]: 'inobt',
  [-7]: 'inodes',
  [-8]: 'refcount',
  [-9]: 'cow',
};

/** The owner of an rmap record at `at`: an inode number, or one of RMAP_OWN. Exact below 2^53 both ways. */
export const rmapOwner = (v: DataView, at: number): number =>
  v.getInt32(at + 8) * 0x1_0000_0000 + v.getUint32(at + 12);
export const rmapAttrFork = (v: DataView, at: number): boolean => (v.getUint32(at + 16) & 0x8000_0000) !== 0;
export const rmapBmbtBlock = (v: DataView, at: number): boolean => (v.getUint32(at + 16) & 0x4000_0000) !== 0;
export const rmapUnwritten = (v: DataView, at: number): boolean => (v.getUint32(at + 16) & 0x2000_0000) !== 0;
/** File offset in blocks. */
export const rmapOffset = (v: DataView, at: number): number =>
  (v.getUint32(at + 16) & 0x003f_ffff) * 0x1_0000_0000 + v.getUint32(at + 20);

/** The top bit of a refcount record's start says which domain it is of. */
export const REFC_COWFLAG = 0x8000_0000;
export const refcountIsCow = (v: DataView, at: number): boolean => (v.getUint32(at) & REFC_COWFLAG) !== 0;
export const refcountStart = (v: DataView, at: number): number => v.getUint32(at) & 0x7fff_ffff;
export const MAX_REFCOUNT = 0xffff_ffff;

export type BtreeName = 'bnobt' | 'cntbt' | 'inobt' | 'finobt' | 'rmapbt' | 'refcountbt' | 'bmbt';
export type AgBtreeName = Exclude<BtreeName, 'bmbt'>;

export interface BtreeKind {
  readonly name: BtreeName;
  readonly magic: number;
  /** Long pointers and header: the bmbt alone. */
  readonly long: boolean;
  readonly record: Structure;
  readonly key: Structure;
  /** Nodes carry a low and a high key per pointer: records may overlap (rmapbt). */
  readonly overlapping: boolean;
  readonly header: Structure;
  readonly ptrSize: 4 | 8;
  /** Bytes of keys per pointer in a node. */
  readonly nodeKeySize: number;
}

function kind(
  name: BtreeName,
  magic: number,
  record: Structure,
  key: Structure,
  extra: { long?: boolean; overlapping?: boolean } = {},
): BtreeKind {
  const long = extra.long ?? false;
  const overlapping = extra.overlapping ?? false;
  return {
    name,
    magic,
    long,
    record,
    key,
    overlapping,
    header: long ? LONG_BLOCK : SHORT_BLOCK,
    ptrSize: long ? 8 : 4,
    nodeKeySize: overlapping ? key.size * 2 : key.size,
  };
}

export const BTREES: Record<BtreeName, BtreeKind> = {
  bnobt: kind('bnobt', 0x41423342, ALLOC_REC, ALLOC_REC), // 'AB3B'
  cntbt: kind('cntbt', 0x41423343, ALLOC_REC, ALLOC_REC), // 'AB3C'
  inobt: kind('inobt', 0x49414233, SPARSE_INOBT_REC, INOBT_KEY), // 'IAB3'
  finobt: kind('finobt', 0x46494233, SPARSE_INOBT_REC, INOBT_KEY), // 'FIB3'
  rmapbt: kind('rmapbt', 0x524d4233, RMAP_REC, RMAP_KEY, { overlapping: true }), // 'RMB3'
  refcountbt: kind('refcountbt', 0x52334643, REFCOUNT_REC, REFCOUNT_KEY), // 'R3FC'
  bmbt: kind('bmbt', 0x424d4133, BMBT_REC, BMBT_KEY, { long: true }), // 'BMA3'
};

/** Where an AG btree's root and height stand: in the AGF or the AGI. */
export const AG_BTREE_ROOT: Record<AgBtreeName, { header: 'agf' | 'agi'; root: number; level: number }> = {
  bnobt: { header: 'agf', root: AGF.at.bnoroot, level: AGF.at.bnolevel },
  cntbt: { header: 'agf', root: AGF.at.cntroot, level: AGF.at.cntlevel },
  rmapbt: { header: 'agf', root: AGF.at.rmaproot, level: AGF.at.rmaplevel },
  refcountbt: { header: 'agf', root: AGF.at.refcntroot, level: AGF.at.refcntlevel },
  inobt: { header: 'agi', root: AGI.at.root, level: AGI.at.level },
  finobt: { header: 'agi', root: AGI.at.free_root, level: AGI.at.free_level },
};

/** Records that fit a leaf of `blocksize` bytes. */
export const maxLeafRecords = (k: BtreeKind, blocksize: number): number =>
  Math.floor((blocksize - k.header.size) / k.record.size);
/** Pointers that fit a node of `blocksize` bytes. */
export const maxNodeRecords = (k: BtreeKind, blocksize: number): number =>
  Math.floor((blocksize - k.header.size) / (k.nodeKeySize + k.ptrSize));
export const maxRecords = (k: BtreeKind, blocksize: number, level: number): number =>
  level === 0 ? maxLeafRecords(k, blocksize) : maxNodeRecords(k, blocksize);
/** Pointers that fit the bmbt root inside an inode fork of `forkSize` bytes. */
export const maxRootRecords = (forkSize: number): number =>
  Math.floor((forkSize - BMDR_BLOCK.size) / (BMBT_KEY.size + 8));

/** Byte positions inside a block. Indices count from 0. */
export const recordAt = (k: BtreeKind, index: number): number => k.header.size + index * k.record.size;
export const keyAt = (k: BtreeKind, index: number): number => k.header.size + index * k.nodeKeySize;
export const ptrAt = (k: BtreeKind, blocksize: number, index: number): number =>
  k.header.size + maxNodeRecords(k, blocksize) * k.nodeKeySize + index * k.ptrSize;

/** The record table of a btree in this filesystem: inode records are split up only with sparse inodes. */
export const recordOf = (k: BtreeKind, sparseInodes: boolean): Structure =>
  (k.name === 'inobt' || k.name === 'finobt') && !sparseInodes ? INOBT_REC : k.record;
