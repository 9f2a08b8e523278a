/** The AG btrees and headers of a filled image, built in one go from what was noted while it was filled. */
import { encodeAgf, encodeAgfl, encodeAgi, freelistMinimum, type TreeRoots } from '../../build/ag.js';
import { type BtreeShape, btreeShape, bulkLoad } from '../../build/btree.js';
import { maxHeights } from '../../build/heights.js';
import {
  compareRmaps,
  type InodeChunk,
  writeAllocRecord,
  writeInodeRecord,
  writeRefcountRecord,
  writeRmapRecord,
} from '../../build/records.js';
import { AG_SECTOR, agflSize } from '../../format/ag.js';
import { type AgBtreeName, BTREES, RMAP_OWN } from '../../format/btree.js';
import { blockOffset, type Geometry } from '../../format/geometry.js';
import type { Output } from './output.js';
import { type AgSpaceState, noSpace, RmapColumns, type Run } from './space.js';

/** What an AG has of its own, beside its free space. */
export interface AgContents {
  /** Blocks of the roots, where they stay. */
  readonly roots: { readonly [K in AgBtreeName]?: number };
  readonly freelist: readonly number[];
  /** By start. */
  readonly chunks: readonly InodeChunk[];
  readonly shared: readonly { agbno: number; blocks: number; refcount: number }[];
}

/** Counters of an AG that the superblock adds up. */
export interface AgTotals {
  readonly inodes: number;
  readonly freeInodes: number;
  /** Free blocks, as the superblock counts them. */
  readonly freeBlocks: number;
}

/** Trees whose blocks count as the free list's, then inode trees, then the refcount tree. */
const ORDER: readonly AgBtreeName[] = ['bnobt', 'cntbt', 'rmapbt', 'inobt', 'finobt', 'refcountbt'];

interface Plan {
  readonly shapes: { readonly [K in AgBtreeName]?: BtreeShape };
  /** Blocks to add to the free list. */
  readonly freelist: number;
  /** Blocks taken: all but the roots, and the free list's. */
  readonly total: number;
  /** Records of the rmapbt in the end. */
  readonly rmaps: number;
}

/** Writes an AG's trees and headers. Throws MkfsError where they have no room. */
export function finishAg(g: Geometry, state: AgSpaceState, contents: AgContents, output: Output): AgTotals {
  const { agno } = state;
  let rmaps = sortedRmaps(state.rmaps);
  const plan = planTrees(g, state, contents, rmaps);
  const freelist = [...contents.freelist];
  const trees: { -readonly [K in AgBtreeName]?: TreeRoots[K] } = {};
  const treeBlocks: { [K in AgBtreeName]?: number[] } = {};
  let next = takeRun(state, plan.total).agbno;
  const own = (blocks: number, owner: number): number => {
    if (blocks > 0) rmaps.add(next, blocks, owner, 0, 0);
    const from = next;
    next += blocks;
    return from;
  };
  for (const name of ORDER) {
    const shape = plan.shapes[name];
    const root = contents.roots[name];
    if (shape === undefined || root === undefined) continue;
    const owner =
      name === 'refcountbt'
        ? RMAP_OWN.REFC
        : name === 'inobt' || name === 'finobt'
          ? RMAP_OWN.INOBT
          : RMAP_OWN.AG;
    const from = own(shape.total - 1, owner);
    treeBlocks[name] = [...Array(shape.total - 1).keys()].map((i) => from + i).concat(root);
    trees[name] = { root, levels: shape.levels, blocks: shape.total };
    if (name === 'rmapbt' || (name === 'cntbt' && !g.features.rmapbt)) {
      const more = own(plan.freelist, RMAP_OWN.AG);
      for (let i = 0; i < plan.freelist; i++) freelist.push(more + i);
    }
  }

  const load = (
    name: AgBtreeName,
    count: number,
    writeRecord: (i: number, view: DataView, at: number) => void,
  ): void => {
    const shape = plan.shapes[name];
    const blocks = treeBlocks[name];
    if (shape === undefined || blocks === undefined) return;
    bulkLoad({
      kind: BTREES[name],
      blocksize: g.blocksize,
      count,
      writeRecord,
      shape,
      block: (n) => blocks[n],
      daddr: (agbno) => blockOffset(g, agno, agbno) / 512,
      owner: agno,
      uuid: g.metaUuidBytes,
      emit: (agbno, bytes) => output.write(blockOffset(g, agno, agbno), bytes),
    });
  };
  const { free } = state;
  const { chunks, shared } = contents;
  load('bnobt', free.length, (i, v, at) => writeAllocRecord(v, at, free[i].agbno, free[i].blocks));
  const bySize = [...free].sort((a, b) => a.blocks - b.blocks || a.agbno - b.agbno);
  load('cntbt', free.length, (i, v, at) => writeAllocRecord(v, at, bySize[i].agbno, bySize[i].blocks));
  const sparse = g.features.sparseInodes;
  load('inobt', chunks.length, (i, v, at) => writeInodeRecord(v, at, chunks[i], sparse));
  const partly = chunks.filter((c) => c.freecount > 0);
  load('finobt', partly.length, (i, v, at) => writeInodeRecord(v, at, partly[i], sparse));
  load('refcountbt', shared.length, (i, v, at) =>
    writeRefcountRecord(v, at, shared[i].agbno, shared[i].blocks, shared[i].refcount, false),
  );
  if (g.features.rmapbt) {
    rmaps = sortedRmaps(rmaps);
    if (rmaps.count !== plan.rmaps) throw new RangeError('the rmapbt is not of the size that was planned');
    load('rmapbt', rmaps.count, (i, v, at) => writeRmapRecord(v, at, rmaps.get(i)));
  }

  const freeblks = free.reduce((n, run) => n + run.blocks, 0);
  const longest = free.reduce((n, run) => Math.max(n, run.blocks), 0);
  const count = chunks.reduce((n, c) => n + c.count, 0);
  const freecount = chunks.reduce((n, c) => n + c.freecount, 0);
  const header = (which: keyof typeof AG_SECTOR, bytes: Uint8Array): void =>
    output.write(blockOffset(g, agno, 0) + AG_SECTOR[which] * g.sectsize, bytes);
  header('agf', encodeAgf(g, { agno, trees, freelist, freeblks, longest }));
  header('agi', encodeAgi(g, { agno, trees, count, freecount, newino: chunks.at(-1)?.startino }));
  header('agfl', encodeAgfl(g, { agno, freelist }));
  // Trees that grow out of free space count as free.
  const beyondRoot = (name: AgBtreeName): number => (trees[name]?.blocks ?? 1) - 1;
  return {
    inodes: count,
    freeInodes: freecount,
    freeBlocks: freeblks + freelist.length + beyondRoot('bnobt') + beyondRoot('cntbt') + beyondRoot('rmapbt'),
  };
}

