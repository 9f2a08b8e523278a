/**
 * Metadata blocks that can be changed: AG headers, btree blocks, inode clusters, directory and attribute
 * blocks. Each is in memory once, whoever asks for it, and is written back, sealed, only after the log holds
 * its changes.
 */
import { AGF, AGFL, AGI } from '../format/ag.js';
import { ATTR3_RMT_HDR } from '../format/attr.js';
import { BTREES, LONG_BLOCK, SHORT_BLOCK } from '../format/btree.js';
import { crcHolds, sealCrc } from '../format/checksum.js';
import { DA_AT } from '../format/da.js';
import { DINODE } from '../format/dinode.js';
import { DIR3_BLK_HDR } from '../format/dir.js';
import { CorruptionError, hex } from '../format/fault.js';
import type { Geometry } from '../format/geometry.js';
import { type Lsn, writeLsn } from '../format/log.js';
import { BLF_CHUNK, BLFT, BLFT_NAME } from '../format/logitems.js';
import { viewOf } from '../format/structure.js';
import { SUPERBLOCK } from '../format/superblock.js';
import { SYMLINK_HDR } from '../format/symlink.js';
import type { Source } from '../image/source.js';
import type { LiveInode } from './inode.js';

/** One unit of disk addresses in the log. */
export const BB = 512;

/** Part of a block that does not lie side by side on disk. Bytes. */
export interface Piece {
  readonly offset: number;
  readonly length: number;
}

/** Sets the bits of chunks `from` to `to` (not included) in a map such as `Buffer.dirty`. */
export function markChunks(map: Uint32Array, from: number, to: number): void {
  for (let chunk = from; chunk < to; chunk++) map[chunk >> 5] |= 1 << (chunk & 31);
}

/** A metadata block in memory. Change it only after `Transaction.edit`. */
export class Buffer {
  /** Byte offset in the image; a multiple of 512. */
  readonly offset: number;
  readonly length: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** What stands in it, for the log and for sealing (BLFT). */
  type: number;
  /** Chunks of 128 bytes changed since the last checkpoint, one bit each. */
  readonly dirty: Uint32Array;
  /** Holds changes that no checkpoint has yet. */
  inLog = false;
  /** Must be written back although no checkpoint holds its contents (fresh inode clusters). */
  ordered = false;
  /** Its blocks were freed: it is never written back, and the log says that it was cancelled. */
  stale = false;
  /** Of an inode cluster: only next_unlinked pointers are logged here, the inodes by items of their own. */
  readonly isInodes: boolean;
  /**
   * Of a directory block whose filesystem blocks are scattered: where they are, in order; the first begins at
   * `offset`. The log takes such a block always whole, and sealed: see `sealForLog`.
   */
  readonly pieces: readonly Piece[] | undefined;
  /** The last checkpoint that holds changes of it, and the first since it was last written back. */
  lsn: Lsn | undefined;
  firstLsn: Lsn | undefined;
  /** Inodes of a cluster by byte position, so that each is one object. */
  inodes: Map<number, LiveInode> | undefined;

  constructor(offset: number, bytes: Uint8Array, type: number, pieces?: readonly Piece[]) {
    this.offset = offset;
    this.length = bytes.length;
    this.bytes = bytes;
    this.view = viewOf(bytes);
    this.type = type;
    this.isInodes = type === BLFT.DINO;
    this.pieces = pieces;
    this.dirty = new Uint32Array(Math.ceil(bytes.length / BLF_CHUNK / 32));
  }

  /** Disk address in 512-byte units. */
  get daddr(): number {
    return this.offset / BB;
  }

  /** Where its bytes are on disk: one place, or that of each piece. */
  get places(): readonly Piece[] {
    return this.pieces ?? [this];
  }

  /** Has changes that are not in place on disk. */
  get isDirty(): boolean {
    return this.inLog || this.firstLsn !== undefined;
  }
}

