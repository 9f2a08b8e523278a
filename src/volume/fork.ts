/**
 * A fork's extents: where a file's (or its attributes') blocks lie. They stand in the inode itself, or in a
 * bmbt whose root is in the inode.
 */
import { BMDR_BLOCK, BTREES, maxRootRecords, recordAt } from '../format/btree.js';
import { FORK_FORMAT } from '../format/dinode.js';
import {
  EXTENT_SIZE,
  extentBlocks,
  extentFsblock,
  extentOffset,
  extentUnwritten,
  MAX_EXTENT_BLOCKS,
  MAX_FILE_OFFSET,
} from '../format/extent.js';
import { type Report, throwFault } from '../format/fault.js';
import {
  agbnoOfFsblock,
  agLength,
  agnoOfFsblock,
  firstFreeAgbno,
  type Geometry,
  isFsRange,
} from '../format/geometry.js';
import { getU64 } from '../format/structure.js';
import { type Tree, walkBlocks, walkLeaves } from './btree.js';
import type { Inode } from './inode.js';
import type { Volume } from './volume.js';

export type ForkName = 'data' | 'attr';

/** File blocks there can be: sizes end below 2^63 bytes. */
export const maxFileBlock = (g: Geometry): number => Math.min(MAX_FILE_OFFSET, 2 ** 63 / g.blocksize);

/** Whether a file can have these blocks. Sums past 2^53 would round down to the limit. */
export const isFileRange = (g: Geometry, offset: number, blocks: number): boolean =>
  offset <= maxFileBlock(g) - blocks;

/** Takes an extent: file offset and length in blocks, start as fsblock. */
export type ExtentVisitor = (offset: number, fsblock: number, blocks: number, unwritten: boolean) => void;

export const forkFormat = (inode: Inode, fork: ForkName): number =>
  fork === 'data' ? inode.format : inode.hasAttrFork ? inode.aformat : FORK_FORMAT.EXTENTS;
export const forkAt = (inode: Inode, fork: ForkName): number =>
  fork === 'data' ? inode.dataAt : inode.attrAt;
export const forkSize = (inode: Inode, fork: ForkName): number =>
  fork === 'data' ? inode.dataSize : inode.attrSize;
export const forkExtents = (inode: Inode, fork: ForkName): number =>
  fork === 'data' ? inode.nextents : inode.hasAttrFork ? inode.naextents : 0;

/**
 * The bmbt of a fork in btree format, as a tree to walk: its on-disk blocks start below the root in the
 * inode. Returns undefined where the root does not verify (reported).
 */
export function forkTree(g: Geometry, inode: Inode, fork: ForkName, report: Report): Tree | undefined {
  const { view, ino } = inode;
  const at = forkAt(inode, fork);
  const size = forkSize(inode, fork);
  const bad = (field: string, value: number, expected: string): undefined => {
    report({ structure: 'bmdr', ino, field, value, expected });
    return undefined;
  };
  const level = view.getUint16(at + BMDR_BLOCK.at.level);
  const numrecs = view.getUint16(at + BMDR_BLOCK.at.numrecs);
  const max = maxRootRecords(size);
  if (level === 0 || level > 10) return bad('level', level, '1 to 10');
  if (numrecs === 0 || numrecs > max) return bad('numrecs', numrecs, `1 to ${max}`);
  const keys = at + BMDR_BLOCK.size;
  const ptrs = keys + max * 8;
  const roots: number[] = [];
  for (let i = 0; i < numrecs; i++) {
    const fsblock = getU64(view, ptrs + i * 8);
    if (fsblock === 0 || !isFsRange(g, fsblock, 1))
      return bad(`ptrs[${i + 1}]`, fsblock, 'a block of the filesystem');
    roots.push(fsblock);
  }
  return {
    kind: BTREES.bmbt,
    owner: ino,
    levels: level,
    roots,
    rootKeys: new DataView(view.buffer, view.byteOffset + keys, numrecs * 8),
  };
}

/**
 * Checks extents one after another: bounds, order, overlap in file offset. Records that cannot be true are
 * reported and not passed on.
 */
class ExtentCheck {
  readonly #g: Geometry;
  readonly #ino: number;
  readonly #mayBeUnwritten: boolean;
  readonly #fork: ForkName;
  readonly #report: Report;
  readonly #visit: ExtentVisitor;
  #end = 0;
  count = 0;

  constructor(g: Geometry, inode: Inode, fork: ForkName, report: Report, visit: ExtentVisitor) {
    this.#g = g;
    this.#ino = inode.ino;
    this.#mayBeUnwritten = fork === 'data' && inode.isRegular;
    this.#fork = fork;
    this.#report = report;
    this.#visit = visit;
  }

