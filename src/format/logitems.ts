/**
 * Log items: what a transaction is made of. An item is one or more regions; the first is a format structure
 * that begins with its type and its number of regions, the others are what it describes. Everything is in
 * the byte order of the machine that wrote the log (`littleEndian` of the table calls) unless marked
 * otherwise. Layouts: xfs_log_format.h, as of Linux 6.18.
 */
import { DIFLAG2, DINODE, DINODE_SIZE } from './dinode.js';
import {
  array,
  bytes,
  type FieldType,
  i32,
  i64,
  type Structure,
  structure,
  u16,
  u32,
  u64,
} from './structure.js';

/** Item types. The RT ones came with Linux 6.14 and belong to realtime filesystems. */
export const LI = {
  EFI: 0x1236,
  EFD: 0x1237,
  IUNLINK: 0x1238,
  INODE: 0x123b,
  BUF: 0x123c,
  DQUOT: 0x123d,
  QUOTAOFF: 0x123e,
  ICREATE: 0x123f,
  RUI: 0x1240,
  RUD: 0x1241,
  CUI: 0x1242,
  CUD: 0x1243,
  BUI: 0x1244,
  BUD: 0x1245,
  ATTRI: 0x1246,
  ATTRD: 0x1247,
  XMI: 0x1248,
  XMD: 0x1249,
  EFI_RT: 0x124a,
  EFD_RT: 0x124b,
  RUI_RT: 0x124c,
  RUD_RT: 0x124d,
  CUI_RT: 0x124e,
  CUD_RT: 0x124f,
} as const;
export type LogItemName = keyof typeof LI;

export const LI_NAME: Readonly<Record<number, LogItemName>> = Object.fromEntries(
  Object.entries(LI).map(([name, type]) => [type, name as LogItemName]),
);

/** The most regions one item can have (XLOG_MAX_REGIONS_IN_ITEM): a 64 KiB buffer, every other chunk. */
export const MAX_REGIONS = 65536 / 128 / 2 + 1;

/** What every format structure begins with. */
export const LOG_ITEM = structure('log item', { type: u16, size: u16 }, 4);

/** A big-endian u32 inside a structure that is otherwise in host order. */
const be32: FieldType = {
  ...u32,
  get: (v, at) => v.getUint32(at),
  set: (v, at, x) => v.setUint32(at, Number(x)),
};

// ---- buffers

/** Bytes one bit of a buffer item's map stands for. */
export const BLF_CHUNK = 128;
/** Words of the map: a 64 KiB buffer, and one to make the structure's size the same everywhere. */
export const BLF_MAP_WORDS = 65536 / BLF_CHUNK / 32 + 1;
export const BLF = {
  /** Holds inodes: only their next_unlinked pointers are replayed, unless it is a fresh allocation. */
  INODE_BUF: 1 << 0,
  /** The blocks were freed: earlier images of the buffer are not replayed. */
  CANCEL: 1 << 1,
  UDQUOT_BUF: 1 << 2,
  PDQUOT_BUF: 1 << 3,
  GDQUOT_BUF: 1 << 4,
} as const;

/** blkno and len count 512-byte blocks of the device. On disk the map has only `map_size` words. */
export const BUF_LOG_FORMAT = structure('buf log format', {
  type: u16,
  size: u16,
  flags: u16,
  len: u16,
  blkno: i64,
  map_size: u32,
  data_map: array(u32, BLF_MAP_WORDS),
});
/** Bytes before the map. */
export const BUF_LOG_FORMAT_HEAD = BUF_LOG_FORMAT.at.data_map;

/** What stands in a buffer, from the upper five bits of its item's flags. */
export const BLFT_SHIFT = 11;
export const BLFT = {
  UNKNOWN: 0,
  UDQUOT: 1,
  PDQUOT: 2,
  GDQUOT: 3,
  BTREE: 4,
  AGF: 5,
  AGFL: 6,
  AGI: 7,
  DINO: 8,
  SYMLINK: 9,
  DIR_BLOCK: 10,
  DIR_DATA: 11,
  DIR_FREE: 12,
  DIR_LEAF1: 13,
  DIR_LEAFN: 14,
  DA_NODE: 15,
  ATTR_LEAF: 16,
  ATTR_RMT: 17,
  SB: 18,
  RTBITMAP: 19,
  RTSUMMARY: 20,
} as const;
export const BLFT_NAME = [
  'unknown',
  'user quota',
  'project quota',
  'group quota',
  'btree',
  'agf',
  'agfl',
  'agi',
  'inodes',
  'symlink',
  'dir block',
  'dir data',
  'dir free',
  'dir leaf1',
  'dir leafn',
  'da node',
  'attr leaf',
  'attr remote',
  'sb',
  'rtbitmap',
  'rtsummary',
] as const;
export const blftOf = (flags: number): number => flags >>> BLFT_SHIFT;

