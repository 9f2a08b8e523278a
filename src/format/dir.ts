/**
 * Directories. Four forms, smallest first:
 *
 *   short form  entries packed into the inode
 *   block       one directory block: entries, then their hashes at the end
 *   leaf        data blocks from file offset 0, and one leaf block of all hashes at 32 GiB
 *   node        data blocks, a hash btree from 32 GiB on, free-space blocks from 64 GiB on
 *
 * An entry's address is its byte offset in the data space divided by 8. Layouts: xfs_da_format.h. Checks of
 * these structures are in dircheck.ts.
 */
import { DA3_BLKINFO } from './da.js';
import type { Geometry } from './geometry.js';
import { array, crc, getU64, nested, structure, u8, u16, u32, u64, uuid } from './structure.js';

export const XFS_DIR3_BLOCK_MAGIC = 0x58444233; // 'XDB3'
export const XFS_DIR3_DATA_MAGIC = 0x58444433; // 'XDD3'
export const XFS_DIR3_FREE_MAGIC = 0x58444633; // 'XDF3'
export const XFS_DIR3_LEAF1_MAGIC = 0x3df1;
export const XFS_DIR3_LEAFN_MAGIC = 0x3dff;

/** Bytes from one space of a directory (data, leaf, free) to the next. */
export const DIR_SPACE_SIZE = 2 ** 35;
export const DATA_FREE_TAG = 0xffff;
/** A free-space block's entry for a data block that does not exist. */
export const NULLDATAOFF = 0xffff;
/** Address of a leaf entry whose name is gone. */
export const NULL_DATAPTR = 0;
/** Largest inode number a short-form directory stores in 4 bytes. */
export const MAX_SHORT_INUM = 0xffff_ffff;

/** File types in directory entries. */
export const FTYPE = {
  UNKNOWN: 0,
  REG: 1,
  DIR: 2,
  CHR: 3,
  BLK: 4,
  FIFO: 5,
  SOCK: 6,
  LNK: 7,
  WHT: 8,
} as const;
export const FTYPE_MAX = 9;
export const FTYPE_NAME = ['unknown', 'file', 'dir', 'chr', 'blk', 'fifo', 'sock', 'symlink', 'wht'] as const;

/** The file type that goes with di_mode. */
export const ftypeOfMode = (mode: number): number => MODE_FTYPE[(mode >>> 12) & 15];
const MODE_FTYPE = [0, 5, 3, 0, 2, 0, 4, 0, 1, 0, 7, 0, 6, 0, 0, 0];

// Short form. Inode numbers take 8 bytes each where i8count is not 0.

export const SF_INO4 = structure('sfdir ino', { i4: u32 }, 4);
export const SF_INO8 = structure('sfdir ino', { i8: u64 }, 8);
export const SF_HDR4 = structure('sfdir hdr', { count: u8, i8count: u8, parent: nested(SF_INO4) }, 6);
export const SF_HDR8 = structure('sfdir hdr', { count: u8, i8count: u8, parent: nested(SF_INO8) }, 10);
/** Then `namelen` bytes of name, the file type (1 byte, with ftype), and the inode number. */
export const SF_ENTRY = structure('sfdir entry', { namelen: u8, offset: u16 }, 3);

/** Size of the header; `i8` where inode numbers take 8 bytes. */
export const sfHdrSize = (i8: boolean): number => (i8 ? SF_HDR8.size : SF_HDR4.size);
export const sfInoSize = (i8: boolean): number => (i8 ? 8 : 4);
export const sfEntrySize = (namelen: number, i8: boolean, ftype: boolean): number =>
  SF_ENTRY.size + namelen + (ftype ? 1 : 0) + (i8 ? 8 : 4);
export const sfIno = (v: DataView, at: number, i8: boolean): number => (i8 ? getU64(v, at) : v.getUint32(at));

// Data blocks.

export const DIR3_BLK_HDR = structure(
  'dir3 blk hdr',
  { magic: u32, crc: crc, bno: u64, lsn: u64, uuid: uuid, owner: u64 },
  48,
);
export const DATA_FREE = structure('dir data free', { offset: u16, length: u16 }, 4);
/** Free regions a data block's header knows: the longest, longest first. */
export const BESTFREE_COUNT = 3;
export const DIR3_DATA_HDR = structure(
  'dir3 data hdr',
  { hdr: nested(DIR3_BLK_HDR), bestfree: array(nested(DATA_FREE), BESTFREE_COUNT), pad: u32 },
  64,
);
/** Then the name, the file type (with ftype), padding to 8 bytes, and in the last two the tag. */
export const DATA_ENTRY = structure('dir data entry', { inumber: u64, namelen: u8 }, 9);
/** The tag, its own offset, stands in the region's last two bytes. */
export const DATA_UNUSED = structure('dir data unused', { freetag: u16, length: u16 }, 4);

/** Bytes of an active entry, padding and tag included. */
export const dataEntrySize = (namelen: number, ftype: boolean): number =>
  (DATA_ENTRY.size + namelen + (ftype ? 1 : 0) + 2 + 7) & ~7;
/** File type of the entry at `at`: 0 where the filesystem does not store it. */
export const dataEntryFtype = (v: DataView, at: number, ftype: boolean): number =>
  ftype ? v.getUint8(at + DATA_ENTRY.size + v.getUint8(at + DATA_ENTRY.at.namelen)) : 0;

/** At the end of a block-form directory, behind its leaf entries. */
export const BLOCK_TAIL = structure('dir block tail', { count: u32, stale: u32 }, 8);

// Leaf and free-space blocks.

export const LEAF_ENTRY = structure('dir leaf entry', { hashval: u32, address: u32 }, 8);
export const DIR3_LEAF_HDR = structure(
  'dir3 leaf hdr',
  { info: nested(DA3_BLKINFO), count: u16, stale: u16, pad: u32 },
  64,
);
/** At the end of a single leaf; before it `bestcount` u16: the longest free region of each data block. */
export const LEAF_TAIL = structure('dir leaf tail', { bestcount: u32 }, 4);
export const DIR3_FREE_HDR = structure(
  'dir3 free hdr',
  { hdr: nested(DIR3_BLK_HDR), firstdb: u32, nvalid: u32, nused: u32, pad: u32 },
  64,
);

/** Leaf entries a leaf of a node-form directory has room for. */
export const maxLeafEntries = (dirblksize: number): number =>
  Math.floor((dirblksize - DIR3_LEAF_HDR.size) / LEAF_ENTRY.size);
/** Data blocks one free-space block speaks of. */
export const maxFreeBests = (dirblksize: number): number => Math.floor((dirblksize - DIR3_FREE_HDR.size) / 2);

/** File block (in filesystem blocks) where each space starts. */
export const leafSpaceBlock = (g: Geometry): number => DIR_SPACE_SIZE / g.blocksize;
export const freeSpaceBlock = (g: Geometry): number => (2 * DIR_SPACE_SIZE) / g.blocksize;

/** Byte offset of an entry in the data space, from its address. */
export const addressToByte = (address: number): number => address * 8;
export const byteToAddress = (byte: number): number => byte / 8;

/** Where the entries of a data or block-form block end; `count` is the block tail's. Negative if nonsense. */
export const blockEntriesEnd = (dirblksize: number, count: number): number =>
  dirblksize - BLOCK_TAIL.size - count * LEAF_ENTRY.size;

/** Byte offset of the first entry behind '.' and '..', which short-form directories do not store. */
export const firstDataOffset = (ftype: boolean): number =>
  DIR3_DATA_HDR.size + dataEntrySize(1, ftype) + dataEntrySize(2, ftype);
