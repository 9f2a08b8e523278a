/** Writes the records of the AG btrees in place, big-endian. Positions are bytes of the block. */
import { REFC_COWFLAG } from '../format/btree.js';
import { setU64 } from '../format/structure.js';

/** bnobt and cntbt. */
export function writeAllocRecord(v: DataView, at: number, agbno: number, blocks: number): void {
  v.setUint32(at, agbno);
  v.setUint32(at + 4, blocks);
}

/** A chunk of 64 inodes as both inode btrees record it. */
export interface InodeChunk {
  readonly startino: number;
  /** Bit i set: inodes 4i to 4i+3 of the chunk are not there. 0 without sparse inodes. */
  readonly holemask: number;
  /** Inodes that are there. */
  readonly count: number;
  readonly freecount: number;
  /** Free inodes, and those not there: bit 0 is the first. High and low half. */
  readonly freeHigh: number;
  readonly freeLow: number;
}

/** inobt and finobt. */
export function writeInodeRecord(v: DataView, at: number, chunk: InodeChunk, sparse: boolean): void {
  v.setUint32(at, chunk.startino);
  if (sparse) {
    v.setUint16(at + 4, chunk.holemask);
    v.setUint8(at + 6, chunk.count);
    v.setUint8(at + 7, chunk.freecount);
  } else v.setUint32(at + 4, chunk.freecount);
  v.setUint32(at + 8, chunk.freeHigh);
  v.setUint32(at + 12, chunk.freeLow);
}

export interface Rmap {
  readonly agbno: number;
  readonly blocks: number;
  /** Inode number, or one of RMAP_OWN (negative). */
  readonly owner: number;
  /** File offset in blocks; 0 for owners that are no inode. */
  readonly offset?: number;
  readonly attrFork?: boolean;
  readonly bmbtBlock?: boolean;
  readonly unwritten?: boolean;
}

export function writeRmapRecord(v: DataView, at: number, r: Rmap): void {
  v.setUint32(at, r.agbno);
  v.setUint32(at + 4, r.blocks);
  // Negative owners are two's complement, as 64 bits.
  v.setInt32(at + 8, Math.floor(r.owner / 2 ** 32));
  v.setUint32(at + 12, r.owner >>> 0);
  setU64(v, at + 16, r.offset ?? 0);
  const flags =
    (r.attrFork ? 0x8000_0000 : 0) | (r.bmbtBlock ? 0x4000_0000 : 0) | (r.unwritten ? 0x2000_0000 : 0);
  v.setUint32(at + 16, (v.getUint32(at + 16) | flags) >>> 0);
}

export function writeRefcountRecord(
  v: DataView,
  at: number,
  agbno: number,
  blocks: number,
  refcount: number,
  cow: boolean,
): void {
  v.setUint32(at, cow ? (agbno | REFC_COWFLAG) >>> 0 : agbno);
  v.setUint32(at + 4, blocks);
  v.setUint32(at + 8, refcount);
}

/** Order of rmap records: start, owner, offset with its flags (as the keys compare). */
export function compareRmaps(a: Rmap, b: Rmap): number {
  if (a.agbno !== b.agbno) return a.agbno - b.agbno;
  const unsigned = (owner: number): number => (owner < 0 ? 2 ** 64 + owner : owner);
  // Negative owners are large as unsigned numbers, and in order among themselves.
  if (a.owner !== b.owner)
    return a.owner < 0 && b.owner < 0 ? a.owner - b.owner : unsigned(a.owner) - unsigned(b.owner);
  const key = (r: Rmap): number => (r.attrFork ? 2 ** 55 : 0) + (r.bmbtBlock ? 2 ** 54 : 0) + (r.offset ?? 0);
  return key(a) - key(b);
}
