/**
 * Directories, read: every entry in disk order, and one name by its hash. All four forms look the same from
 * here.
 */
import { DA_AT, daHash } from '../format/da.js';
import { FORK_FORMAT } from '../format/dinode.js';
import {
  addressToByte,
  BLOCK_TAIL,
  blockEntriesEnd,
  DATA_ENTRY,
  DATA_FREE_TAG,
  DIR3_DATA_HDR,
  DIR3_LEAF_HDR,
  dataEntryFtype,
  dataEntrySize,
  FTYPE,
  freeSpaceBlock,
  LEAF_ENTRY,
  leafSpaceBlock,
  NULL_DATAPTR,
  SF_ENTRY,
  sfEntrySize,
  sfHdrSize,
  sfIno,
  sfInoSize,
  XFS_DIR3_BLOCK_MAGIC,
  XFS_DIR3_DATA_MAGIC,
  XFS_DIR3_LEAF1_MAGIC,
} from '../format/dir.js';
import { verifyDirData, verifyDirLeaf, verifyShortForm } from '../format/dircheck.js';
import { CorruptionError, type Report, throwFault } from '../format/fault.js';
import { getU64 } from '../format/structure.js';
import { type DaTree, findDaLeaf } from './datree.js';
import { ForkBlocks } from './forkblocks.js';
import type { Inode } from './inode.js';
import { bytesOf, type Volume } from './volume.js';

/**
 * Takes an entry. The name is bytes [from, to) of `block`, which is only good during the call; `address` is
 * what readdir cookies are made of, byte offset in the data space divided by 8. Return false to stop.
 */
export type EntryVisitor = (
  block: Uint8Array,
  from: number,
  to: number,
  ino: number,
  ftype: number,
  address: number,
  // biome-ignore lint/suspicious/noConfusingVoidType: a visitor that never stops returns nothing
) => boolean | void;

export interface WalkDirOptions {
  /** Visit '.' and '..' too. Default false. */
  readonly dots?: boolean;
  /** Takes faults; default the volume's. What can be read of a damaged block is still visited. */
  readonly report?: Report;
  /** Takes each data block that can be read, before its entries: counted in directory blocks. */
  readonly block?: (v: DataView, db: number) => void;
}

export type DirForm = 'short' | 'block' | 'leaf' | 'node';

const DOT = 0x2e;
const DOTS = new Uint8Array([DOT, DOT]);
const isDots = (b: Uint8Array, from: number, to: number): boolean =>
  b[from] === DOT && (to - from === 1 || (to - from === 2 && b[from + 1] === DOT));

/** Blocks in a row without a directory's magic after which a directory is given up. */
const MAX_FOREIGN_BLOCKS = 1024;

/** Throws CorruptionError where the inode is no directory. */
function needDirectory(inode: Inode): void {
  if (!inode.isDir)
    throw new CorruptionError({
      structure: 'dinode',
      ino: inode.ino,
      field: 'mode',
      value: `0${inode.mode.toString(8)}`,
      expected: 'a directory',
    });
}

/** The bytes of a short-form directory. */
function shortFork(inode: Inode): Uint8Array {
  const size = Math.min(inode.size, inode.dataSize);
  return new Uint8Array(inode.view.buffer as ArrayBuffer, inode.view.byteOffset + inode.dataAt, size);
}

/** The form a directory has, by its extents. */
export function dirForm(volume: Volume, inode: Inode, report: Report = volume.report): DirForm {
  if (inode.format === FORK_FORMAT.LOCAL) return 'short';
  const blocks = new ForkBlocks(volume, inode, 'data', report);
  if (blocks.end <= leafSpaceBlock(volume.g)) return 'block';
  return blocks.end <= freeSpaceBlock(volume.g) ? 'leaf' : 'node';
}

/** Visits the entries of a directory in disk order. */
export function walkDir(
  volume: Volume,
  inode: Inode,
  visit: EntryVisitor,
  options: WalkDirOptions = {},
): void {
  needDirectory(inode);
  const report = options.report ?? volume.report;
  if (inode.format === FORK_FORMAT.LOCAL) walkShortForm(volume, inode, visit, options.dots === true, report);
  else walkDataBlocks(volume, inode, visit, options.dots === true, report, options.block);
}

