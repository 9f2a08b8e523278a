/**
 * Directories, attributes and symbolic links with every field of their structures set to what it is not, the
 * checksum made right: no crash, no hang, and where the value cannot be true the field is named.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  ATTR_FLAG,
  ATTR_LEAF_ENTRY,
  ATTR_NAME_LOCAL,
  ATTR_NAME_REMOTE,
  ATTR_SF_ENTRY,
  ATTR_SF_HDR,
  ATTR3_LEAF_HDR,
  ATTR3_RMT_HDR,
  attrNamespace,
} from '../../src/format/attr.js';
import { sealCrc } from '../../src/format/checksum.js';
import { DA_AT, DA_NODE_ENTRY, DA3_NODE_HDR } from '../../src/format/da.js';
import { DINODE, FORK_FORMAT } from '../../src/format/dinode.js';
import {
  BLOCK_TAIL,
  blockEntriesEnd,
  DATA_ENTRY,
  DATA_FREE_TAG,
  DATA_UNUSED,
  DIR3_BLK_HDR,
  DIR3_DATA_HDR,
  DIR3_FREE_HDR,
  DIR3_LEAF_HDR,
  dataEntrySize,
  freeSpaceBlock,
  LEAF_ENTRY,
  LEAF_TAIL,
  leafSpaceBlock,
  SF_ENTRY,
  SF_HDR4,
} from '../../src/format/dir.js';
import { CorruptionError, type Fault, throwFault } from '../../src/format/fault.js';
import { blockOffset, fsblockOffset, inodeOffset } from '../../src/format/geometry.js';
import { crc, type FieldType, type Structure, u16, viewOf } from '../../src/format/structure.js';
import { SYMLINK_HDR } from '../../src/format/symlink.js';
import { openSource } from '../../src/image/open.js';
import { OverlaySource } from '../../src/image/overlay.js';
import type { Source } from '../../src/image/source.js';
import { attrValue, findAttr, walkAttrs } from '../../src/volume/attr.js';
import { listingName, lookup, readDir } from '../../src/volume/dir.js';
import { checkDirIndex } from '../../src/volume/dirindex.js';
import { readExtents } from '../../src/volume/fork.js';
import { ForkBlocks } from '../../src/volume/forkblocks.js';
import { type Inode, readInode } from '../../src/volume/inode.js';
import { resolvePath } from '../../src/volume/path.js';
import { readSymlink } from '../../src/volume/symlink.js';
import { openVolume, type Volume } from '../../src/volume/volume.js';
import { populated } from '../support/cache.js';
import { oracle } from '../support/oracle.js';

const needed = oracle('mount', 'mkfs.xfs', 'xfs_io', 'setfattr');

/** A field of a structure within a block. */
interface Target {
  readonly name: string;
  readonly at: number;
  readonly type: FieldType;
}

/** Fields of a structure at `base`, those of structures within it too. */
function* fieldsOf(s: Structure, base: number, prefix: string): Generator<Target> {
  for (const f of s.fields) yield* fieldsOfType(f.type, base + f.offset, `${prefix}${f.name}`);
}

function* fieldsOfType(type: FieldType, at: number, name: string): Generator<Target> {
  if (type.structure) yield* fieldsOf(type.structure, at, `${name}.`);
  else if (type.of)
    for (let i = 0; i < type.count!; i++)
      yield* fieldsOfType(type.of, at + i * type.of.size, `${name}[${i}]`);
  else yield { name, at, type };
}

/** First, middle and last of `n`. */
const some = (n: number): number[] => [...new Set([0, n >> 1, n - 1])].filter((i) => i >= 0 && i < n);

function* records(s: Structure, n: number, at: number, name: string): Generator<Target> {
  for (const i of some(n)) yield* fieldsOf(s, at + i * s.size, `${name}[${i}].`);
}

