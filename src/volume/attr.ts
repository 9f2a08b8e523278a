/**
 * Extended attributes, read: all of a file in disk order, one by its hash, and values, which may stand in
 * blocks of their own.
 */
import {
  aclFromDisk,
  aclToXattr,
  POSIX_ACL_ACCESS,
  POSIX_ACL_DEFAULT,
  SGI_ACL_DEFAULT,
  SGI_ACL_FILE,
} from '../format/acl.js';
import {
  ATTR_FLAG,
  ATTR_LEAF_ENTRY,
  ATTR_NAME_LOCAL,
  ATTR_NAME_REMOTE,
  ATTR_NAMESPACE_MASK,
  ATTR_SF_ENTRY,
  ATTR_SF_HDR,
  ATTR3_LEAF_HDR,
  ATTR3_RMT_HDR,
  type AttrNamespace,
  attrHash,
  attrNamespace,
  attrRemoteBlocks,
  attrRemoteSpace,
  attrSfEntrySize,
  NAMESPACE_FLAG,
  PARENT_REC,
  XATTR_SIZE_MAX,
  XFS_ATTR3_LEAF_MAGIC,
} from '../format/attr.js';
import { verifyAttrLeaf, verifyAttrRemote, verifyAttrShortForm } from '../format/attrcheck.js';
import { DA_AT } from '../format/da.js';
import { FORK_FORMAT } from '../format/dinode.js';
import { CorruptionError, type Report, throwFault } from '../format/fault.js';
import { getU64 } from '../format/structure.js';
import { type DaTree, findDaLeaf, walkDaTree } from './datree.js';
import { ForkBlocks } from './forkblocks.js';
import type { Inode } from './inode.js';
import { bytesOf, type Volume } from './volume.js';

export interface Attribute {
  /** Undefined where the flags name more than one. */
  readonly namespace: AttrNamespace | undefined;
  readonly flags: number;
  /** Without the namespace's prefix. A view into the block: copy what you keep beyond the call. */
  readonly name: Uint8Array;
  readonly valuelen: number;
  /** The value, where it stands beside the name. */
  readonly value?: Uint8Array;
  /** Block of the attribute fork where the value begins, where it does not. */
  readonly valueblk?: number;
}

/** Takes an attribute; return false to stop. */
// biome-ignore lint/suspicious/noConfusingVoidType: a visitor that never stops returns nothing
export type AttrVisitor = (attribute: Attribute) => boolean | void;

export interface WalkAttrsOptions {
  /** Takes faults; default the volume's. What can be read of a damaged leaf is still visited. */
  readonly report?: Report;
  /** Visit attributes that were being made or removed when the filesystem stopped. Default false. */
  readonly incomplete?: boolean;
}

/** The bytes of an attribute fork inside the inode. */
const localFork = (inode: Inode): Uint8Array =>
  new Uint8Array(inode.view.buffer as ArrayBuffer, inode.view.byteOffset + inode.attrAt, inode.attrSize);

const treeOf = (blocks: ForkBlocks): DaTree => ({ blocks, of: 'attr', root: 0, end: blocks.end });

/** Visits a file's attributes: in the order they are stored, or of their hashes. */
export function walkAttrs(
  volume: Volume,
  inode: Inode,
  visit: AttrVisitor,
  options: WalkAttrsOptions = {},
): void {
  if (!inode.hasAttrFork) return;
  const report = options.report ?? volume.report;
  if (inode.aformat === FORK_FORMAT.LOCAL) {
    walkShortForm(volume, inode, visit, report);
    return;
  }
  // A fork emptied of attributes, or never filled, has no blocks.
  if (inode.naextents === 0) return;
  const blocks = new ForkBlocks(volume, inode, 'attr', report);
  if (blocks.end === 0) return;
  let going = true;
  walkDaTree(
    treeOf(blocks),
    (leaf, at, maxHash) => {
      if (!going) return;
      const expect = { maxHash, forkBlocks: blocks.end };
      blocks.verify(leaf, at, (b, place, r) => verifyAttrLeaf(volume.g, b, place, expect, r), report);
      if (leaf.getUint16(DA_AT.magic) !== XFS_ATTR3_LEAF_MAGIC) return;
      going = walkLeaf(leaf, visit, options.incomplete === true);
    },
    report,
  );
}

