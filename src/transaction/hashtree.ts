/**
 * The hash btree of a directory or an attribute fork, changed: the way down, splits, and blocks that became
 * empty. Its root stays where it is: growing pushes its contents down a level, shrinking pulls an only child
 * up. Leaves are of the caller's kind; entries of leaves and nodes alike take 8 bytes and begin with their
 * hash. Rules: xfs_da_btree.c.
 */
import {
  DA_AT,
  DA_NODE_ENTRY,
  DA_NODE_MAXDEPTH,
  DA3_NODE_HDR,
  daNodeEntries,
  daNodeFind,
  verifyDaNode,
  XFS_DA3_NODE_MAGIC,
} from '../format/da.js';
import { hex } from '../format/fault.js';
import { BLFT } from '../format/logitems.js';
import { setU64 } from '../format/structure.js';
import { NoSpaceError } from './alloc.js';
import type { Buffer } from './buffers.js';
import { type BlockCheck, type ForkSpace, retype } from './forkspace.js';
import type { Transaction } from './transaction.js';

/** What a tree has to know about its leaves. */
export interface LeafKind {
  readonly of: 'dir' | 'attr';
  readonly magic: number;
  /** For the log (BLFT). */
  readonly type: number;
  /** Byte positions of the number of entries (u16) and of the first entry. */
  readonly countAt: number;
  readonly entries: number;
  readonly check: BlockCheck;
  /** Moves the upper part of the entries of `from` to the leaf `to`, which has none. Both keep at least one. */
  split(tx: Transaction, from: Buffer, to: Buffer): void;
}

/** A block on the way down, and which of its entries was taken. */
export interface Step {
  readonly at: number;
  readonly buffer: Buffer;
  index: number;
}

const ENTRY = DA_NODE_ENTRY.size;
const isNode = (b: Buffer): boolean => b.view.getUint16(DA_AT.magic) === XFS_DA3_NODE_MAGIC;
const levelOf = (b: Buffer): number => (isNode(b) ? b.view.getUint16(DA3_NODE_HDR.at.level) : 0);

/** Writes the blkinfo every block of the tree starts with; links are file blocks, 0 for none. */
export function initBlkinfo(
  space: ForkSpace,
  buffer: Buffer,
  magic: number,
  back: number,
  forw: number,
): void {
  const { view } = buffer;
  view.setUint32(DA_AT.forw, forw);
  view.setUint32(DA_AT.back, back);
  view.setUint16(DA_AT.magic, magic);
  setU64(view, DA_AT.bno, buffer.daddr);
  buffer.bytes.set(space.g.metaUuidBytes, DA_AT.uuid);
  setU64(view, DA_AT.owner, space.inode.ino);
}

