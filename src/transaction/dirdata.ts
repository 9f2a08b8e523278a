/**
 * Entries and free regions of a directory's data blocks and block form, changed. Regions that touch are
 * merged, and the header's table knows the three longest. Rules: xfs_dir2_data.c.
 */
import {
  BESTFREE_COUNT,
  DATA_ENTRY,
  DATA_FREE,
  DATA_FREE_TAG,
  DIR3_BLK_HDR,
  DIR3_DATA_HDR,
  dataEntryFtype,
  dataEntrySize,
} from '../format/dir.js';
import { getU64, setU64 } from '../format/structure.js';
import type { Buffer } from './buffers.js';
import type { ForkSpace } from './forkspace.js';
import type { Transaction } from './transaction.js';

/** An entry of a directory. Names are bytes. */
export interface DirEntry {
  readonly name: Uint8Array;
  readonly ino: number;
  /** FTYPE; 0 where the filesystem does not keep it. */
  readonly ftype: number;
}

const BEST = DIR3_DATA_HDR.at.bestfree;

/** The longest free region: where it begins, and its length. */
export const bestOffset = (b: Buffer): number => b.view.getUint16(BEST);
export const bestLength = (b: Buffer): number => b.view.getUint16(BEST + 2);

/** Writes the header of a data, block-form or free-space block into a block of zeros. */
export function initDirHeader(space: ForkSpace, b: Buffer, magic: number): void {
  b.view.setUint32(0, magic);
  setU64(b.view, DIR3_BLK_HDR.at.bno, b.daddr);
  b.bytes.set(space.g.metaUuidBytes, DIR3_BLK_HDR.at.uuid);
  setU64(b.view, DIR3_BLK_HDR.at.owner, space.inode.ino);
}

/** Sums up the free regions before `end` in the header's table. */
export function sumBest(tx: Transaction, b: Buffer, end: number, ftype: boolean): void {
  const { view } = b;
  const offset = [0, 0, 0];
  const length = [0, 0, 0];
  for (let at: number = DIR3_DATA_HDR.size; at < end; ) {
    if (view.getUint16(at) !== DATA_FREE_TAG) {
      at += dataEntrySize(view.getUint8(at + DATA_ENTRY.at.namelen), ftype);
      continue;
    }
    const here = view.getUint16(at + 2);
    let i = BESTFREE_COUNT;
    while (i > 0 && length[i - 1] < here) i--;
    for (let k = BESTFREE_COUNT - 1; k > i; k--) {
      offset[k] = offset[k - 1];
      length[k] = length[k - 1];
    }
    if (i < BESTFREE_COUNT) {
      offset[i] = at;
      length[i] = here;
    }
    at += here;
  }
  tx.edit(b, BEST, BESTFREE_COUNT * DATA_FREE.size);
  for (let i = 0; i < BESTFREE_COUNT; i++) {
    view.setUint16(BEST + i * DATA_FREE.size, offset[i]);
    view.setUint16(BEST + i * DATA_FREE.size + 2, length[i]);
  }
}

/** Makes [at, at + length) a free region, without a look at its neighbours. */
export function putFree(tx: Transaction, b: Buffer, at: number, length: number): void {
  tx.edit(b, at, 4);
  b.view.setUint16(at, DATA_FREE_TAG);
  b.view.setUint16(at + 2, length);
  tx.edit(b, at + length - 2, 2);
  b.view.setUint16(at + length - 2, at);
}

/** Length of the free region that ends at `end`; 0 where an entry does. */
export function freeBefore(b: Buffer, end: number): number {
  if (end <= DIR3_DATA_HDR.size) return 0;
  const at = b.view.getUint16(end - 2);
  return b.view.getUint16(at) === DATA_FREE_TAG && at + b.view.getUint16(at + 2) === end ? end - at : 0;
}

/** Makes [at, at + length) free, one region with the free ones beside it. Entries end at `end`. */
export function release(
  tx: Transaction,
  b: Buffer,
  at: number,
  length: number,
  end: number,
  ftype: boolean,
): void {
  const before = freeBefore(b, at);
  const next = at + length;
  const after = next < end && b.view.getUint16(next) === DATA_FREE_TAG ? b.view.getUint16(next + 2) : 0;
  putFree(tx, b, at - before, before + length + after);
  sumBest(tx, b, end, ftype);
}

/** Writes an entry at `at`: its size in bytes. */
export function writeEntry(tx: Transaction, b: Buffer, at: number, e: DirEntry, ftype: boolean): number {
  const size = dataEntrySize(e.name.length, ftype);
  tx.edit(b, at, size);
  b.bytes.fill(0, at, at + size);
  setU64(b.view, at, e.ino);
  b.view.setUint8(at + DATA_ENTRY.at.namelen, e.name.length);
  b.bytes.set(e.name, at + DATA_ENTRY.size);
  if (ftype) b.view.setUint8(at + DATA_ENTRY.size + e.name.length, e.ftype);
  b.view.setUint16(at + size - 2, at);
  return size;
}

/** Puts an entry into the longest free region, which must be long enough. Returns its byte offset. */
export function putEntry(tx: Transaction, b: Buffer, e: DirEntry, end: number, ftype: boolean): number {
  const at = bestOffset(b);
  const length = bestLength(b);
  const size = writeEntry(tx, b, at, e, ftype);
  if (length > size) putFree(tx, b, at + size, length - size);
  sumBest(tx, b, end, ftype);
  return at;
}

/** Whether the entry at `at` has this name. */
export function hasName(b: Buffer, at: number, name: Uint8Array): boolean {
  if (b.view.getUint8(at + DATA_ENTRY.at.namelen) !== name.length) return false;
  const from = at + DATA_ENTRY.size;
  for (let i = 0; i < name.length; i++) if (b.bytes[from + i] !== name[i]) return false;
  return true;
}

/** What the entry at `at` leads to. */
export const entryIno = (b: Buffer, at: number): number => getU64(b.view, at);
export const entryFtype = (b: Buffer, at: number, ftype: boolean): number =>
  dataEntryFtype(b.view, at, ftype);

/** Makes the entry at `at` lead elsewhere. */
export function setEntry(
  tx: Transaction,
  b: Buffer,
  at: number,
  ino: number,
  type: number,
  ftype: boolean,
): void {
  const namelen = b.view.getUint8(at + DATA_ENTRY.at.namelen);
  tx.edit(b, at, DATA_ENTRY.size + namelen + 1);
  setU64(b.view, at, ino);
  if (ftype) b.view.setUint8(at + DATA_ENTRY.size + namelen, type);
}

/** Adds copies of the entries of a block, '.' and '..' too, to `into`. */
export function collectEntries(b: Buffer, end: number, ftype: boolean, into: DirEntry[]): void {
  const { view } = b;
  for (let at: number = DIR3_DATA_HDR.size; at < end; ) {
    if (view.getUint16(at) === DATA_FREE_TAG) {
      at += view.getUint16(at + 2);
      continue;
    }
    const namelen = view.getUint8(at + DATA_ENTRY.at.namelen);
    const from = at + DATA_ENTRY.size;
    into.push({
      name: b.bytes.slice(from, from + namelen),
      ino: entryIno(b, at),
      ftype: entryFtype(b, at, ftype),
    });
    at += dataEntrySize(namelen, ftype);
  }
}