function walkShortForm(volume: Volume, inode: Inode, visit: AttrVisitor, report: Report): void {
  const fork = localFork(inode);
  verifyAttrShortForm(volume.g, fork, inode.ino, report);
  if (fork.length < ATTR_SF_HDR.size) return;
  const v = new DataView(fork.buffer, fork.byteOffset, fork.length);
  const end = Math.min(v.getUint16(0), fork.length);
  const count = v.getUint8(ATTR_SF_HDR.at.count);
  let at: number = ATTR_SF_HDR.size;
  for (let i = 0; i < count && at + ATTR_SF_ENTRY.size <= end; i++) {
    const namelen = v.getUint8(at);
    const valuelen = v.getUint8(at + 1);
    const flags = v.getUint8(at + 2);
    const next = at + attrSfEntrySize(namelen, valuelen);
    if (namelen === 0 || next > end) return;
    const name = fork.subarray(at + ATTR_SF_ENTRY.size, at + ATTR_SF_ENTRY.size + namelen);
    const value = fork.subarray(next - valuelen, next);
    if (visit({ namespace: attrNamespace(flags), flags, name, valuelen, value }) === false) return;
    at = next;
  }
}

/** Entries of a leaf that its header claims, as far as the block goes. */
const leafCount = (leaf: DataView): number =>
  Math.min(
    leaf.getUint16(ATTR3_LEAF_HDR.at.count),
    Math.floor((leaf.byteLength - ATTR3_LEAF_HDR.size) / ATTR_LEAF_ENTRY.size),
  );

/** Visits a leaf's attributes; false where the visitor stopped. */
function walkLeaf(leaf: DataView, visit: AttrVisitor, incomplete: boolean): boolean {
  const count = leafCount(leaf);
  for (let i = 0; i < count; i++) {
    const attribute = leafAttribute(leaf, i);
    if (attribute === undefined) continue; // reported by the leaf's check
    if ((attribute.flags & ATTR_FLAG.INCOMPLETE) !== 0 && !incomplete) continue;
    if (visit(attribute) === false) return false;
  }
  return true;
}

/** Attribute `i` of a leaf; undefined where it leaves the block. */
function leafAttribute(leaf: DataView, i: number): Attribute | undefined {
  const entry = ATTR3_LEAF_HDR.size + i * ATTR_LEAF_ENTRY.size;
  const nameidx = leaf.getUint16(entry + ATTR_LEAF_ENTRY.at.nameidx);
  const flags = leaf.getUint8(entry + ATTR_LEAF_ENTRY.at.flags);
  const size = leaf.byteLength;
  const bytes = bytesOf(leaf);
  const namespace = attrNamespace(flags);
  if ((flags & ATTR_FLAG.LOCAL) !== 0) {
    const from = nameidx + ATTR_NAME_LOCAL.size;
    if (from > size) return undefined;
    const valuelen = leaf.getUint16(nameidx);
    const to = from + leaf.getUint8(nameidx + ATTR_NAME_LOCAL.at.namelen);
    if (to === from || to + valuelen > size) return undefined;
    const value = bytes.subarray(to, to + valuelen);
    return { namespace, flags, name: bytes.subarray(from, to), valuelen, value };
  }
  const from = nameidx + ATTR_NAME_REMOTE.size;
  if (from > size) return undefined;
  const to = from + leaf.getUint8(nameidx + ATTR_NAME_REMOTE.at.namelen);
  if (to === from || to > size) return undefined;
  const valueblk = leaf.getUint32(nameidx);
  const valuelen = leaf.getUint32(nameidx + ATTR_NAME_REMOTE.at.valuelen);
  return { namespace, flags, name: bytes.subarray(from, to), valuelen, valueblk };
}

/**
 * An attribute's value: as it stands beside the name, or gathered from its blocks. Throws CorruptionError
 * where one of them does not verify.
 */
export function attrValue(volume: Volume, inode: Inode, attribute: Attribute): Uint8Array {
  if (attribute.value !== undefined) return attribute.value;
  const { g } = volume;
  const { valuelen, valueblk = 0 } = attribute;
  if (valuelen > XATTR_SIZE_MAX)
    throw new CorruptionError({
      structure: 'attr leaf',
      ino: inode.ino,
      field: 'valuelen',
      value: valuelen,
      expected: `at most ${XATTR_SIZE_MAX}`,
    });
  const blocks = new ForkBlocks(volume, inode, 'attr', throwFault);
  const value = new Uint8Array(valuelen);
  const space = attrRemoteSpace(g.blocksize);
  for (let i = 0; i < attrRemoteBlocks(valuelen, g.blocksize); i++) {
    const v = blocks.need(valueblk + i, 'attr leaf', 'valueblk');
    const done = i * space;
    const bytes = Math.min(space, valuelen - done);
    const check = (b: Uint8Array, place: Parameters<typeof verifyAttrRemote>[2], r: Report): void =>
      verifyAttrRemote(g, b, place, done, bytes, r);
    blocks.verify(v, valueblk + i, check, throwFault);
    value.set(bytesOf(v).subarray(ATTR3_RMT_HDR.size, ATTR3_RMT_HDR.size + bytes), done);
  }
  return value;
}

