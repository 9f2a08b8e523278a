/**
 * A place in a btree: a search leaves a path from the root to a leaf, from where one goes to neighbours.
 *
 * Keys are compared as words of 32 bits, most significant first.
 */
import type { BtreeKind } from '../format/btree.js';
import { CorruptionError } from '../format/fault.js';
import type { Geometry } from '../format/geometry.js';
import { getU64 } from '../format/structure.js';
import { compareKeys, type Key, type KeyReader, type Node, newKey } from './btreenode.js';
import type { Transaction } from './transaction.js';

/** Deepest tree there can be; a bound against loops. */
export const MAX_HEIGHT = 12;

export abstract class BtreeCursor {
  readonly kind: BtreeKind;
  readonly keys: KeyReader;
  readonly tx: Transaction;
  readonly g: Geometry;
  /** The path: blocks from the leaf (0) up, and the entry in each. */
  protected readonly path: Node[] = [];
  protected readonly index: number[] = [];
  protected levels = 0;
  protected readonly recordSize: number;
  protected readonly keySize: number;
  protected readonly ptrSize: number;
  protected readonly keyA = newKey();
  protected readonly keyB = newKey();
  protected readonly keyC = newKey();

  constructor(tx: Transaction, kind: BtreeKind, keys: KeyReader) {
    this.tx = tx;
    this.g = tx.engine.g;
    this.kind = kind;
    this.keys = keys;
    this.recordSize = kind.record.size;
    this.keySize = kind.nodeKeySize;
    this.ptrSize = kind.ptrSize;
  }

  /** Levels of the tree, the root's included. */
  abstract height(): number;
  /** The root, as it stands. */
  abstract root(): Node;
  /** Reads the block `ptr` names and checks that it is of this tree and level. */
  abstract block(ptr: number, level: number): Node;
  // ---- searching

  /** The leaf's view and the byte position of the record the search ended at. */
  get view(): DataView {
    return this.path[0].view;
  }
  get at(): number {
    return this.path[0].entries + this.index[0] * this.recordSize;
  }

  /** A path as long as the tree is high. Setting a length costs even where it stays. */
  #resize(): void {
    if (this.path.length === this.levels) return;
    this.path.length = this.levels;
    this.index.length = this.levels;
  }

  protected descend(key: Key | undefined): void {
    this.levels = this.height();
    if (this.levels < 1 || this.levels > MAX_HEIGHT) this.corrupt('level', this.levels, '1 to 12');
    this.#resize();
    let node = this.root();
    for (let level = this.levels - 1; ; level--) {
      this.path[level] = node;
      const found = key === undefined ? -1 : this.#lastNotAfter(node, key);
      if (level === 0) {
        this.index[0] = found;
        return;
      }
      const index = Math.max(0, found);
      this.index[level] = index;
      if (index >= node.count) this.corrupt('numrecs', node.count, 'at least 1');
      node = this.block(this.ptrOf(node, index), level - 1);
    }
  }

  /** Last entry of a node whose key is not after `key`; -1 where all are. */
  #lastNotAfter(node: Node, key: Key): number {
    const { words } = this.keys;
    let low = 0;
    let high = node.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      this.load(node, middle, this.keyA);
      if (compareKeys(this.keyA, key, words) <= 0) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  protected load(node: Node, index: number, into: Key): void {
    if (node.level === 0) this.keys.record(node.view, node.entries + index * this.recordSize, into);
    else this.keys.key(node.view, node.entries + index * this.keySize, into);
  }

  /** Finds the last record not after `key`. False where there is none. */
  lookupLE(key: Key): boolean {
    this.descend(key);
    if (this.index[0] >= 0) return true;
    return this.path[0].count > 0 ? this.#previousLeaf() : false;
  }

  /** Finds the first record not before `key`. False where there is none. */
  lookupGE(key: Key): boolean {
    this.descend(key);
    if (this.index[0] >= 0) {
      this.load(this.path[0], this.index[0], this.keyA);
      if (compareKeys(this.keyA, key, this.keys.words) === 0) return true;
    }
    this.index[0]++;
    return this.index[0] < this.path[0].count || this.#nextLeaf();
  }

  /** Finds the record with exactly this key. */
  lookupEQ(key: Key): boolean {
    this.descend(key);
    if (this.index[0] < 0) return false;
    this.load(this.path[0], this.index[0], this.keyA);
    return compareKeys(this.keyA, key, this.keys.words) === 0;
  }

  /** Goes to the first record; false in an empty tree. */
  first(): boolean {
    this.descend(undefined);
    this.index[0] = 0;
    return this.path[0].count > 0;
  }

  /** Goes to the last record; false in an empty tree. */
  last(): boolean {
    this.levels = this.height();
    this.#resize();
    let node = this.root();
    for (let level = this.levels - 1; ; level--) {
      this.path[level] = node;
      this.index[level] = node.count - 1;
      if (level === 0) return node.count > 0;
      if (node.count === 0) this.corrupt('numrecs', 0, 'at least 1');
      node = this.block(this.ptrOf(node, node.count - 1), level - 1);
    }
  }

  /** Goes to the next record; false where this was the last (the place is kept then). */
  next(): boolean {
    if (this.index[0] + 1 < this.path[0].count) {
      this.index[0]++;
      return true;
    }
    return this.#nextLeaf();
  }

  /** Goes to the record before; false where this was the first (the place is kept then). */
  previous(): boolean {
    if (this.index[0] > 0) {
      this.index[0]--;
      return true;
    }
    return this.#previousLeaf();
  }

  #nextLeaf(): boolean {
    let level = 1;
    while (level < this.levels && this.index[level] + 1 >= this.path[level].count) level++;
    if (level >= this.levels) return false;
    this.index[level]++;
    for (; level > 0; level--) {
      this.path[level - 1] = this.block(this.ptrOf(this.path[level], this.index[level]), level - 1);
      this.index[level - 1] = 0;
    }
    return this.path[0].count > 0;
  }

  #previousLeaf(): boolean {
    let level = 1;
    while (level < this.levels && this.index[level] === 0) level++;
    if (level >= this.levels) return false;
    this.index[level]--;
    for (; level > 0; level--) {
      this.path[level - 1] = this.block(this.ptrOf(this.path[level], this.index[level]), level - 1);
      this.index[level - 1] = this.path[level - 1].count - 1;
    }
    return this.index[0] >= 0;
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
        this.load(node, i, this.keyA);
        if (compareKeys(this.keyA, high, words) > 0) return true;
        if (node.level === 0) {
          const at = node.entries + i * this.recordSize;
          this.keys.recordHigh!(node.view, at, this.keyB);
          if (compareKeys(this.keyB, low, words) >= 0 && !visit(node.view, at)) return false;
        } else {
          this.keys.key(node.view, node.entries + i * this.keySize + this.kind.key.size, this.keyB);
          if (compareKeys(this.keyB, low, words) < 0) continue;
          if (!walk(this.block(this.ptrOf(node, i), node.level - 1))) return false;
        }
      }
      return true;
    };
    walk(this.root());
  }

  protected ptrOf(node: Node, index: number): number {
    const at = node.ptrs + index * this.ptrSize;
    return this.ptrSize === 8 ? getU64(node.view, at) : node.view.getUint32(at);
  }

  protected corrupt(field: string, value: number, expected: string): never {
    throw new CorruptionError({ structure: this.kind.name, field, value, expected });
  }
}