function walkShortForm(
  volume: Volume,
  inode: Inode,
  visit: EntryVisitor,
  dots: boolean,
  report: Report,
): void {
  const fork = shortFork(inode);
  verifyShortForm(volume.g, fork, inode.ino, report);
  if (fork.length < sfHdrSize(false)) return;
  const v = new DataView(fork.buffer, fork.byteOffset, fork.length);
  const ftype = volume.g.features.ftype;
  const i8 = v.getUint8(1) !== 0;
  if (fork.length < sfHdrSize(i8)) return;
  if (dots) {
    const first = DIR3_DATA_HDR.size;
    if (visit(DOTS, 0, 1, inode.ino, FTYPE.DIR, first / 8) === false) return;
    const second = first + dataEntrySize(1, ftype);
    if (visit(DOTS, 0, 2, sfIno(v, 2, i8), FTYPE.DIR, second / 8) === false) return;
  }
  const count = v.getUint8(0);
  let at = sfHdrSize(i8);
  for (let i = 0; i < count && at < fork.length; i++) {
    const namelen = v.getUint8(at);
    const next = at + sfEntrySize(namelen, i8, ftype);
    if (namelen === 0 || next > fork.length) return;
    const from = at + SF_ENTRY.size;
    const type = ftype ? fork[from + namelen] : 0;
    const ino = sfIno(v, next - sfInoSize(i8), i8);
    const address = v.getUint16(at + SF_ENTRY.at.offset) / 8;
    if (visit(fork, from, from + namelen, ino, type, address) === false) return;
    at = next;
  }
}

function walkDataBlocks(
  volume: Volume,
  inode: Inode,
  visit: EntryVisitor,
  dots: boolean,
  report: Report,
  block: WalkDirOptions['block'],
): void {
  const { g } = volume;
  const blocks = new ForkBlocks(volume, inode, 'data', report);
  const { extents } = blocks;
  const form = blocks.end <= leafSpaceBlock(g) ? 'block' : 'data';
  const bad = (field: string, value: number, expected: string): void =>
    report({ structure: 'dinode', ino: inode.ino, field, value, expected });
  if (form === 'block' && inode.size !== g.dirblksize)
    bad('size', inode.size, `${g.dirblksize}, the one block of this directory`);
  else if (inode.size % g.dirblksize !== 0)
    bad('size', inode.size, `a multiple of the directory block size ${g.dirblksize}`);
  const end = form === 'block' ? g.dirblkfsbs : Math.ceil(inode.size / g.dirblksize) * g.dirblkfsbs;
  if (blocks.place(0) === undefined) bad('bmx[0].startoff', extents.offset[0] ?? 0, '0, the first block');
  let next = 0;
  let foreign = 0;
  let past = false;
  for (let i = 0; i < extents.count && extents.offset[i] < leafSpaceBlock(g); i++) {
    const extentEnd = extents.offset[i] + extents.blocks[i];
    // The blocks that begin in this extent: the first may have begun in the one before.
    let at = Math.max(next, Math.ceil(extents.offset[i] / g.dirblkfsbs) * g.dirblkfsbs);
    if (extentEnd > end && !past) {
      past = true;
      bad('size', inode.size, `at least ${extentEnd * g.blocksize}, for all data blocks that are mapped`);
    }
    for (; at < Math.min(extentEnd, end); at += g.dirblkfsbs) {
      const v = blocks.readAhead(at, Math.min(extentEnd, end) - at);
      if (v === undefined) {
        bad(`bmx[${i}].blockcount`, extents.blocks[i], `whole directory blocks of ${g.dirblkfsbs}`);
        continue;
      }
      block?.(v, at / g.dirblkfsbs);
      blocks.verify(v, at, (b, place, r) => verifyDirData(g, b, form, place, r), report);
      const magic = v.getUint32(0);
      if (magic !== XFS_DIR3_BLOCK_MAGIC && magic !== XFS_DIR3_DATA_MAGIC) {
        if (++foreign < MAX_FOREIGN_BLOCKS) continue;
        bad('size', inode.size, `a directory: ${MAX_FOREIGN_BLOCKS} blocks on end are none of one`);
        return;
      }
      foreign = 0;
      if (at === 0) checkDots(volume, inode, v, report);
      if (!walkEntries(volume, v, at, magic === XFS_DIR3_BLOCK_MAGIC, visit, dots)) return;
    }
    next = at;
  }
}

/** Where the entries of a data block end: the tail of the block form is believed as far as it can be. */
function entriesEnd(v: DataView, block: boolean): number {
  if (!block) return v.byteLength;
  const end = blockEntriesEnd(v.byteLength, v.getUint32(v.byteLength - BLOCK_TAIL.size));
  return Math.max(DIR3_DATA_HDR.size, end);
}

