/**
 * Directories, changed: an entry added, removed or led elsewhere, in all four forms. A directory grows from
 * the inode over one block and one leaf to a hash btree with free-space blocks, and goes back to a block or
 * into the inode when it has become small. Link counts, times and the file types' truth are the caller's.
 * Rules: xfs_dir2.c, xfs_dir2_sf.c, xfs_dir2_block.c, xfs_dir2_leaf.c, xfs_dir2_node.c.
 */
import { DA_AT, daHash } from '../format/da.js';
import { FORK_FORMAT } from '../format/dinode.js';
import {
  BLOCK_TAIL,
  byteToAddress,
  DATA_ENTRY,
  DATA_FREE_TAG,
  DIR3_DATA_HDR,
  dataEntrySize,
  FTYPE,
  LEAF_ENTRY,
  leafSpaceBlock,
  NULL_DATAPTR,
  NULLDATAOFF,
  SF_ENTRY,
  sfHdrSize,
  XFS_DIR3_DATA_MAGIC,
  XFS_DIR3_LEAF1_MAGIC,
  XFS_DIR3_LEAFN_MAGIC,
} from '../format/dir.js';
import { verifyDirData } from '../format/dircheck.js';
import { CorruptionError } from '../format/fault.js';
import { isInoInRange } from '../format/geometry.js';
import { BLFT, ILOG } from '../format/logitems.js';
import { UnsupportedError } from '../volume/volume.js';
import { unmapExtent } from './bmap.js';
import type { Buffer } from './buffers.js';
import { type Bests, FreeBests, LeafBests } from './dirbests.js';
import {
  addToBlock,
  blockEnd,
  blockHashes,
  fillBlock,
  findInBlock,
  fitsBlock,
  loadBlock,
  removeFromBlock,
} from './dirblock.js';
import {
  bestLength,
  collectEntries,
  type DirEntry,
  entryFtype,
  entryIno,
  hasName,
  initDirHeader,
  putEntry,
  putFree,
  release,
  setEntry,
  sumBest,
} from './dirdata.js';
import {
  compactLeaf,
  dirTree,
  insertHash,
  insertInLeaf,
  leafAddress,
  leafCount,
  leafHash,
  leafStale,
  removeHash,
} from './dirleaf.js';
import { fitsShort, readShort, writeShort } from './dirshort.js';
import { ForkSpace, retype } from './forkspace.js';
import { type HashTree, initBlkinfo, type Step } from './hashtree.js';
import type { LiveInode } from './inode.js';
import type { Transaction } from './transaction.js';
import { freeMetadataFork } from './truncate.js';

export type { DirEntry } from './dirdata.js';

/** The name is there already, or is not there, or is none a directory can hold. */
export class EntryError extends Error {
  readonly reason: 'exists' | 'missing' | 'name';

  constructor(reason: 'exists' | 'missing' | 'name', message: string) {
    super(message);
    this.name = 'EntryError';
    this.reason = reason;
  }
}

const DOT = 0x2e;
const isDot = (name: Uint8Array): boolean => name.length === 1 && name[0] === DOT;
const isDots = (name: Uint8Array): boolean => name.length === 2 && name[0] === DOT && name[1] === DOT;

const sameName = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);

const shown = (name: Uint8Array): string => JSON.stringify(new TextDecoder().decode(name));

function needDirectory(tx: Transaction, dir: LiveInode): void {
  const { g } = tx.engine;
  if (g.features.parent) throw new UnsupportedError('directories of filesystems with parent pointers');
  if (!dir.isDir)
    throw new CorruptionError({
      structure: 'dinode',
      ino: dir.ino,
      field: 'mode',
      value: `0${dir.mode.toString(8)}`,
      expected: 'a directory',
    });
}

function needName(name: Uint8Array): void {
  if (name.length === 0 || name.length > 255 || name.includes(0x2f) || name.includes(0) || isDot(name))
    throw new EntryError('name', `${shown(name)}: not a name an entry can have`);
}

function needInode(tx: Transaction, ino: number): void {
  if (!isInoInRange(tx.engine.g, ino)) throw new RangeError(`${ino} is no inode of this filesystem`);
}

