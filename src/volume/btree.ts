/**
 * One cursor for all seven btrees: a left-to-right walk that hands each verified leaf to a visitor, and a
 * search for the leaf that covers a key.
 *
 * The walk follows the pointers, not the sibling links, and holds the two against each other. Every block is
 * checked (magic, CRC, level, owner, own address, sibling links, key order, parent key); a block that cannot
 * be trusted is reported and left out. Each block is visited once, so a loop ends.
 */

import { sameUuid } from '../format/ag.js';
import {
  AG_BTREE_ROOT,
  type AgBtreeName,
  BTREES,
  type BtreeKind,
  keyAt,
  LONG_BLOCK,
  maxNodeRecords,
  maxRecords,
  ptrAt,
  SHORT_BLOCK,
} from '../format/btree.js';
import { crcHolds } from '../format/checksum.js';
import { hex, type Report, type Where } from '../format/fault.js';
import {
  agbnoOfFsblock,
  agLength,
  agnoOfFsblock,
  blockOffset,
  type Geometry,
  isFsRange,
} from '../format/geometry.js';
import { verifyLsn } from '../format/log.js';
import { formatUuid, getU64 } from '../format/structure.js';
import {
  compareLowKeys,
  compareNeighbours,
  compareRmapKeys,
  highestRmapKey,
  lowKey,
  showKey,
} from './btreekeys.js';
import { bytesOf, type Volume } from './volume.js';

/** Takes a leaf: its block, the number of its records, the byte position of the first, and where it stands. */
export type LeafVisitor = (
  leaf: DataView,
  numrecs: number,
  first: number,
  agno: number,
  agbno: number,
) => void;
/** Takes every verified block, nodes too, before what hangs under it. */
export type BlockVisitor = (block: DataView, level: number, agno: number, agbno: number) => void;

/** Blocks of one level that bmbt and AG trees can have; the real bound is `levels` from the root. */
const MAX_LEVELS = 12;

export interface Tree {
  readonly kind: BtreeKind;
  /** AG number for AG trees; the inode's number for a bmbt. */
  readonly owner: number;
  /** Levels below which the walk starts: height of the tree's on-disk blocks. */
  readonly levels: number;
  /** Roots of the walk as fsblocks: one for AG trees, the inode root's pointers for a bmbt. */
  readonly roots: readonly number[];
  /** Keys (bytes) the parent holds for `roots`, where it has any. */
  readonly rootKeys?: DataView;
}

/** The AG btree `name` of AG `agno`, from its header (which is verified on the way). */
export function agTree(
  volume: Volume,
  agno: number,
  name: AgBtreeName,
  report: Report = volume.report,
): Tree {
  const place = AG_BTREE_ROOT[name];
  const header = place.header === 'agf' ? volume.agf(agno, report) : volume.agi(agno, report);
  return agTreeOf(volume.g, agno, name, header);
}

/** The same from a header already read. */
export function agTreeOf(g: Geometry, agno: number, name: AgBtreeName, header: DataView): Tree {
  const place = AG_BTREE_ROOT[name];
  const root = header.getUint32(place.root);
  return {
    kind: BTREES[name],
    owner: agno,
    levels: header.getUint32(place.level),
    roots: [agno * 2 ** g.agblklog + root],
  };
}

/** Whether this filesystem has the AG btree `name`. */
export function hasBtree(g: Geometry, name: AgBtreeName): boolean {
  if (name === 'finobt') return g.features.finobt;
  if (name === 'rmapbt') return g.features.rmapbt;
  if (name === 'refcountbt') return g.features.reflink;
  return true;
}

/**
 * Checks a btree block's header. Returns whether its contents can be read at all: the magic, level and
 * record count hold. A wrong CRC or identity is reported and also makes it unreadable.
 */