// ---- inodes

const inodeHead = { type: u16, size: u16, fields: u32, asize: u16, dsize: u16 } as const;
const inodeTail = { ino: u64, u: bytes(16), blkno: i64, len: i32, boffset: i32 } as const;
/** `u` holds the device number (u32) where fields has DEV. blkno and len: the inode's cluster, 512-byte blocks. */
export const INODE_LOG_FORMAT = structure('inode log format', { ...inodeHead, pad: u32, ...inodeTail }, 56);
/** As 32-bit machines wrote it, without the padding: told by the region's length. */
export const INODE_LOG_FORMAT_32 = structure('inode log format', { ...inodeHead, ...inodeTail }, 52);
export const inodeLogFormat = (length: number): typeof INODE_LOG_FORMAT | typeof INODE_LOG_FORMAT_32 =>
  length === INODE_LOG_FORMAT_32.size
    ? (INODE_LOG_FORMAT_32 as unknown as typeof INODE_LOG_FORMAT)
    : INODE_LOG_FORMAT;

/** ilf_fields: which regions follow the core, and what else to do. */
export const ILOG = {
  CORE: 0x001,
  DDATA: 0x002,
  DEXT: 0x004,
  DBROOT: 0x008,
  DEV: 0x010,
  UUID: 0x020,
  ADATA: 0x040,
  AEXT: 0x080,
  ABROOT: 0x100,
  /** The blocks of the fork's btree get this inode as their owner. */
  DOWNER: 0x200,
  AOWNER: 0x400,
} as const;
export const ILOG_DFORK = ILOG.DDATA | ILOG.DEXT | ILOG.DBROOT;
export const ILOG_AFORK = ILOG.ADATA | ILOG.AEXT | ILOG.ABROOT;

/** Names of the bits of `flags`, in bit order, lower case. */
export function flagNames(flags: number, names: Readonly<Record<string, number>>): string[] {
  const out: string[] = [];
  for (const name in names) if ((flags & names[name]) !== 0) out.push(name.toLowerCase());
  return out;
}

/**
 * The logged inode core is the dinode of dinode.ts in host order: the same fields at the same offsets
 * (struct xfs_log_dinode). Lists of [offset, width] that turn one into the other; the timestamps are two
 * 32-bit halves each without bigtime. Byte arrays and the CRC keep their order.
 */
function swaps(bigtime: boolean): readonly (readonly [number, number])[] {
  const out: [number, number][] = [];
  for (const f of DINODE.fields) {
    if (f.type.kind !== 'uint' && f.type.kind !== 'int') continue;
    if (!bigtime && /^(a|m|c|cr)time$/.test(f.name)) out.push([f.offset, 4], [f.offset + 4, 4]);
    // nextents/naextents take u32 + u16 in both layouts.
    else if (f.type.size > 1) out.push([f.offset, f.type.size]);
  }
  return out;
}
const SWAPS = { bigtime: swaps(true), legacy: swaps(false) };

/** Whether the logged core's flags2 say bigtime. `base`: the core's position in `v`. */
export const logDinodeIsBigtime = (v: DataView, base: number, littleEndian: boolean): boolean =>
  (v.getUint32(base + DINODE.at.flags2 + (littleEndian ? 0 : 4), littleEndian) & DIFLAG2.BIGTIME) !== 0;

/**
 * Converts between a logged core and the on-disk one, either way (it is its own inverse): reads DINODE_SIZE
 * bytes of `from`, those from `fromAt` on, and writes them to `into` at `at`. `bigtime` as the core's own flags2 say. The core's lsn,
 * crc and next_unlinked are not for replay: the caller keeps those of the inode on disk.
 */
