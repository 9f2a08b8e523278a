/**
 * Attribute forks from a list of attributes: packed into the inode, or leaves in the fork's blocks under a
 * hash btree, with values too long for a leaf in blocks of their own.
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
  attrHash,
  attrLocalSize,
  attrRemoteBlocks,
  attrRemoteSize,
  attrRemoteSpace,
  attrSfEntrySize,
  XATTR_SIZE_MAX,
  XFS_ATTR3_LEAF_MAGIC,
  XFS_ATTR3_RMT_MAGIC,
} from '../format/attr.js';
import { sealCrc } from '../format/checksum.js';
import { DA_AT } from '../format/da.js';
import type { Geometry } from '../format/geometry.js';
import { setU64, viewOf } from '../format/structure.js';
import { type DaShape, daLeafIndex, daShape, writeBlkinfo, writeDaNodes } from './danode.js';
import type { ForkTarget } from './fork.js';

export interface NewAttr {
  /** ATTR_FLAG bits of the namespace. */
  readonly flags: number;
  /** Without the namespace's prefix, 1 to 255 bytes. */
  readonly name: Uint8Array;
  /** At most 64 KiB. */
  readonly value: Uint8Array;
}

/** Bytes of the short form; undefined where a value is too long for it. */
export function shortFormAttrSize(attrs: readonly NewAttr[]): number | undefined {
  let size: number = ATTR_SF_HDR.size;
  for (const a of attrs) {
    if (a.value.length > 255) return undefined;
    size += attrSfEntrySize(a.name.length, a.value.length);
  }
  return attrs.length > 255 ? undefined : size;
}

/** The attribute fork in the inode. */
export function shortFormAttrs(attrs: readonly NewAttr[]): Uint8Array {
  const size = shortFormAttrSize(attrs);
  if (size === undefined) throw new RangeError('attributes too large for the short form');
  const bytes = new Uint8Array(size);
  const v = viewOf(bytes);
  v.setUint16(0, size);
  v.setUint8(ATTR_SF_HDR.at.count, attrs.length);
  let at: number = ATTR_SF_HDR.size;
  for (const a of attrs) {
    v.setUint8(at, a.name.length);
    v.setUint8(at + 1, a.value.length);
    v.setUint8(at + 2, a.flags);
    bytes.set(a.name, at + ATTR_SF_ENTRY.size);
    bytes.set(a.value, at + ATTR_SF_ENTRY.size + a.name.length);
    at += attrSfEntrySize(a.name.length, a.value.length);
  }
  return bytes;
}

interface Placed {
  readonly attr: NewAttr;
  readonly hash: number;
  /** Bytes of name and value in the leaf. */
  readonly size: number;
  /** Fork block of the value; undefined where it stands in the leaf. */
  readonly valueblk: number | undefined;
}

export interface AttrPlan {
  /** Blocks of the fork, from 0. */
  readonly blocks: number;
  readonly tree: DaShape;
  /** Attributes of each leaf. */
  readonly leaves: readonly (readonly Placed[])[];
}

/**
 * Lays the attributes out over leaves and value blocks. Throws RangeError for a name or value the format
 * does not hold.
 */
export function planAttrs(g: Geometry, attrs: readonly NewAttr[]): AttrPlan {
  const { blocksize } = g;
  // What takes less than three quarters of a block stands in the leaf (xfs_da_format.h).
  const localMax = (blocksize >> 1) + (blocksize >> 2);
  const room = blocksize - ATTR3_LEAF_HDR.size;
  const sized = attrs.map((attr) => {
    if (attr.name.length < 1 || attr.name.length > 255)
      throw new RangeError(`an attribute name of ${attr.name.length} bytes: 1 to 255`);
    if (attr.value.length > XATTR_SIZE_MAX)
      throw new RangeError(`an attribute value of ${attr.value.length} bytes: at most ${XATTR_SIZE_MAX}`);
    const local = attrLocalSize(attr.name.length, attr.value.length);
    const isLocal = local < localMax;
    return {
      attr,
      hash: attrHash(attr.flags, attr.name, attr.value),
      isLocal,
      size: isLocal ? local : attrRemoteSize(attr.name.length),
    };
  });
  sized.sort(
    (a, b) => a.hash - b.hash || Buffer.compare(a.attr.name, b.attr.name) || a.attr.flags - b.attr.flags,
  );
  const cuts: number[] = [];
  let used = 0;
  let start = 0;
  for (let i = 0; i < sized.length; i++) {
    const size = sized[i].size + ATTR_LEAF_ENTRY.size;
    if (used + size > room) {
      // Names of one hash stay together, where a leaf holds them.
      let cut = i;
      while (cut > start && sized[cut - 1].hash === sized[i].hash) cut--;
      if (cut === start) cut = i;
      cuts.push(cut);
      start = cut;
      used = 0;
      for (let k = cut; k < i; k++) used += sized[k].size + ATTR_LEAF_ENTRY.size;
    }
    used += size;
  }
  cuts.push(sized.length);
  const tree = daShape(cuts.length, blocksize);
  let next = tree.total;
  const leaves: Placed[][] = [];
  let from = 0;
  for (const to of cuts) {
    leaves.push(
      sized.slice(from, to).map(({ attr, hash, size, isLocal }) => {
        if (isLocal) return { attr, hash, size, valueblk: undefined };
        const valueblk = next;
        next += attrRemoteBlocks(attr.value.length, blocksize);
        return { attr, hash, size, valueblk };
      }),
    );
    from = to;
  }
  return { blocks: next, tree, leaves };
}