export function verifyBtreeBlock(
  g: Geometry,
  kind: BtreeKind,
  block: DataView,
  fsblock: number,
  owner: number,
  level: number,
  isRoot: boolean,
  report: Report,
): boolean {
  const agno = agnoOfFsblock(g, fsblock);
  const agbno = agbnoOfFsblock(g, fsblock);
  const where = kind.long ? { ino: owner, agno, agbno } : { agno, agbno };
  let ok = true;
  const bad = (field: string, value: number | string, expected: string): void => {
    ok = false;
    report({ structure: kind.name, ...where, field, value, expected });
  };
  const at = kind.long ? LONG_BLOCK.at : SHORT_BLOCK.at;
  if (block.getUint32(at.magic) !== kind.magic) {
    bad('magic', hex(block.getUint32(at.magic)), hex(kind.magic));
    return false;
  }
  if (!crcHolds(bytesOf(block), at.crc))
    bad('crc', hex(block.getUint32(at.crc, true)), 'the checksum of the block');
  if (!sameUuid(g, bytesOf(block), at.uuid)) bad('uuid', formatUuid(block, at.uuid), g.metaUuid);
  const storedOwner = kind.long ? getU64(block, at.owner) : block.getUint32(at.owner);
  if (storedOwner !== owner) bad('owner', storedOwner, `${owner}`);
  verifyLsn(g, block, at.lsn, bad);
  const daddr = blockOffset(g, agno, agbno) / 512;
  if (getU64(block, at.bno) !== daddr) bad('bno', getU64(block, at.bno), `its own address ${daddr}`);
  if (block.getUint16(at.level) !== level) bad('level', block.getUint16(at.level), `${level}`);
  const numrecs = block.getUint16(at.numrecs);
  const max = maxRecords(kind, g.blocksize, level);
  if (numrecs > max) bad('numrecs', numrecs, `at most ${max}`);
  if (numrecs === 0 && !(isRoot && level === 0)) bad('numrecs', numrecs, 'at least 1');
  return ok;
}

/** A long sibling pointer: 2^64 for null alone, which getU64 also makes of its neighbours. */
function longSibling(block: DataView, at: number): number {
  const value = getU64(block, at);
  const isNull = block.getUint32(at) === 0xffff_ffff && block.getUint32(at + 4) === 0xffff_ffff;
  return value === 2 ** 64 && !isNull ? 2 ** 63 : value;
}

interface LevelState {
  /** The block visited last at this level, and what it calls its right sibling; -1 before the first. */
  last: number;
  right: number;
}

class Walk {
  readonly #volume: Volume;
  readonly #tree: Tree;
  readonly #report: Report;
  readonly #leaf: LeafVisitor | undefined;
  readonly #any: BlockVisitor | undefined;
  readonly #minLevel: number;
  readonly #seen = new Set<number>();
  readonly #levels: LevelState[];
  /** The last low key met at each level, to hold the next against; its first byte count is 0 before any. */
  readonly #lastKey: { view: DataView; set: boolean }[];
  readonly #key = new DataView(new ArrayBuffer(24));
  readonly #spare = new DataView(new ArrayBuffer(24));

