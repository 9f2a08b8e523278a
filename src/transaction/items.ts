/**
 * Log items as they are written: the regions of buffer, inode, icreate and intent items. Little-endian, as
 * most machines that will replay them. Layouts: xfs_log_format.h; what goes into which region follows
 * xfs_buf_item.c and xfs_inode_item.c.
 */
import { BMDR_BLOCK, BTREES, LONG_BLOCK, maxRootRecords } from '../format/btree.js';
import { DINODE, DINODE_SIZE, FORK_FORMAT, S_IF } from '../format/dinode.js';
import { EXTENT_SIZE } from '../format/extent.js';
import type { Geometry } from '../format/geometry.js';
import {
  BLF,
  BLF_CHUNK,
  BLFT,
  BLFT_SHIFT,
  BUF_LOG_FORMAT,
  BUF_LOG_FORMAT_HEAD,
  DONE_OF,
  ICREATE_LOG,
  ILOG,
  INODE_LOG_FORMAT,
  LI,
  swapDinode,
} from '../format/logitems.js';
import { setU64, viewOf } from '../format/structure.js';
import { NULLAGINO } from '../format/superblock.js';
import type { ForkName } from '../volume/fork.js';
import { forkAt, forkExtents, forkFormat, forkSize } from '../volume/fork.js';
import { BB, type Buffer, markChunks, type Piece } from './buffers.js';
import type { LiveInode } from './inode.js';

const BUF = BUF_LOG_FORMAT.at;

/** The format structure of a buffer item; its map begins with `dirty`'s first bit. */
function bufFormat(
  type: number,
  place: Piece,
  dirty: Uint32Array,
  flags: number,
  regions: number,
): Uint8Array {
  const words = dirty.length;
  const format = new Uint8Array(BUF_LOG_FORMAT_HEAD + words * 4);
  const v = viewOf(format);
  v.setUint16(BUF.type, LI.BUF, true);
  v.setUint16(BUF.size, regions, true);
  v.setUint16(BUF.flags, (type << BLFT_SHIFT) | flags, true);
  v.setUint16(BUF.len, place.length / BB, true);
  v.setBigInt64(BUF.blkno, BigInt(place.offset / BB), true);
  v.setUint32(BUF.map_size, words, true);
  if ((flags & BLF.CANCEL) === 0)
    for (let i = 0; i < words; i++) v.setUint32(BUF.data_map + i * 4, dirty[i], true);
  return format;
}

/** The item that cancels what the log holds of a buffer so far. */
export const cancelItem = (buffer: Buffer): Uint8Array =>
  bufFormat(buffer.type, buffer, buffer.dirty, BLF.CANCEL, 1);

/**
 * The items of a block in pieces, one a piece: cancelled, or whole. They are of no type, so that whoever replays
 * them takes them as they are: a checksum over one piece would be wrong.
 */
function pieceItems(buffer: Buffer, pieces: readonly Piece[], regions: Uint8Array[]): void {
  let at = 0;
  for (const piece of pieces) {
    const map = new Uint32Array(Math.ceil(piece.length / BLF_CHUNK / 32));
    if (buffer.stale) regions.push(bufFormat(buffer.type, piece, map, BLF.CANCEL, 1));
    else {
      markChunks(map, 0, piece.length / BLF_CHUNK);
      regions.push(bufFormat(BLFT.UNKNOWN, piece, map, 0, 2), buffer.bytes.subarray(at, at + piece.length));
    }
    at += piece.length;
  }
}

/** Appends a buffer item: its format structure, then one region per run of changed chunks. */
export function bufferItem(buffer: Buffer, regions: Uint8Array[]): void {
  if (buffer.pieces !== undefined) {
    pieceItems(buffer, buffer.pieces, regions);
    return;
  }
  if (buffer.stale) {
    regions.push(cancelItem(buffer));
    return;
  }
  const at = regions.push(EMPTY) - 1;
  const chunks = buffer.length / BLF_CHUNK;
  let start = -1;
  for (let chunk = 0; chunk <= chunks; chunk++) {
    const dirty = chunk < chunks && ((buffer.dirty[chunk >> 5] >>> (chunk & 31)) & 1) === 1;
    if (dirty && start < 0) start = chunk;
    else if (!dirty && start >= 0) {
      regions.push(buffer.bytes.subarray(start * BLF_CHUNK, chunk * BLF_CHUNK));
      start = -1;
    }
  }
  const flags = buffer.isInodes ? BLF.INODE_BUF : 0;
  regions[at] = bufFormat(buffer.type, buffer, buffer.dirty, flags, regions.length - at);
}
const EMPTY = new Uint8Array(0);