/** Visits the entries of one data block; false where the visitor stopped. */
function walkEntries(
  volume: Volume,
  v: DataView,
  fileBlock: number,
  block: boolean,
  visit: EntryVisitor,
  dots: boolean,
): boolean {
  const { g } = volume;
  const ftype = g.features.ftype;
  const bytes = bytesOf(v);
  const base = (fileBlock * g.blocksize) / 8;
  const end = entriesEnd(v, block);
  let at: number = DIR3_DATA_HDR.size;
  while (at + 8 <= end) {
    if (v.getUint16(at) === DATA_FREE_TAG) {
      const length = v.getUint16(at + 2);
      if (length < 8 || length % 8 !== 0) return true; // reported by the block's check
      at += length;
      continue;
    }
    const namelen = bytes[at + DATA_ENTRY.at.namelen];
    const size = dataEntrySize(namelen, ftype);
    if (namelen === 0 || at + size > end) return true;
    const from = at + DATA_ENTRY.size;
    if (dots || !isDots(bytes, from, from + namelen)) {
      const ino = getU64(v, at);
      const type = dataEntryFtype(v, at, ftype);
      if (visit(bytes, from, from + namelen, ino, type, base + (at >>> 3)) === false) return false;
    }
    at += size;
  }
  return true;
}

/** The first block begins with '.', which is the directory itself, and '..'. */
function checkDots(volume: Volume, inode: Inode, v: DataView, report: Report): void {
  const u = v.getUint32(0) === XFS_DIR3_BLOCK_MAGIC ? 'bu' : 'du';
  const size = dataEntrySize(1, volume.g.features.ftype);
  let at: number = DIR3_DATA_HDR.size;
  for (let i = 0; i < 2; i++) {
    const namelen = v.getUint8(at + DATA_ENTRY.at.namelen);
    const name = String.fromCharCode(v.getUint8(at + DATA_ENTRY.size), v.getUint8(at + DATA_ENTRY.size + 1));
    const bad = (field: string, value: string | number, expected: string): void =>
      report({ structure: 'directory', ino: inode.ino, field: `${u}[${i}].${field}`, value, expected });
    if (namelen !== i + 1 || name.slice(0, namelen) !== '..'.slice(0, i + 1)) {
      bad('name', JSON.stringify(name.slice(0, namelen)), JSON.stringify('..'.slice(0, i + 1)));
      return;
    }
    if (i === 0 && getU64(v, at) !== inode.ino)
      bad('inumber', getU64(v, at), `${inode.ino}, the directory itself`);
    at += size;
  }
}

/** A directory's entries in columns, in disk order. Entry i's name is names[nameEnd[i - 1] .. nameEnd[i]). */
export interface DirListing {
  readonly count: number;
  readonly names: Uint8Array;
  readonly nameEnd: Uint32Array;
  readonly ino: Float64Array;
  readonly ftype: Uint8Array;
  readonly address: Float64Array;
  /** What '..' says. */
  readonly parent: number;
}

/** The bytes of entry `i`'s name. */
export const listingName = (l: DirListing, i: number): Uint8Array =>
  l.names.subarray(i === 0 ? 0 : l.nameEnd[i - 1], l.nameEnd[i]);

/** Reads a whole directory. '.' and '..' are left out unless asked for; `parent` is set either way. */
export function readDir(volume: Volume, inode: Inode, options: WalkDirOptions = {}): DirListing {
  let count = 0;
  let used = 0;
  let parent = -1;
  // Room for a directory of middling names, so that most are never copied to make more.
  const guess = Math.max(16, Math.min(inode.size, 2 ** 20) >>> 5);
  let names = new Uint8Array(guess * 16);
  let nameEnd = new Uint32Array(guess);
  let ino = new Float64Array(guess);
  let ftype = new Uint8Array(guess);
  let address = new Float64Array(guess);
  walkDir(
    volume,
    inode,
    (block, from, to, child, type, where) => {
      if (isDots(block, from, to)) {
        if (to - from === 2) parent = child;
        if (options.dots !== true) return;
      }
      if (count === nameEnd.length) {
        const n = count * 2;
        nameEnd = grown(nameEnd, new Uint32Array(n));
        ino = grown(ino, new Float64Array(n));
        ftype = grown(ftype, new Uint8Array(n));
        address = grown(address, new Float64Array(n));
      }
      if (used + to - from > names.length) names = grown(names, new Uint8Array(names.length * 2));
      for (let i = from; i < to; i++) names[used++] = block[i];
      nameEnd[count] = used;
      ino[count] = child;
      ftype[count] = type;
      address[count] = where;
      count++;
    },
    { ...options, dots: true },
  );
  return { count, names, nameEnd, ino, ftype, address, parent };
}

function grown<T extends Float64Array | Uint32Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

/** A name found. */
export interface Found {
  readonly ino: number;
  readonly ftype: number;
  /** Byte offset in the data space divided by 8. */
  readonly address: number;
}

/**
 * Looks up one name, '.' and '..' too, through the directory's hashes: reads no more than the blocks on the
 * way. Throws CorruptionError on damage there.
 */