/** A directory past the block form. */
interface LongDir {
  readonly space: ForkSpace;
  readonly tree: HashTree;
  readonly bests: Bests;
}

/** A name found there: the way to its hash, and its entry. */
interface LongFound {
  readonly path: Step[];
  readonly db: number;
  readonly buffer: Buffer;
  /** Byte offset of the entry in its block. */
  readonly at: number;
}

const isBlockForm = (space: ForkSpace): boolean => space.end <= leafSpaceBlock(space.g);

function openLong(space: ForkSpace): LongDir {
  const root = leafSpaceBlock(space.g);
  const raw = space.get(root, BLFT.DA_NODE);
  const single = raw.view.getUint16(DA_AT.magic) === XFS_DIR3_LEAF1_MAGIC;
  const tree = dirTree(space, single);
  const leaf = tree.load(root, undefined);
  return { space, tree, bests: single ? new LeafBests(space, leaf) : new FreeBests(space) };
}

const dataBlock = (space: ForkSpace, db: number): Buffer =>
  space.checked(db * space.unit, BLFT.DIR_DATA, (b, place, report) =>
    verifyDirData(space.g, b, 'data', place, report),
  );

/** The entry at an address, which must be one. */
function entryAt(space: ForkSpace, address: number): { db: number; buffer: Buffer; at: number } {
  const { ftype } = space.g.features;
  const db = Math.floor((address * 8) / space.bytes);
  const at = (address * 8) % space.bytes;
  const buffer = dataBlock(space, db);
  const { view } = buffer;
  const size =
    at + DATA_ENTRY.size <= space.bytes && at >= DIR3_DATA_HDR.size && view.getUint16(at) !== DATA_FREE_TAG
      ? dataEntrySize(view.getUint8(at + DATA_ENTRY.at.namelen), ftype)
      : 0;
  if (size === 0 || at + size > space.bytes || view.getUint16(at + size - 2) !== at)
    space.bad('dir leaf', leafSpaceBlock(space.g), 'address', address, 'the address of an entry');
  return { db, buffer, at };
}

function findLong(d: LongDir, name: Uint8Array): LongFound | undefined {
  const hash = daHash(name);
  const path = d.tree.descend(hash);
  for (;;) {
    const step = path[path.length - 1];
    const count = leafCount(step.buffer);
    for (; step.index < count; step.index++) {
      if (leafHash(step.buffer, step.index) !== hash) return undefined;
      const address = leafAddress(step.buffer, step.index);
      if (address === NULL_DATAPTR) continue;
      const found = entryAt(d.space, address);
      if (hasName(found.buffer, found.at, name)) return { path, ...found };
    }
    if (!d.tree.next(path)) return undefined;
  }
}

/** What a name leads to, '..' too; undefined where it is not there. Throws CorruptionError. */
export function findEntry(
  tx: Transaction,
  dir: LiveInode,
  name: Uint8Array,
): { ino: number; ftype: number } | undefined {
  needDirectory(tx, dir);
  const { g } = tx.engine;
  const { ftype } = g.features;
  if (dir.format === FORK_FORMAT.LOCAL) {
    const short = readShort(g, dir);
    if (isDots(name)) return { ino: short.parent, ftype: ftype ? FTYPE.DIR : 0 };
    const found = short.entries.find((e) => sameName(e.name, name));
    return found === undefined ? undefined : { ino: found.ino, ftype: found.ftype };
  }
  const space = new ForkSpace(tx, dir, 'data');
  if (isBlockForm(space)) {
    const b = loadBlock(space);
    const at = findInBlock(b, name);
    return at < 0 ? undefined : { ino: entryIno(b, at), ftype: entryFtype(b, at, ftype) };
  }
  const found = findLong(openLong(space), name);
  if (found === undefined) return undefined;
  return { ino: entryIno(found.buffer, found.at), ftype: entryFtype(found.buffer, found.at, ftype) };
}