/** Writes the fork's blocks. */
export function writeAttrs(g: Geometry, ino: number, plan: AttrPlan, target: ForkTarget): void {
  const bytes = new Uint8Array(g.blocksize);
  const hashes = new Uint32Array(plan.leaves.length);
  const leafBlock = (i: number): number => daLeafIndex(plan.tree, i);
  plan.leaves.forEach((leaf, i) => {
    bytes.fill(0);
    const back = i > 0 ? leafBlock(i - 1) : 0;
    const forw = i < plan.leaves.length - 1 ? leafBlock(i + 1) : 0;
    writeBlkinfo(g, bytes, XFS_ATTR3_LEAF_MAGIC, target.daddr(leafBlock(i)), ino, back, forw);
    fillLeaf(bytes, leaf);
    hashes[i] = leaf[leaf.length - 1].hash;
    sealCrc(bytes, DA_AT.crc);
    target.emit(leafBlock(i), bytes);
  });
  writeDaNodes(g, ino, plan.tree, g.blocksize, hashes, (n) => n, target);
  for (const leaf of plan.leaves)
    for (const p of leaf) if (p.valueblk !== undefined) writeValue(g, ino, p.valueblk, p.attr.value, target);
}

/** Entries grow from the header up, names and values from the block's end down. */
function fillLeaf(bytes: Uint8Array, leaf: readonly Placed[]): void {
  const v = viewOf(bytes);
  const H = ATTR3_LEAF_HDR.at;
  let end = bytes.length;
  leaf.forEach((p, i) => {
    const { name, value, flags } = p.attr;
    end -= p.size;
    const entry = ATTR3_LEAF_HDR.size + i * ATTR_LEAF_ENTRY.size;
    v.setUint32(entry, p.hash);
    v.setUint16(entry + ATTR_LEAF_ENTRY.at.nameidx, end);
    if (p.valueblk === undefined) {
      v.setUint8(entry + ATTR_LEAF_ENTRY.at.flags, flags | ATTR_FLAG.LOCAL);
      v.setUint16(end, value.length);
      v.setUint8(end + ATTR_NAME_LOCAL.at.namelen, name.length);
      bytes.set(name, end + ATTR_NAME_LOCAL.size);
      bytes.set(value, end + ATTR_NAME_LOCAL.size + name.length);
    } else {
      v.setUint8(entry + ATTR_LEAF_ENTRY.at.flags, flags);
      v.setUint32(end, p.valueblk);
      v.setUint32(end + ATTR_NAME_REMOTE.at.valuelen, value.length);
      v.setUint8(end + ATTR_NAME_REMOTE.at.namelen, name.length);
      bytes.set(name, end + ATTR_NAME_REMOTE.size);
    }
  });
  const entriesEnd = ATTR3_LEAF_HDR.size + leaf.length * ATTR_LEAF_ENTRY.size;
  v.setUint16(H.count, leaf.length);
  v.setUint16(H.usedbytes, bytes.length - end);
  v.setUint16(H.firstused, end === 65536 ? 0 : end);
  if (end > entriesEnd) {
    v.setUint16(H.freemap, entriesEnd);
    v.setUint16(H.freemap + 2, end - entriesEnd);
  }
}

function writeValue(g: Geometry, ino: number, first: number, value: Uint8Array, target: ForkTarget): void {
  const A = ATTR3_RMT_HDR.at;
  const space = attrRemoteSpace(g.blocksize);
  const bytes = new Uint8Array(g.blocksize);
  const v = viewOf(bytes);
  for (let i = 0, done = 0; done < value.length; i++, done += space) {
    const here = Math.min(space, value.length - done);
    bytes.fill(0);
    v.setUint32(A.magic, XFS_ATTR3_RMT_MAGIC);
    v.setUint32(A.offset, done);
    v.setUint32(A.bytes, here);
    bytes.set(g.metaUuidBytes, A.uuid);
    setU64(v, A.owner, ino);
    setU64(v, A.bno, target.daddr(first + i));
    bytes.set(value.subarray(done, done + here), ATTR3_RMT_HDR.size);
    sealCrc(bytes, A.crc);
    target.emit(first + i, bytes);
  }
}
