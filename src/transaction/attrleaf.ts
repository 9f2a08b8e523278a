/**
 * Leaves of attribute forks: names, with their values or where these are. A leaf is read whole and written
 * whole, packed without holes. Rules: xfs_attr_leaf.c.
 */
import {
  ATTR_FLAG,
  ATTR_LEAF_ENTRY,
  ATTR_LEAF_MAP,
  ATTR_NAME_LOCAL,
  ATTR_NAME_REMOTE,
  ATTR3_LEAF_HDR,
  attrLocalSize,
  attrRemoteSize,
  XFS_ATTR3_LEAF_MAGIC,
} from '../format/attr.js';
import { verifyAttrLeaf } from '../format/attrcheck.js';
import { BLFT } from '../format/logitems.js';
import { viewOf } from '../format/structure.js';
import type { Buffer } from './buffers.js';
import type { ForkSpace } from './forkspace.js';
import { HashTree, type LeafKind, type Step } from './hashtree.js';
import type { Transaction } from './transaction.js';

/** An attribute of a leaf: `raw` is its name and value, or the value's place, as they stand there. */
export interface LeafAttr {
  readonly hash: number;
  readonly flags: number;
  readonly raw: Uint8Array;
}

const AT = ATTR3_LEAF_HDR.at;
const FIRST = ATTR3_LEAF_HDR.size;

/** A name with its value beside it. */
export function localRaw(name: Uint8Array, value: Uint8Array): Uint8Array {
  const raw = new Uint8Array(attrLocalSize(name.length, value.length));
  viewOf(raw).setUint16(0, value.length);
  raw[ATTR_NAME_LOCAL.at.namelen] = name.length;
  raw.set(name, ATTR_NAME_LOCAL.size);
  raw.set(value, ATTR_NAME_LOCAL.size + name.length);
  return raw;
}

/** A name with its value in blocks of the fork. */
export function remoteRaw(name: Uint8Array, valueblk: number, valuelen: number): Uint8Array {
  const raw = new Uint8Array(attrRemoteSize(name.length));
  const v = viewOf(raw);
  v.setUint32(0, valueblk);
  v.setUint32(ATTR_NAME_REMOTE.at.valuelen, valuelen);
  raw[ATTR_NAME_REMOTE.at.namelen] = name.length;
  raw.set(name, ATTR_NAME_REMOTE.size);
  return raw;
}

const isLocal = (a: LeafAttr): boolean => (a.flags & ATTR_FLAG.LOCAL) !== 0;

export function attrName(a: LeafAttr): Uint8Array {
  const local = isLocal(a);
  const from = local ? ATTR_NAME_LOCAL.size : ATTR_NAME_REMOTE.size;
  const namelen = a.raw[local ? ATTR_NAME_LOCAL.at.namelen : ATTR_NAME_REMOTE.at.namelen];
  return a.raw.subarray(from, from + namelen);
}

/** The value of an attribute, where it stands beside the name. */
export function localValue(a: LeafAttr): Uint8Array | undefined {
  if (!isLocal(a)) return undefined;
  const from = ATTR_NAME_LOCAL.size + a.raw[ATTR_NAME_LOCAL.at.namelen];
  return a.raw.subarray(from, from + viewOf(a.raw).getUint16(0));
}

/** Where the value of an attribute is, where it does not: block of the fork, and bytes. */
export function remoteValue(a: LeafAttr): { valueblk: number; valuelen: number } | undefined {
  if (isLocal(a)) return undefined;
  const v = viewOf(a.raw);
  return { valueblk: v.getUint32(0), valuelen: v.getUint32(ATTR_NAME_REMOTE.at.valuelen) };
}

export function readAttrLeaf(b: Buffer): LeafAttr[] {
  const { view } = b;
  const out: LeafAttr[] = [];
  for (let i = 0; i < view.getUint16(AT.count); i++) {
    const entry = FIRST + i * ATTR_LEAF_ENTRY.size;
    const at = view.getUint16(entry + ATTR_LEAF_ENTRY.at.nameidx);
    const flags = view.getUint8(entry + ATTR_LEAF_ENTRY.at.flags);
    const size =
      (flags & ATTR_FLAG.LOCAL) !== 0
        ? attrLocalSize(view.getUint8(at + ATTR_NAME_LOCAL.at.namelen), view.getUint16(at))
        : attrRemoteSize(view.getUint8(at + ATTR_NAME_REMOTE.at.namelen));
    out.push({ hash: view.getUint32(entry), flags, raw: b.bytes.slice(at, at + size) });
  }
  return out;
}

const sizeOf = (a: LeafAttr): number => ATTR_LEAF_ENTRY.size + a.raw.length;

/** Whether a leaf has room for these. */
export const fitsLeaf = (blocksize: number, attrs: readonly LeafAttr[]): boolean =>
  attrs.reduce((sum, a) => sum + sizeOf(a), FIRST) <= blocksize;