/** Fields of entries and free regions of a data block. */
function* dataFields(v: DataView, end: number, u: string): Generator<Target> {
  const all: { at: number; free: boolean; size: number }[] = [];
  for (let at: number = DIR3_DATA_HDR.size; at < end; ) {
    const free = v.getUint16(at) === DATA_FREE_TAG;
    const size = free ? v.getUint16(at + 2) : dataEntrySize(v.getUint8(at + 8), true);
    all.push({ at, free, size });
    at += size;
  }
  const frees = all.map((e, i) => (e.free ? i : -1)).filter((i) => i >= 0);
  for (const i of new Set([...some(all.length), ...frees.slice(0, 2)])) {
    const { at, free, size } = all[i];
    yield* fieldsOf(free ? DATA_UNUSED : DATA_ENTRY, at, `${u}[${i}].`);
    yield { name: `${u}[${i}].tag`, at: at + size - 2, type: u16 };
  }
}

function* dirBlockFields(v: DataView, at: number, leafAt: number, freeAt: number): Generator<Target> {
  if (at < leafAt) {
    const size = v.byteLength;
    if (String.fromCharCode(v.getUint8(2)) === 'B') {
      yield* fieldsOf(DIR3_DATA_HDR, 0, 'bhdr.');
      const count = v.getUint32(size - BLOCK_TAIL.size);
      yield* dataFields(v, blockEntriesEnd(size, count), 'bu');
      yield* records(LEAF_ENTRY, count, blockEntriesEnd(size, count), 'bleaf');
      yield* fieldsOf(BLOCK_TAIL, size - BLOCK_TAIL.size, 'btail.');
    } else {
      yield* fieldsOf(DIR3_DATA_HDR, 0, 'dhdr.');
      yield* dataFields(v, size, 'du');
    }
  } else if (at >= freeAt) {
    yield* fieldsOf(DIR3_FREE_HDR, 0, 'fhdr.');
    const nvalid = v.getUint32(DIR3_FREE_HDR.at.nvalid);
    for (const i of some(nvalid)) yield { name: `fbests[${i}]`, at: DIR3_FREE_HDR.size + i * 2, type: u16 };
  } else if (v.getUint16(DA_AT.magic) === 0x3ebe) {
    yield* fieldsOf(DA3_NODE_HDR, 0, 'nhdr.');
    yield* records(DA_NODE_ENTRY, v.getUint16(DA3_NODE_HDR.at.count), DA3_NODE_HDR.size, 'nbtree');
  } else {
    yield* fieldsOf(DIR3_LEAF_HDR, 0, 'lhdr.');
    yield* records(LEAF_ENTRY, v.getUint16(DIR3_LEAF_HDR.at.count), DIR3_LEAF_HDR.size, 'lents');
    if (v.getUint16(DA_AT.magic) === 0x3df1) {
      const tail = v.byteLength - LEAF_TAIL.size;
      yield* fieldsOf(LEAF_TAIL, tail, 'ltail.');
      const n = v.getUint32(tail);
      for (const i of some(n)) yield { name: `lbests[${i}]`, at: tail - (n - i) * 2, type: u16 };
    }
  }
}

function* attrBlockFields(v: DataView): Generator<Target> {
  if (v.getUint32(0) === 0x5841524d) yield* fieldsOf(ATTR3_RMT_HDR, 0, 'hdr.');
  else if (v.getUint16(DA_AT.magic) === 0x3ebe) {
    yield* fieldsOf(DA3_NODE_HDR, 0, 'hdr.');
    yield* records(DA_NODE_ENTRY, v.getUint16(DA3_NODE_HDR.at.count), DA3_NODE_HDR.size, 'btree');
  } else {
    yield* fieldsOf(ATTR3_LEAF_HDR, 0, 'hdr.');
    const count = v.getUint16(ATTR3_LEAF_HDR.at.count);
    yield* records(ATTR_LEAF_ENTRY, count, ATTR3_LEAF_HDR.size, 'entries');
    for (const i of some(count)) {
      const entry = ATTR3_LEAF_HDR.size + i * ATTR_LEAF_ENTRY.size;
      const local = (v.getUint8(entry + ATTR_LEAF_ENTRY.at.flags) & 1) !== 0;
      const at = v.getUint16(entry + ATTR_LEAF_ENTRY.at.nameidx);
      yield* fieldsOf(local ? ATTR_NAME_LOCAL : ATTR_NAME_REMOTE, at, `nvlist[${i}].`);
    }
  }
}

