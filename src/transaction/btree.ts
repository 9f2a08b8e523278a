/**
 * Changing btrees: one implementation for the six trees of an AG and the bmbt.
 *
 * A search leaves a path from the root to a leaf; insert, update and remove work at its end and may change
 * every block of it. A full block first hands records to a sibling under the same parent, then splits; a
 * block below half takes records from a sibling or is merged with it. Parents hold the lowest key of each
 * child, in the rmapbt its highest too, and are kept right on the way up. After a change the path is gone:
 * search again.
 *
 * Keys are compared as words of 32 bits: `KEY_WORDS` of them, most significant first.
 */
import type { BtreeKind } from '../format/btree.js';
import { LONG_BLOCK, maxRecords, SHORT_BLOCK } from '../format/btree.js';
import { CorruptionError } from '../format/fault.js';
import type { Geometry } from '../format/geometry.js';
import { getU64, setU64 } from '../format/structure.js';
import type { Buffer } from './buffers.js';
import type { Transaction } from './transaction.js';

export const MAX_KEY_WORDS = 5;
export type Key = Uint32Array;
export const newKey = (): Key => new Uint32Array(MAX_KEY_WORDS);

/** A block of a tree, or the root of a bmbt inside its inode. */
export class Node {
  readonly buffer: Buffer;
  readonly view: DataView;
  readonly level: number;
  /** How the tree's pointers name it; -1 for a root inside an inode. */
  readonly ptr: number;
  /** Byte positions of the record count, the records or keys, and the pointers. */
  readonly countAt: number;
  readonly entries: number;
  readonly ptrs: number;
  readonly max: number;

  constructor(
    buffer: Buffer,
    level: number,
    ptr: number,
    countAt: number,
    entries: number,
    ptrs: number,
    max: number,
  ) {
    this.buffer = buffer;
    this.view = buffer.view;
    this.level = level;
    this.ptr = ptr;
    this.countAt = countAt;
    this.entries = entries;
    this.ptrs = ptrs;
    this.max = max;
  }

  get count(): number {
    return this.view.getUint16(this.countAt);
  }

  get inInode(): boolean {
    return this.ptr === -1;
  }
}

/** Turns the key of a record (or of a node's entry) into words. */
export interface KeyReader {
  /** Words that order the records. */
  readonly words: number;
  /** Words nodes keep of a key, where that is more. */
  readonly stored?: number;
  /** Lowest key of the record at `at`. */
  record(v: DataView, at: number, into: Key): void;
  /** Highest key of the record at `at`; only of trees whose records overlap. */
  recordHigh?(v: DataView, at: number, into: Key): void;
  /** The key at `at` of a node. */
  key(v: DataView, at: number, into: Key): void;
  /** Writes a key into a node. */
  write(v: DataView, at: number, key: Key): void;
}

const compare = (a: Key, b: Key, words: number): number => {
  for (let i = 0; i < words; i++) if (a[i] !== b[i]) return a[i] < b[i] ? -1 : 1;
  return 0;
};

/** Deepest tree there can be; a bound against loops. */
const MAX_HEIGHT = 12;

export abstract class Btree {
  readonly kind: BtreeKind;
  readonly keys: KeyReader;
  readonly tx: Transaction;
  readonly g: Geometry;
  /** The path: blocks from the leaf (0) up, and the entry in each. */
  readonly #path: Node[] = [];
  readonly #index: number[] = [];
  #height = 0;
  readonly #recordSize: number;
  readonly #keySize: number;
  readonly #ptrSize: number;
  readonly #a = newKey();
  readonly #b = newKey();
  readonly #c = newKey();

  constructor(tx: Transaction, kind: BtreeKind, keys: KeyReader) {
    this.tx = tx;
    this.g = tx.engine.g;
    this.kind = kind;
    this.keys = keys;
    this.#recordSize = kind.record.size;
    this.#keySize = kind.nodeKeySize;
    this.#ptrSize = kind.ptrSize;
  }

  // ---- what the kinds of roots differ in