/** Writes a leaf's attributes, which are in hash order; its blkinfo stays. */
export function writeAttrLeaf(tx: Transaction, b: Buffer, attrs: readonly LeafAttr[]): void {
  tx.editAll(b);
  const { view } = b;
  b.bytes.fill(0, AT.count, b.length);
  let at = b.length;
  attrs.forEach((a, i) => {
    at -= a.raw.length;
    b.bytes.set(a.raw, at);
    const entry = FIRST + i * ATTR_LEAF_ENTRY.size;
    view.setUint32(entry, a.hash);
    view.setUint16(entry + ATTR_LEAF_ENTRY.at.nameidx, at);
    view.setUint8(entry + ATTR_LEAF_ENTRY.at.flags, a.flags);
  });
  const end = FIRST + attrs.length * ATTR_LEAF_ENTRY.size;
  view.setUint16(AT.count, attrs.length);
  view.setUint16(AT.usedbytes, b.length - at);
  view.setUint16(AT.firstused, at & 0xffff);
  view.setUint16(AT.freemap, end);
  view.setUint16(AT.freemap + ATTR_LEAF_MAP.at.size, at - end);
}

/** An attribute's way and place in the tree. */
export interface AttrFound {
  readonly path: Step[];
  readonly attrs: LeafAttr[];
  readonly index: number;
}

/** The hash btree of an attribute fork. */
export class AttrTree extends HashTree {
  /** Where leaf splits find the attribute that shares its leaf with a single other one. */
  readonly #pending: { attr: LeafAttr | undefined };

  constructor(space: ForkSpace) {
    const pending: { attr: LeafAttr | undefined } = { attr: undefined };
    const kind: LeafKind = {
      of: 'attr',
      magic: XFS_ATTR3_LEAF_MAGIC,
      type: BLFT.ATTR_LEAF,
      countAt: AT.count,
      entries: FIRST,
      check: (b, place, report) => verifyAttrLeaf(space.g, b, place, { forkBlocks: space.end }, report),
      split: (tx, from, to) => {
        const attrs = readAttrLeaf(from);
        if (attrs.length === 1 && pending.attr !== undefined) {
          sortIn(attrs, pending.attr);
          pending.attr = undefined;
        }
        const half = attrs.reduce((sum, a) => sum + sizeOf(a), 0) / 2;
        let stay = 1;
        let used = sizeOf(attrs[0]);
        while (stay < attrs.length - 1 && used + sizeOf(attrs[stay]) <= half) used += sizeOf(attrs[stay++]);
        writeAttrLeaf(tx, to, attrs.slice(stay));
        writeAttrLeaf(tx, from, attrs.slice(0, stay));
      },
    };
    super(space, kind, 0, 2 ** 32);
    this.#pending = pending;
  }

  /** Finds an attribute that is not just being made or removed, where `value` is given one with that. */
  find(
    hash: number,
    namespace: number,
    name: Uint8Array,
    mask: number,
    value?: Uint8Array,
  ): AttrFound | undefined {
    const same = (a: Uint8Array, b: Uint8Array): boolean =>
      a.length === b.length && a.every((byte, i) => byte === b[i]);
    const path = this.descend(hash);
    for (;;) {
      const step = path[path.length - 1];
      const attrs = readAttrLeaf(step.buffer);
      for (; step.index < attrs.length; step.index++) {
        const a = attrs[step.index];
        if (a.hash !== hash) return undefined;
        if ((a.flags & (mask | ATTR_FLAG.INCOMPLETE)) !== namespace) continue;
        if (!same(attrName(a), name)) continue;
        const own = localValue(a);
        if (value !== undefined && (own === undefined || !same(own, value))) continue;
        return { path, attrs, index: step.index };
      }
      if (!this.next(path)) return undefined;
    }
  }

  /** Puts an attribute into the tree. Throws NoSpaceError. */
  insert(attr: LeafAttr): void {
    const { tx, bytes } = this.space;
    for (;;) {
      const path = this.descend(attr.hash);
      const leaf = path[path.length - 1].buffer;
      const attrs = readAttrLeaf(leaf);
      sortIn(attrs, attr);
      if (fitsLeaf(bytes, attrs)) {
        writeAttrLeaf(tx, leaf, attrs);
        this.fixHashes(path);
        return;
      }
      if (attrs.length === 2) {
        // The two do not go together, however the leaf is split.
        this.#pending.attr = attr;
        this.split(path);
        if (this.#pending.attr === undefined) return;
        this.#pending.attr = undefined;
      } else this.split(path);
    }
  }

  /** Takes an attribute out. True where it was the last of all. */
  remove(found: AttrFound): boolean {
    const { path, attrs, index } = found;
    attrs.splice(index, 1);
    writeAttrLeaf(this.space.tx, path[path.length - 1].buffer, attrs);
    if (attrs.length > 0) {
      this.fixHashes(path);
      return false;
    }
    this.drop(path);
    const root = this.load(this.root, undefined);
    return root.type === BLFT.ATTR_LEAF && this.count(root) === 0;
  }
}

function sortIn(attrs: LeafAttr[], attr: LeafAttr): void {
  let i = attrs.length;
  while (i > 0 && attrs[i - 1].hash > attr.hash) i--;
  attrs.splice(i, 0, attr);
}