export function swapDinode(
  from: Uint8Array,
  into: Uint8Array,
  at: number,
  littleEndian: boolean,
  bigtime: boolean,
  fromAt = 0,
): void {
  into.set(from.subarray(fromAt, fromAt + DINODE_SIZE), at);
  if (!littleEndian) return;
  for (const [offset, width] of bigtime ? SWAPS.bigtime : SWAPS.legacy)
    for (let i = 0; i < width; i++) into[at + offset + i] = from[fromAt + offset + width - 1 - i];
}

// ---- quota

export const DQUOT_LOG_FORMAT = structure(
  'dquot log format',
  { type: u16, size: u16, id: u32, blkno: i64, len: i32, boffset: u32 },
  24,
);
export const QUOTAOFF_LOG_FORMAT = structure(
  'quotaoff log format',
  { type: u16, size: u16, flags: u32, pad: bytes(12) },
  20,
);

// ---- inode chunks

/** A chunk of `count` inodes of `isize` bytes, initialised with generation `gen`. Big-endian but for its head. */
export const ICREATE_LOG = structure(
  'icreate log',
  { type: u16, size: u16, ag: be32, agbno: be32, count: be32, isize: be32, length: be32, gen: be32 },
  28,
);

// ---- intents and dones: head, then for most an array of extents

const intentHead = { type: u16, size: u16, nextents: u32, id: u64 } as const;
/** The head of EFI, EFD, RUI, CUI and BUI. Of an EFD the id is the EFI's. */
export const INTENT_HEAD = structure('intent', intentHead, 16);
/** RUD, CUD, BUD, ATTRD and XMD whole: the id is that of the intent they finish. */
export const DONE_LOG_FORMAT = structure('done', { type: u16, size: u16, pad: u32, id: u64 }, 16);

/** Extents of EFI and EFD. Machines that align u64 to 4 bytes write them without the padding. */
export const LOG_EXTENT = structure('log extent', { start: u64, len: u32, pad: u32 }, 16);
export const LOG_EXTENT_32 = structure('log extent', { start: u64, len: u32 }, 12);
/** Extents of RUI and BUI: `owner` is an inode or one of RMAP_OWN. */
export const MAP_EXTENT = structure(
  'map extent',
  { owner: i64, startblock: u64, startoff: u64, len: u32, flags: u32 },
  32,
);
/** Extents of CUI. */
export const PHYS_EXTENT = structure('phys extent', { startblock: u64, len: u32, flags: u32 }, 16);

/** The low byte of an extent's flags is what to do. */
export const EXTENT_OP_MASK = 0xff;
export const RMAP_OP_NAME: Record<number, string> = {
  1: 'map',
  2: 'map shared',
  3: 'unmap',
  4: 'unmap shared',
  5: 'convert',
  6: 'convert shared',
  7: 'alloc',
  8: 'free',
};
export const RMAP_EXTENT = { ATTR_FORK: 2 ** 31, BMBT_BLOCK: 2 ** 30, UNWRITTEN: 2 ** 29 } as const;
export const REFCOUNT_OP_NAME: Record<number, string> = {
  1: 'increase',
  2: 'decrease',
  3: 'alloc cow',
  4: 'free cow',
};
export const BMAP_OP_NAME: Record<number, string> = { 1: 'map', 2: 'unmap' };
export const BMAP_EXTENT = { ATTR_FORK: 2 ** 31, UNWRITTEN: 2 ** 30, REALTIME: 2 ** 29 } as const;

/**
 * Attribute intent. Regions: this, the name, the new name (PPTR_REPLACE), the value, the new value
 * (PPTR_REPLACE). Names and values are padded to 4 bytes; the lengths are the true ones. For PPTR_REPLACE
 * name_len is two u16, the old and the new length (see attriNameLengths).
 */
export const ATTRI_LOG_FORMAT = structure(
  'attri log format',
  {
    type: u16,
    size: u16,
    igen: u32,
    id: u64,
    ino: u64,
    op_flags: u32,
    name_len: u32,
    value_len: u32,
    attr_filter: u32,
  },
  40,
);
export const ATTRI_OP = {
  SET: 1,
  REMOVE: 2,
  REPLACE: 3,
  PPTR_SET: 4,
  PPTR_REMOVE: 5,
  PPTR_REPLACE: 6,
} as const;
export const ATTRI_OP_NAME: Record<number, string> = {
  1: 'set',
  2: 'remove',
  3: 'replace',
  4: 'set parent',
  5: 'remove parent',
  6: 'replace parent',
};
export const ATTR_FILTER = { ROOT: 1 << 1, SECURE: 1 << 2, PARENT: 1 << 3, INCOMPLETE: 1 << 7 } as const;

