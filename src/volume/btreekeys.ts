/**
 * Keys of the seven btrees as they stand in blocks: how those of two entries compare, what key a record has, and
 * what a parent must say of a block. Big-endian words, most significant first. Rules: xfs_*_btree.c, the
 * functions that begin key and compare.
 */
import { type BtreeKind, keyAt, recordAt } from '../format/btree.js';

/** Compares `size` bytes of two keys as big-endian unsigned numbers: negative, 0 or positive. */
function compareKeys(a: DataView, aAt: number, b: DataView, bAt: number, size: number): number {
  for (let i = 0; i < size; i += 4) {
    const d = a.getUint32(aAt + i) - b.getUint32(bAt + i);
    if (d !== 0) return d;
  }
  return 0;
}

/**
 * rmapbt keys order by start, owner and offset; the unwritten flag is no part of the order, and older
 * kernels copied it into keys while newer ones mask it.
 */
const UNWRITTEN_MASK = 0xdfff_ffff;
export function compareRmapKeys(a: DataView, aAt: number, b: DataView, bAt: number): number {
  for (let i = 0; i < 12; i += 4) {
    const d = a.getUint32(aAt + i) - b.getUint32(bAt + i);
    if (d !== 0) return d;
  }
  const d =
    ((a.getUint32(aAt + 12) & UNWRITTEN_MASK) >>> 0) - ((b.getUint32(bAt + 12) & UNWRITTEN_MASK) >>> 0);
  return d !== 0 ? d : a.getUint32(aAt + 16) - b.getUint32(bAt + 16);
}

/** Low key of the record or node entry at `at` of a block. Records begin with their key but for two kinds. */
export function lowKey(kind: BtreeKind, level: number, block: DataView, at: number, into: DataView): void {
  const size = kind.key.size;
  if (level === 0 && kind.name === 'bmbt') {
    into.setUint32(0, (block.getUint32(at) & 0x7fff_ffff) >>> 9);
    into.setUint32(4, ((block.getUint32(at) << 23) | (block.getUint32(at + 4) >>> 9)) >>> 0);
    return;
  }
  if (level === 0 && kind.name === 'rmapbt') {
    into.setUint32(0, block.getUint32(at));
    for (let i = 0; i < 16; i += 4) into.setUint32(4 + i, block.getUint32(at + 8 + i));
    return;
  }
  for (let i = 0; i < size; i += 4) into.setUint32(i, block.getUint32(at + i));
}

export function compareLowKeys(kind: BtreeKind, a: DataView, aAt: number, b: DataView, bAt: number): number {
  if (kind.name === 'rmapbt') return compareRmapKeys(a, aAt, b, bAt);
  if (kind.name === 'bnobt') return a.getUint32(aAt) - b.getUint32(bAt);
  if (kind.name === 'cntbt') {
    const d = a.getUint32(aAt + 4) - b.getUint32(bAt + 4);
    return d !== 0 ? d : a.getUint32(aAt) - b.getUint32(bAt);
  }
  return compareKeys(a, aAt, b, bAt, kind.key.size);
}

/** High key of the rmapbt record at `at`: where it ends, in the AG and in its owner. */
function highRmapKey(leaf: DataView, at: number, into: DataView): void {
  const more = leaf.getUint32(at + 4) - 1;
  const flags = leaf.getUint32(at + 16);
  const ofInode = leaf.getInt32(at + 8) >= 0;
  into.setUint32(0, leaf.getUint32(at) + more);
  into.setUint32(4, leaf.getUint32(at + 8));
  into.setUint32(8, leaf.getUint32(at + 12));
  // Only mappings of a file's blocks have an offset that ends somewhere; bit 30 marks a bmbt block.
  const low = leaf.getUint32(at + 20) + (ofInode && (flags & 0x4000_0000) === 0 ? more : 0);
  into.setUint32(12, low > 0xffff_ffff ? flags + 1 : flags);
  into.setUint32(16, low);
}

/** Compares the low keys of two neighbours in a block: as `compareLowKeys`, without making keys of records. */
export function compareNeighbours(
  kind: BtreeKind,
  level: number,
  block: DataView,
  a: number,
  b: number,
): number {
  if (level > 0 || (kind.name !== 'rmapbt' && kind.name !== 'bmbt'))
    return compareLowKeys(kind, block, a, block, b);
  if (kind.name === 'bmbt') {
    // The offset stands below the first bit; what follows it is the block it starts at.
    const d = (block.getUint32(a) & 0x7fff_ffff) - (block.getUint32(b) & 0x7fff_ffff);
    return d !== 0 ? d : (block.getUint32(a + 4) >>> 9) - (block.getUint32(b + 4) >>> 9);
  }
  const d = block.getUint32(a) - block.getUint32(b);
  if (d !== 0) return d;
  // Behind the start comes the length, which is no part of the key.
  for (let i = 8; i < 16; i += 4) {
    const word = block.getUint32(a + i) - block.getUint32(b + i);
    if (word !== 0) return word;
  }
  const high =
    ((block.getUint32(a + 16) & UNWRITTEN_MASK) >>> 0) - ((block.getUint32(b + 16) & UNWRITTEN_MASK) >>> 0);
  return high !== 0 ? high : block.getUint32(a + 20) - block.getUint32(b + 20);
}

/** Highest of the high keys in a block of the rmapbt: what its parent's high key must be. */
export function highestRmapKey(
  kind: BtreeKind,
  level: number,
  block: DataView,
  into: DataView,
  spare: DataView,
): void {
  const numrecs = block.getUint16(kind.header.at.numrecs);
  // From the last on: most before it end before it does, which their first word tells.
  for (let i = numrecs - 1; i >= 0; i--) {
    let from = block;
    let at = keyAt(kind, i) + kind.key.size;
    if (level === 0) {
      const record = recordAt(kind, i);
      const end = block.getUint32(record) + block.getUint32(record + 4) - 1;
      if (i < numrecs - 1 && end < into.getUint32(0)) continue;
      highRmapKey(block, record, spare);
      from = spare;
      at = 0;
    }
    if (i === numrecs - 1 || compareRmapKeys(from, at, into, 0) > 0)
      for (let b = 0; b < kind.key.size; b += 4) into.setUint32(b, from.getUint32(at + b));
  }
}

/** A key for a message: its fields, separated by slashes. */
export const showKey = (kind: BtreeKind, v: DataView, at: number): string => {
  const fields = Object.entries(kind.key.decode(v, at)).filter(([name]) => !/flag|fork|bmbt/.test(name));
  return fields.map(([, value]) => value).join('/');
};
