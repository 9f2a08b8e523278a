/**
 * `du`: what files and directories take, and what deleting them would give back.
 *
 * Counted are the blocks of regular files' data forks, preallocated ones too. For each path:
 *
 *   total       blocks its files map, a block shared by two of them counted twice
 *   exclusive   blocks that deleting the path would free: every owner of them is below it, by every name
 *   shared      blocks of total that have another owner, wherever that is
 *   set_shared  the same, each block counted once
 *
 * One walk of the tree gives nodes in depth-first order (an entry each); one pass over the inodes gives the
 * runs their flags say may be shared; a sweep over those finds each run's owners. A block then counts where
 * the paths of all its owners meet. Files without the reflink flag never cost a look at the refcount btree.
 */

import { fsblockOf } from '../format/geometry.js';
import { showBytes } from '../format/text.js';
import { walkExtents } from '../volume/fork.js';
import { type Inode, readInode, walkInodes } from '../volume/inode.js';
import { walkTree } from '../volume/path.js';
import { Refcounts } from '../volume/refcounts.js';
import type { Volume } from '../volume/volume.js';
import { DU } from './rows/du.js';
import type { RowSink } from './table.js';

/** A growing column of numbers. */
class Column {
  values = new Float64Array(1024);
  length = 0;
  push(value: number): number {
    if (this.length === this.values.length) {
      const longer = new Float64Array(this.length * 2);
      longer.set(this.values);
      this.values = longer;
    }
    this.values[this.length] = value;
    return this.length++;
  }
}

/** The tree's entries in depth-first order: entry 0 is the root, a parent's index is below its entries'. */
class Nodes {
  readonly ino = new Column();
  readonly parent = new Column();
  readonly depth = new Column();
  /** The next entry for the same inode, -1 at the last. */
  readonly nextLink = new Column();
  readonly nameEnd = new Column();
  readonly #first = new Map<number, number>();
  readonly #last = new Map<number, number>();
  readonly #dirNode = new Map<number, number>();
  #names = new Uint8Array(16384);

  constructor(volume: Volume) {
    const root = readInode(volume, volume.g.rootino);
    this.#add(root.ino, -1, new Uint8Array(0), 0, 0);
    this.#dirNode.set(root.ino, 0);
    walkTree(volume, root, (entry) => {
      const node = this.#add(
        entry.ino,
        this.#dirNode.get(entry.parent) ?? 0,
        entry.names,
        entry.nameFrom,
        entry.nameTo,
      );
      if (!this.#dirNode.has(entry.ino)) this.#dirNode.set(entry.ino, node);
    });
  }