/**
 * One attribute by namespace and name, through the hashes. A parent pointer needs its value too, since names
 * repeat. Throws CorruptionError on damage in the way.
 */
export function findAttr(
  volume: Volume,
  inode: Inode,
  namespace: AttrNamespace,
  name: Uint8Array,
  value?: Uint8Array,
): Attribute | undefined {
  const flags = NAMESPACE_FLAG[namespace];
  let found: Attribute | undefined;
  const isIt = (a: Attribute): boolean =>
    (a.flags & ATTR_NAMESPACE_MASK) === flags &&
    (a.flags & ATTR_FLAG.INCOMPLETE) === 0 &&
    same(a.name, name) &&
    (value === undefined || (a.value !== undefined && same(a.value, value)));
  if (!inode.hasAttrFork) return undefined;
  if (inode.aformat === FORK_FORMAT.LOCAL) {
    const take: AttrVisitor = (a) => {
      if (!isIt(a)) return;
      found = a;
      return false;
    };
    walkShortForm(volume, inode, take, throwFault);
    return found;
  }
  if (inode.naextents === 0) return undefined;
  const blocks = new ForkBlocks(volume, inode, 'attr', throwFault);
  const hash = attrHash(flags, name, value);
  findDaLeaf(treeOf(blocks), hash, (leaf, at) => {
    const expect = { forkBlocks: blocks.end };
    blocks.verify(leaf, at, (b, place, r) => verifyAttrLeaf(volume.g, b, place, expect, r), throwFault);
    const count = leafCount(leaf);
    const hashAt = (i: number): number => leaf.getUint32(ATTR3_LEAF_HDR.size + i * ATTR_LEAF_ENTRY.size);
    let lo = 0;
    let hi = count;
    while (lo < hi) {
      const mid = (lo + hi) >>> 1;
      if (hashAt(mid) < hash) lo = mid + 1;
      else hi = mid;
    }
    for (; lo < count && hashAt(lo) === hash; lo++) {
      const a = leafAttribute(leaf, lo);
      if (a === undefined || !isIt(a)) continue;
      found = a;
      return false;
    }
    return count === 0 || hashAt(count - 1) <= hash;
  });
  return found;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** What a parent pointer says: the directory, its generation, and the file's name in it. */
export interface ParentPointer {
  readonly ino: number;
  readonly generation: number;
  readonly name: Uint8Array;
}

/** Reads a parent pointer; undefined where the attribute is none, or has no value of that length. */
export function parentPointer(attribute: Attribute): ParentPointer | undefined {
  const { value } = attribute;
  if (attribute.namespace !== 'parent' || value?.length !== PARENT_REC.size) return undefined;
  const v = new DataView(value.buffer, value.byteOffset, value.length);
  return { ino: getU64(v, 0), generation: v.getUint32(PARENT_REC.at.p_gen), name: attribute.name };
}

/** A file's attributes with the names Linux gives them, ACLs in its form; sorted by name. */
export function shownAttrs(
  volume: Volume,
  inode: Inode,
  report?: Report,
): [name: Uint8Array, value: Uint8Array][] {
  const out: [Uint8Array, Uint8Array][] = [];
  const take: AttrVisitor = (attribute) => {
    const { namespace } = attribute;
    if (namespace === undefined || namespace === 'parent') return;
    const value = attrValue(volume, inode, attribute).slice();
    const name = Buffer.from(attribute.name).toString('latin1');
    const acl =
      namespace !== 'trusted'
        ? undefined
        : name === SGI_ACL_FILE
          ? POSIX_ACL_ACCESS
          : name === SGI_ACL_DEFAULT
            ? POSIX_ACL_DEFAULT
            : undefined;
    const entries = acl === undefined ? undefined : aclFromDisk(value);
    if (entries !== undefined) out.push([Buffer.from(`system.${acl}`), aclToXattr(entries)]);
    else out.push([Buffer.from(`${namespace}.${name}`, 'latin1'), value]);
  };
  walkAttrs(volume, inode, take, { report });
  return out.sort((a, b) => Buffer.compare(a[0], b[0]));
}
