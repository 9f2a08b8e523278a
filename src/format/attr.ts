/**
 * Extended attributes: packed into the inode's attribute fork (short form), in one leaf block, or in leaves
 * under a hash btree. Values too long for a leaf stand in "remote" blocks of the fork, each with a header.
 * Layouts: xfs_da_format.h and, for parent pointers, xfs_parent. Checks are in attrcheck.ts.
 */
import { DA3_BLKINFO, daHash } from './da.js';
import { array, crc, nested, structure, u8, u16, u32, u64, uuid } from './structure.js';

export const XFS_ATTR3_LEAF_MAGIC = 0x3bee;
export const XFS_ATTR3_RMT_MAGIC = 0x5841524d; // 'XARM'
/** Longest value of an attribute in bytes (XFS_XATTR_SIZE_MAX). */
export const XATTR_SIZE_MAX = 65536;

export const ATTR_FLAG = {
  /** The value stands in the leaf. */
  LOCAL: 1 << 0,
  /** Namespace "trusted". */
  ROOT: 1 << 1,
  /** Namespace "security". */
  SECURE: 1 << 2,
  /** A parent pointer: the name is a directory entry's, the value says which directory. */
  PARENT: 1 << 3,
  /** Being made or removed: not to be shown. */
  INCOMPLETE: 1 << 7,
} as const;
export const ATTR_NAMESPACE_MASK = ATTR_FLAG.ROOT | ATTR_FLAG.SECURE | ATTR_FLAG.PARENT;

export type AttrNamespace = 'user' | 'trusted' | 'security' | 'parent';

/** The namespace of an attribute's flags; undefined where more than one bit is set. */
export function attrNamespace(flags: number): AttrNamespace | undefined {
  switch (flags & ATTR_NAMESPACE_MASK) {
    case 0:
      return 'user';
    case ATTR_FLAG.ROOT:
      return 'trusted';
    case ATTR_FLAG.SECURE:
      return 'security';
    case ATTR_FLAG.PARENT:
      return 'parent';
  }
}

/** Flag bits of a namespace. */
export const NAMESPACE_FLAG: Record<AttrNamespace, number> = {
  user: 0,
  trusted: ATTR_FLAG.ROOT,
  security: ATTR_FLAG.SECURE,
  parent: ATTR_FLAG.PARENT,
};

// Short form.

/** `totsize` counts all bytes, this header's too. */
export const ATTR_SF_HDR = structure('attr sf hdr', { totsize: u16, count: u8, padding: u8 }, 4);
/** Then `namelen` bytes of name and `valuelen` of value. */
export const ATTR_SF_ENTRY = structure('attr sf entry', { namelen: u8, valuelen: u8, flags: u8 }, 3);
export const attrSfEntrySize = (namelen: number, valuelen: number): number =>
  ATTR_SF_ENTRY.size + namelen + valuelen;

// Leaf.

export const ATTR_LEAF_MAP = structure('attr leaf map', { base: u16, size: u16 }, 4);
export const ATTR_LEAF_MAPSIZE = 3;
export const ATTR3_LEAF_HDR = structure(
  'attr3 leaf hdr',
  {
    info: nested(DA3_BLKINFO),
    count: u16,
    usedbytes: u16,
    firstused: u16,
    holes: u8,
    pad1: u8,
    freemap: array(nested(ATTR_LEAF_MAP), ATTR_LEAF_MAPSIZE),
    pad2: u32,
  },
  80,
);
/** `nameidx` is the byte offset in the block of the name and value. */
export const ATTR_LEAF_ENTRY = structure(
  'attr leaf entry',
  { hashval: u32, nameidx: u16, flags: u8, pad2: u8 },
  8,
);
/** Then `namelen` bytes of name and `valuelen` of value. */
export const ATTR_NAME_LOCAL = structure('attr leaf name local', { valuelen: u16, namelen: u8 }, 3);
/** Then the name; the value starts at block `valueblk` of the attribute fork. */
export const ATTR_NAME_REMOTE = structure(
  'attr leaf name remote',
  { valueblk: u32, valuelen: u32, namelen: u8 },
  9,
);

/** Bytes a name and its value take in a leaf, rounded to 4. */
export const attrLocalSize = (namelen: number, valuelen: number): number =>
  (ATTR_NAME_LOCAL.size + namelen + valuelen + 3) & ~3;
/** Bytes a name with a remote value takes: two of padding more than its fields (xfs_da_format.h). */
export const attrRemoteSize = (namelen: number): number => (ATTR_NAME_REMOTE.size + 2 + namelen + 3) & ~3;

/** First used byte of a leaf: 0 stands for 65536, which 16 bits cannot hold. */
export const attrFirstused = (v: DataView): number =>
  v.getUint16(ATTR3_LEAF_HDR.at.firstused) || (v.byteLength === 65536 ? 65536 : 0);

// Remote values.

export const ATTR3_RMT_HDR = structure(
  'attr3 rmt hdr',
  { magic: u32, offset: u32, bytes: u32, crc: crc, uuid: uuid, owner: u64, bno: u64, lsn: u64 },
  56,
);
/** Bytes of a value that one block holds. */
export const attrRemoteSpace = (blocksize: number): number => blocksize - ATTR3_RMT_HDR.size;
export const attrRemoteBlocks = (valuelen: number, blocksize: number): number =>
  Math.ceil(valuelen / attrRemoteSpace(blocksize));

// Parent pointers.

/** A parent pointer's value: the directory that holds the entry (struct xfs_parent_rec). */
export const PARENT_REC = structure('parent rec', { p_ino: u64, p_gen: u32 }, 12);

/** The hash of a parent pointer: the name's, mixed with the parent's inode number. */
export function parentHash(name: Uint8Array, parentIno: number): number {
  return (daHash(name) ^ Math.floor(parentIno / 2 ** 32) ^ (parentIno >>> 0)) >>> 0;
}

/** The hash an attribute is found under, by its flags: parent pointers need their value. */
export function attrHash(flags: number, name: Uint8Array, value: Uint8Array | undefined): number {
  if ((flags & ATTR_FLAG.PARENT) === 0 || value === undefined || value.length < PARENT_REC.size)
    return daHash(name);
  const v = new DataView(value.buffer, value.byteOffset, value.length);
  return (daHash(name) ^ v.getUint32(0) ^ v.getUint32(4)) >>> 0;
}
