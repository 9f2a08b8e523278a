/**
 * Forks from sorted extents: the list inside the inode, or a bmbt built in one go below a root inside the
 * inode.
 */
import { BMDR_BLOCK, BTREES, maxRootRecords } from '../format/btree.js';
import { FORK_FORMAT } from '../format/dinode.js';
import { EXTENT_SIZE, MAX_EXTENT_BLOCKS, packExtent } from '../format/extent.js';
import { fsblockOffset, type Geometry } from '../format/geometry.js';
import { setU64, viewOf } from '../format/structure.js';
import { btreeShape, bulkLoad } from './btree.js';

/** Extents of one fork in file order. Used again for the next fork after `clear`. */
export class ExtentColumns {
  count = 0;
  /** File offset in blocks, start as fsblock, length in blocks. */
  offset = new Float64Array(16);
  fsblock = new Float64Array(16);
  blocks = new Uint32Array(16);
  /** 1 where the extent is allocated and reads as zeros. */
  unwritten = new Uint8Array(16);

  clear(): void {
    this.count = 0;
  }

  /** Blocks mapped. */
  get total(): number {
    let total = 0;
    for (let i = 0; i < this.count; i++) total += this.blocks[i];
    return total;
  }

  /** Adds what follows behind the last extent; neighbours on both sides become one. */
  add(offset: number, fsblock: number, blocks: number, unwritten = false): void {
    let at = offset;
    let from = fsblock;
    let left = blocks;
    const last = this.count - 1;
    if (
      last >= 0 &&
      (this.unwritten[last] === 1) === unwritten &&
      this.offset[last] + this.blocks[last] === at &&
      this.fsblock[last] + this.blocks[last] === from
    ) {
      const more = Math.min(left, MAX_EXTENT_BLOCKS - this.blocks[last]);
      this.blocks[last] += more;
      at += more;
      from += more;
      left -= more;
    }
    while (left > 0) {
      if (this.count === this.offset.length) this.#grow();
      const n = Math.min(left, MAX_EXTENT_BLOCKS);
      this.offset[this.count] = at;
      this.fsblock[this.count] = from;
      this.unwritten[this.count] = unwritten ? 1 : 0;
      this.blocks[this.count++] = n;
      at += n;
      from += n;
      left -= n;
    }
  }

  /** The fsblock of file block `block`; undefined in a hole. */
  find(block: number): number | undefined {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.offset[middle] + this.blocks[middle] <= block) low = middle + 1;
      else high = middle;
    }
    if (low >= this.count || this.offset[low] > block) return undefined;
    return this.fsblock[low] + (block - this.offset[low]);
  }

  #grow(): void {
    const n = this.count * 2;
    const offset = new Float64Array(n);
    offset.set(this.offset);
    this.offset = offset;
    const fsblock = new Float64Array(n);
    fsblock.set(this.fsblock);
    this.fsblock = fsblock;
    const blocks = new Uint32Array(n);
    blocks.set(this.blocks);
    this.blocks = blocks;
    const unwritten = new Uint8Array(n);
    unwritten.set(this.unwritten);
    this.unwritten = unwritten;
  }
}

/** Where a fork's own btree goes. */
export interface TreeSpace {
  /** Sets aside `count` blocks for the tree: their fsblocks, in the order they are to be used. */
  take(count: number): ArrayLike<number>;
  /** Takes a finished block; `bytes` is used again. */
  emit(fsblock: number, bytes: Uint8Array): void;
}

export interface BuiltFork {
  /** FORK_FORMAT. */
  readonly format: number;
  /** What stands in the inode. */
  readonly bytes: Uint8Array;
  readonly extents: number;
  /** Blocks of the bmbt, which di_nblocks counts too. */
  readonly treeBlocks: number;
}

/** Bytes of a fork below which a bmbt root has too little room (xfs_bmap_btree.h: three pointers). */
export const MIN_ROOT_BYTES = BMDR_BLOCK.size + 3 * 16;

/**
 * Builds the fork of inode `ino` within `forkSize` bytes of the inode. Throws RangeError where the bytes do
 * not hold even a root.
 */
export function buildFork(
  g: Geometry,
  ino: number,
  list: ExtentColumns,
  forkSize: number,
  space: TreeSpace,
): BuiltFork {
  if (list.count * EXTENT_SIZE <= forkSize) {
    const bytes = new Uint8Array(list.count * EXTENT_SIZE);
    const v = viewOf(bytes);
    for (let i = 0; i < list.count; i++)
      packExtent(
        v,
        i * EXTENT_SIZE,
        list.offset[i],
        list.fsblock[i],
        list.blocks[i],
        list.unwritten[i] === 1,
      );
    return { format: FORK_FORMAT.EXTENTS, bytes, extents: list.count, treeBlocks: 0 };
  }
  const room = maxRootRecords(forkSize);
  if (room < 1) throw new RangeError(`a fork of ${forkSize} bytes has no room for a btree root`);
  const kind = BTREES.bmbt;
  const shape = btreeShape(kind, g.blocksize, list.count, room);
  const blocks = space.take(shape.total);
  const tree = bulkLoad({
    kind,
    blocksize: g.blocksize,
    count: list.count,
    shape,
    owner: ino,
    uuid: g.metaUuidBytes,
    writeRecord: (i, v, at) =>
      packExtent(v, at, list.offset[i], list.fsblock[i], list.blocks[i], list.unwritten[i] === 1),
    block: (n) => blocks[n],
    daddr: (fsblock) => fsblockOffset(g, fsblock) / 512,
    emit: (fsblock, bytes) => space.emit(fsblock, bytes),
  });
  const { pointers, keys } = tree.top;
  const bytes = new Uint8Array(BMDR_BLOCK.size + room * 16);
  const v = viewOf(bytes);
  v.setUint16(BMDR_BLOCK.at.level, shape.blocks.length);
  v.setUint16(BMDR_BLOCK.at.numrecs, pointers.length);
  bytes.set(keys, BMDR_BLOCK.size);
  // Pointers stand behind room for as many keys as would fit.
  for (let i = 0; i < pointers.length; i++) setU64(v, BMDR_BLOCK.size + room * 8 + i * 8, pointers[i]);
  return { format: FORK_FORMAT.BTREE, bytes, extents: list.count, treeBlocks: shape.total };
}

/**
 * Where the blocks of a directory, an attribute fork or a symbolic link go, by their place in the fork in
 * filesystem blocks.
 */
export interface ForkTarget {
  /** Disk address of a block in 512-byte units. */
  daddr(fileBlock: number): number;
  /** Takes a finished block; `bytes` is used again. */
  emit(fileBlock: number, bytes: Uint8Array): void;
}