/** What a fork's region holds, and the bit that says so; undefined where the core says it all. */
function forkRegion(
  g: Geometry,
  inode: LiveInode,
  fork: ForkName,
  fields: number,
): { bit: number; bytes: Uint8Array; size: number } | undefined {
  const [local, extents, root] =
    fork === 'data' ? [ILOG.DDATA, ILOG.DEXT, ILOG.DBROOT] : [ILOG.ADATA, ILOG.AEXT, ILOG.ABROOT];
  const at = forkAt(inode, fork);
  const { bytes } = inode.buffer;
  switch (forkFormat(inode, fork)) {
    case FORK_FORMAT.LOCAL: {
      if ((fields & local) === 0) return undefined;
      // The attribute fork says itself how long it is, the data fork's length is the file's size.
      const size = fork === 'data' ? inode.size : inode.view.getUint16(at);
      if (size === 0) return undefined;
      return { bit: local, bytes: bytes.subarray(at, at + size), size };
    }
    case FORK_FORMAT.EXTENTS: {
      const size = forkExtents(inode, fork) * EXTENT_SIZE;
      if ((fields & extents) === 0 || size === 0) return undefined;
      return { bit: extents, bytes: bytes.subarray(at, at + size), size };
    }
    case FORK_FORMAT.BTREE: {
      if ((fields & root) === 0) return undefined;
      const logged = logRoot(g, inode, at, forkSize(inode, fork));
      return { bit: root, bytes: logged, size: logged.length };
    }
  }
  return undefined;
}

/** The root of a bmbt as memory holds it: a long btree block's header, keys and pointers packed. */
function logRoot(g: Geometry, inode: LiveInode, at: number, size: number): Uint8Array {
  const { view } = inode;
  const numrecs = view.getUint16(at + BMDR_BLOCK.at.numrecs);
  const out = new Uint8Array(LONG_BLOCK.size + numrecs * 16);
  const v = viewOf(out);
  const L = LONG_BLOCK.at;
  v.setUint32(L.magic, BTREES.bmbt.magic);
  v.setUint16(L.level, view.getUint16(at + BMDR_BLOCK.at.level));
  v.setUint16(L.numrecs, numrecs);
  out.fill(0xff, L.leftsib, L.leftsib + 16);
  out.fill(0xff, L.bno, L.bno + 8);
  out.set(g.metaUuidBytes, L.uuid);
  setU64(v, L.owner, inode.ino);
  const keys = inode.buffer.bytes.subarray(at + BMDR_BLOCK.size);
  out.set(keys.subarray(0, numrecs * 8), LONG_BLOCK.size);
  const ptrs = maxRootRecords(size) * 8;
  out.set(keys.subarray(ptrs, ptrs + numrecs * 8), LONG_BLOCK.size + numrecs * 8);
  return out;
}

/** Appends an inode item: format, core in host order, and the forks that changed. */
export function inodeItem(g: Geometry, inode: LiveInode, regions: Uint8Array[]): void {
  const { logFields: want, buffer } = inode;
  const format = new Uint8Array(INODE_LOG_FORMAT.size);
  const core = new Uint8Array(DINODE_SIZE);
  regions.push(format, core);
  swapDinode(inode.bytes, core, 0, true, inode.isBigtime);
  const c = viewOf(core);
  c.setUint32(DINODE.at.next_unlinked, NULLAGINO, true);

  let fields: number = ILOG.CORE;
  let count = 2;
  const data = forkRegion(g, inode, 'data', want);
  if (data !== undefined) {
    fields |= data.bit;
    regions.push(data.bytes);
    count++;
  }
  const attr = inode.hasAttrFork ? forkRegion(g, inode, 'attr', want) : undefined;
  if (attr !== undefined) {
    fields |= attr.bit;
    regions.push(attr.bytes);
    count++;
  }
  const device = inode.type === S_IF.CHR || inode.type === S_IF.BLK;
  const rdev = (want & ILOG.DEV) !== 0 && inode.format === FORK_FORMAT.DEV;
  if (rdev) fields |= ILOG.DEV;
  fields |= want & (ILOG.DOWNER | ILOG.AOWNER);

  const v = viewOf(format);
  INODE_LOG_FORMAT.encode(
    v,
    0,
    {
      type: LI.INODE,
      size: count,
      fields,
      asize: attr?.size ?? 0,
      dsize: data?.size ?? 0,
      ino: inode.ino,
      blkno: buffer.daddr,
      len: buffer.length / BB,
      boffset: inode.base,
    },
    true,
  );
  if (rdev && device) v.setUint32(INODE_LOG_FORMAT.at.u, inode.view.getUint32(inode.dataAt), true);
}

