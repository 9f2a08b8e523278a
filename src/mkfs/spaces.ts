/**
 * What stands where in each AG of an empty filesystem: headers and roots at its start, the log in one of
 * them, the first blocks of the free list, and in AG 0 the chunk with the root directory's inode.
 */
import { freelistMinimum, type TreeRoots } from '../build/ag.js';
import { maxHeights } from '../build/heights.js';
import { compareRmaps, type InodeChunk, type Rmap } from '../build/records.js';
import { type AgBtreeName, RMAP_OWN } from '../format/btree.js';
import { agLength, firstFreeAgbno, type Geometry, INODES_PER_CHUNK } from '../format/geometry.js';
import { badOption } from './error.js';
import type { Layout } from './layout.js';

export interface Run {
  readonly agbno: number;
  readonly blocks: number;
}

export interface EmptyAg {
  readonly agno: number;
  readonly trees: TreeRoots;
  /** Free runs by start. */
  readonly free: readonly Run[];
  readonly freelist: readonly number[];
  readonly rmaps: readonly Rmap[];
  readonly chunks: readonly InodeChunk[];
}

/** Root directory, realtime bitmap and realtime summary, in this order from the chunk's start. */
export const SPECIAL_INODES = 3;

/** Roots follow the headers, one block each, in this order. */
export function rootBlocks(g: Geometry): { readonly trees: TreeRoots; readonly next: number } {
  const trees: { -readonly [K in AgBtreeName]?: { root: number; levels: number; blocks: number } } = {};
  let next = firstFreeAgbno(g);
  const place = (name: AgBtreeName): void => {
    trees[name] = { root: next++, levels: 1, blocks: 1 };
  };
  place('bnobt');
  place('cntbt');
  place('inobt');
  if (g.features.finobt) place('finobt');
  if (g.features.rmapbt) place('rmapbt');
  if (g.features.reflink) place('refcountbt');
  return { trees, next };
}

/** Blocks the free list of an empty AG is given. */
export function initialFreelist(g: Geometry): number {
  const heights = maxHeights(g);
  return freelistMinimum(
    { bnobt: 1, cntbt: 1, rmapbt: g.features.rmapbt ? 1 : undefined },
    { alloc: heights.alloc, rmap: heights.rmap },
  );
}

/** First block of the chunk with the root inode: where xfs_repair expects it (xfs_ialloc_calc_rootino). */
export function rootChunkAgbno(g: Geometry, l: Layout): number {
  let agbno = rootBlocks(g).next + initialFreelist(g);
  if (l.logAg === 0) agbno += l.logblocks;
  // Linux aligns inodes to the stripe unit only where that is a multiple of the inode alignment.
  const align =
    g.unit > 0 && g.inoalignmt > 1 && g.unit % g.inoalignmt === 0 ? g.unit : Math.max(1, g.inoalignmt);
  return Math.ceil(agbno / align) * align;
}

/** Inodes that are allocated together: a chunk, or a block where that holds more. */
export const firstInodes = (g: Geometry): number => Math.max(INODES_PER_CHUNK, g.inopblock);

/** @throws MkfsError where the root directory's inodes do not fit AG 0 */
export function emptyAg(g: Geometry, l: Layout, agno: number): EmptyAg {
  const { trees, next } = rootBlocks(g);
  const length = agLength(g, agno);
  const rmaps: Rmap[] = [];
  const own = (agbno: number, blocks: number, owner: number): void => {
    const last = rmaps.at(-1);
    // Neighbours of one owner are one record.
    if (last !== undefined && last.owner === owner && last.agbno + last.blocks === agbno)
      rmaps[rmaps.length - 1] = { ...last, blocks: last.blocks + blocks };
    else rmaps.push({ agbno, blocks, owner });
  };
  const first = firstFreeAgbno(g);
  own(0, first, RMAP_OWN.FS);
  own(first, 2, RMAP_OWN.AG);
  own(first + 2, g.features.finobt ? 2 : 1, RMAP_OWN.INOBT);
  if (trees.rmapbt !== undefined) own(trees.rmapbt.root, 1, RMAP_OWN.AG);
  if (trees.refcountbt !== undefined) own(trees.refcountbt.root, 1, RMAP_OWN.REFC);

  let free: Run[] = [{ agbno: next, blocks: length - next }];
  const take = (agbno: number, blocks: number): void => {
    free = free.flatMap((run) => {
      if (agbno < run.agbno || agbno >= run.agbno + run.blocks) return [run];
      return [
        { agbno: run.agbno, blocks: agbno - run.agbno },
        { agbno: agbno + blocks, blocks: run.agbno + run.blocks - agbno - blocks },
      ].filter((part) => part.blocks > 0);
    });
  };
  const late: Rmap[] = [];
  if (agno === l.logAg) {
    take(l.logAgbno, l.logblocks);
    late.push({ agbno: l.logAgbno, blocks: l.logblocks, owner: RMAP_OWN.LOG });
  }

  // The free list comes from the shortest run that holds it whole. An AG the log has filled goes without.
  const freelist: number[] = [];
  const need = initialFreelist(g);
  const bySize = (a: Run, b: Run): number => a.blocks - b.blocks || a.agbno - b.agbno;
  while (freelist.length < need && sum(free) + freelist.length >= need) {
    const want = need - freelist.length;
    const sorted = [...free].sort(bySize);
    const run = sorted.find((r) => r.blocks >= want) ?? sorted.at(-1);
    if (run === undefined) break;
    const blocks = Math.min(want, run.blocks);
    for (let i = 0; i < blocks; i++) freelist.push(run.agbno + i);
    take(run.agbno, blocks);
    late.push({ agbno: run.agbno, blocks, owner: RMAP_OWN.AG });
  }

  const chunks: InodeChunk[] = [];
  if (agno === 0) {
    const agbno = rootChunkAgbno(g, l);
    const inodes = firstInodes(g);
    const blocks = inodes / g.inopblock;
    if (!free.some((r) => agbno >= r.agbno && agbno + blocks <= r.agbno + r.blocks))
      throw badOption(
        `size: no room for the root directory's inodes at block ${agbno} of AG 0, which has ${length}: make the log smaller or the filesystem larger`,
      );
    const most = Math.floor(Math.floor((g.dblocks * g.imaxPct) / 100) / blocks) * blocks * g.inopblock;
    if (inodes > most)
      throw badOption(`-i maxpct=${g.imaxPct}: leaves no room for the first ${inodes} inodes`);
    take(agbno, blocks);
    late.push({ agbno, blocks, owner: RMAP_OWN.INODES });
    for (let i = 0; i < inodes; i += INODES_PER_CHUNK) {
      const used = i === 0 ? SPECIAL_INODES : 0;
      chunks.push({
        startino: agbno * g.inopblock + i,
        holemask: 0,
        count: INODES_PER_CHUNK,
        freecount: INODES_PER_CHUNK - used,
        freeHigh: 0xffff_ffff,
        freeLow: (0xffff_ffff << used) >>> 0,
      });
    }
  }
  for (const r of late.sort(compareRmaps)) own(r.agbno, r.blocks, r.owner);
  return { agno, trees, free, freelist, rmaps, chunks };
}

const sum = (runs: readonly Run[]): number => runs.reduce((n, r) => n + r.blocks, 0);
export const freeBlocks = (ag: EmptyAg): number => sum(ag.free);
export const longestFree = (ag: EmptyAg): number => ag.free.reduce((n, r) => Math.max(n, r.blocks), 0);