  /** Levels of the tree, the root's included. */
  abstract height(): number;
  /** The root, as it stands. */
  abstract root(): Node;
  /** Reads the block `ptr` names and checks that it is of this tree and level. */
  abstract block(ptr: number, level: number): Node;
  /** Takes a block for the tree, near another, initialised as empty at `level`. */
  abstract newBlock(level: number, near: number): Node;
  /** Gives a block of the tree back. */
  abstract freeBlock(node: Node): void;
  /** A block becomes the root; `height` counts levels. Not called for roots inside inodes. */
  abstract setRoot(ptr: number, height: number): void;
  /** Announces a change of bytes of a node. */
  abstract edit(node: Node, at: number, length: number): void;
  /** Changes the level a root inside an inode says it has. */
  setRootLevel(_node: Node, _level: number): void {
    throw new Error(`a ${this.kind.name} has no root in an inode`);
  }

  // ---- searching

  /** The leaf's view and the byte position of the record the search ended at. */
  get view(): DataView {
    return this.#path[0].view;
  }
  get at(): number {
    return this.#path[0].entries + this.#index[0] * this.#recordSize;
  }

  #descend(key: Key | undefined): void {
    this.#height = this.height();
    if (this.#height < 1 || this.#height > MAX_HEIGHT) this.#corrupt('level', this.#height, '1 to 12');
    this.#path.length = this.#height;
    this.#index.length = this.#height;
    let node = this.root();
    for (let level = this.#height - 1; ; level--) {
      this.#path[level] = node;
      const found = key === undefined ? -1 : this.#lastNotAfter(node, key);
      if (level === 0) {
        this.#index[0] = found;
        return;
      }
      const index = Math.max(0, found);
      this.#index[level] = index;
      if (index >= node.count) this.#corrupt('numrecs', node.count, 'at least 1');
      node = this.block(this.#ptrOf(node, index), level - 1);
    }
  }

  /** Last entry of a node whose key is not after `key`; -1 where all are. */
  #lastNotAfter(node: Node, key: Key): number {
    const { words } = this.keys;
    let low = 0;
    let high = node.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      this.#load(node, middle, this.#a);
      if (compare(this.#a, key, words) <= 0) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #load(node: Node, index: number, into: Key): void {
    if (node.level === 0) this.keys.record(node.view, node.entries + index * this.#recordSize, into);
    else this.keys.key(node.view, node.entries + index * this.#keySize, into);
  }

  /** Finds the last record not after `key`. False where there is none. */
  lookupLE(key: Key): boolean {
    this.#descend(key);
    if (this.#index[0] >= 0) return true;
    return this.#path[0].count > 0 ? this.#previousLeaf() : false;
  }

  /** Finds the first record not before `key`. False where there is none. */
  lookupGE(key: Key): boolean {
    this.#descend(key);
    if (this.#index[0] >= 0) {
      this.#load(this.#path[0], this.#index[0], this.#a);
      if (compare(this.#a, key, this.keys.words) === 0) return true;
    }
    this.#index[0]++;
    return this.#index[0] < this.#path[0].count || this.#nextLeaf();
  }

  /** Finds the record with exactly this key. */
  lookupEQ(key: Key): boolean {
    this.#descend(key);
    if (this.#index[0] < 0) return false;
    this.#load(this.#path[0], this.#index[0], this.#a);
    return compare(this.#a, key, this.keys.words) === 0;
  }

  /** Goes to the first record; false in an empty tree. */
  first(): boolean {
    this.#descend(undefined);
    this.#index[0] = 0;
    return this.#path[0].count > 0;
  }

  /** Goes to the last record; false in an empty tree. */
  last(): boolean {
    this.#height = this.height();
    this.#path.length = this.#height;
    this.#index.length = this.#height;
    let node = this.root();
    for (let level = this.#height - 1; ; level--) {
      this.#path[level] = node;
      this.#index[level] = node.count - 1;
      if (level === 0) return node.count > 0;
      if (node.count === 0) this.#corrupt('numrecs', 0, 'at least 1');
      node = this.block(this.#ptrOf(node, node.count - 1), level - 1);
    }
  }

  /** Goes to the next record; false where this was the last (the place is kept then). */
  next(): boolean {
    if (this.#index[0] + 1 < this.#path[0].count) {
      this.#index[0]++;
      return true;
    }
    return this.#nextLeaf();
  }

  /** Goes to the record before; false where this was the first (the place is kept then). */
  previous(): boolean {
    if (this.#index[0] > 0) {
      this.#index[0]--;
      return true;
    }
    return this.#previousLeaf();
  }

  #nextLeaf(): boolean {
    let level = 1;
    while (level < this.#height && this.#index[level] + 1 >= this.#path[level].count) level++;
    if (level >= this.#height) return false;
    this.#index[level]++;
    for (; level > 0; level--) {
      this.#path[level - 1] = this.block(this.#ptrOf(this.#path[level], this.#index[level]), level - 1);
      this.#index[level - 1] = 0;
    }
    return this.#path[0].count > 0;
  }

  #previousLeaf(): boolean {
    let level = 1;
    while (level < this.#height && this.#index[level] === 0) level++;
    if (level >= this.#height) return false;
    this.#index[level]--;
    for (; level > 0; level--) {
      this.#path[level - 1] = this.block(this.#ptrOf(this.#path[level], this.#index[level]), level - 1);
      this.#index[level - 1] = this.#path[level - 1].count - 1;
    }
    return this.#index[0] >= 0;
  }

  /**
   * Visits, in order, every record whose range of keys touches [low, high] (both inclusive), for trees whose
   * records overlap. The visitor stops the walk by returning false. The path is not usable afterwards.
   */
  overlapping(low: Key, high: Key, visit: (v: DataView, at: number) => boolean): void {
    const { words } = this.keys;
    const walk = (node: Node): boolean => {
      const { count } = node;
      for (let i = 0; i < count; i++) {
        this.#load(node, i, this.#a);
        if (compare(this.#a, high, words) > 0) return true;
        if (node.level === 0) {
          const at = node.entries + i * this.#recordSize;
          this.keys.recordHigh!(node.view, at, this.#b);
          if (compare(this.#b, low, words) >= 0 && !visit(node.view, at)) return false;
        } else {
          this.keys.key(node.view, node.entries + i * this.#keySize + this.kind.key.size, this.#b);
          if (compare(this.#b, low, words) < 0) continue;
          if (!walk(this.block(this.#ptrOf(node, i), node.level - 1))) return false;
        }
      }
      return true;
    };
    walk(this.root());
  }

  // ---- changing

  /** Replaces the record the search ended at. Its place in the order must stay the same. */
  update(record: Uint8Array): void {
    const node = this.#path[0];
    this.edit(node, this.at, this.#recordSize);
    node.buffer.bytes.set(record, this.at);
    this.#refresh(0);
  }

  /** Inserts a record. Its key must not be there yet. */
  insert(record: Uint8Array): void {
    const v = new DataView(record.buffer, record.byteOffset, record.length);
    const key = newKey();
    this.keys.record(v, 0, key);
    this.#descend(key);
    if (this.#index[0] >= 0) {
      this.#load(this.#path[0], this.#index[0], this.#a);
      if (compare(this.#a, key, this.keys.words) === 0)
        this.#corrupt('recs', key[0], 'no record with this key yet');
    }
    this.#insertAt(0, this.#index[0] + 1, record, undefined);
  }

  /** Removes the record the search ended at. */
  remove(): void {
    this.#removeAt(0, this.#index[0]);
  }

  #ptrOf(node: Node, index: number): number {
    const at = node.ptrs + index * this.#ptrSize;
    return this.#ptrSize === 8 ? getU64(node.view, at) : node.view.getUint32(at);
  }

  #putPtr(node: Node, index: number, ptr: number): void {
    const at = node.ptrs + index * this.#ptrSize;
    if (this.#ptrSize === 8) setU64(node.view, at, ptr);
    else node.view.setUint32(at, ptr);
  }

  #entrySize(node: Node): number {
    return node.level === 0 ? this.#recordSize : this.#keySize;
  }

  #setCount(node: Node, count: number): void {
    this.edit(node, node.countAt, 2);
    node.view.setUint16(node.countAt, count);
  }

  /** Moves `count` entries of one node to a place in another (or the same). Counts are the caller's. */
  #move(from: Node, at: number, to: Node, into: number, count: number): void {
    if (count === 0) return;
    const size = this.#entrySize(from);
    const target = to.entries + into * size;
    this.edit(to, target, count * size);
    const source = from.entries + at * size;
    if (from.buffer === to.buffer) to.buffer.bytes.copyWithin(target, source, source + count * size);
    else to.buffer.bytes.set(from.buffer.bytes.subarray(source, source + count * size), target);
    if (from.level === 0) return;
    const p = this.#ptrSize;
    const ptrTarget = to.ptrs + into * p;
    const ptrSource = from.ptrs + at * p;
    this.edit(to, ptrTarget, count * p);
    if (from.buffer === to.buffer) to.buffer.bytes.copyWithin(ptrTarget, ptrSource, ptrSource + count * p);
    else to.buffer.bytes.set(from.buffer.bytes.subarray(ptrSource, ptrSource + count * p), ptrTarget);
  }

  /** Puts an entry at `index` of a node that has room: a record, or a child. */
  #place(node: Node, index: number, record: Uint8Array | undefined, child: Node | undefined): void {
    const { count } = node;
    this.#move(node, index, node, index + 1, count - index);
    const size = this.#entrySize(node);
    const at = node.entries + index * size;
    this.edit(node, at, size);
    if (record !== undefined) node.buffer.bytes.set(record, at);
    if (child !== undefined) {
      this.edit(node, node.ptrs + index * this.#ptrSize, this.#ptrSize);
      this.#putPtr(node, index, child.ptr);
      this.#writeKeys(node, index, child);
    }
    this.#setCount(node, count + 1);
  }

  /** Writes the keys of a child into its parent's entry (announced already). */
  #writeKeys(parent: Node, index: number, child: Node): void {
    const at = parent.entries + index * this.#keySize;
    this.#load(child, 0, this.#a);
    this.keys.write(parent.view, at, this.#a);
    if (this.kind.overlapping) {
      this.#high(child, this.#a);
      this.keys.write(parent.view, at + this.kind.key.size, this.#a);
    }
  }

  /** Highest key under a node, into `into`. */
  #high(node: Node, into: Key): void {
    const { words } = this.keys;
    const { count } = node;
    into.fill(0);
    for (let i = 0; i < count; i++) {
      if (node.level === 0) this.keys.recordHigh!(node.view, node.entries + i * this.#recordSize, this.#b);
      else this.keys.key(node.view, node.entries + i * this.#keySize + this.kind.key.size, this.#b);
      if (i === 0 || compare(this.#b, into, words) > 0) into.set(this.#b);
    }
  }

  /** Brings a parent's entry in line with its child. True where that changed it. */
  #refreshEntry(parent: Node, index: number, child: Node): boolean {
    const words = this.keys.stored ?? this.keys.words;
    const at = parent.entries + index * this.#keySize;
    const key = this.#c;
    this.#load(child, 0, this.#a);
    this.keys.key(parent.view, at, key);
    let same = compare(this.#a, key, words) === 0;
    if (same && this.kind.overlapping) {
      this.#high(child, this.#a);
      this.keys.key(parent.view, at + this.kind.key.size, key);
      same = compare(this.#a, key, words) === 0;
    }
    if (same) return false;
    this.edit(parent, at, this.#keySize);
    this.#writeKeys(parent, index, child);
    return true;
  }

  /** Brings the path's parents in line with the block at `level`. */
  #refresh(level: number): void {
    for (let l = level; l + 1 < this.#height; l++)
      if (!this.#refreshEntry(this.#path[l + 1], this.#index[l + 1], this.#path[l])) return;
  }

  #sibling(parent: Node, index: number): Node {
    return this.block(this.#ptrOf(parent, index), parent.level - 1);
  }

  #insertAt(level: number, at: number, record: Uint8Array | undefined, child: Node | undefined): void {
    let index = at;
    let node = this.#path[level];
    if (node.count < node.max) {
      this.#place(node, index, record, child);
      this.#refresh(level);
      return;
    }
    if (level === this.#height - 1) {
      node = this.#growRoot(level);
      if (node.count < node.max) {
        this.#place(node, index, record, child);
        this.#refresh(level);
        return;
      }
    }
    const parent = this.#path[level + 1];
    const parentIndex = this.#index[level + 1];
    const { count } = node;

    // Room in the left sibling: the first records go there.
    if (parentIndex > 0) {
      const left = this.#sibling(parent, parentIndex - 1);
      const n = Math.min(index, (left.max - left.count + 1) >> 1);
      if (n > 0) {
        this.#move(node, 0, left, left.count, n);
        this.#setCount(left, left.count + n);
        this.#move(node, n, node, 0, count - n);
        this.#setCount(node, count - n);
        index -= n;
        this.#place(node, index, record, child);
        if (this.#refreshEntry(parent, parentIndex - 1, left)) this.#refresh(level + 1);
        this.#refresh(level);
        return;
      }
    }
    // Room in the right sibling: the last records go there.
    if (parentIndex + 1 < parent.count) {
      const right = this.#sibling(parent, parentIndex + 1);
      const n = Math.min(count - index, (right.max - right.count + 1) >> 1);
      if (n > 0) {
        this.#move(right, 0, right, n, right.count);
        this.#move(node, count - n, right, 0, n);
        this.#setCount(right, right.count + n);
        this.#setCount(node, count - n);
        this.#place(node, index, record, child);
        if (this.#refreshEntry(parent, parentIndex + 1, right)) this.#refresh(level + 1);
        this.#refresh(level);
        return;
      }
    }
    // Split: both halves get at least half of a block with the new entry.
    const right = this.newBlock(level, node.ptr);
    const keep = index <= count >> 1 ? count >> 1 : (count + 1) >> 1;
    this.#move(node, keep, right, 0, count - keep);
    this.#setCount(right, count - keep);
    this.#setCount(node, keep);
    this.#linkRight(node, right);
    if (index <= keep && !(index === keep && keep > count - keep)) this.#place(node, index, record, child);
    else this.#place(right, index - keep, record, child);
    if (this.#refreshEntry(parent, parentIndex, node)) this.#refresh(level + 1);
    this.#insertAt(level + 1, parentIndex + 1, undefined, right);
  }

  /** Adds a level above a full root. Returns the block that holds the root's entries now. */
  #growRoot(level: number): Node {
    const old = this.#path[level];
    if (this.#height + 1 > MAX_HEIGHT) this.#corrupt('level', this.#height, 'below 12');
    if (old.inInode) {
      // The root stays where it is; its entries move to a block of their own.
      const child = this.newBlock(level, this.#ptrOf(old, 0));
      this.#move(old, 0, child, 0, old.count);
      this.#setCount(child, old.count);
      this.#setCount(old, 1);
      this.setRootLevel(old, level + 1);
      const root = this.root();
      this.edit(root, root.entries, this.#keySize);
      this.edit(root, root.ptrs, this.#ptrSize);
      this.#putPtr(root, 0, child.ptr);
      this.#writeKeys(root, 0, child);
      this.#path[level] = child;
      this.#path.push(root);
      this.#index.push(0);
      this.#height++;
      return child;
    }
    const root = this.newBlock(level + 1, old.ptr);
    this.#place(root, 0, undefined, old);
    this.setRoot(root.ptr, this.#height + 1);
    this.#path.push(root);
    this.#index.push(0);
    this.#height++;
    return old;
  }

  // ---- sibling links

  #links(): { left: number; right: number; size: number } {
    const at = this.kind.long ? LONG_BLOCK.at : SHORT_BLOCK.at;
    return { left: at.leftsib, right: at.rightsib, size: this.kind.long ? 8 : 4 };
  }

  #getLink(node: Node, at: number): number {
    return this.kind.long ? getU64(node.view, at) : node.view.getUint32(at);
  }

  #setLink(node: Node, at: number, ptr: number): void {
    this.edit(node, at, this.kind.long ? 8 : 4);
    if (!this.kind.long) node.view.setUint32(at, ptr);
    else if (ptr >= 2 ** 53) node.buffer.bytes.fill(0xff, at, at + 8);
    else setU64(node.view, at, ptr);
  }

  #isNull(ptr: number): boolean {
    return this.kind.long ? ptr >= 2 ** 53 : ptr === 0xffff_ffff;
  }

  /** Links a new block in, right of another. */
  #linkRight(node: Node, right: Node): void {
    const at = this.#links();
    const next = this.#getLink(node, at.right);
    this.#setLink(right, at.left, node.ptr);
    this.#setLink(right, at.right, next);
    this.#setLink(node, at.right, right.ptr);
    if (!this.#isNull(next)) this.#setLink(this.block(next, node.level), at.left, right.ptr);
  }

  /** Takes the right neighbour of a block out of the chain. */
  #unlinkRight(node: Node, right: Node): void {
    const at = this.#links();
    const next = this.#getLink(right, at.right);
    this.#setLink(node, at.right, next);
    if (!this.#isNull(next)) this.#setLink(this.block(next, node.level), at.left, node.ptr);
  }

  // ---- removing

  #removeAt(startLevel: number, startIndex: number): void {
    let level = startLevel;
    let index = startIndex;
    for (;;) {
      const node = this.#path[level];
      const count = node.count - 1;
      this.#move(node, index + 1, node, index, count - index);
      this.#setCount(node, count);
      if (level === this.#height - 1) {
        this.#shrinkRoot();
        return;
      }
      if (count >= maxRecords(this.kind, this.g.blocksize, level) >> 1) {
        this.#refresh(level);
        return;
      }
      const parent = this.#path[level + 1];
      const parentIndex = this.#index[level + 1];
      if (parent.count === 1) {
        // Only below a root inside an inode.
        if (count > 0) {
          this.#refresh(level);
          this.#shrinkRoot();
          return;
        }
        this.freeBlock(node);
        index = 0;
        level++;
        continue;
      }
      if (parentIndex > 0) {
        const left = this.#sibling(parent, parentIndex - 1);
        if (left.count + count <= left.max) {
          this.#move(node, 0, left, left.count, count);
          this.#setCount(left, left.count + count);
          this.#unlinkRight(left, node);
          this.freeBlock(node);
          if (this.#refreshEntry(parent, parentIndex - 1, left)) this.#refresh(level + 1);
          index = parentIndex;
        } else {
          const n = (left.count - count) >> 1;
          this.#move(node, 0, node, n, count);
          this.#move(left, left.count - n, node, 0, n);
          this.#setCount(node, count + n);
          this.#setCount(left, left.count - n);
          if (this.#refreshEntry(parent, parentIndex - 1, left)) this.#refresh(level + 1);
          this.#refresh(level);
          return;
        }
      } else {
        const right = this.#sibling(parent, parentIndex + 1);
        if (right.count + count <= node.max) {
          this.#move(right, 0, node, count, right.count);
          this.#setCount(node, count + right.count);
          this.#unlinkRight(node, right);
          this.freeBlock(right);
          if (this.#refreshEntry(parent, parentIndex, node)) this.#refresh(level + 1);
          index = parentIndex + 1;
        } else {
          const n = (right.count - count) >> 1;
          this.#move(right, 0, node, count, n);
          this.#move(right, n, right, 0, right.count - n);
          this.#setCount(node, count + n);
          this.#setCount(right, right.count - n);
          if (this.#refreshEntry(parent, parentIndex + 1, right)) this.#refresh(level + 1);
          this.#refresh(level);
          return;
        }
      }
      level++;
    }
  }

  /** Takes away levels a root with a single child does not need. */
  #shrinkRoot(): void {
    for (;;) {
      const height = this.height();
      const root = this.root();
      if (height === 1 || root.count !== 1) return;
      if (!root.inInode) {
        const child = this.#ptrOf(root, 0);
        this.setRoot(child, height - 1);
        this.freeBlock(root);
        continue;
      }
      // Leaves do not move into an inode as a tree: that is the change to another fork format.
      if (height === 2) return;
      const child = this.block(this.#ptrOf(root, 0), height - 2);
      if (child.count > root.max) return;
      this.setRootLevel(root, height - 2);
      const now = this.root();
      this.#move(child, 0, now, 0, child.count);
      this.#setCount(now, child.count);
      this.freeBlock(child);
    }
  }

  #corrupt(field: string, value: number, expected: string): never {
    throw new CorruptionError({ structure: this.kind.name, field, value, expected });
  }
}
