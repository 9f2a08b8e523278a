/**
 * Blocks on their way into a metadump: bytes in no use become zeros, names are obfuscated, values become v's.
 * All in place. Each returns whether the block could be understood: one that could not may hold anything.
 */
import {
  ATTR_FLAG,
  ATTR_LEAF_ENTRY,
  ATTR_NAME_LOCAL,
  ATTR_NAME_REMOTE,
  ATTR_SF_ENTRY,
  ATTR_SF_HDR,
  ATTR3_LEAF_HDR,
  ATTR3_RMT_HDR,
  attrLocalSize,
  attrRemoteSize,
  attrSfEntrySize,
  XFS_ATTR3_LEAF_MAGIC,
  XFS_ATTR3_RMT_MAGIC,
} from '../../format/attr.js';
import { BTREES, type BtreeKind, keyAt, maxRecords, ptrAt, recordAt } from '../../format/btree.js';
import { crcHolds, sealCrc } from '../../format/checksum.js';
import { DA_AT, DA_NODE_ENTRY, DA3_NODE_HDR, daNodeEntries, XFS_DA3_NODE_MAGIC } from '../../format/da.js';
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
  LEAF_ENTRY,
  LEAF_TAIL,
  maxFreeBests,
  maxLeafEntries,
  SF_ENTRY,
  sfEntrySize,
  sfHdrSize,
  XFS_DIR3_BLOCK_MAGIC,
  XFS_DIR3_DATA_MAGIC,
  XFS_DIR3_FREE_MAGIC,
  XFS_DIR3_LEAF1_MAGIC,
  XFS_DIR3_LEAFN_MAGIC,
} from '../../format/dir.js';
import type { Geometry } from '../../format/geometry.js';
import { viewOf } from '../../format/structure.js';
import type { NameCipher } from './names.js';

/** What becomes of a block. */
export interface Treatment {
  /** Obfuscates names and values; undefined: they stay. */
  readonly cipher: NameCipher | undefined;
  /** Bytes in no use become zeros. */
  readonly zero: boolean;
}

const VALUE = 0x76; // 'v'

/** Runs `change`, and seals the block anew if its checksum was right: one that was wrong stays wrong. */
export function sealed(b: Uint8Array, crcAt: number, change: () => boolean): boolean {
  const held = crcHolds(b, crcAt);
  const understood = change();
  if (held) sealCrc(b, crcAt);
  return understood;
}

/** A block of a btree. There are no names in it. */
export function treatBtree(kind: BtreeKind, b: Uint8Array, t: Treatment): boolean {
  const v = viewOf(b);
  const at = kind.header.at;
  const level = v.getUint16(at.level);
  const numrecs = v.getUint16(at.numrecs);
  if (v.getUint32(at.magic) !== kind.magic || numrecs > maxRecords(kind, b.length, level)) return false;
  if (!t.zero) return true;
  return sealed(b, at.crc, () => {
    if (level === 0) b.fill(0, recordAt(kind, numrecs));
    else {
      b.fill(0, keyAt(kind, numrecs), ptrAt(kind, b.length, 0));
      b.fill(0, ptrAt(kind, b.length, numrecs));
    }
    return true;
  });
}