/** A chunk of inodes made anew: all of them can be written without having been logged. */
export function icreateItem(
  agno: number,
  agbno: number,
  count: number,
  inodesize: number,
  blocks: number,
  generation: number,
): Uint8Array {
  const out = new Uint8Array(ICREATE_LOG.size);
  const v = viewOf(out);
  v.setUint16(ICREATE_LOG.at.type, LI.ICREATE, true);
  v.setUint16(ICREATE_LOG.at.size, 1, true);
  v.setUint32(ICREATE_LOG.at.ag, agno);
  v.setUint32(ICREATE_LOG.at.agbno, agbno);
  v.setUint32(ICREATE_LOG.at.count, count);
  v.setUint32(ICREATE_LOG.at.isize, inodesize);
  v.setUint32(ICREATE_LOG.at.length, blocks);
  v.setUint32(ICREATE_LOG.at.gen, generation);
  return out;
}

/** An extent to free: `fsblock` and blocks. */
export interface FreeExtent {
  readonly fsblock: number;
  readonly blocks: number;
}

/** An entry of a RUI or BUI. `flags`: the operation and its attributes, as logged. */
export interface MapExtent {
  readonly owner: number;
  readonly fsblock: number;
  readonly offset: number;
  readonly blocks: number;
  readonly flags: number;
}

/** An entry of a CUI. */
export interface PhysExtent {
  readonly fsblock: number;
  readonly blocks: number;
  readonly flags: number;
}

function head(type: number, id: bigint, count: number, entrySize: number): [Uint8Array, DataView] {
  const out = new Uint8Array(16 + count * entrySize);
  const v = viewOf(out);
  v.setUint16(0, type, true);
  v.setUint16(2, 1, true);
  v.setUint32(4, count, true);
  v.setBigUint64(8, id, true);
  return [out, v];
}

/** EFI, or with the EFI's id the EFD that finishes it. */
export function freeItem(type: number, id: bigint, extents: readonly FreeExtent[]): Uint8Array {
  const [out, v] = head(type, id, extents.length, 16);
  extents.forEach((e, i) => {
    v.setBigUint64(16 + i * 16, BigInt(e.fsblock), true);
    v.setUint32(24 + i * 16, e.blocks, true);
  });
  return out;
}

/** RUI or BUI. */
export function mapItem(type: number, id: bigint, extents: readonly MapExtent[]): Uint8Array {
  const [out, v] = head(type, id, extents.length, 32);
  extents.forEach((e, i) => {
    const at = 16 + i * 32;
    v.setBigInt64(at, BigInt(e.owner), true);
    v.setBigUint64(at + 8, BigInt(e.fsblock), true);
    v.setBigUint64(at + 16, BigInt(e.offset), true);
    v.setUint32(at + 24, e.blocks, true);
    v.setUint32(at + 28, e.flags, true);
  });
  return out;
}

/** CUI. */
export function physItem(type: number, id: bigint, extents: readonly PhysExtent[]): Uint8Array {
  const [out, v] = head(type, id, extents.length, 16);
  extents.forEach((e, i) => {
    const at = 16 + i * 16;
    v.setBigUint64(at, BigInt(e.fsblock), true);
    v.setUint32(at + 8, e.blocks, true);
    v.setUint32(at + 12, e.flags, true);
  });
  return out;
}

/** An intent in the log, until its done-item is there too. */
export class Intent {
  readonly type: number;
  readonly id: bigint;
  readonly region: Uint8Array;
  /** What its done-item is. */
  readonly done: Uint8Array;
  /** Checkpoint it was written with; undefined while it is in memory alone. */
  lsn: { readonly cycle: number; readonly block: number } | undefined;

  constructor(type: number, id: bigint, region: Uint8Array, extents?: readonly FreeExtent[]) {
    this.type = type;
    this.id = id;
    this.region = region;
    if (extents !== undefined) this.done = freeItem(DONE_OF[type], id, extents);
    else [this.done] = head(DONE_OF[type], id, 0, 0);
  }
}