  constructor(
    volume: Volume,
    tree: Tree,
    leaf: LeafVisitor | undefined,
    any: BlockVisitor | undefined,
    report: Report,
    minLevel = 0,
  ) {
    this.#volume = volume;
    this.#tree = tree;
    this.#report = report;
    this.#leaf = leaf;
    this.#any = any;
    this.#minLevel = minLevel;
    this.#levels = Array.from({ length: tree.levels }, () => ({ last: -1, right: -1 }));
    this.#lastKey = Array.from({ length: tree.levels }, () => ({
      view: new DataView(new ArrayBuffer(24)),
      set: false,
    }));
  }

  #fault(agno: number, agbno: number, field: string, value: number | string, expected: string): void {
    const owner = this.#tree.kind.long ? { ino: this.#tree.owner } : {};
    this.#report({ structure: this.#tree.kind.name, ...owner, agno, agbno, field, value, expected });
  }

  run(): void {
    const { roots, levels, rootKeys, kind } = this.#tree;
    const isRoot = roots.length === 1 && rootKeys === undefined;
    // Without an AG block of its own, the root in the inode is named by the inode alone.
    const place = {};
    for (let i = 0; i < roots.length; i++)
      this.#visit(roots[i], levels - 1, isRoot, rootKeys, i * kind.nodeKeySize, i, place);
    for (let level = 0; level < levels; level++) {
      const { last, right } = this.#levels[level];
      if (last >= 0 && right !== this.#nullPointer())
        this.#fault(
          agnoOfFsblock(this.#volume.g, last),
          agbnoOfFsblock(this.#volume.g, last),
          'rightsib',
          right,
          'null: no block follows at this level',
        );
    }
  }

  #nullPointer(): number {
    return this.#tree.kind.long ? 2 ** 64 : 0xffff_ffff;
  }

  #visit(
    fsblock: number,
    level: number,
    isRoot: boolean,
    parent: DataView | undefined,
    parentKey: number,
    index: number,
    parentPlace: Where,
  ): void {
    const { g } = this.#volume;
    const { kind, owner } = this.#tree;
    if (this.#seen.has(fsblock)) return; // reported by the caller's pointer check
    this.#seen.add(fsblock);
    const agno = agnoOfFsblock(g, fsblock);
    const agbno = agbnoOfFsblock(g, fsblock);
    const block = this.#volume.block(agno, agbno);
    let foreign = false;
    const noting: Report = (fault) => {
      foreign ||= fault.field === 'magic' || fault.field === 'owner' || fault.field === 'level';
      this.#report(fault);
    };
    if (!verifyBtreeBlock(g, kind, block, fsblock, owner, level, isRoot, noting)) {
      // What follows cannot be held against a block that is lost.
      this.#levels[level].last = -1;
      if (foreign && parent !== undefined)
        this.#parentFault(
          parentPlace,
          `ptrs[${index + 1}]`,
          kind.long ? fsblock : agbno,
          `a block of this tree`,
        );
      return;
    }
    this.#checkSiblings(block, fsblock, level, agno, agbno);
    const numrecs = block.getUint16(kind.header.at.numrecs);
    const stride = level === 0 ? kind.record.size : kind.nodeKeySize;
    this.#checkOrder(block, level, numrecs, stride, agno, agbno);
    if (parent !== undefined && numrecs > 0)
      this.#checkParentKeys(block, level, parent, parentKey, index, parentPlace, agbno);
    this.#any?.(block, level, agno, agbno);
    if (level === 0) {
      this.#leaf?.(block, numrecs, kind.header.size, agno, agbno);
      return;
    }
    if (level <= this.#minLevel) return;
    for (let i = 0; i < numrecs; i++) {
      const child = this.#child(block, i, agno);
      if (child < 0 || this.#seen.has(child)) {
        const value = kind.long
          ? getU64(block, ptrAt(kind, g.blocksize, i))
          : block.getUint32(ptrAt(kind, g.blocksize, i));
        const expected =
          child < 0 ? `a block of the ${kind.long ? 'filesystem' : 'AG'}` : 'a block not met before';
        this.#fault(agno, agbno, `ptrs[${i + 1}]`, value, expected);
        this.#levels[level - 1].last = -1;
        continue;
      }
      this.#visit(child, level - 1, false, block, keyAt(kind, i), i, { agno, agbno });
    }
  }

  #parentFault(place: Where, field: string, value: number | string, expected: string): void {
    const owner = this.#tree.kind.long ? { ino: this.#tree.owner } : {};
    this.#report({ structure: this.#tree.kind.name, ...owner, ...place, field, value, expected });
  }

  /** Holds what the parent says of a block (its first key, and in the rmapbt its highest) against the block. */
  #checkParentKeys(
    block: DataView,
    level: number,
    parent: DataView,
    at: number,
    index: number,
    place: Where,
    agbno: number,
  ): void {
    const { kind } = this.#tree;
    const key = this.#key;
    lowKey(kind, level, block, kind.header.size, key);
    if (compareLowKeys(kind, parent, at, key, 0) !== 0) {
      const expected = `${showKey(kind, key, 0)}, the first of block ${agbno} below`;
      this.#parentFault(place, `keys[${index + 1}]`, showKey(kind, parent, at), expected);
    }
    if (!kind.overlapping) return;
    highestRmapKey(kind, level, block, key, this.#spare);
    if (compareRmapKeys(parent, at + kind.key.size, key, 0) !== 0) {
      const expected = `${showKey(kind, key, 0)}, the highest of block ${agbno} below`;
      const value = showKey(kind, parent, at + kind.key.size);
      this.#parentFault(place, `keys[${index + 1}] (high)`, value, expected);
    }
  }

  /** The fsblock pointer `i` names, or -1 where it cannot be one. */
  #child(block: DataView, i: number, agno: number): number {
    const { g } = this.#volume;
    const { kind } = this.#tree;
    const at = ptrAt(kind, g.blocksize, i);
    if (kind.long) {
      const fsblock = getU64(block, at);
      return fsblock > 0 && isFsRange(g, fsblock, 1) ? fsblock : -1;
    }
    const agbno = block.getUint32(at);
    return agbno > 0 && agbno < agLength(g, agno) ? agno * 2 ** g.agblklog + agbno : -1;
  }

  #checkSiblings(block: DataView, fsblock: number, level: number, agno: number, agbno: number): void {
    const { kind } = this.#tree;
    const state = this.#levels[level];
    const at = kind.long ? LONG_BLOCK.at : SHORT_BLOCK.at;
    const left = kind.long ? longSibling(block, at.leftsib) : block.getUint32(at.leftsib);
    const right = kind.long ? longSibling(block, at.rightsib) : block.getUint32(at.rightsib);
    const name = (f: number): number => (kind.long ? f : agbnoOfFsblock(this.#volume.g, f));
    if (state.last >= 0) {
      if (left !== name(state.last)) this.#fault(agno, agbno, 'leftsib', left, `${name(state.last)}`);
      if (state.right !== name(fsblock))
        this.#fault(
          agnoOfFsblock(this.#volume.g, state.last),
          agbnoOfFsblock(this.#volume.g, state.last),
          'rightsib',
          state.right,
          `${name(fsblock)}`,
        );
    } else if (state.right === -1 && left !== this.#nullPointer()) {
      this.#fault(agno, agbno, 'leftsib', left, 'null: the first block of its level');
    }
    state.last = fsblock;
    state.right = right;
  }

  #checkOrder(
    block: DataView,
    level: number,
    numrecs: number,
    stride: number,
    agno: number,
    agbno: number,
  ): void {
    const { kind } = this.#tree;
    if (numrecs === 0) return;
    const last = this.#lastKey[level];
    const first = kind.header.size;
    for (let i = 0, at = first; i < numrecs; i++, at += stride) {
      let d = -1;
      if (i > 0) d = compareNeighbours(kind, level, block, at - stride, at);
      else if (last.set) {
        lowKey(kind, level, block, at, this.#key);
        d = compareLowKeys(kind, last.view, 0, this.#key, 0);
      }
      if (d < 0) continue;
      // Two rmap records may share a key only if they differ in nothing the key holds; none may be equal.
      lowKey(kind, level, block, at, this.#key);
      const field = level === 0 ? `recs[${i + 1}]` : `keys[${i + 1}]`;
      this.#fault(agno, agbno, field, this.#key.getUint32(0), 'keys in ascending order');
    }
    lowKey(kind, level, block, first + (numrecs - 1) * stride, last.view);
    last.set = true;
  }
}

/** Whether the tree's root and height can be followed at all; reports what is wrong with them. */
function checkRoot(g: Geometry, tree: Tree, report: Report): boolean {
  const where = tree.kind.long ? { ino: tree.owner } : { agno: tree.owner };
  if (tree.levels < 1 || tree.levels > MAX_LEVELS) {
    const expected = `1 to ${MAX_LEVELS}`;
    report({ structure: tree.kind.name, ...where, field: 'level', value: tree.levels, expected });
    return false;
  }
  for (const root of tree.roots) {
    if (root <= 0 || !isFsRange(g, root, 1)) {
      const expected = 'a block of the filesystem';
      report({ structure: tree.kind.name, ...where, field: 'root', value: root, expected });
      return false;
    }
  }
  return true;
}

/** Visits every leaf of a tree from left to right. */
export function walkLeaves(
  volume: Volume,
  tree: Tree,
  leaf: LeafVisitor,
  report: Report = volume.report,
): void {
  if (!checkRoot(volume.g, tree, report)) return;
  new Walk(volume, tree, leaf, undefined, report).run();
}

/** Visits every block of a tree down to `minLevel`, parents before children, left to right. */
export function walkBlocks(
  volume: Volume,
  tree: Tree,
  any: BlockVisitor,
  report: Report = volume.report,
  minLevel = 0,
): void {
  if (!checkRoot(volume.g, tree, report)) return;
  new Walk(volume, tree, undefined, any, report, minLevel).run();
}

/**
 * Finds the leaf whose keys cover `goesLeft`: at each node the last child whose low key does not lie beyond
 * what is searched. `beyond(node, keyAt)` says whether the key at that byte does. Returns undefined where the
 * tree is empty or damaged on the way (reported).
 */
export function findLeaf(
  volume: Volume,
  tree: Tree,
  beyond: (node: DataView, keyAt: number) => boolean,
  report: Report = volume.report,
): DataView | undefined {
  const { g } = volume;
  const { kind } = tree;
  if (!checkRoot(g, tree, report)) return undefined;
  let index = 0;
  if (tree.rootKeys !== undefined)
    while (index + 1 < tree.roots.length && !beyond(tree.rootKeys, (index + 1) * kind.nodeKeySize)) index++;
  let fsblock = tree.roots[index];
  const rootAlone = tree.rootKeys === undefined;
  for (let level = tree.levels - 1; ; level--) {
    const agno = agnoOfFsblock(g, fsblock);
    const block = volume.block(agno, agbnoOfFsblock(g, fsblock));
    const isRoot = rootAlone && level === tree.levels - 1;
    if (!verifyBtreeBlock(g, kind, block, fsblock, tree.owner, level, isRoot, report)) return undefined;
    const numrecs = block.getUint16(kind.header.at.numrecs);
    if (level === 0) return block;
    let low = 0;
    let high = Math.min(numrecs, maxNodeRecords(kind, g.blocksize)) - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (beyond(block, keyAt(kind, middle))) high = middle - 1;
      else low = middle;
    }
    const at = ptrAt(kind, g.blocksize, low);
    fsblock = kind.long ? getU64(block, at) : agno * 2 ** g.agblklog + block.getUint32(at);
    if (fsblock <= 0 || !isFsRange(g, fsblock, 1)) {
      report({
        structure: kind.name,
        agno,
        field: `ptrs[${low + 1}]`,
        value: fsblock,
        expected: 'a block of the filesystem',
      });
      return undefined;
    }
  }
}