/** The entries of a directory, without '.' and '..', in no order. Throws CorruptionError. */
export function listEntries(tx: Transaction, dir: LiveInode): DirEntry[] {
  needDirectory(tx, dir);
  if (dir.format === FORK_FORMAT.LOCAL) return readShort(tx.engine.g, dir).entries;
  const space = new ForkSpace(tx, dir, 'data');
  return allEntries(space, isBlockForm(space)).filter((e) => !isDots(e.name) && !isDot(e.name));
}

/** Makes a new directory, whose data fork is empty, one without entries. */
export function initDirectory(tx: Transaction, dir: LiveInode, parent: number): void {
  needDirectory(tx, dir);
  needInode(tx, parent);
  writeShort(tx, dir, { parent, entries: [] });
}

/**
 * Adds an entry. `name`: 1 to 255 bytes, neither '.' nor '..'; `ftype`: FTYPE. Throws EntryError where the
 * name is there already, NoSpaceError, CorruptionError.
 */
export function addEntry(
  tx: Transaction,
  dir: LiveInode,
  name: Uint8Array,
  ino: number,
  ftype: number,
): void {
  needDirectory(tx, dir);
  needName(name);
  needInode(tx, ino);
  const { g } = tx.engine;
  if (isDots(name) || findEntry(tx, dir, name) !== undefined)
    throw new EntryError('exists', `${shown(name)} exists already`);
  const entry: DirEntry = { name, ino, ftype };
  const space = new ForkSpace(tx, dir, 'data');
  if (dir.format === FORK_FORMAT.LOCAL) {
    const short = readShort(g, dir);
    const all = [...short.entries, entry];
    if (fitsShort(g, dir, short.parent, all)) {
      short.entries.push({ ...entry, offset: -1 });
      writeShort(tx, dir, short);
      return;
    }
    shortToBlock(space, short.parent, short.entries);
  }
  if (isBlockForm(space)) {
    const b = loadBlock(space);
    tx.editInode(dir);
    if (addToBlock(space, b, entry)) return;
    blockToLeaf(space, b);
  }
  addLong(openLong(space), entry);
}

/** Removes an entry. Throws EntryError where it is not there, CorruptionError. */
export function removeEntry(tx: Transaction, dir: LiveInode, name: Uint8Array): void {
  needDirectory(tx, dir);
  needName(name);
  const { g } = tx.engine;
  const missing = (): never => {
    throw new EntryError('missing', `${shown(name)}: no such entry`);
  };
  if (isDots(name)) missing();
  if (dir.format === FORK_FORMAT.LOCAL) {
    const short = readShort(g, dir);
    const index = short.entries.findIndex((e) => sameName(e.name, name));
    if (index < 0) missing();
    short.entries.splice(index, 1);
    writeShort(tx, dir, short);
    return;
  }
  const space = new ForkSpace(tx, dir, 'data');
  if (isBlockForm(space)) {
    const b = loadBlock(space);
    const at = findInBlock(b, name);
    if (at < 0) missing();
    tx.editInode(dir);
    removeFromBlock(space, b, at);
    if (mayBeShort(dir, blockHashes(b).length)) shrink(space, 'block');
    return;
  }
  const d = openLong(space);
  const found = findLong(d, name) ?? missing();
  removeLong(d, found);
}

/**
 * Leads an entry elsewhere; of '..', the directory itself. Throws EntryError where the name is not there,
 * NoSpaceError, CorruptionError.
 */
export function replaceEntry(
  tx: Transaction,
  dir: LiveInode,
  name: Uint8Array,
  ino: number,
  ftype: number,
): void {
  needDirectory(tx, dir);
  needName(name);
  needInode(tx, ino);
  const { g } = tx.engine;
  const missing = (): never => {
    throw new EntryError('missing', `${shown(name)}: no such entry`);
  };
  const space = new ForkSpace(tx, dir, 'data');
  if (dir.format === FORK_FORMAT.LOCAL) {
    const short = readShort(g, dir);
    if (isDots(name)) short.parent = ino;
    else {
      const index = short.entries.findIndex((e) => sameName(e.name, name));
      if (index < 0) missing();
      short.entries[index] = { ...short.entries[index], ino, ftype };
    }
    // A number past 32 bits makes all of them longer.
    if (fitsShort(g, dir, short.parent, short.entries)) writeShort(tx, dir, short);
    else shortToBlock(space, short.parent, short.entries);
    return;
  }
  if (isBlockForm(space)) {
    const b = loadBlock(space);
    const at = findInBlock(b, name);
    if (at < 0) missing();
    tx.editInode(dir);
    setEntry(tx, b, at, ino, ftype, g.features.ftype);
    return;
  }
  const found = findLong(openLong(space), name) ?? missing();
  tx.editInode(dir);
  setEntry(tx, found.buffer, found.at, ino, ftype, g.features.ftype);
}

