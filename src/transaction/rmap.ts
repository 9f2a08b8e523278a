/**
 * The rmapbt: who owns each block. Records of one owner that continue each other, in blocks and in file
 * offset, are one record; blocks of shared extents have a record per owner, which overlap. Rules: xfs_rmap.c.
 *
 * The same code serves shared and unshared extents: an owner's record over a block is found by its key, or
 * where others begin between, by a search for everything that overlaps the block.
 */
import { RMAP_OWN, rmapOwner } from '../format/btree.js';
import { CorruptionError } from '../format/fault.js';
import { viewOf } from '../format/structure.js';
import { AgBtree } from './agtree.js';
import { type Key, newKey } from './btreenode.js';
import type { Transaction } from './transaction.js';

/** Flags of an owner, as they stand in the upper word of a record's offset. */
export const RMAP_FLAG = { ATTR: 0x8000_0000, BMBT: 0x4000_0000, UNWRITTEN: 0x2000_0000 } as const;
const IDENTITY = RMAP_FLAG.ATTR | RMAP_FLAG.BMBT;

/** Who owns blocks: an inode or one of RMAP_OWN, and where in the file they are, in blocks. */
export interface RmapOwner {
  readonly owner: number;
  readonly offset: number;
  /** RMAP_FLAG. */
  readonly flags: number;
}

interface RmapRecord {
  start: number;
  blocks: number;
  owner: number;
  offset: number;
  flags: number;
}

const readRecord = (v: DataView, at: number): RmapRecord => ({
  start: v.getUint32(at),
  blocks: v.getUint32(at + 4),
  owner: rmapOwner(v, at),
  offset: (v.getUint32(at + 16) & 0x003f_ffff) * 2 ** 32 + v.getUint32(at + 20),
  flags: (v.getUint32(at + 16) & 0xe000_0000) >>> 0,
});

function packRecord(r: RmapRecord): Uint8Array {
  const bytes = new Uint8Array(24);
  const v = viewOf(bytes);
  v.setUint32(0, r.start);
  v.setUint32(4, r.blocks);
  v.setUint32(8, Math.floor(r.owner / 2 ** 32) >>> 0);
  v.setUint32(12, r.owner >>> 0);
  v.setUint32(16, (r.flags | Math.floor(r.offset / 2 ** 32)) >>> 0);
  v.setUint32(20, r.offset >>> 0);
  return bytes;
}

/** The key of an owner's record at a block. */
function keyOf(into: Key, start: number, owner: number, offset: number, flags: number): Key {
  into[0] = start;
  into[1] = Math.floor(owner / 2 ** 32) >>> 0;
  into[2] = owner >>> 0;
  into[3] = ((flags & IDENTITY) | Math.floor(offset / 2 ** 32)) >>> 0;
  into[4] = offset >>> 0;
  return into;
}

/** Whether records of this owner have no file offset. */
const offsetless = (owner: number, flags: number): boolean => owner < 0 || (flags & RMAP_FLAG.BMBT) !== 0;

const key = newKey();
const high = newKey();

/** The record of an owner that covers block `start` as file block `offset`; the tree's path is lost. */
function covering(tree: AgBtree, start: number, o: RmapOwner, offset: number): RmapRecord | undefined {
  const covers = (r: RmapRecord): boolean =>
    r.start <= start &&
    start < r.start + r.blocks &&
    (o.owner === RMAP_OWN.UNKNOWN ||
      (r.owner === o.owner &&
        ((r.flags ^ o.flags) & IDENTITY) === 0 &&
        (offsetless(o.owner, o.flags) || r.offset + (start - r.start) === offset)));
  if (tree.lookupLE(keyOf(key, start, o.owner, offset, o.flags))) {
    const r = readRecord(tree.view, tree.at);
    if (covers(r)) return r;
  }
  // Records begin between an owner's and a block of it only where blocks are shared: those of files are.
  if (o.owner < 0 && o.owner !== RMAP_OWN.UNKNOWN) return undefined;
  let found: RmapRecord | undefined;
  key.fill(0);
  key[0] = start;
  high.fill(0xffff_ffff);
  high[0] = start;
  tree.overlapping(key, high, (v, at) => {
    const r = readRecord(v, at);
    if (!covers(r)) return true;
    found = r;
    return false;
  });
  return found;
}