/** A stretch of the image with fields in it, and how its checksum is made right. */
interface Piece {
  readonly what: string;
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly crcAt: number;
  readonly fields: readonly Target[];
}

const blockCrc = (b: Uint8Array): number => {
  const v = viewOf(b);
  const first = v.getUint32(0);
  if (first === 0x5841524d || first === 0x58534c4d) return ATTR3_RMT_HDR.at.crc; // XARM, XSLM
  const isDirBlock = [0x58444233, 0x58444433, 0x58444633].includes(first); // XDB3, XDD3, XDF3
  return isDirBlock ? DIR3_BLK_HDR.at.crc : DA_AT.crc;
};

function forkPieces(volume: Volume, inode: Inode, fork: 'data' | 'attr'): Piece[] {
  const { g } = volume;
  const blocks = new ForkBlocks(volume, inode, fork, throwFault);
  const leafAt = leafSpaceBlock(g);
  const freeAt = freeSpaceBlock(g);
  const pieces: Piece[] = [];
  const { extents } = blocks;
  const kinds = new Map<string, number>();
  for (let i = 0; i < extents.count; i++) {
    for (let at = extents.offset[i]; at < extents.offset[i] + extents.blocks[i]; at += blocks.fsbs) {
      const v = blocks.read(at);
      const place = blocks.place(at);
      // Blocks that lie in several places are left out: one piece is one stretch of the image.
      if (v === undefined || place === undefined || extents.blocks[i] < blocks.fsbs) continue;
      const fields = [...(fork === 'attr' ? attrBlockFields(v) : dirBlockFields(v, at, leafAt, freeAt))];
      // Two of a kind are enough.
      const kind = fields[0].name + fields.length;
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      if (kinds.get(kind)! > 2) continue;
      const bytes = new Uint8Array(v.buffer, v.byteOffset, v.byteLength).slice();
      const offset = blockOffset(g, place.agno, place.agbno);
      pieces.push({ what: `${fork} block ${at}`, offset, bytes, crcAt: blockCrc(bytes), fields });
    }
  }
  return pieces;
}

function inodePiece(volume: Volume, inode: Inode, fields: Iterable<Target>): Piece {
  const bytes = new Uint8Array(inode.view.buffer as ArrayBuffer, inode.base, inode.inodesize).slice();
  const offset = inodeOffset(volume.g, inode.ino);
  return { what: 'inode', offset, bytes, crcAt: DINODE.at.crc, fields: [...fields] };
}

/** A header stands before each extent of a target. */
function symlinkPieces(volume: Volume, inode: Inode): Piece[] {
  const { g } = volume;
  const list = readExtents(volume, inode, 'data');
  return Array.from({ length: list.count }, (_, i) => {
    const bytes = new Uint8Array(list.blocks[i] * g.blocksize);
    const offset = fsblockOffset(g, list.fsblock[i]);
    volume.source.read(offset, bytes);
    const fields = [...fieldsOf(SYMLINK_HDR, 0, '')];
    return { what: `target ${i}`, offset, bytes, crcAt: SYMLINK_HDR.at.crc, fields };
  });
}

function* shortDirFields(inode: Inode): Generator<Target> {
  const at = inode.dataAt - inode.base;
  const v = new DataView(inode.view.buffer, inode.base, inode.inodesize);
  yield* fieldsOf(SF_HDR4, at, 'hdr.');
  let entry = at + SF_HDR4.size;
  for (let i = 0; i < v.getUint8(at); i++) {
    yield* fieldsOf(SF_ENTRY, entry, `list[${i}].`);
    const end = entry + SF_ENTRY.size + v.getUint8(entry);
    yield { name: `list[${i}].inumber`, at: end + 1, type: SF_HDR4.fields[2].type.structure!.fields[0].type };
    entry = end + 1 + 4;
  }
}