// ---- growing

/** The entries leave the inode for a block of their own. */
export function shortToBlock(space: ForkSpace, parent: number, entries: readonly DirEntry[]): void {
  const { tx, inode } = space;
  tx.editInode(inode, ILOG.DEXT);
  tx.onAbort(() => inode.forget());
  inode.buffer.bytes.fill(0, inode.dataAt, inode.dataAt + inode.dataSize);
  inode.setFormat('data', FORK_FORMAT.EXTENTS);
  inode.setSize(space.bytes);
  inode.forget();
  fillBlock(space, space.add(0, BLFT.DIR_BLOCK), parent, entries);
}

/** The hashes leave the block for a leaf. */
function blockToLeaf(space: ForkSpace, b: Buffer): void {
  const { tx, g } = space;
  const { ftype } = g.features;
  const hashes = blockHashes(b);
  const end = blockEnd(b);
  retype(tx, b, BLFT.DIR_DATA);
  tx.put32(b, 0, XFS_DIR3_DATA_MAGIC);
  tx.edit(b, end, b.length - end);
  b.bytes.fill(0, end, b.length);
  putFree(tx, b, end, b.length - end);
  release(tx, b, end, b.length - end, b.length, ftype);
  const leaf = space.add(leafSpaceBlock(g), BLFT.DIR_LEAF1);
  initBlkinfo(space, leaf, XFS_DIR3_LEAF1_MAGIC, 0, 0);
  for (const h of hashes) insertInLeaf(tx, leaf, h.hash, h.address);
  new LeafBests(space, leaf).set(0, bestLength(b));
}

/** The free lengths leave the leaf for a block of their own; the leaf becomes one of many. */
function leafToNode(space: ForkSpace, single: LeafBests): LongDir {
  const { tx } = space;
  const { leaf, count } = single;
  const bests = new FreeBests(space);
  for (let db = 0; db < count; db++) bests.set(db, single.get(db));
  single.trim(0);
  tx.edit(leaf, DA_AT.magic, 2);
  leaf.view.setUint16(DA_AT.magic, XFS_DIR3_LEAFN_MAGIC);
  retype(tx, leaf, BLFT.DIR_LEAFN);
  return { space, tree: dirTree(space, false), bests };
}

function addLong(d: LongDir, entry: DirEntry): void {
  const { space } = d;
  const { tx, g, inode } = space;
  const { ftype } = g.features;
  tx.editInode(inode);
  const size = dataEntrySize(entry.name.length, ftype);
  const found = d.bests.find(size);
  const db = found < 0 ? space.firstHole(0) / space.unit : found;
  let long = d;
  if (d.bests instanceof LeafBests) {
    const { bests } = d;
    compactLeaf(tx, bests.leaf);
    if (!bests.hasRoom(1, db >= bests.count ? 1 : 0)) long = leafToNode(space, bests);
  }
  let buffer: Buffer;
  if (found < 0) {
    buffer = space.add(db * space.unit, BLFT.DIR_DATA);
    initDirHeader(space, buffer, XFS_DIR3_DATA_MAGIC);
    putFree(tx, buffer, DIR3_DATA_HDR.size, space.bytes - DIR3_DATA_HDR.size);
    sumBest(tx, buffer, space.bytes, ftype);
    if ((db + 1) * space.bytes > inode.size) inode.setSize((db + 1) * space.bytes);
  } else {
    buffer = dataBlock(space, db);
    if (bestLength(buffer) !== long.bests.get(db))
      space.bad(
        'dir data',
        db * space.unit,
        'bestfree[0].length',
        bestLength(buffer),
        `${long.bests.get(db)}`,
      );
  }
  const at = putEntry(tx, buffer, entry, space.bytes, ftype);
  long.bests.set(db, bestLength(buffer));
  const hash = daHash(entry.name);
  const address = byteToAddress(db * space.bytes + at);
  if (long.bests instanceof LeafBests) insertInLeaf(tx, long.bests.leaf, hash, address);
  else insertHash(long.tree, hash, address);
}