export function lookup(volume: Volume, inode: Inode, name: Uint8Array): Found | undefined {
  needDirectory(inode);
  if (name.length === 0 || name.length > 255) return undefined;
  if (inode.format === FORK_FORMAT.LOCAL) return lookupShort(volume, inode, name);
  const { g } = volume;
  const blocks = new ForkBlocks(volume, inode, 'data', throwFault);
  if (blocks.end <= leafSpaceBlock(g)) {
    const v = blocks.need(0, 'dir block', 'block');
    blocks.verify(v, 0, (b, place, r) => verifyDirData(g, b, 'block', place, r), throwFault);
    const count = v.getUint32(v.byteLength - BLOCK_TAIL.size);
    return lookupLeaf(blocks, v, blockEntriesEnd(v.byteLength, count), count, daHash(name), name);
  }
  const hash = daHash(name);
  const root = leafSpaceBlock(g);
  const tree: DaTree = { blocks, of: 'dir', root, end: Math.min(blocks.end, freeSpaceBlock(g)) };
  const dataBlocks = Math.ceil(inode.size / g.dirblksize);
  let found: Found | undefined;
  findDaLeaf(tree, hash, (leaf, at) => {
    const form = leaf.getUint16(DA_AT.magic) === XFS_DIR3_LEAF1_MAGIC && at === root ? 'leaf1' : 'leafn';
    const expect = { dataBlocks, first: root, end: tree.end };
    blocks.verify(leaf, at, (b, place, r) => verifyDirLeaf(g, b, form, place, expect, r), throwFault);
    const count = leaf.getUint16(DIR3_LEAF_HDR.at.count);
    found = lookupLeaf(blocks, leaf, DIR3_LEAF_HDR.size, count, hash, name);
    if (found !== undefined || form === 'leaf1') return false;
    return count === 0 || leaf.getUint32(DIR3_LEAF_HDR.size + (count - 1) * LEAF_ENTRY.size) <= hash;
  });
  return found;
}

function lookupShort(volume: Volume, inode: Inode, name: Uint8Array): Found | undefined {
  let found: Found | undefined;
  walkShortForm(
    volume,
    inode,
    (block, from, to, ino, ftype, address) => {
      if (!sameBytes(name, block, from, to)) return;
      found = { ino, ftype, address };
      return false;
    },
    true,
    throwFault,
  );
  return found;
}

function sameBytes(name: Uint8Array, b: Uint8Array, from: number, to: number): boolean {
  if (to - from !== name.length) return false;
  for (let i = 0; i < name.length; i++) if (b[from + i] !== name[i]) return false;
  return true;
}

/** Looks among the leaf entries at `from` of `leaf`, in hash order, for `name`. */
function lookupLeaf(
  blocks: ForkBlocks,
  leaf: DataView,
  from: number,
  count: number,
  hash: number,
  name: Uint8Array,
): Found | undefined {
  let lo = 0;
  let hi = count;
  while (lo < hi) {
    const mid = (lo + hi) >>> 1;
    if (leaf.getUint32(from + mid * LEAF_ENTRY.size) < hash) lo = mid + 1;
    else hi = mid;
  }
  for (; lo < count && leaf.getUint32(from + lo * LEAF_ENTRY.size) === hash; lo++) {
    const address = leaf.getUint32(from + lo * LEAF_ENTRY.size + LEAF_ENTRY.at.address);
    if (address === NULL_DATAPTR) continue;
    const found = entryAt(blocks, address, name);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The entry at `address` if it has this name. Throws CorruptionError where no entry starts there. */
function entryAt(blocks: ForkBlocks, address: number, name: Uint8Array): Found | undefined {
  const { g } = blocks.volume;
  const byte = addressToByte(address);
  const db = Math.floor(byte / g.dirblksize);
  const at = byte % g.dirblksize;
  const v = blocks.need(db * g.dirblkfsbs, 'dir leaf', 'address');
  const block = v.getUint32(0) === XFS_DIR3_BLOCK_MAGIC && blocks.end <= leafSpaceBlock(g);
  const form = block ? 'block' : 'data';
  blocks.verify(v, db * g.dirblkfsbs, (b, place, r) => verifyDirData(g, b, form, place, r), throwFault);
  const end = entriesEnd(v, block);
  const ftype = g.features.ftype;
  const namelen = at + DATA_ENTRY.size <= end ? v.getUint8(at + DATA_ENTRY.at.namelen) : 0;
  const size = dataEntrySize(namelen, ftype);
  const isEntry =
    at >= DIR3_DATA_HDR.size &&
    namelen > 0 &&
    at + size <= end &&
    v.getUint16(at) !== DATA_FREE_TAG &&
    v.getUint16(at + size - 2) === at;
  if (!isEntry)
    throw new CorruptionError({
      structure: 'dir leaf',
      ino: blocks.inode.ino,
      field: 'address',
      value: address,
      expected: 'the address of an entry',
    });
  const from = at + DATA_ENTRY.size;
  if (!sameBytes(name, bytesOf(v), from, from + namelen)) return undefined;
  return { ino: getU64(v, at), ftype: dataEntryFtype(v, at, ftype), address };
}