function* shortAttrFields(inode: Inode): Generator<Target> {
  const at = inode.attrAt - inode.base;
  const v = new DataView(inode.view.buffer, inode.base, inode.inodesize);
  yield* fieldsOf(ATTR_SF_HDR, at, 'hdr.');
  let entry = at + ATTR_SF_HDR.size;
  for (let i = 0; i < v.getUint8(at + 2); i++) {
    yield* fieldsOf(ATTR_SF_ENTRY, entry, `list[${i}].`);
    entry += ATTR_SF_ENTRY.size + v.getUint8(entry) + v.getUint8(entry + 1);
  }
}

/** Reads all there is of a directory: index, entries, each name by its hash (of large ones only some). */
function readWholeDirectory(volume: Volume, ino: number, caught: (fn: () => void) => void): void {
  let names: Uint8Array[] = [];
  caught(() => {
    const listing = readDir(volume, readInode(volume, ino), { dots: true });
    names = some(listing.count).map((i) => listingName(listing, i));
  });
  caught(() => checkDirIndex(volume, readInode(volume, ino)));
  for (const name of names) caught(() => lookup(volume, readInode(volume, ino), name));
}

function readWholeAttributes(volume: Volume, ino: number, caught: (fn: () => void) => void): void {
  caught(() => {
    const inode = readInode(volume, ino);
    walkAttrs(volume, inode, (attribute) => {
      caught(() => attrValue(volume, inode, attribute));
      if (attribute.namespace === undefined) return;
      const { namespace, name } = attribute;
      caught(() => findAttr(volume, inode, namespace, name));
    });
  });
}

/**
 * What a changed field need not be noticed by: padding, the LSN, and hints for which any value is harmless (the
 * freemap may know less than there is free, and `holes` only says that it does).
 */
const HARMLESS = /(^|\.)(lsn|pad|pad1|pad2|padding|holes)$|freemap\[\d\]\.size$/;

/**
 * Fields that can be read as something else when they are wrong, and by what that is then noticed: a length that
 * is wrong makes what follows wrong; a count or address of zero is an index with a name missing.
 */
const NOTICED_BY: Record<string, RegExp> = {
  i8count: /parent|list/,
  namelen: /name|filetype|tag|hashval|inumber|count|nameidx|valuelen|usedbytes/,
  valuelen: /usedbytes|list\[\d+\]|nameidx/,
  flags: /nvlist|hashval|nameidx/,
  inumber: /length|tag/,
  freetag: /namelen|inumber|tag/,
  offset: /hdr\.count/,
  length: /bestfree/,
  address: /stale|index/,
  count: /index|usedbytes|totsize|namelen/,
};

const last = (name: string): string => name.replace(/^.*\./, '').replace(/\[\d+\]$/, '');

function isNoticed(field: string, faults: readonly Fault[]): boolean {
  const name = last(field);
  return faults.some((f) => f.field.includes(name) || NOTICED_BY[name]?.test(f.field));
}

/** Another namespace, or "incomplete", is a value that can be true: nothing else says which one it was. */
function isOtherNamespace(field: string, value: string): boolean {
  const flags = Number.parseInt(value, 16);
  const known = ATTR_FLAG.LOCAL | ATTR_FLAG.ROOT | ATTR_FLAG.SECURE | ATTR_FLAG.INCOMPLETE;
  return /flags$/.test(field) && (flags & ~known) === 0 && attrNamespace(flags) !== undefined;
}

interface Change {
  readonly field: Target;
  readonly bytes: Uint8Array;
}

/** The field all zeros, all ones, and random. */
function* changes(piece: Piece, random: () => number): Generator<Change> {
  for (const field of piece.fields) {
    const size = field.type.size;
    for (const fill of [() => 0, () => 0xff, () => Math.floor(random() * 256)]) {
      const bytes = piece.bytes.slice();
      for (let i = 0; i < size; i++) bytes[field.at + i] = fill();
      if (Buffer.compare(bytes, piece.bytes) === 0) continue;
      if (field.type !== crc) sealCrc(bytes, piece.crcAt);
      yield { field, bytes };
    }
  }
}