/** A block of a directory. */
export function treatDirBlock(g: Geometry, b: Uint8Array, t: Treatment): boolean {
  const v = viewOf(b);
  switch (v.getUint32(0)) {
    case XFS_DIR3_BLOCK_MAGIC:
      return sealed(b, DIR3_BLK_HDR.at.crc, () => {
        const count = v.getUint32(b.length - BLOCK_TAIL.size);
        const end = blockEntriesEnd(b.length, count);
        return end >= DIR3_DATA_HDR.size && treatDirData(g, b, v, end, t);
      });
    case XFS_DIR3_DATA_MAGIC:
      return sealed(b, DIR3_BLK_HDR.at.crc, () => treatDirData(g, b, v, b.length, t));
    case XFS_DIR3_FREE_MAGIC: {
      const valid = v.getUint32(DIR3_FREE_HDR.at.nvalid);
      if (valid > maxFreeBests(b.length)) return false;
      return clear(b, DIR3_BLK_HDR.at.crc, DIR3_FREE_HDR.size + valid * 2, b.length, t);
    }
  }
  const leaf = v.getUint16(DIR3_LEAF_HDR.at.count);
  switch (v.getUint16(DA_AT.magic)) {
    case XFS_DIR3_LEAF1_MAGIC: {
      const bests = v.getUint32(b.length - LEAF_TAIL.size) * 2;
      const from = DIR3_LEAF_HDR.size + leaf * LEAF_ENTRY.size;
      const to = b.length - LEAF_TAIL.size - bests;
      return from <= to && clear(b, DA_AT.crc, from, to, t);
    }
    case XFS_DIR3_LEAFN_MAGIC:
      if (leaf > maxLeafEntries(b.length)) return false;
      return clear(b, DA_AT.crc, DIR3_LEAF_HDR.size + leaf * LEAF_ENTRY.size, b.length, t);
    case XFS_DA3_NODE_MAGIC:
      return treatDaNode(b, t);
  }
  return false;
}

/** A node of a directory's or an attribute fork's hash btree. */
function treatDaNode(b: Uint8Array, t: Treatment): boolean {
  const count = viewOf(b).getUint16(DA3_NODE_HDR.at.count);
  if (count > daNodeEntries(b.length)) return false;
  return clear(b, DA_AT.crc, DA3_NODE_HDR.size + count * DA_NODE_ENTRY.size, b.length, t);
}

function clear(b: Uint8Array, crcAt: number, from: number, to: number, t: Treatment): boolean {
  if (!t.zero) return true;
  return sealed(b, crcAt, () => {
    b.fill(0, from, to);
    return true;
  });
}

/** Entries and free regions from the header to `end`. */
function treatDirData(g: Geometry, b: Uint8Array, v: DataView, end: number, t: Treatment): boolean {
  const { ftype } = g.features;
  for (let at: number = DIR3_DATA_HDR.size; at < end; ) {
    if (v.getUint16(at) === DATA_FREE_TAG) {
      const length = v.getUint16(at + DATA_UNUSED.at.length);
      if (length === 0 || length % 8 !== 0 || at + length > end) return false;
      if (t.zero) b.fill(0, at + DATA_UNUSED.size, at + length - 2);
      at += length;
      continue;
    }
    if (at + DATA_ENTRY.size > end) return false;
    const namelen = b[at + DATA_ENTRY.at.namelen];
    const length = dataEntrySize(namelen, ftype);
    if (namelen === 0 || at + length > end) return false;
    const name = at + DATA_ENTRY.size;
    t.cipher?.apply(b, name, namelen);
    if (t.zero) b.fill(0, name + namelen + (ftype ? 1 : 0), at + length - 2);
    at += length;
  }
  return true;
}

/** A directory in its inode: `fork` is di_size bytes. */
export function treatShortDir(g: Geometry, fork: Uint8Array, t: Treatment): boolean {
  if (fork.length < 2) return false;
  const i8 = fork[1] !== 0;
  let at = sfHdrSize(i8);
  for (let i = 0; i < fork[0]; i++) {
    if (at >= fork.length) return false;
    const namelen = fork[at];
    const next = at + sfEntrySize(namelen, i8, g.features.ftype);
    if (namelen === 0 || next > fork.length) return false;
    t.cipher?.apply(fork, at + SF_ENTRY.size, namelen);
    at = next;
  }
  return at === fork.length;
}

