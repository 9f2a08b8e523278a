/**
 * Fields of directories, attributes and symbolic links, found through their tables in the blocks of a healthy
 * image: what fuzzers change there.
 */
import {
  ATTR_LEAF_ENTRY,
  ATTR_NAME_LOCAL,
  ATTR_NAME_REMOTE,
  ATTR_SF_ENTRY,
  ATTR_SF_HDR,
  ATTR3_LEAF_HDR,
  ATTR3_RMT_HDR,
} from '../../src/format/attr.js';
import { DA_AT, DA_NODE_ENTRY, DA3_NODE_HDR } from '../../src/format/da.js';
import { DINODE } from '../../src/format/dinode.js';
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
import { throwFault } from '../../src/format/fault.js';
import { blockOffset, fsblockOffset, inodeOffset } from '../../src/format/geometry.js';
import { type FieldType, type Structure, u16, viewOf } from '../../src/format/structure.js';
import { SYMLINK_HDR } from '../../src/format/symlink.js';
import { readExtents } from '../../src/volume/fork.js';
import { ForkBlocks } from '../../src/volume/forkblocks.js';
import type { Inode } from '../../src/volume/inode.js';
import type { Volume } from '../../src/volume/volume.js';

/** A field of a structure within a block. */
export interface PieceField {
  readonly name: string;
  readonly at: number;
  readonly type: FieldType;
}

/** Fields of a structure at `base`, those of structures within it too. */
function* fieldsOf(s: Structure, base: number, prefix: string): Generator<PieceField> {
  for (const f of s.fields) yield* fieldsOfType(f.type, base + f.offset, `${prefix}${f.name}`);
}

function* fieldsOfType(type: FieldType, at: number, name: string): Generator<PieceField> {
  if (type.structure) yield* fieldsOf(type.structure, at, `${name}.`);
  else if (type.of)
    for (let i = 0; i < type.count!; i++)
      yield* fieldsOfType(type.of, at + i * type.of.size, `${name}[${i}]`);
  else yield { name, at, type };
}

/** First, middle and last of `n`. */
export const some = (n: number): number[] => [...new Set([0, n >> 1, n - 1])].filter((i) => i >= 0 && i < n);

function* records(s: Structure, n: number, at: number, name: string): Generator<PieceField> {
  for (const i of some(n)) yield* fieldsOf(s, at + i * s.size, `${name}[${i}].`);
}

/** Fields of entries and free regions of a data block. */
function* dataFields(v: DataView, end: number, u: string): Generator<PieceField> {
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

function* dirBlockFields(v: DataView, at: number, leafAt: number, freeAt: number): Generator<PieceField> {
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

function* attrBlockFields(v: DataView): Generator<PieceField> {
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
export interface Piece {
  readonly what: string;
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly crcAt: number;
  readonly fields: readonly PieceField[];
}

const blockCrc = (b: Uint8Array): number => {
  const v = viewOf(b);
  const first = v.getUint32(0);
  if (first === 0x5841524d || first === 0x58534c4d) return ATTR3_RMT_HDR.at.crc; // XARM, XSLM
  const isDirBlock = [0x58444233, 0x58444433, 0x58444633].includes(first); // XDB3, XDD3, XDF3
  return isDirBlock ? DIR3_BLK_HDR.at.crc : DA_AT.crc;
};

export function forkPieces(volume: Volume, inode: Inode, fork: 'data' | 'attr'): Piece[] {
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

export function inodePiece(volume: Volume, inode: Inode, fields: Iterable<PieceField>): Piece {
  const bytes = new Uint8Array(inode.view.buffer as ArrayBuffer, inode.base, inode.inodesize).slice();
  const offset = inodeOffset(volume.g, inode.ino);
  return { what: 'inode', offset, bytes, crcAt: DINODE.at.crc, fields: [...fields] };
}

/** A header stands before each extent of a target. */
export function symlinkPieces(volume: Volume, inode: Inode): Piece[] {
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

export function* shortDirFields(inode: Inode): Generator<PieceField> {
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

export function* shortAttrFields(inode: Inode): Generator<PieceField> {
  const at = inode.attrAt - inode.base;
  const v = new DataView(inode.view.buffer, inode.base, inode.inodesize);
  yield* fieldsOf(ATTR_SF_HDR, at, 'hdr.');
  let entry = at + ATTR_SF_HDR.size;
  for (let i = 0; i < v.getUint8(at + 2); i++) {
    yield* fieldsOf(ATTR_SF_ENTRY, entry, `list[${i}].`);
    entry += ATTR_SF_ENTRY.size + v.getUint8(entry) + v.getUint8(entry + 1);
  }
}