/** A small generator of its own (mulberry32), so that a failure comes again. */
function randomFrom(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Reader = (volume: Volume, ino: number, caught: (fn: () => void) => void) => void;

/** Seconds that reading one damaged file may take. */
const LIMIT = 5;

/** Changes each field in turn and reads; returns the changes that were not noticed as they should be. */
function attack(
  source: Source,
  ino: number,
  pieces: Piece[],
  read: Reader,
): { tried: number; missed: string[] } {
  const random = randomFrom(ino);
  const missed: string[] = [];
  let tried = 0;
  for (const piece of pieces) {
    for (const { field, bytes } of changes(piece, random)) {
      tried++;
      const overlay = new OverlaySource(source);
      overlay.write(piece.offset, bytes);
      const volume = openVolume(overlay);
      const faults: Fault[] = [];
      volume.report = (fault) => faults.push(fault);
      const caught = (fn: () => void): void => {
        try {
          fn();
        } catch (error) {
          if (!(error instanceof CorruptionError)) throw error;
          faults.push(error.fault);
        }
      };
      const start = performance.now();
      read(volume, ino, caught);
      const seconds = (performance.now() - start) / 1000;
      const value = Buffer.from(bytes.subarray(field.at, field.at + field.type.size)).toString('hex');
      const change = `${piece.what}: ${field.name} = 0x${value}`;
      assert.ok(seconds < LIMIT, `${change} took ${seconds} s`);
      if (HARMLESS.test(field.name)) continue;
      if (faults.length === 0 && isOtherNamespace(field.name, value)) continue;
      if (!isNoticed(field.name, faults))
        missed.push(`${change}: ${faults.slice(0, 3).map((f) => `${f.structure} ${f.field}`)}`);
    }
  }
  return { tried, missed };
}

describe('damaged structures', needed, () => {
  const image = needed.skip
    ? undefined
    : populated({ mkfs: { args: ['-b', 'size=1024', '-n', 'size=4096'] }, populate: { scale: 'full' } });

  const attackShape = (
    key: string,
    read: Reader,
    pieces: (volume: Volume, inode: Inode) => Piece[],
  ): void => {
    assert.ok(image);
    const source = openSource(image.image);
    try {
      const volume = openVolume(source);
      const inode = resolvePath(volume, image.notes.get(key)!, { follow: false });
      const all = pieces(volume, inode);
      assert.ok(all.length > 0);
      const { tried, missed } = attack(source, inode.ino, all, read);
      assert.ok(tried > 20, `${tried} changes`);
      assert.deepEqual(missed, []);
    } finally {
      source.close();
    }
  };

  for (const key of ['dir:4', 'dir:40', 'dir:200', 'dir:3000', 'dir:gaps', 'dir:shrunk'])
    test(`directory: ${key}`, () =>
      attackShape(key, readWholeDirectory, (volume, inode) =>
        inode.format === FORK_FORMAT.LOCAL
          ? [inodePiece(volume, inode, shortDirFields(inode))]
          : forkPieces(volume, inode, 'data'),
      ));

  for (const key of ['attr:short', 'attr:leaf', 'attr:node', 'attr:remote', 'attr:gaps'])
    test(`attributes: ${key}`, () =>
      attackShape(key, readWholeAttributes, (volume, inode) =>
        inode.aformat === FORK_FORMAT.LOCAL
          ? [inodePiece(volume, inode, shortAttrFields(inode))]
          : forkPieces(volume, inode, 'attr'),
      ));

  for (const key of ['symlink:700', 'symlink:1023'])
    test(`symbolic link: ${key}`, () =>
      attackShape(
        key,
        (volume, ino, caught) => caught(() => readSymlink(volume, readInode(volume, ino))),
        symlinkPieces,
      ));
});
