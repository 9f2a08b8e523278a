/**
 * What log items say: the checks recovery makes before it believes one, the dirty chunks of a buffer, the
 * extents of an intent. Byte order as the item's own.
 */
import { DINODE_SIZE } from '../format/dinode.js';
import { DQUOT_SIZE, XFS_DQUOT_MAGIC } from '../format/dquot.js';
import {
  ATTRI_LOG_FORMAT,
  ATTRI_OP,
  attriNameLengths,
  BLF,
  BLF_CHUNK,
  BLFT,
  BUF_LOG_FORMAT,
  BUF_LOG_FORMAT_HEAD,
  blftOf,
  DQUOT_LOG_FORMAT,
  EXTENT_OP_MASK,
  ILOG,
  ILOG_AFORK,
  ILOG_DFORK,
  INODE_LOG_FORMAT,
  INODE_LOG_FORMAT_32,
  INTENT_HEAD,
  INTENT_OF,
  inodeLogFormat,
  itemMinSize,
  LI,
  LI_NAME,
  LOG_EXTENT,
  LOG_EXTENT_32,
  MAP_EXTENT,
  PHYS_EXTENT,
} from '../format/logitems.js';
import type { LogItem } from './logitem.js';

const BUF = BUF_LOG_FORMAT.at;

/** A host-order u64 as a number: exact up to 2^53. */
export const u64Of = (v: DataView, at: number, littleEndian: boolean): number =>
  littleEndian
    ? v.getUint32(at + 4, true) * 0x1_0000_0000 + v.getUint32(at, true)
    : v.getUint32(at) * 0x1_0000_0000 + v.getUint32(at + 4);

/** A host-order s64 as a number: exact below 2^53 both ways. */
export const i64Of = (v: DataView, at: number, littleEndian: boolean): number =>
  littleEndian
    ? v.getInt32(at + 4, true) * 0x1_0000_0000 + v.getUint32(at, true)
    : v.getInt32(at) * 0x1_0000_0000 + v.getUint32(at + 4);

/** Why recovery would not take an item, or undefined. */
export function itemFault(item: LogItem): string | undefined {
  const name = LI_NAME[item.type];
  if (name === undefined) return `unknown log item type 0x${item.type.toString(16)}`;
  const length = item.length(0);
  if (length < itemMinSize(item.type)) return `${name} item of ${length} bytes`;
  if (item.count < item.size) return `${name} item has ${item.count} of its ${item.size} regions`;
  switch (item.type) {
    case LI.BUF:
      return bufFault(item);
    case LI.INODE:
      return inodeFault(item);
    case LI.EFI:
    case LI.EFI_RT:
    case LI.EFD:
    case LI.EFD_RT: {
      const count = intentExtents(item);
      const pads = INTENT_HEAD.size + count * LOG_EXTENT.size;
      const plain = INTENT_HEAD.size + count * LOG_EXTENT_32.size;
      return length === pads || length === plain
        ? undefined
        : `${name} item of ${length} bytes for ${count} extents`;
    }
    case LI.RUI:
    case LI.RUI_RT:
    case LI.BUI:
      return intentFault(item, name, MAP_EXTENT.size);
    case LI.CUI:
    case LI.CUI_RT:
      return intentFault(item, name, PHYS_EXTENT.size);
    case LI.ATTRI:
      return attriFault(item);
    case LI.RUD:
    case LI.RUD_RT:
    case LI.CUD:
    case LI.CUD_RT:
    case LI.BUD:
    case LI.ATTRD:
    case LI.XMI:
    case LI.XMD:
      return length === itemMinSize(item.type) ? undefined : `${name} item of ${length} bytes`;
    case LI.DQUOT:
      return dquotFault(item);
    default:
      return undefined;
  }
}

function intentFault(item: LogItem, name: string, size: number): string | undefined {
  const count = intentExtents(item);
  const length = item.length(0);
  if (item.type === LI.BUI && count !== 1) return `BUI item of ${count} extents, expected 1`;
  return length === INTENT_HEAD.size + count * size
    ? undefined
    : `${name} item of ${length} bytes for ${count} extents`;
}