/** Old and new name length of a PPTR_REPLACE; for every other operation the name's length and 0. */
export const attriNameLengths = (v: DataView, base: number, littleEndian: boolean): [number, number] => {
  const at = base + ATTRI_LOG_FORMAT.at.name_len;
  const op = v.getUint32(base + ATTRI_LOG_FORMAT.at.op_flags, littleEndian) & EXTENT_OP_MASK;
  return op === ATTRI_OP.PPTR_REPLACE
    ? [v.getUint16(at, littleEndian), v.getUint16(at + 2, littleEndian)]
    : [v.getUint32(at, littleEndian), 0];
};

/** Exchange of two files' mappings. */
export const XMI_LOG_FORMAT = structure(
  'xmi log format',
  {
    type: u16,
    size: u16,
    pad: u32,
    id: u64,
    inode1: u64,
    inode2: u64,
    igen1: u32,
    igen2: u32,
    startoff1: u64,
    startoff2: u64,
    blockcount: u64,
    flags: u64,
    isize1: u64,
    isize2: u64,
  },
  88,
);
export const EXCHMAPS = {
  ATTR_FORK: 1 << 0,
  SET_SIZES: 1 << 1,
  INO1_WRITTEN: 1 << 2,
  CLEAR_INO1_REFLINK: 1 << 3,
  CLEAR_INO2_REFLINK: 1 << 4,
} as const;

// ---- which intent goes with which done

/** Intents, and the done-item each waits for. */
export const DONE_OF: Readonly<Record<number, number>> = {
  [LI.EFI]: LI.EFD,
  [LI.RUI]: LI.RUD,
  [LI.CUI]: LI.CUD,
  [LI.BUI]: LI.BUD,
  [LI.ATTRI]: LI.ATTRD,
  [LI.XMI]: LI.XMD,
  [LI.EFI_RT]: LI.EFD_RT,
  [LI.RUI_RT]: LI.RUD_RT,
  [LI.CUI_RT]: LI.CUD_RT,
};
/** Done-items, and the intent each finishes. */
export const INTENT_OF: Readonly<Record<number, number>> = Object.fromEntries(
  Object.entries(DONE_OF).map(([intent, done]) => [done, Number(intent)]),
);

/** The format structure of each item type. Arrays of extents behind an intent's head are not part of it. */
export const ITEM_STRUCTURE: Readonly<Record<number, Structure>> = {
  [LI.BUF]: BUF_LOG_FORMAT,
  [LI.INODE]: INODE_LOG_FORMAT,
  [LI.DQUOT]: DQUOT_LOG_FORMAT,
  [LI.QUOTAOFF]: QUOTAOFF_LOG_FORMAT,
  [LI.ICREATE]: ICREATE_LOG,
  [LI.EFI]: INTENT_HEAD,
  [LI.EFD]: INTENT_HEAD,
  [LI.RUI]: INTENT_HEAD,
  [LI.RUD]: DONE_LOG_FORMAT,
  [LI.CUI]: INTENT_HEAD,
  [LI.CUD]: DONE_LOG_FORMAT,
  [LI.BUI]: INTENT_HEAD,
  [LI.BUD]: DONE_LOG_FORMAT,
  [LI.ATTRI]: ATTRI_LOG_FORMAT,
  [LI.ATTRD]: DONE_LOG_FORMAT,
  [LI.XMI]: XMI_LOG_FORMAT,
  [LI.XMD]: DONE_LOG_FORMAT,
  [LI.EFI_RT]: INTENT_HEAD,
  [LI.EFD_RT]: INTENT_HEAD,
  [LI.RUI_RT]: INTENT_HEAD,
  [LI.RUD_RT]: DONE_LOG_FORMAT,
  [LI.CUI_RT]: INTENT_HEAD,
  [LI.CUD_RT]: DONE_LOG_FORMAT,
};

/** The smallest first region of each item that can be read at all, in bytes. */
export const itemMinSize = (type: number): number => {
  if (type === LI.BUF) return BUF_LOG_FORMAT_HEAD;
  if (type === LI.INODE) return INODE_LOG_FORMAT_32.size;
  return ITEM_STRUCTURE[type]?.size ?? LOG_ITEM.size;
};