  take(v: DataView, at: number): void {
    const offset = extentOffset(v, at);
    const fsblock = extentFsblock(v, at);
    const blocks = extentBlocks(v, at);
    const unwritten = extentUnwritten(v, at);
    const index = this.count++;
    if (blocks === 0) return this.#bad(index, 'blockcount', 0, `1 to ${MAX_EXTENT_BLOCKS}`);
    const agbno = agbnoOfFsblock(this.#g, fsblock);
    if (!isFsRange(this.#g, fsblock, 1) || agbno < firstFreeAgbno(this.#g))
      return this.#bad(index, 'startblock', fsblock, 'a block of the filesystem, behind the AG headers');
    if (!isFsRange(this.#g, fsblock, blocks)) {
      const left = agLength(this.#g, agnoOfFsblock(this.#g, fsblock)) - agbno;
      return this.#bad(index, 'blockcount', blocks, `1 to ${left}, to the end of the AG`);
    }
    if (offset < this.#end)
      return this.#bad(index, 'startoff', offset, `${this.#end} or more, past the extent before`);
    if (!isFileRange(this.#g, offset, blocks))
      return this.#bad(index, 'startoff', offset, 'an end within 2^63 bytes');
    if (unwritten && !this.#mayBeUnwritten)
      this.#bad(index, 'extentflag', 1, '0: only data of files can be unwritten');
    this.#end = offset + blocks;
    this.#visit(offset, fsblock, blocks, unwritten);
  }

  #bad(index: number, field: string, value: number, expected: string): void {
    this.#report({
      structure: `${this.#fork} fork`,
      ino: this.#ino,
      field: `bmx[${index}].${field}`,
      value,
      expected,
    });
  }
}

/**
 * Visits a fork's extents in file order. Reports extents that cannot be true (they are left out), and a count
 * other than the inode's. Forks in local or device format have none.
 */
export function walkExtents(
  volume: Volume,
  inode: Inode,
  fork: ForkName,
  visit: ExtentVisitor,
  report: Report = volume.report,
): void {
  const { g } = volume;
  if (fork === 'attr' && !inode.hasAttrFork) return;
  const format = forkFormat(inode, fork);
  const expected = forkExtents(inode, fork);
  const check = new ExtentCheck(g, inode, fork, report, visit);
  if (format === FORK_FORMAT.EXTENTS) {
    const at = forkAt(inode, fork);
    const n = Math.min(expected, Math.floor(forkSize(inode, fork) / EXTENT_SIZE));
    for (let i = 0; i < n; i++) check.take(inode.view, at + i * EXTENT_SIZE);
  } else if (format === FORK_FORMAT.BTREE) {
    const tree = forkTree(g, inode, fork, report);
    if (tree === undefined) return;
    walkLeaves(
      volume,
      tree,
      (leaf, numrecs) => {
        for (let i = 0; i < numrecs; i++) check.take(leaf, recordAt(tree.kind, i));
      },
      report,
    );
  } else return;
  if (check.count !== expected)
    report({
      structure: 'dinode',
      ino: inode.ino,
      field: fork === 'data' ? 'nextents' : 'naextents',
      value: expected,
      expected: `${check.count}, the extents found`,
    });
}

/** Visits the blocks of a fork's bmbt itself (none in other formats): fsblock-addressed metadata. */
export function walkForkBlocks(
  volume: Volume,
  inode: Inode,
  fork: ForkName,
  visit: (agno: number, agbno: number, level: number, block: DataView) => void,
  report: Report = volume.report,
): void {
  if (fork === 'attr' && !inode.hasAttrFork) return;
  if (forkFormat(inode, fork) !== FORK_FORMAT.BTREE) return;
  const tree = forkTree(volume.g, inode, fork, report);
  if (tree !== undefined)
    walkBlocks(volume, tree, (block, level, agno, agbno) => visit(agno, agbno, level, block), report);
}

/** A fork's extents in columns, for look-ups: element i of each array is one extent. */
export interface ExtentList {
  readonly count: number;
  readonly offset: Float64Array;
  readonly fsblock: Float64Array;
  readonly blocks: Uint32Array;
  readonly unwritten: Uint8Array;
}

/** Reads a fork's extents into columns. Throws CorruptionError on the first fault unless `report` is given. */
export function readExtents(
  volume: Volume,
  inode: Inode,
  fork: ForkName,
  report: Report = throwFault,
): ExtentList {
  let capacity = 8;
  let offset = new Float64Array(capacity);
  let fsblock = new Float64Array(capacity);
  let blocks = new Uint32Array(capacity);
  let unwritten = new Uint8Array(capacity);
  let count = 0;
  walkExtents(
    volume,
    inode,
    fork,
    (o, f, n, u) => {
      if (count === capacity) {
        capacity *= 2;
        const grow = <T extends Float64Array | Uint32Array | Uint8Array>(from: T, to: T): T => {
          to.set(from);
          return to;
        };
        offset = grow(offset, new Float64Array(capacity));
        fsblock = grow(fsblock, new Float64Array(capacity));
        blocks = grow(blocks, new Uint32Array(capacity));
        unwritten = grow(unwritten, new Uint8Array(capacity));
      }
      offset[count] = o;
      fsblock[count] = f;
      blocks[count] = n;
      unwritten[count] = u ? 1 : 0;
      count++;
    },
    report,
  );
  return { count, offset, fsblock, blocks, unwritten };
}

/** Index of the extent that holds file block `block`, or of the next one after it; `count` past the last. */
export function findExtent(list: ExtentList, block: number): number {
  let low = 0;
  let high = list.count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list.offset[middle] + list.blocks[middle] <= block) low = middle + 1;
    else high = middle;
  }
  return low;
}