function bufFault(item: LogItem): string | undefined {
  const words = item.u32(BUF.map_size);
  if (item.length(0) < BUF_LOG_FORMAT_HEAD + words * 4)
    return `BUF item of ${item.length(0)} bytes for a map of ${words} words`;
  if ((bufFlags(item) & BLF.CANCEL) !== 0) return undefined;
  const size = bufBytes(item);
  let end = 0;
  for (checking.start(item); checking.next(); ) end = checking.offset + checking.length;
  if (checking.regions !== item.count - 1 || checking.more)
    return `BUF item with ${item.count - 1} data regions and ${checking.regions}${checking.more ? ' or more' : ''} in its map`;
  // Of version 5 inodes no buffer is logged but for their unlinked pointers.
  if (item.count > 1 && blftOf(bufFlags(item)) === BLFT.DINO && (bufFlags(item) & BLF.INODE_BUF) === 0)
    return 'BUF item of inodes that is not marked as one';
  return end <= size ? undefined : `BUF item that changes bytes up to ${end} of a buffer of ${size}`;
}

function inodeFault(item: LogItem): string | undefined {
  const length = item.length(0);
  if (length !== INODE_LOG_FORMAT.size && length !== INODE_LOG_FORMAT_32.size)
    return `INODE item of ${length} bytes`;
  if (item.size < 2) return 'INODE item without a core';
  if (item.count < 2 || item.length(1) < DINODE_SIZE)
    return `INODE item with a core of ${item.count < 2 ? 0 : item.length(1)} bytes`;
  const fields = inodeFields(item);
  const forks = ((fields & ILOG_DFORK) !== 0 ? 1 : 0) + ((fields & ILOG_AFORK) !== 0 ? 1 : 0);
  return item.count >= 2 + forks
    ? undefined
    : `INODE item with ${item.count} regions for fields 0x${fields.toString(16)}`;
}

/** Recovery passes over quota items: one that is none would take a change of something else with it. */
function dquotFault(item: LogItem): string | undefined {
  const record = item.count === 2 ? item.length(1) : 0;
  if (item.length(0) !== DQUOT_LOG_FORMAT.size || record < DQUOT_SIZE)
    return `DQUOT item of ${item.length(0)} bytes with a record of ${record}`;
  return item.data.getUint16(item.start(1)) === XFS_DQUOT_MAGIC
    ? undefined
    : 'DQUOT item without a quota record';
}

function attriFault(item: LogItem): string | undefined {
  const le = item.littleEndian;
  const op = item.u32(ATTRI_LOG_FORMAT.at.op_flags) & EXTENT_OP_MASK;
  if (op < ATTRI_OP.SET || op > ATTRI_OP.PPTR_REPLACE) return `ATTRI item with operation ${op}`;
  const [name, newName] = attriNameLengths(item.data, item.start(0), le);
  const value = item.u32(ATTRI_LOG_FORMAT.at.value_len);
  let next = 1;
  for (const length of [name, newName, value, newName > 0 ? value : 0]) {
    if (length === 0) continue;
    if (next >= item.count) return `ATTRI item with ${item.count} regions`;
    const logged = item.length(next++);
    if (logged < length) return `ATTRI item with ${logged} bytes where ${length} are announced`;
  }
  return undefined;
}

// ---- buffers

/** BLF bits, and BLFT above BLFT_SHIFT. */
export const bufFlags = (item: LogItem): number => item.u16(BUF.flags);
/** Start of the buffer in 512-byte blocks of the device. */
export const bufBlkno = (item: LogItem): number =>
  i64Of(item.data, item.start(0) + BUF.blkno, item.littleEndian);
export const bufBytes = (item: LogItem): number => item.u16(BUF.len) * 512;
export const bufIsCancelled = (item: LogItem): boolean => (bufFlags(item) & BLF.CANCEL) !== 0;

/**
 * Steps over the logged parts of a buffer, in order, without making anything:
 *
 *     for (chunks.start(item); chunks.next(); ) ... chunks.offset, chunks.length, chunks.memory, chunks.at
 *
 * A run of set bits may be logged as several regions; a region may be longer than what its bits say.
 */