const at = {
  agf: { lsn: AGF.at.lsn, crc: AGF.at.crc },
  agi: { lsn: AGI.at.lsn, crc: AGI.at.crc },
  agfl: { lsn: AGFL.at.lsn, crc: AGFL.at.crc },
  sb: { lsn: SUPERBLOCK.at.lsn, crc: SUPERBLOCK.at.crc },
  short: { lsn: SHORT_BLOCK.at.lsn, crc: SHORT_BLOCK.at.crc },
  long: { lsn: LONG_BLOCK.at.lsn, crc: LONG_BLOCK.at.crc },
  dir: { lsn: DIR3_BLK_HDR.at.lsn, crc: DIR3_BLK_HDR.at.crc },
  da: { lsn: DA_AT.lsn, crc: DA_AT.crc },
  symlink: { lsn: SYMLINK_HDR.at.lsn, crc: SYMLINK_HDR.at.crc },
  remote: { lsn: ATTR3_RMT_HDR.at.lsn, crc: ATTR3_RMT_HDR.at.crc },
} as const;

/** Where a block of a type keeps its LSN and checksum; undefined where it has none of its own. */
function identity(type: number, view: DataView): { lsn: number; crc: number } | undefined {
  switch (type) {
    case BLFT.AGF:
      return at.agf;
    case BLFT.AGI:
      return at.agi;
    case BLFT.AGFL:
      return at.agfl;
    case BLFT.SB:
      return at.sb;
    case BLFT.BTREE:
      return view.getUint32(0) === BTREES.bmbt.magic ? at.long : at.short;
    case BLFT.DIR_BLOCK:
    case BLFT.DIR_DATA:
    case BLFT.DIR_FREE:
      return at.dir;
    case BLFT.DIR_LEAF1:
    case BLFT.DIR_LEAFN:
    case BLFT.DA_NODE:
    case BLFT.ATTR_LEAF:
      return at.da;
    case BLFT.SYMLINK:
      return at.symlink;
    case BLFT.ATTR_RMT:
      return at.remote;
  }
  return undefined;
}

/** Stamps a buffer with the LSN of the checkpoint that holds its last change, and its checksum. */
export function seal(g: Geometry, buffer: Buffer): void {
  if (buffer.isInodes) {
    // Which of the inodes changed is known by their own LSN; all get a right checksum.
    for (let base = 0; base < buffer.length; base += g.inodesize)
      sealCrc(buffer.bytes.subarray(base, base + g.inodesize), DINODE.at.crc);
    return;
  }
  const where = identity(buffer.type, buffer.view);
  if (where === undefined) return;
  if (buffer.lsn !== undefined) writeLsn(buffer.view, where.lsn, buffer.lsn);
  sealCrc(buffer.bytes, where.crc);
}

/**
 * Readies a block in pieces for the log: stamped with the LSN of the checkpoint to come, and sealed. Linux cannot
 * compute a checksum over pieces when it replays them, so it is given bytes to be put in place as they are.
 */
export function sealForLog(g: Geometry, buffer: Buffer, lsn: Lsn): void {
  buffer.lsn = lsn;
  seal(g, buffer);
}

const samePieces = (a: readonly Piece[] | undefined, b: readonly Piece[] | undefined): boolean =>
  a === b ||
  (a !== undefined &&
    b !== undefined &&
    a.length === b.length &&
    a.every((piece, i) => piece.offset === b[i].offset && piece.length === b[i].length));

/** Keys of buffers: where they begin, and how long they are. */
const keyOf = (offset: number, length: number): number => offset + length / BB - 1;

/** Bytes of clean buffers kept before they are let go. */
const KEEP_BYTES = 64 * 2 ** 20;

export class BufferCache {
  readonly #source: Source;
  readonly #g: Geometry;
  #held = new Map<number, Buffer>();
  #heldBytes = 0;
  /** Buffers let go that somebody may still hold: the same block must stay the same object. */
  readonly #weak = new Map<number, WeakRef<Buffer>>();

  constructor(source: Source, g: Geometry) {
    this.#source = source;
    this.#g = g;
  }

