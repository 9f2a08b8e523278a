/**
 * Changing btrees: one implementation for the six trees of an AG and the bmbt.
 *
 * Insert, update and remove work where a search has ended and may change every block of its path. A full block
 * first hands records to a sibling under the same parent, then splits; a block below half takes records from a
 * sibling or is merged with it. Parents hold the lowest key of each child, in the rmapbt its highest too, and are
 * kept right on the way up. After a change the path is gone: search again.
 */
import { LONG_BLOCK, maxRecords, SHORT_BLOCK } from '../format/btree.js';
import { getU64, setU64 } from '../format/structure.js';
import { BtreeCursor, MAX_HEIGHT } from './btreecursor.js';
import { compareKeys, type Key, type Node, newKey } from './btreenode.js';

export abstract class Btree extends BtreeCursor {
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

  // ---- changing

  /** Replaces the record the search ended at. Its place in the order must stay the same. */
  update(record: Uint8Array): void {
    const node = this.path[0];
    this.edit(node, this.at, this.recordSize);
    const { overlapping } = this.kind;
    if (overlapping) this.keys.recordHigh!(node.view, this.at, this.#was);
    node.buffer.bytes.set(record, this.at);
    if (overlapping) this.keys.recordHigh!(node.view, this.at, this.#now);
    this.#refreshPath(overlapping, overlapping);
  }

  /** Inserts a record. Its key must not be there yet. */
  insert(record: Uint8Array): void {
    const v = new DataView(record.buffer, record.byteOffset, record.length);
    const key = newKey();
    this.keys.record(v, 0, key);
    this.descend(key);
    if (this.index[0] >= 0) {
      this.load(this.path[0], this.index[0], this.keyA);
      if (compareKeys(this.keyA, key, this.keys.words) === 0)
        this.corrupt('recs', key[0], 'no record with this key yet');
    }
    this.#insertAt(0, this.index[0] + 1, record, undefined);
  }

  /** Removes the record the search ended at. */
  remove(): void {
    this.#removeAt(0, this.index[0]);
  }

  #putPtr(node: Node, index: number, ptr: number): void {
    const at = node.ptrs + index * this.ptrSize;
    if (this.ptrSize === 8) setU64(node.view, at, ptr);
    else node.view.setUint32(at, ptr);
  }

  #entrySize(node: Node): number {
    return node.level === 0 ? this.recordSize : this.keySize;
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
    const p = this.ptrSize;
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
      this.edit(node, node.ptrs + index * this.ptrSize, this.ptrSize);
      this.#putPtr(node, index, child.ptr);
      this.#writeKeys(node, index, child);
    }
    this.#setCount(node, count + 1);
  }

  /** Writes the keys of a child into its parent's entry (announced already). */
  #writeKeys(parent: Node, index: number, child: Node): void {
    const at = parent.entries + index * this.keySize;
    this.load(child, 0, this.keyA);
    this.keys.write(parent.view, at, this.keyA);
    if (this.kind.overlapping) {
      this.#high(child, this.keyA);
      this.keys.write(parent.view, at + this.kind.key.size, this.keyA);
    }
  }

  /** Highest keys of a record, or of a child, that was under a node and that is there now: see #refreshPath. */
  readonly #was = newKey();
  readonly #now = newKey();

  /**
   * Brings the path's parents in line with a leaf in which one record was put (`has`: its highest key is in #now),
   * taken out (`had`: in #was) or changed (both). In a tree whose records overlap, all records of a child are
   * looked through only where the highest may have gone.
   */
  #refreshPath(had: boolean, has: boolean): void {
    if (!this.kind.overlapping) {
      this.#refresh(0);
      return;
    }
    const { words } = this.keys;
    const { size } = this.kind.key;
    const stored = this.keyC;
    let gone = had;
    let come = has;
    for (let level = 0; level + 1 < this.levels; level++) {
      const child = this.path[level];
      const parent = this.path[level + 1];
      const at = parent.entries + this.index[level + 1] * this.keySize;
      this.load(child, 0, this.keyA);
      this.keys.key(parent.view, at, stored);
      const lowest = compareKeys(this.keyA, stored, words) !== 0;
      if (lowest) {
        this.edit(parent, at, size);
        this.keys.write(parent.view, at, this.keyA);
      }
      this.keys.key(parent.view, at + size, stored);
      if (come && compareKeys(this.#now, stored, words) >= 0) {
        // The highest now, whatever has gone.
      } else if (gone && compareKeys(this.#was, stored, words) === 0) {
        this.#high(child, this.#now);
      } else this.#now.set(stored);
      come = compareKeys(this.#now, stored, words) !== 0;
      gone = come;
      if (come) {
        this.#was.set(stored);
        this.edit(parent, at + size, size);
        this.keys.write(parent.view, at + size, this.#now);
      } else if (!lowest) return;
    }
  }

  /** Highest key under a node, into `into`. */
  #high(node: Node, into: Key): void {
    const { words } = this.keys;
    const { count } = node;
    into.fill(0);
    for (let i = 0; i < count; i++) {
      if (node.level === 0) this.keys.recordHigh!(node.view, node.entries + i * this.recordSize, this.keyB);
      else this.keys.key(node.view, node.entries + i * this.keySize + this.kind.key.size, this.keyB);
      if (i === 0 || compareKeys(this.keyB, into, words) > 0) into.set(this.keyB);
    }
  }

  /** Brings a parent's entry in line with its child. True where that changed it. */
  #refreshEntry(parent: Node, index: number, child: Node): boolean {
    const words = this.keys.stored ?? this.keys.words;
    const at = parent.entries + index * this.keySize;
    const key = this.keyC;
    this.load(child, 0, this.keyA);
    this.keys.key(parent.view, at, key);
    let same = compareKeys(this.keyA, key, words) === 0;
    if (same && this.kind.overlapping) {
      this.#high(child, this.keyA);
      this.keys.key(parent.view, at + this.kind.key.size, key);
      same = compareKeys(this.keyA, key, words) === 0;
    }
    if (same) return false;
    this.edit(parent, at, this.keySize);
    this.#writeKeys(parent, index, child);
    return true;
  }

  /** Brings the path's parents in line with the block at `level`. */
  #refresh(level: number): void {
    for (let l = level; l + 1 < this.levels; l++)
      if (!this.#refreshEntry(this.path[l + 1], this.index[l + 1], this.path[l])) return;
  }

  #sibling(parent: Node, index: number): Node {
    return this.block(this.ptrOf(parent, index), parent.level - 1);
  }

  #insertAt(level: number, at: number, record: Uint8Array | undefined, child: Node | undefined): void {
    let index = at;
    let node = this.path[level];
    if (node.count < node.max) {
      this.#place(node, index, record, child);
      if (level === 0 && this.kind.overlapping) {
        this.keys.recordHigh!(node.view, node.entries + index * this.recordSize, this.#now);
        this.#refreshPath(false, true);
      } else this.#refresh(level);
      return;
    }
    if (level === this.levels - 1) {
      node = this.#growRoot(level);
      if (node.count < node.max) {
        this.#place(node, index, record, child);
        this.#refresh(level);
        return;
      }
    }
    const parent = this.path[level + 1];
    const parentIndex = this.index[level + 1];
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
    const old = this.path[level];
    if (this.levels + 1 > MAX_HEIGHT) this.corrupt('level', this.levels, 'below 12');
    if (old.inInode) {
      // The root stays where it is; its entries move to a block of their own.
      const child = this.newBlock(level, this.ptrOf(old, 0));
      this.#move(old, 0, child, 0, old.count);
      this.#setCount(child, old.count);
      this.#setCount(old, 1);
      this.setRootLevel(old, level + 1);
      const root = this.root();
      this.edit(root, root.entries, this.keySize);
      this.edit(root, root.ptrs, this.ptrSize);
      this.#putPtr(root, 0, child.ptr);
      this.#writeKeys(root, 0, child);
      this.path[level] = child;
      this.path.push(root);
      this.index.push(0);
      this.levels++;
      return child;
    }
    const root = this.newBlock(level + 1, old.ptr);
    this.#place(root, 0, undefined, old);
    this.setRoot(root.ptr, this.levels + 1);
    this.path.push(root);
    this.index.push(0);
    this.levels++;
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
      const node = this.path[level];
      const count = node.count - 1;
      const overlaps = level === 0 && this.kind.overlapping;
      if (overlaps) this.keys.recordHigh!(node.view, node.entries + index * this.recordSize, this.#was);
      this.#move(node, index + 1, node, index, count - index);
      this.#setCount(node, count);
      if (level === this.levels - 1) {
        this.#shrinkRoot();
        return;
      }
      if (count >= maxRecords(this.kind, this.g.blocksize, level) >> 1) {
        if (overlaps) this.#refreshPath(true, false);
        else this.#refresh(level);
        return;
      }
      const parent = this.path[level + 1];
      const parentIndex = this.index[level + 1];
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
        const child = this.ptrOf(root, 0);
        this.setRoot(child, height - 1);
        this.freeBlock(root);
        continue;
      }
      // Leaves do not move into an inode as a tree: that is the change to another fork format.
      if (height === 2) return;
      const child = this.block(this.ptrOf(root, 0), height - 2);
      if (child.count > root.max) return;
      this.setRootLevel(root, height - 2);
      const now = this.root();
      this.#move(child, 0, now, 0, child.count);
      this.#setCount(now, child.count);
      this.freeBlock(child);
    }
  }
}