export class BufChunks {
  /** Byte position in the buffer, and number of bytes: a multiple of 128. */
  offset = 0;
  length = 0;
  /** What stands there: `length` bytes of `memory` from `at` on. */
  memory: Uint8Array = EMPTY;
  at = 0;
  #item: LogItem | undefined;
  #data: DataView = NO_VIEW;
  /** Where the map begins. */
  #map = 0;
  #littleEndian = true;
  #bit = 0;
  #bits = 0;
  #region = 1;
  #regions = 0;

  start(item: LogItem): void {
    const words = item.u32(BUF.map_size);
    this.#item = item;
    this.#data = item.data;
    this.memory = item.memory;
    this.#map = item.start(0) + BUF_LOG_FORMAT_HEAD;
    this.#littleEndian = item.littleEndian;
    this.#bit = 0;
    this.#bits = Math.min(words, (item.length(0) - BUF_LOG_FORMAT_HEAD) >>> 2) * 32;
    this.#region = 1;
    this.#regions = item.count;
  }

  /** How many data regions have been stepped over. */
  get regions(): number {
    return this.#region - 1;
  }

  /** Whether the map speaks of parts past the data regions. */
  get more(): boolean {
    for (let bit = this.#bit; bit < this.#bits; bit = (bit | 31) + 1)
      if (this.#data.getUint32(this.#map + (bit >>> 5) * 4, this.#littleEndian) >>> (bit & 31) !== 0)
        return true;
    return false;
  }

  next(): boolean {
    const v = this.#data;
    const map = this.#map;
    const le = this.#littleEndian;
    const bits = this.#bits;
    let bit = this.#bit;
    let word = 0;
    for (;;) {
      if (bit >= bits || this.#region >= this.#regions) return false;
      word = v.getUint32(map + (bit >>> 5) * 4, le) >>> (bit & 31);
      if (word !== 0) break;
      bit = (bit | 31) + 1;
    }
    while ((word & 1) === 0) {
      word >>>= 1;
      bit++;
    }
    const item = this.#item!;
    // A region of less than a chunk says nothing that could be replayed.
    const last = Math.min(bits, bit + (item.length(this.#region) >>> 7));
    if (last === bit) return false;
    let end = bit + 1;
    while (end < last && ((v.getUint32(map + (end >>> 5) * 4, le) >>> (end & 31)) & 1) !== 0) end++;
    this.at = item.start(this.#region);
    this.#region++;
    this.#bit = end;
    this.offset = bit * BLF_CHUNK;
    this.length = (end - bit) * BLF_CHUNK;
    return true;
  }
}
const EMPTY = new Uint8Array(0);
const NO_VIEW = new DataView(EMPTY.buffer);

/** Writes the logged parts over a buffer's bytes; what lies outside `into` is left out. */
export function applyBuf(item: LogItem, into: Uint8Array): void {
  const chunks = new BufChunks();
  for (chunks.start(item); chunks.next(); ) {
    const { offset, length, memory, at } = chunks;
    const fits = Math.min(length, into.length - offset);
    if (fits > 0) into.set(memory.subarray(at, at + fits), offset);
  }
}

const checking = new BufChunks();

// ---- inodes

/** ILOG bits. */
export const inodeFields = (item: LogItem): number => item.u32(INODE_LOG_FORMAT.at.fields);
export const inodeIno = (item: LogItem): number =>
  u64Of(item.data, item.start(0) + inodeLogFormat(item.length(0)).at.ino, item.littleEndian);
/** The logged core, in the item's byte order. */
export const inodeCore = (item: LogItem): Uint8Array => item.region(1)!;
/** The device number of a device inode, where `fields` has DEV. */
export const inodeRdev = (item: LogItem): number =>
  (inodeFields(item) & ILOG.DEV) === 0 ? 0 : item.u32(inodeLogFormat(item.length(0)).at.u);

// ---- intents

/** The id that ties an intent to its done-item; of a done-item that of its intent. As a key for maps. */
export const intentId = (item: LogItem): bigint =>
  item.data.getBigUint64(item.start(0) + INTENT_HEAD.at.id, item.littleEndian);
export const isDone = (type: number): boolean => INTENT_OF[type] !== undefined;
/** The number of extents an intent announces (1 for those that have no array). */
export const intentExtents = (item: LogItem): number => item.u32(INTENT_HEAD.at.nextents);

export interface FreeExtent {
  /** fsblock. */
  readonly start: number;
  readonly blocks: number;
}
/** Extents of an EFI or EFD, in either of the two layouts. */
export function freeExtents(item: LogItem): FreeExtent[] {
  const count = intentExtents(item);
  const padded = item.view.byteLength === INTENT_HEAD.size + count * LOG_EXTENT.size;
  const step = padded ? LOG_EXTENT.size : LOG_EXTENT_32.size;
  const out: FreeExtent[] = [];
  for (
    let i = 0, at: number = INTENT_HEAD.size;
    i < count && at + step <= item.view.byteLength;
    i++, at += step
  )
    out.push({
      start: u64Of(item.view, at + LOG_EXTENT.at.start, item.littleEndian),
      blocks: item.view.getUint32(at + LOG_EXTENT.at.len, item.littleEndian),
    });
  return out;
}

export interface MapExtent {
  /** Inode, or one of RMAP_OWN. */
  readonly owner: number;
  /** fsblock. */
  readonly start: number;
  /** File offset in blocks. */
  readonly offset: number;
  readonly blocks: number;
  /** Operation in the low byte, RMAP_EXTENT or BMAP_EXTENT bits above. */
  readonly flags: number;
}
/** Extents of a RUI or BUI. */
export function mapExtents(item: LogItem): MapExtent[] {
  const { view: v, littleEndian: le } = item;
  const count = intentExtents(item);
  const step = MAP_EXTENT.size;
  const out: MapExtent[] = [];
  for (let i = 0, at: number = INTENT_HEAD.size; i < count && at + step <= v.byteLength; i++, at += step)
    out.push({
      owner: i64Of(v, at + MAP_EXTENT.at.owner, le),
      start: u64Of(v, at + MAP_EXTENT.at.startblock, le),
      offset: u64Of(v, at + MAP_EXTENT.at.startoff, le),
      blocks: v.getUint32(at + MAP_EXTENT.at.len, le),
      flags: v.getUint32(at + MAP_EXTENT.at.flags, le),
    });
  return out;
}

export interface PhysExtent {
  /** fsblock. */
  readonly start: number;
  readonly blocks: number;
  /** Operation in the low byte. */
  readonly flags: number;
}
/** Extents of a CUI. */
export function physExtents(item: LogItem): PhysExtent[] {
  const { view: v, littleEndian: le } = item;
  const count = intentExtents(item);
  const step = PHYS_EXTENT.size;
  const out: PhysExtent[] = [];
  for (let i = 0, at: number = INTENT_HEAD.size; i < count && at + step <= v.byteLength; i++, at += step)
    out.push({
      start: u64Of(v, at + PHYS_EXTENT.at.startblock, le),
      blocks: v.getUint32(at + PHYS_EXTENT.at.len, le),
      flags: v.getUint32(at + PHYS_EXTENT.at.flags, le),
    });
  return out;
}

export interface AttrIntent {
  readonly ino: number;
  readonly igen: number;
  /** One of ATTRI_OP. */
  readonly op: number;
  /** ATTR_FILTER bits. */
  readonly filter: number;
  readonly name: Uint8Array;
  readonly value: Uint8Array;
  /** PPTR_REPLACE alone; empty otherwise. */
  readonly newName: Uint8Array;
  readonly newValue: Uint8Array;
}
/** What an ATTRI asks for; padding cut off. The item has passed itemFault. */
export function attrIntent(item: LogItem): AttrIntent {
  const { view: v, littleEndian: le } = item;
  const at = ATTRI_LOG_FORMAT.at;
  const [nameLength, newNameLength] = attriNameLengths(v, 0, le);
  const valueLength = v.getUint32(at.value_len, le);
  let next = 1;
  const take = (length: number): Uint8Array =>
    length === 0 ? new Uint8Array(0) : item.region(next++)!.subarray(0, length);
  const name = take(nameLength);
  const newName = take(newNameLength);
  const value = take(valueLength);
  const newValue = take(newNameLength > 0 ? valueLength : 0);
  return {
    ino: u64Of(v, at.ino, le),
    igen: v.getUint32(at.igen, le),
    op: v.getUint32(at.op_flags, le) & EXTENT_OP_MASK,
    filter: v.getUint32(at.attr_filter, le),
    name,
    value,
    newName,
    newValue,
  };
}
