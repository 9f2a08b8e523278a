/**
 * Block-form directories: one block with entries from the front and their hashes, sorted, at the end. What is
 * changed here has no stale hashes: the list grows and shrinks with the entries. Rules: xfs_dir2_block.c.
 */
import { daHash } from '../format/da.js';
import {
  BESTFREE_COUNT,
  BLOCK_TAIL,
  blockEntriesEnd,
  byteToAddress,
  DATA_ENTRY,
  DATA_FREE,
  DIR3_DATA_HDR,
  dataEntrySize,
  FTYPE,
  LEAF_ENTRY,
  NULL_DATAPTR,
  XFS_DIR3_BLOCK_MAGIC,
} from '../format/dir.js';
import { verifyDirData } from '../format/dircheck.js';
import { BLFT } from '../format/logitems.js';
import type { Buffer } from './buffers.js';
import {
  bestLength,
  type DirEntry,
  freeBefore,
  hasName,
  initDirHeader,
  putEntry,
  putFree,
  release,
  sumBest,
  writeEntry,
} from './dirdata.js';
import type { ForkSpace } from './forkspace.js';
import { firstAtLeast } from './hashtree.js';
import type { Transaction } from './transaction.js';

const DOT = Uint8Array.of(0x2e);
const DOTS = Uint8Array.of(0x2e, 0x2e);
const BEST = DIR3_DATA_HDR.at.bestfree;

/** A hash and where its name is. */
export interface HashEntry {
  readonly hash: number;
  readonly address: number;
}

/** The one block of the directory. Throws CorruptionError. */
export const loadBlock = (space: ForkSpace): Buffer =>
  space.checked(0, BLFT.DIR_BLOCK, (b, place, report) => verifyDirData(space.g, b, 'block', place, report));

const tailAt = (b: Buffer): number => b.length - BLOCK_TAIL.size;
const countOf = (b: Buffer): number => b.view.getUint32(tailAt(b));

/** Where entries end and hashes begin. */
export const blockEnd = (b: Buffer): number => blockEntriesEnd(b.length, countOf(b));

/** The hashes in use, sorted. */
export function blockHashes(b: Buffer): HashEntry[] {
  const out: HashEntry[] = [];
  for (let at = blockEnd(b); at < tailAt(b); at += LEAF_ENTRY.size) {
    const address = b.view.getUint32(at + LEAF_ENTRY.at.address);
    if (address !== NULL_DATAPTR) out.push({ hash: b.view.getUint32(at), address });
  }
  return out;
}

function writeHashes(tx: Transaction, b: Buffer, hashes: readonly HashEntry[]): void {
  const from = blockEntriesEnd(b.length, hashes.length);
  tx.edit(b, from, b.length - from);
  hashes.forEach((h, i) => {
    b.view.setUint32(from + i * LEAF_ENTRY.size, h.hash);
    b.view.setUint32(from + i * LEAF_ENTRY.size + LEAF_ENTRY.at.address, h.address);
  });
  b.view.setUint32(tailAt(b), hashes.length);
  b.view.setUint32(tailAt(b) + BLOCK_TAIL.at.stale, 0);
}

/** Puts a hash in its place among others, which are sorted. */
export function sortIn(hashes: HashEntry[], entry: HashEntry): void {
  let i = hashes.length;
  while (i > 0 && hashes[i - 1].hash >= entry.hash) i--;
  hashes.splice(i, 0, entry);
}

/** Byte offset of a name's entry; -1 where it is not there. */
export function findInBlock(b: Buffer, name: Uint8Array): number {
  const hash = daHash(name);
  const from = blockEnd(b);
  const count = countOf(b);
  for (let i = firstAtLeast(b.view, from, count, hash); i < count; i++) {
    const at = from + i * LEAF_ENTRY.size;
    if (b.view.getUint32(at) !== hash) break;
    const address = b.view.getUint32(at + LEAF_ENTRY.at.address);
    if (address !== NULL_DATAPTR && hasName(b, address * 8, name)) return address * 8;
  }
  return -1;
}

/** Adds an entry. False, and nothing changed, where the block has no room for it. */
export function addToBlock(space: ForkSpace, b: Buffer, e: DirEntry): boolean {
  const { tx, g } = space;
  const { ftype } = g.features;
  const size = dataEntrySize(e.name.length, ftype);
  const hashes = blockHashes(b);
  const end = blockEnd(b);
  const now = blockEntriesEnd(b.length, hashes.length + 1);
  if (now < end) {
    const tail = freeBefore(b, end);
    const taken = end - now;
    if (tail < taken) return false;
    let room = false;
    for (let i = 0; i < BESTFREE_COUNT; i++) {
      const at = b.view.getUint16(BEST + i * DATA_FREE.size);
      const length = b.view.getUint16(BEST + i * DATA_FREE.size + 2);
      if (length - (at + length === end ? taken : 0) >= size) room = true;
    }
    if (!room) return false;
    if (tail > taken) putFree(tx, b, end - tail, tail - taken);
    sumBest(tx, b, now, ftype);
  } else {
    if (bestLength(b) < size) return false;
    if (now > end) release(tx, b, end, now - end, now, ftype);
  }
  const at = putEntry(tx, b, e, now, ftype);
  sortIn(hashes, { hash: daHash(e.name), address: byteToAddress(at) });
  writeHashes(tx, b, hashes);
  return true;
}

/** Removes the entry at a byte offset. */
export function removeFromBlock(space: ForkSpace, b: Buffer, at: number): void {
  const { tx, g } = space;
  const { ftype } = g.features;
  const size = dataEntrySize(b.view.getUint8(at + DATA_ENTRY.at.namelen), ftype);
  const hashes = blockHashes(b).filter((h) => h.address !== byteToAddress(at));
  const end = blockEnd(b);
  const now = blockEntriesEnd(b.length, hashes.length);
  release(tx, b, at, size, end, ftype);
  release(tx, b, end, now - end, now, ftype);
  writeHashes(tx, b, hashes);
}

/** Fills a block of zeros with a whole directory; the entries must fit. */
export function fillBlock(space: ForkSpace, b: Buffer, parent: number, entries: readonly DirEntry[]): void {
  const { tx, g, inode } = space;
  const { ftype } = g.features;
  initDirHeader(space, b, XFS_DIR3_BLOCK_MAGIC);
  const hashes: HashEntry[] = [];
  let at: number = DIR3_DATA_HDR.size;
  for (const e of [
    { name: DOT, ino: inode.ino, ftype: FTYPE.DIR },
    { name: DOTS, ino: parent, ftype: FTYPE.DIR },
    ...entries,
  ]) {
    hashes.push({ hash: daHash(e.name), address: byteToAddress(at) });
    at += writeEntry(tx, b, at, e, ftype);
  }
  const end = blockEntriesEnd(b.length, hashes.length);
  if (at < end) putFree(tx, b, at, end - at);
  hashes.sort((a, z) => a.hash - z.hash);
  writeHashes(tx, b, hashes);
  sumBest(tx, b, end, ftype);
}

/** Whether a directory with these entries has a block form. */
export function fitsBlock(space: ForkSpace, entries: readonly DirEntry[]): boolean {
  const { ftype } = space.g.features;
  let size = DIR3_DATA_HDR.size + dataEntrySize(1, ftype) + dataEntrySize(2, ftype);
  for (const e of entries) size += dataEntrySize(e.name.length, ftype);
  return size <= blockEntriesEnd(space.bytes, entries.length + 2);
}
