/**
 * Directories, attributes and symbolic links with every field of their structures set to what it is not, the
 * checksum made right: no crash, no hang, and where the value cannot be true the field is named.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ATTR_FLAG, attrNamespace } from '../../src/format/attr.js';
import { sealCrc } from '../../src/format/checksum.js';
import { FORK_FORMAT } from '../../src/format/dinode.js';
import { CorruptionError, type Fault } from '../../src/format/fault.js';
import { crc } from '../../src/format/structure.js';
import { openSource } from '../../src/image/open.js';
import { OverlaySource } from '../../src/image/overlay.js';
import type { Source } from '../../src/image/source.js';
import { attrValue, findAttr, walkAttrs } from '../../src/volume/attr.js';
import { listingName, lookup, readDir } from '../../src/volume/dir.js';
import { checkDirIndex } from '../../src/volume/dirindex.js';
import { type Inode, readInode } from '../../src/volume/inode.js';
import { resolvePath } from '../../src/volume/path.js';
import { readSymlink } from '../../src/volume/symlink.js';
import { openVolume, type Volume } from '../../src/volume/volume.js';
import {
  forkPieces,
  inodePiece,
  type Piece,
  type PieceField,
  shortAttrFields,
  shortDirFields,
  some,
  symlinkPieces,
} from '../fuzz/pieces.js';
import { populated } from '../support/cache.js';
import { oracle } from '../support/oracle.js';

const needed = oracle('mount', 'mkfs.xfs', 'xfs_io', 'setfattr');

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
  readonly field: PieceField;
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