function find(tree: AgBtree, r: RmapRecord): void {
  if (!tree.lookupEQ(keyOf(key, r.start, r.owner, r.offset, r.flags)))
    throw new CorruptionError({
      structure: 'rmapbt',
      agno: tree.agno,
      field: 'recs',
      value: 'no record',
      expected: `block ${r.start} of owner ${r.owner}`,
    });
}

/** Records that [agbno, agbno + blocks) belongs to an owner. The AGFL must be filled (fixFreelist). */
export function rmapMap(tx: Transaction, agno: number, agbno: number, blocks: number, o: RmapOwner): void {
  if (!tx.engine.g.features.rmapbt) return;
  const tree = new AgBtree(tx, agno, 'rmapbt');
  const plain = offsetless(o.owner, o.flags);
  const offset = plain ? 0 : o.offset;
  const state = o.flags & RMAP_FLAG.UNWRITTEN;
  // Nothing comes before the first block of a file.
  let left =
    agbno > 0 && (plain || offset > 0) ? covering(tree, agbno - 1, o, plain ? 0 : offset - 1) : undefined;
  if (left !== undefined && left.start + left.blocks !== agbno) {
    if (plain || left.start + left.blocks > agbno) alreadyOwned(agno, agbno, o);
    left = undefined;
  }
  if (left !== undefined && (left.flags & RMAP_FLAG.UNWRITTEN) !== state) left = undefined;
  let right: RmapRecord | undefined;
  const after = plain ? 0 : offset + blocks;
  if (tree.lookupEQ(keyOf(key, agbno + blocks, o.owner, after, o.flags))) {
    const r = readRecord(tree.view, tree.at);
    if ((r.flags & RMAP_FLAG.UNWRITTEN) === state) right = r;
  }
  if (right !== undefined) tree.remove();
  const total = blocks + (left?.blocks ?? 0) + (right?.blocks ?? 0);
  if (left !== undefined) {
    find(tree, left);
    tree.update(packRecord({ ...left, blocks: total }));
  } else tree.insert(packRecord({ start: agbno, blocks: total, owner: o.owner, offset, flags: o.flags }));
}

function alreadyOwned(agno: number, agbno: number, o: RmapOwner): never {
  throw new CorruptionError({
    structure: 'rmapbt',
    agno,
    agbno,
    field: 'recs',
    value: `a record of owner ${o.owner} over this block`,
    expected: 'none: the block is being given to it',
  });
}

/**
 * Takes [agbno, agbno + blocks) from its owner. With owner RMAP_OWN.UNKNOWN whoever has it loses it, and
 * nothing happens where nobody does: recovery does not know who an extent it frees belonged to.
 */
export function rmapUnmap(tx: Transaction, agno: number, agbno: number, blocks: number, o: RmapOwner): void {
  if (!tx.engine.g.features.rmapbt) return;
  const tree = new AgBtree(tx, agno, 'rmapbt');
  const r = covering(tree, agbno, o, o.offset);
  if (r === undefined && o.owner === RMAP_OWN.UNKNOWN) return;
  const end = agbno + blocks;
  if (r === undefined || r.start + r.blocks < end)
    throw new CorruptionError({
      structure: 'rmapbt',
      agno,
      agbno,
      field: 'recs',
      value: r === undefined ? 'no record' : `${r.blocks} blocks from ${r.start}`,
      expected: `blocks ${agbno} to ${end - 1} of owner ${o.owner}`,
    });
  const before = agbno - r.start;
  const after = r.start + r.blocks - end;
  find(tree, r);
  if (before > 0) tree.update(packRecord({ ...r, blocks: before }));
  else tree.remove();
  if (after > 0) {
    const offset = offsetless(r.owner, r.flags) ? 0 : r.offset + (end - r.start);
    tree.insert(packRecord({ ...r, start: end, blocks: after, offset }));
  }
}

/** Changes whether an owner's blocks count as written: `o.flags` says what they are to be. */
export function rmapConvert(
  tx: Transaction,
  agno: number,
  agbno: number,
  blocks: number,
  o: RmapOwner,
): void {
  rmapUnmap(tx, agno, agbno, blocks, o);
  rmapMap(tx, agno, agbno, blocks, o);
}
