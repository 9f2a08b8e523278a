/** Short-form directories: read whole from the inode, and written whole into it. Rules: xfs_dir2_sf.c. */
import { FORK_FORMAT } from '../format/dinode.js';
import {
  BLOCK_TAIL,
  dataEntrySize,
  firstDataOffset,
  LEAF_ENTRY,
  MAX_SHORT_INUM,
  SF_ENTRY,
  sfEntrySize,
  sfHdrSize,
  sfIno,
  sfInoSize,
} from '../format/dir.js';
import { verifyShortForm } from '../format/dircheck.js';
import { throwFault } from '../format/fault.js';
import type { Geometry } from '../format/geometry.js';
import { ILOG } from '../format/logitems.js';
import { setU64 } from '../format/structure.js';
import type { DirEntry } from './dirdata.js';
import type { LiveInode } from './inode.js';
import type { Transaction } from './transaction.js';

/** A short form: where '..' leads, and the entries with the place each would have in a data block. */
export interface ShortDir {
  parent: number;
  readonly entries: (DirEntry & { offset: number })[];
}

/** Reads the short form. Throws CorruptionError. */
export function readShort(g: Geometry, dir: LiveInode): ShortDir {
  const fork = dir.buffer.bytes.subarray(dir.dataAt, dir.dataAt + Math.min(dir.size, dir.dataSize));
  verifyShortForm(g, fork, dir.ino, throwFault);
  const { ftype } = g.features;
  const v = dir.view;
  const base = dir.dataAt;
  const i8 = v.getUint8(base + 1) !== 0;
  const entries: (DirEntry & { offset: number })[] = [];
  let at = base + sfHdrSize(i8);
  for (let i = v.getUint8(base); i > 0; i--) {
    const namelen = v.getUint8(at);
    const name = at + SF_ENTRY.size;
    const next = at + sfEntrySize(namelen, i8, ftype);
    entries.push({
      name: dir.buffer.bytes.slice(name, name + namelen),
      ino: sfIno(v, next - sfInoSize(i8), i8),
      ftype: ftype ? v.getUint8(name + namelen) : 0,
      offset: v.getUint16(at + SF_ENTRY.at.offset),
    });
    at = next;
  }
  return { parent: sfIno(v, base + 2, i8), entries };
}

/** Bytes the entries take in short form; Infinity where they are too many for it. */
export function shortSize(g: Geometry, parent: number, entries: readonly DirEntry[]): number {
  const { ftype } = g.features;
  const i8 = parent > MAX_SHORT_INUM || entries.some((e) => e.ino > MAX_SHORT_INUM);
  let size = sfHdrSize(i8);
  let data = firstDataOffset(ftype) + (entries.length + 2) * LEAF_ENTRY.size + BLOCK_TAIL.size;
  for (const e of entries) {
    size += sfEntrySize(e.name.length, i8, ftype);
    data += dataEntrySize(e.name.length, ftype);
  }
  return entries.length > 255 || data > g.dirblksize ? Number.POSITIVE_INFINITY : size;
}

/** Whether the entries can stand in the inode. */
export const fitsShort = (
  g: Geometry,
  dir: LiveInode,
  parent: number,
  entries: readonly DirEntry[],
): boolean => shortSize(g, parent, entries) <= dir.dataSize;

/**
 * Gives entries their places in a data block: those they have, where these are in order and leave room for
 * what the block form needs behind them; else one behind the other. A place of -1 is one still to be given.
 */
export function placeShort(g: Geometry, short: ShortDir): void {
  const { ftype } = g.features;
  const limit = g.dirblksize - (short.entries.length + 2) * LEAF_ENTRY.size - BLOCK_TAIL.size;
  for (const pack of [false, true]) {
    let next = firstDataOffset(ftype);
    for (const e of short.entries) {
      if (pack || e.offset < next) e.offset = next;
      next = e.offset + dataEntrySize(e.name.length, ftype);
    }
    if (next <= limit) return;
  }
}

/** Writes the short form into a data fork that maps no blocks; the entries must fit. */
export function writeShort(tx: Transaction, dir: LiveInode, short: ShortDir): void {
  const { g } = tx.engine;
  const { ftype } = g.features;
  placeShort(g, short);
  tx.editInode(dir, ILOG.DDATA);
  dir.setFormat('data', FORK_FORMAT.LOCAL);
  dir.setExtentCount('data', 0);
  dir.forget();
  tx.onAbort(() => dir.forget());
  const v = dir.view;
  const base = dir.dataAt;
  dir.buffer.bytes.fill(0, base, base + dir.dataSize);
  let big = short.parent > MAX_SHORT_INUM ? 1 : 0;
  for (const e of short.entries) if (e.ino > MAX_SHORT_INUM) big++;
  const i8 = big > 0;
  const putIno = (at: number, ino: number): void => {
    if (i8) setU64(v, at, ino);
    else v.setUint32(at, ino);
  };
  v.setUint8(base, short.entries.length);
  v.setUint8(base + 1, big);
  putIno(base + 2, short.parent);
  let at = base + sfHdrSize(i8);
  for (const e of short.entries) {
    v.setUint8(at, e.name.length);
    v.setUint16(at + SF_ENTRY.at.offset, e.offset);
    const name = at + SF_ENTRY.size;
    dir.buffer.bytes.set(e.name, name);
    if (ftype) v.setUint8(name + e.name.length, e.ftype);
    at += sfEntrySize(e.name.length, i8, ftype);
    putIno(at - sfInoSize(i8), e.ino);
  }
  dir.setSize(at - base);
}