/** Index of the first of `count` entries at `from` whose hash is `hash` or higher; `count` where none is. */
export function firstAtLeast(view: DataView, from: number, count: number, hash: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (view.getUint32(from + middle * ENTRY) < hash) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Makes room for an entry at `index` of `count` entries at `from`, announced; the caller fills it. */
export function openEntry(tx: Transaction, b: Buffer, from: number, count: number, index: number): number {
  const at = from + index * ENTRY;
  tx.edit(b, at, (count + 1 - index) * ENTRY);
  b.bytes.copyWithin(at + ENTRY, at, from + count * ENTRY);
  return at;
}

/** Closes the gap that the entry at `index` of `count` leaves. */
export function closeEntry(tx: Transaction, b: Buffer, from: number, count: number, index: number): void {
  const at = from + index * ENTRY;
  tx.edit(b, at, (count - index) * ENTRY);
  b.bytes.copyWithin(at, at + ENTRY, from + count * ENTRY);
  b.bytes.fill(0, from + (count - 1) * ENTRY, from + count * ENTRY);
}

export class HashTree {
  readonly space: ForkSpace;
  readonly kind: LeafKind;
  /** File blocks of the tree: the root's, and the first that cannot be one. */
  readonly root: number;
  readonly limit: number;

  constructor(space: ForkSpace, kind: LeafKind, root: number, limit: number) {
    this.space = space;
    this.kind = kind;
    this.root = root;
    this.limit = limit;
  }

  /** The block at file block `at`, which must be of `level`; the root's is free. Throws CorruptionError. */
  load(at: number, level: number | undefined): Buffer {
    const { space, kind } = this;
    const { g } = space;
    const buffer = space.get(at, BLFT.DA_NODE);
    if (!isNode(buffer)) {
      if (level !== undefined && level > 0)
        space.bad(`${kind.of} node`, at, 'magic', hex(buffer.view.getUint16(DA_AT.magic)), 'a node');
      space.check(buffer, at, kind.check);
      const magic = buffer.view.getUint16(DA_AT.magic);
      if (magic !== kind.magic) space.bad(`${kind.of} leaf`, at, 'magic', hex(magic), hex(kind.magic));
      buffer.type = kind.type;
      return buffer;
    }
    const expect = { level, first: this.root, end: Math.max(this.root + 1, space.endBefore(this.limit)) };
    space.check(buffer, at, (b, place, report) => verifyDaNode(g, b, kind.of, place, expect, report));
    const own = levelOf(buffer);
    if (level !== undefined && own !== level) space.bad(`${kind.of} node`, at, 'level', own, `${level}`);
    buffer.type = BLFT.DA_NODE;
    return buffer;
  }

  count(b: Buffer): number {
    return b.view.getUint16(isNode(b) ? DA3_NODE_HDR.at.count : this.kind.countAt);
  }
  #entries(b: Buffer): number {
    return isNode(b) ? DA3_NODE_HDR.size : this.kind.entries;
  }
  #lastHash(b: Buffer): number {
    const count = this.count(b);
    return count === 0 ? 0 : b.view.getUint32(this.#entries(b) + (count - 1) * ENTRY);
  }

  /** The way to the first leaf that can hold `hash`, and there to the first entry with it or a higher one. */
  descend(hash: number): Step[] {
    const path: Step[] = [];
    let at = this.root;
    let level: number | undefined;
    for (;;) {
      const buffer = this.load(at, level);
      const count = this.count(buffer);
      if (!isNode(buffer)) {
        path.push({ at, buffer, index: firstAtLeast(buffer.view, this.kind.entries, count, hash) });
        return path;
      }
      const index = daNodeFind(buffer.view, count, hash);
      path.push({ at, buffer, index });
      level = levelOf(buffer) - 1;
      at = buffer.view.getUint32(DA3_NODE_HDR.size + index * ENTRY + DA_NODE_ENTRY.at.before);
    }
  }

  /** Goes on to the first entry of the leaf behind the path's. False where there is none. */
  next(path: Step[]): boolean {
    let depth = path.length - 2;
    while (depth >= 0 && path[depth].index + 1 >= this.count(path[depth].buffer)) depth--;
    if (depth < 0) return false;
    path[depth].index++;
    for (let d = depth; d < path.length - 1; d++) {
      const { buffer, index } = path[d];
      const at = buffer.view.getUint32(DA3_NODE_HDR.size + index * ENTRY + DA_NODE_ENTRY.at.before);
      path[d + 1] = { at, buffer: this.load(at, levelOf(buffer) - 1), index: 0 };
    }
    return true;
  }

  /** The last hash of the block at `depth` of the path may have changed: its parents follow. */
  fixHashes(path: readonly Step[], depth = path.length - 1): void {
    for (let d = depth; d > 0; d--) {
      const { buffer: parent, index } = path[d - 1];
      const hash = this.#lastHash(path[d].buffer);
      const at = DA3_NODE_HDR.size + index * ENTRY;
      if (parent.view.getUint32(at) === hash) return;
      this.space.tx.put32(parent, at, hash);
      if (index !== this.count(parent) - 1) return;
    }
  }

  #setCount(b: Buffer, count: number): void {
    const at = isNode(b) ? DA3_NODE_HDR.at.count : this.kind.countAt;
    this.space.tx.edit(b, at, 2);
    b.view.setUint16(at, count);
  }

  /**
   * Splits the leaf of the path or, where a block above has no room for that, that one: the caller goes down
   * again until its leaf has room. Throws NoSpaceError.
   */
  split(path: readonly Step[], depth = path.length - 1): void {
    const { space, kind } = this;
    const { tx } = space;
    if (depth === 0) {
      this.#growRoot(path[0].buffer);
      return;
    }
    const { at, buffer } = path[depth];
    const parent = path[depth - 1];
    const parents = this.count(parent.buffer);
    if (parents >= daNodeEntries(space.bytes)) {
      this.split(path, depth - 1);
      return;
    }
    const level = levelOf(buffer);
    const forw = buffer.view.getUint32(DA_AT.forw);
    const after = forw === 0 ? undefined : this.load(forw, level);
    const made = this.#add(buffer.type);
    initBlkinfo(space, made.buffer, buffer.view.getUint16(DA_AT.magic), at, forw);
    if (level > 0) {
      const count = this.count(buffer);
      const stay = count >> 1;
      made.buffer.view.setUint16(DA3_NODE_HDR.at.level, level);
      made.buffer.view.setUint16(DA3_NODE_HDR.at.count, count - stay);
      const from = DA3_NODE_HDR.size + stay * ENTRY;
      const to = DA3_NODE_HDR.size + count * ENTRY;
      made.buffer.bytes.set(buffer.bytes.subarray(from, to), DA3_NODE_HDR.size);
      tx.edit(buffer, from, to - from);
      buffer.bytes.fill(0, from, to);
      this.#setCount(buffer, stay);
    } else kind.split(tx, buffer, made.buffer);
    tx.put32(buffer, DA_AT.forw, made.at);
    if (after !== undefined) tx.put32(after, DA_AT.back, made.at);
    const hashAt = DA3_NODE_HDR.size + parent.index * ENTRY;
    tx.put32(parent.buffer, hashAt, this.#lastHash(buffer));
    const entry = openEntry(tx, parent.buffer, DA3_NODE_HDR.size, parents, parent.index + 1);
    parent.buffer.view.setUint32(entry, this.#lastHash(made.buffer));
    parent.buffer.view.setUint32(entry + DA_NODE_ENTRY.at.before, made.at);
    this.#setCount(parent.buffer, parents + 1);
    this.fixHashes(path, depth - 1);
  }

  #add(type: number): { at: number; buffer: Buffer } {
    const at = this.space.firstHole(this.root);
    if (at + this.space.unit > this.limit) throw new NoSpaceError('the index of a directory is full');
    return { at, buffer: this.space.add(at, type) };
  }

  /** What the root holds goes into a block of its own; the root becomes the node above that. */
  #growRoot(root: Buffer): void {
    const { space } = this;
    const { tx } = space;
    const level = levelOf(root) + 1;
    if (level > DA_NODE_MAXDEPTH) throw new NoSpaceError('the index of a directory is too deep');
    const made = this.#add(root.type);
    made.buffer.bytes.set(root.bytes);
    setU64(made.buffer.view, DA_AT.bno, made.buffer.daddr);
    const hash = this.#lastHash(root);
    tx.editAll(root);
    root.bytes.fill(0);
    retype(tx, root, BLFT.DA_NODE);
    initBlkinfo(space, root, XFS_DA3_NODE_MAGIC, 0, 0);
    root.view.setUint16(DA3_NODE_HDR.at.level, level);
    root.view.setUint16(DA3_NODE_HDR.at.count, 1);
    root.view.setUint32(DA3_NODE_HDR.size, hash);
    root.view.setUint32(DA3_NODE_HDR.size + DA_NODE_ENTRY.at.before, made.at);
  }

  /**
   * The leaf of the path has lost its last entry: it goes, with nodes above it that would be empty. A leaf
   * that is all there is stays, as the root.
   */
  drop(path: readonly Step[]): void {
    let depth = path.length - 1;
    if (path.slice(0, depth).some((step) => this.count(step.buffer) > 1)) {
      for (; depth > 0; depth--) {
        this.#unlink(path[depth]);
        const { buffer, index } = path[depth - 1];
        const count = this.count(buffer);
        closeEntry(this.space.tx, buffer, DA3_NODE_HDR.size, count, index);
        this.#setCount(buffer, count - 1);
        if (count > 1) break;
      }
      this.fixHashes(path, depth - 1);
    }
    this.#shrinkRoot();
  }

  /** Takes a block out of its level and gives it back. */
  #unlink(step: Step): void {
    const { view } = step.buffer;
    const { tx } = this.space;
    const level = levelOf(step.buffer);
    const forw = view.getUint32(DA_AT.forw);
    const back = view.getUint32(DA_AT.back);
    if (forw !== 0) tx.put32(this.load(forw, level), DA_AT.back, back);
    if (back !== 0) tx.put32(this.load(back, level), DA_AT.forw, forw);
    this.space.remove(step.at);
  }

  /** An only child takes the place of the root. */
  #shrinkRoot(): void {
    const { space } = this;
    const { tx } = space;
    for (;;) {
      const root = this.load(this.root, undefined);
      if (!isNode(root) || this.count(root) !== 1) return;
      const at = root.view.getUint32(DA3_NODE_HDR.size + DA_NODE_ENTRY.at.before);
      const child = this.load(at, levelOf(root) - 1);
      tx.editAll(root);
      root.bytes.set(child.bytes);
      setU64(root.view, DA_AT.bno, root.daddr);
      root.view.setUint32(DA_AT.forw, 0);
      root.view.setUint32(DA_AT.back, 0);
      retype(tx, root, child.type);
      space.remove(at);
    }
  }
}