  /**
   * The block at a byte offset. Throws CorruptionError where its checksum is wrong; identity (magic, owner)
   * is for the caller to check. `pieces`: where it is, if not side by side; the first at `offset`.
   */
  get(offset: number, length: number, type: number, pieces?: readonly Piece[]): Buffer {
    const key = keyOf(offset, length);
    let buffer = this.#held.get(key) ?? this.#revive(key);
    if (buffer !== undefined && !buffer.stale && samePieces(buffer.pieces, pieces)) return buffer;
    const bytes = new Uint8Array(length);
    buffer = new Buffer(offset, bytes, type, pieces);
    let at = 0;
    for (const place of buffer.places) {
      this.#source.read(place.offset, bytes.subarray(at, at + place.length));
      at += place.length;
    }
    this.#verify(buffer);
    this.#keep(key, buffer);
    return buffer;
  }

  /**
   * A block whose contents on disk do not matter: zeros. A buffer of the same place that was cancelled
   * comes back to life, zeroed, and what cancels it is taken back.
   */
  fresh(offset: number, length: number, type: number, pieces?: readonly Piece[]): Buffer {
    const key = keyOf(offset, length);
    const old = this.#held.get(key) ?? this.#revive(key);
    if (old !== undefined && old.isInodes === (type === BLFT.DINO) && samePieces(old.pieces, pieces)) {
      old.bytes.fill(0);
      old.type = type;
      old.inodes = undefined;
      return old;
    }
    const buffer = new Buffer(offset, new Uint8Array(length), type, pieces);
    this.#keep(key, buffer);
    return buffer;
  }

  /** The block at a byte offset, if it is in memory. */
  peek(offset: number, length: number): Buffer | undefined {
    const key = keyOf(offset, length);
    return this.#held.get(key) ?? this.#revive(key);
  }

  /** Takes a buffer out: its blocks belong to somebody else now. */
  drop(buffer: Buffer): void {
    const key = keyOf(buffer.offset, buffer.length);
    if (this.#held.get(key) === buffer) {
      this.#held.delete(key);
      this.#heldBytes -= buffer.length;
    }
    if (this.#weak.get(key)?.deref() === buffer) this.#weak.delete(key);
  }

  /** Lets clean buffers go where many are held. To be called between transactions. */
  trim(): void {
    if (this.#heldBytes < KEEP_BYTES) return;
    const keep = new Map<number, Buffer>();
    let bytes = 0;
    for (const [key, buffer] of this.#held) {
      if (buffer.isDirty || buffer.ordered) {
        keep.set(key, buffer);
        bytes += buffer.length;
      } else this.#weak.set(key, new WeakRef(buffer));
    }
    this.#held = keep;
    this.#heldBytes = bytes;
    for (const [key, ref] of this.#weak) if (ref.deref() === undefined) this.#weak.delete(key);
  }

  #revive(key: number): Buffer | undefined {
    const ref = this.#weak.get(key);
    if (ref === undefined) return undefined;
    this.#weak.delete(key);
    const buffer = ref.deref();
    if (buffer !== undefined) this.#keep(key, buffer);
    return buffer;
  }

  #keep(key: number, buffer: Buffer): void {
    const old = this.#held.get(key);
    if (old !== undefined) this.#heldBytes -= old.length;
    this.#held.set(key, buffer);
    this.#heldBytes += buffer.length;
  }

  #verify(buffer: Buffer): void {
    if (buffer.isInodes) return; // inode by inode, when one is asked for
    const where = identity(buffer.type, buffer.view);
    if (where === undefined || crcHolds(buffer.bytes, where.crc)) return;
    const block = Math.floor(buffer.offset / this.#g.blocksize);
    throw new CorruptionError({
      structure: BLFT_NAME[buffer.type],
      agno: Math.floor(block / this.#g.agblocks),
      agbno: block % this.#g.agblocks,
      field: 'crc',
      value: hex(buffer.view.getUint32(where.crc, true)),
      expected: 'the checksum of the block',
    });
  }
}