  #add(ino: number, parent: number, names: Uint8Array, from: number, to: number): number {
    const node = this.ino.push(ino);
    this.parent.push(parent);
    this.depth.push(parent < 0 ? 0 : this.depth.values[parent] + 1);
    this.nextLink.push(-1);
    const used = node === 0 ? 0 : this.nameEnd.values[node - 1];
    if (used + to - from > this.#names.length) {
      const longer = new Uint8Array(this.#names.length * 2 + 256);
      longer.set(this.#names);
      this.#names = longer;
    }
    for (let i = from; i < to; i++) this.#names[used + i - from] = names[i];
    this.nameEnd.push(used + to - from);
    const last = this.#last.get(ino);
    if (last === undefined) this.#first.set(ino, node);
    else this.nextLink.values[last] = node;
    this.#last.set(ino, node);
    return node;
  }

  get count(): number {
    return this.ino.length;
  }

  /** First entry that names an inode; -1 where none does. */
  firstLink(ino: number): number {
    return this.#first.get(ino) ?? -1;
  }

  /** The lowest entry that holds both. */
  meet(a: number, b: number): number {
    const parent = this.parent.values;
    const depth = this.depth.values;
    let x = a;
    let y = b;
    while (depth[x] > depth[y]) x = parent[x];
    while (depth[y] > depth[x]) y = parent[y];
    while (x !== y) {
      x = parent[x];
      y = parent[y];
    }
    return x;
  }

  path(node: number): string {
    if (node === 0) return '/';
    const parts: string[] = [];
    for (let n = node; n > 0; n = this.parent.values[n])
      parts.push(showBytes(this.#names.subarray(this.nameEnd.values[n - 1], this.nameEnd.values[n])));
    return `/${parts.reverse().join('/')}`;
  }
}

/** Sums of a quantity over the tree, given at entries and added up from the leaves. */
class Sums {
  readonly at: Float64Array;
  readonly #nodes: Nodes;
  constructor(nodes: Nodes) {
    this.#nodes = nodes;
    this.at = new Float64Array(nodes.count);
  }
  /** Counts `amount` once in every subtree that holds any of `links`, which ascend. */
  spread(links: ArrayLike<number>, count: number, amount: number): void {
    for (let i = 0; i < count; i++) {
      this.at[links[i]] += amount;
      if (i > 0) this.at[this.#nodes.meet(links[i - 1], links[i])] -= amount;
    }
  }
  addUp(): void {
    const parent = this.#nodes.parent.values;
    for (let node = this.#nodes.count - 1; node > 0; node--) this.at[parent[node]] += this.at[node];
  }
}

/** Runs that flagged inodes map and the refcount btree calls shared: a claim each. */
class Claims {
  readonly start = new Column();
  readonly blocks = new Column();
  readonly owner = new Column();
  readonly refcount = new Column();
}

export class DiskUsage {
  readonly #volume: Volume;
  readonly #nodes: Nodes;
  readonly #total: Sums;
  readonly #exclusive: Sums;
  readonly #shared: Sums;
  readonly #setShared: Sums;
  readonly #claims = new Claims();
  #links = new Float64Array(64);

  constructor(volume: Volume) {
    this.#volume = volume;
    this.#nodes = new Nodes(volume);
    this.#total = new Sums(this.#nodes);
    this.#exclusive = new Sums(this.#nodes);
    this.#shared = new Sums(this.#nodes);
    this.#setShared = new Sums(this.#nodes);
    const refcounts = new Refcounts(volume);
    walkInodes(volume, (inode) => {
      if (inode.isRegular) this.#take(inode, refcounts);
    });
    this.#sweep();
    for (const sums of [this.#total, this.#exclusive, this.#shared, this.#setShared]) sums.addUp();
  }

  /** Puts an inode's entries behind those already in `#links`; whether they are all its names. */
  #linksOf(ino: number, from: number): number {
    let count = from;
    for (let node = this.#nodes.firstLink(ino); node >= 0; node = this.#nodes.nextLink.values[node]) {
      if (count === this.#links.length) {
        const longer = new Float64Array(count * 2);
        longer.set(this.#links);
        this.#links = longer;
      }
      this.#links[count++] = node;
    }
    return count;
  }

  #take(inode: Inode, refcounts: Refcounts): void {
    const count = this.#linksOf(inode.ino, 0);
    if (count === 0) return; // unlinked, or lost: no path shows it
    let mapped = 0;
    let shared = 0;
    const { g } = this.#volume;
    const claims = this.#claims;
    const half = 2 ** g.agblklog;
    walkExtents(this.#volume, inode, 'data', (_offset, fsblock, blocks) => {
      mapped += blocks;
      if (!inode.isReflink) return;
      const agno = Math.floor(fsblock / half);
      refcounts.split(agno, fsblock % half, blocks, (agbno, n, owners) => {
        if (owners < 2) return;
        shared += n;
        claims.start.push(fsblockOf(g, agno, agbno));
        claims.blocks.push(n);
        claims.owner.push(inode.ino);
        claims.refcount.push(owners);
      });
    });
    this.#total.spread(this.#links, count, mapped);
    this.#shared.spread(this.#links, count, shared);
    // A name outside the tree (a lost link) would keep the file alive.
    if (count >= inode.nlink) this.#exclusive.at[this.#meeting(count)] += mapped - shared;
  }

  /** Where the first `count` links meet; they ascend, so the outermost two decide. */
  #meeting(count: number): number {
    return count === 1 ? this.#links[0] : this.#nodes.meet(this.#links[0], this.#links[count - 1]);
  }

  #sweep(): void {
    const { start, blocks, owner, refcount } = this.#claims;
    const order = Uint32Array.from({ length: start.length }, (_, i) => i);
    order.sort((a, b) => start.values[a] - start.values[b]);
    // Claims that cover the position of the sweep.
    let active: number[] = [];
    let at = 0;
    for (let next = 0; next < order.length || active.length > 0; ) {
      if (active.length === 0) at = start.values[order[next]];
      while (next < order.length && start.values[order[next]] === at) active.push(order[next++]);
      let end = next < order.length ? start.values[order[next]] : Number.POSITIVE_INFINITY;
      for (const claim of active) end = Math.min(end, start.values[claim] + blocks.values[claim]);
      this.#segment(active, end - at, owner.values, refcount.values);
      at = end;
      active = active.filter((claim) => start.values[claim] + blocks.values[claim] > end);
    }
  }

  /** A run of blocks whose owners are all in `active`. */
  #segment(active: number[], blocks: number, owner: Float64Array, refcount: Float64Array): void {
    let count = 0;
    let whole = active.length >= refcount[active[0]];
    const seen = new Set<number>();
    for (const claim of active) {
      const ino = owner[claim];
      if (seen.has(ino)) continue;
      seen.add(ino);
      const before = count;
      count = this.#linksOf(ino, count);
      if (count - before < readInode(this.#volume, ino, { verify: false }).nlink) whole = false;
    }
    this.#links.subarray(0, count).sort();
    this.#setShared.spread(this.#links, count, blocks);
    if (whole) this.#exclusive.at[this.#meeting(count)] += blocks;
  }

  /** The entry an inode is shown under. */
  node(ino: number): number {
    return this.#nodes.firstLink(ino);
  }

  /** A path of an inode; undefined where no directory names it. */
  path(ino: number): string | undefined {
    const node = this.#nodes.firstLink(ino);
    return node < 0 ? undefined : this.#nodes.path(node);
  }

  /**
   * Emits a row for `node` and what is below it to `depth`; directories alone unless `files`. A directory
   * follows what is in it, as du lists.
   */
  emit(sink: RowSink, node: number, options: { depth: number; files: boolean }): void {
    const { blocksize } = this.#volume.g;
    const parent = this.#nodes.parent.values;
    const base = this.#nodes.depth.values[node];
    let end = node + 1;
    while (end < this.#nodes.count && this.#nodes.depth.values[end] > base) end++;
    const row = (n: number): void => {
      sink.num[DU.at.total] = this.#total.at[n] * blocksize;
      sink.num[DU.at.exclusive] = this.#exclusive.at[n] * blocksize;
      sink.num[DU.at.shared] = this.#shared.at[n] * blocksize;
      sink.num[DU.at.set_shared] = this.#setShared.at[n] * blocksize;
      sink.text[DU.at.path] = this.#nodes.path(n);
      sink.emit();
    };
    const open: number[] = [];
    for (let n = node; n < end; n++) {
      while (open.length > 0 && open[open.length - 1] !== parent[n] && n !== node) row(open.pop()!);
      const shown = this.#nodes.depth.values[n] - base <= options.depth;
      const isDirectory = n === 0 || this.#isDirectory(n);
      if (isDirectory) {
        if (shown) open.push(n);
      } else if (shown && (options.files || n === node)) row(n);
    }
    while (open.length > 0) row(open.pop()!);
  }

  #isDirectory(node: number): boolean {
    const next = node + 1;
    if (next < this.#nodes.count && this.#nodes.parent.values[next] === node) return true;
    return readInode(this.#volume, this.#nodes.ino.values[node], { verify: false }).isDir;
  }
}