/** Shapes of the trees. Their own blocks are in the rmapbt too, so its shape is tried until it holds. */
function planTrees(g: Geometry, state: AgSpaceState, contents: AgContents, rmaps: RmapColumns): Plan {
  const { features: f, blocksize } = g;
  const heights = maxHeights(g);
  const shape = (name: AgBtreeName, count: number): BtreeShape => btreeShape(BTREES[name], blocksize, count);
  const slots = agflSize(g.sectsize);
  const partly = contents.chunks.filter((c) => c.freecount > 0).length;
  for (let more = 0; ; more++) {
    const shapes = {
      bnobt: shape('bnobt', state.free.length),
      cntbt: shape('cntbt', state.free.length),
      inobt: shape('inobt', contents.chunks.length),
      finobt: f.finobt ? shape('finobt', partly) : undefined,
      rmapbt: f.rmapbt ? shape('rmapbt', rmaps.count + more) : undefined,
      refcountbt: f.reflink ? shape('refcountbt', contents.shared.length) : undefined,
    };
    const wanted = freelistMinimum(
      { bnobt: shapes.bnobt.levels, cntbt: shapes.cntbt.levels, rmapbt: shapes.rmapbt?.levels },
      { alloc: heights.alloc, rmap: heights.rmap },
    );
    const freelist = Math.max(0, Math.min(wanted, slots) - contents.freelist.length);
    const extra = (...names: AgBtreeName[]): number =>
      names.reduce((n, name) => n + Math.max(0, (shapes[name]?.total ?? 1) - 1), 0);
    const ag = extra('bnobt', 'cntbt', 'rmapbt') + freelist;
    const inodes = extra('inobt', 'finobt');
    const refcount = extra('refcountbt');
    const total = ag + inodes + refcount;
    // One record for each owner, unless the free list's last block stands right in front.
    const run = total > 0 ? findRun(state, total) : undefined;
    const last = rmaps.findBefore(run?.agbno ?? 0);
    const joins = ag > 0 && last !== undefined && last.owner === RMAP_OWN.AG;
    const records = (ag > 0 && !joins ? 1 : 0) + (inodes > 0 ? 1 : 0) + (refcount > 0 ? 1 : 0);
    if (records <= more || !f.rmapbt) return { shapes, freelist, total, rmaps: rmaps.count + records };
  }
}

/** The first run that has more than `blocks` blocks: taking them leaves as many runs as there were. */
function findRun(state: AgSpaceState, blocks: number): Run {
  const run = state.free.find((r) => r.blocks > blocks);
  if (run === undefined) throw noSpace(blocks);
  return run;
}

function takeRun(state: AgSpaceState, blocks: number): { agbno: number } {
  if (blocks === 0) return { agbno: 0 };
  const run = findRun(state, blocks);
  const { agbno } = run;
  run.agbno += blocks;
  run.blocks -= blocks;
  return { agbno };
}

/** The records in key order, neighbours joined. Most are already: blocks were given out from front to back. */
function sortedRmaps(r: RmapColumns): RmapColumns {
  const compare = (a: number, b: number): number =>
    r.agbno[a] - r.agbno[b] || compareRmaps(r.get(a), r.get(b));
  let sorted = true;
  for (let i = 1; i < r.count && sorted; i++) sorted = r.agbno[i - 1] < r.agbno[i] || compare(i - 1, i) <= 0;
  // Neighbours were joined when they were added.
  if (sorted) return r;
  const order = new Uint32Array(r.count);
  for (let i = 0; i < r.count; i++) order[i] = i;
  order.sort(compare);
  const out = new RmapColumns();
  for (const i of order) out.add(r.agbno[i], r.blocks[i], r.owner[i], r.offset[i], r.flags[i]);
  return out;
}