/** A block of an attribute fork. */
export function treatAttrBlock(b: Uint8Array, t: Treatment): boolean {
  const v = viewOf(b);
  if (v.getUint32(0) === XFS_ATTR3_RMT_MAGIC) {
    const bytes = v.getUint32(ATTR3_RMT_HDR.at.bytes);
    if (bytes > b.length - ATTR3_RMT_HDR.size) return false;
    return sealed(b, ATTR3_RMT_HDR.at.crc, () => {
      const end = ATTR3_RMT_HDR.size + bytes;
      if (t.cipher !== undefined) b.fill(VALUE, ATTR3_RMT_HDR.size, end);
      if (t.zero) b.fill(0, end);
      return true;
    });
  }
  const magic = v.getUint16(DA_AT.magic);
  if (magic === XFS_DA3_NODE_MAGIC) return treatDaNode(b, t);
  return magic === XFS_ATTR3_LEAF_MAGIC && sealed(b, DA_AT.crc, () => treatAttrLeaf(b, v, t));
}

function treatAttrLeaf(b: Uint8Array, v: DataView, t: Treatment): boolean {
  const count = v.getUint16(ATTR3_LEAF_HDR.at.count);
  const entriesEnd = ATTR3_LEAF_HDR.size + count * ATTR_LEAF_ENTRY.size;
  if (entriesEnd > b.length) return false;
  const used = new Uint8Array(b.length);
  used.fill(1, 0, entriesEnd);
  for (let i = 0; i < count; i++) {
    const entry = ATTR3_LEAF_HDR.size + i * ATTR_LEAF_ENTRY.size;
    const at = v.getUint16(entry + ATTR_LEAF_ENTRY.at.nameidx);
    const flags = b[entry + ATTR_LEAF_ENTRY.at.flags];
    const local = (flags & ATTR_FLAG.LOCAL) !== 0;
    const fixed = local ? ATTR_NAME_LOCAL : ATTR_NAME_REMOTE;
    if (at < entriesEnd || at + fixed.size > b.length) return false;
    const namelen = b[at + (local ? ATTR_NAME_LOCAL.at.namelen : ATTR_NAME_REMOTE.at.namelen)];
    const valuelen = local ? v.getUint16(at) : 0;
    const end = at + fixed.size + namelen + valuelen;
    if (namelen === 0 || at + (local ? attrLocalSize(namelen, valuelen) : attrRemoteSize(namelen)) > b.length)
      return false;
    used.fill(1, at, end);
    t.cipher?.apply(b, at + fixed.size, namelen);
    // A parent pointer's value is an inode number.
    if (t.cipher !== undefined && (flags & ATTR_FLAG.PARENT) === 0) b.fill(VALUE, end - valuelen, end);
  }
  if (t.zero) for (let i = entriesEnd; i < b.length; i++) if (used[i] === 0) b[i] = 0;
  return true;
}

/** Attributes in their inode: `fork` is the attribute fork. */
export function treatShortAttrs(fork: Uint8Array, t: Treatment): boolean {
  if (fork.length < ATTR_SF_HDR.size) return false;
  const total = viewOf(fork).getUint16(ATTR_SF_HDR.at.totsize);
  if (total > fork.length) return false;
  let at: number = ATTR_SF_HDR.size;
  for (let i = 0; i < fork[ATTR_SF_HDR.at.count]; i++) {
    if (at + ATTR_SF_ENTRY.size > total) return false;
    const namelen = fork[at];
    const valuelen = fork[at + ATTR_SF_ENTRY.at.valuelen];
    const next = at + attrSfEntrySize(namelen, valuelen);
    if (namelen === 0 || next > total) return false;
    t.cipher?.apply(fork, at + ATTR_SF_ENTRY.size, namelen);
    const isParent = (fork[at + ATTR_SF_ENTRY.at.flags] & ATTR_FLAG.PARENT) !== 0;
    if (t.cipher !== undefined && !isParent) fork.fill(VALUE, next - valuelen, next);
    at = next;
  }
  if (t.zero) fork.fill(0, at);
  return true;
}

/** The btree whose blocks carry this magic, if any does. */
export const kindOfMagic = (magic: number): BtreeKind | undefined =>
  Object.values(BTREES).find((kind) => kind.magic === magic);