// ---- shrinking

function removeLong(d: LongDir, found: LongFound): void {
  const { space, tree, bests } = d;
  const { tx, g, inode } = space;
  const { ftype } = g.features;
  const { buffer, at, db } = found;
  tx.editInode(inode);
  const size = dataEntrySize(buffer.view.getUint8(at + DATA_ENTRY.at.namelen), ftype);
  release(tx, buffer, at, size, space.bytes, ftype);
  removeHash(tree, found.path);
  if (bestLength(buffer) < space.bytes - DIR3_DATA_HDR.size) bests.set(db, bestLength(buffer));
  else {
    // The last entry of its block is gone, and the block with it.
    bests.set(db, NULLDATAOFF);
    space.remove(db * space.unit);
    const blocks = Math.ceil(space.endBefore(leafSpaceBlock(g)) / space.unit);
    if (blocks * space.bytes < inode.size) {
      inode.setSize(blocks * space.bytes);
      bests.trim(blocks);
    }
  }
  const root = tree.load(tree.root, undefined);
  if (root.view.getUint16(DA_AT.magic) !== tree.kind.magic) return;
  // Looked at now and then: it takes a walk over all entries.
  const live = leafCount(root) - leafStale(root);
  const least = DIR3_DATA_HDR.size + live * (dataEntrySize(1, ftype) + LEAF_ENTRY.size) + BLOCK_TAIL.size;
  if ((live % 8 === 0 && least <= space.bytes) || mayBeShort(inode, live)) shrink(space, 'data');
}

/** Whether so many names, '.' and '..' among them, could stand in the inode if they were short enough. */
const mayBeShort = (dir: LiveInode, live: number): boolean =>
  sfHdrSize(false) + (live - 2) * (SF_ENTRY.size + 2 + 4) <= dir.dataSize;

/** Every entry, '.' and '..' too, of a directory in block form or a longer one. */
function allEntries(space: ForkSpace, block: boolean): DirEntry[] {
  const { ftype } = space.g.features;
  const entries: DirEntry[] = [];
  if (block) {
    const b = loadBlock(space);
    collectEntries(b, blockEnd(b), ftype, entries);
    return entries;
  }
  const end = Math.ceil(space.inode.size / space.bytes);
  for (let db = 0; db < end; db++)
    if (space.has(db * space.unit)) collectEntries(dataBlock(space, db), space.bytes, ftype, entries);
  return entries;
}

/** Goes back into the inode or, from the longer forms, to one block, where the entries fit. */
function shrink(space: ForkSpace, form: 'block' | 'data'): void {
  const { tx, g, inode } = space;
  const entries = allEntries(space, form === 'block');
  const dots = entries.findIndex((e) => isDots(e.name));
  if (dots < 0) space.bad('dir data', 0, 'du[1].name', 'none', '".."');
  const parent = entries[dots].ino;
  const names = entries.filter((e) => !isDots(e.name) && !isDot(e.name));
  if (fitsShort(g, inode, parent, names)) {
    freeMetadataFork(tx, inode, 'data');
    writeShort(tx, inode, { parent, entries: names.map((e) => ({ ...e, offset: -1 })) });
  } else if (form === 'data' && fitsBlock(space, names)) {
    space.cancelFrom(space.unit);
    unmapExtent(tx, inode, 'data', space.unit, space.end - space.unit);
    inode.setSize(space.bytes);
    fillBlock(space, space.renew(0, BLFT.DIR_BLOCK), parent, names);
  }
}
