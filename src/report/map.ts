/** Pictures of an AG: its runs as table rows, or gathered in cells of one size. */
import { MAP, USE, USE_NAMES } from '../dump/rows/usage.js';
import type { RowSink } from '../dump/table.js';
import type { Report } from '../format/fault.js';
import { walkExtents, walkForkBlocks } from '../volume/fork.js';
import type { Inode } from '../volume/inode.js';
import type { Volume } from '../volume/volume.js';
import type { AgUsage } from './usage.js';

/** Blocks [from, to) of one AG. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** What a file has in each AG, in order: data, attributes and the btrees of both. */
export function fileRanges(volume: Volume, inode: Inode, report: Report): Map<number, Range[]> {
  const out = new Map<number, Range[]>();
  const half = 2 ** volume.g.agblklog;
  const add = (agno: number, from: number, blocks: number): void => {
    const list = out.get(agno);
    if (list === undefined) out.set(agno, [{ from, to: from + blocks }]);
    else list.push({ from, to: from + blocks });
  };
  for (const fork of ['data', 'attr'] as const) {
    walkExtents(
      volume,
      inode,
      fork,
      (_offset, fsblock, blocks) => add(Math.floor(fsblock / half), fsblock % half, blocks),
      report,
    );
    // What is wrong with the tree was reported by the walk of the extents.
    walkForkBlocks(
      volume,
      inode,
      fork,
      (agno, agbno) => add(agno, agbno, 1),
      () => {},
    );
  }
  for (const list of out.values()) list.sort((a, b) => a.from - b.from);
  return out;
}

/** Parts of [from, to) that a file has, and those it has not, in order. `ranges` is sorted. */
function cut(
  range: Range,
  ranges: readonly Range[],
  visit: (from: number, to: number, has: boolean) => void,
): void {
  let at = range.from;
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ranges[middle].to <= at) low = middle + 1;
    else high = middle;
  }
  for (let i = low; i < ranges.length && ranges[i].from < range.to; i++) {
    const from = Math.max(at, ranges[i].from);
    const to = Math.min(range.to, ranges[i].to);
    if (from > at) visit(at, from, false);
    if (to > from) visit(from, to, true);
    at = Math.max(at, to);
  }
  if (at < range.to) visit(at, range.to, false);
}

/** Emits the runs of an AG inside `range`, cut at the borders of `file` where one is given. */
export function emitMap(
  sink: RowSink,
  ag: AgUsage,
  range: Range,
  file: ReadonlyMap<number, readonly Range[]> | undefined,
): void {
  const { num, text } = sink;
  const { at } = MAP;
  num[at.agno] = ag.agno;
  const ranges = file?.get(ag.agno) ?? [];
  for (let i = ag.at(range.from); i < ag.count && ag.start[i] < range.to; i++) {
    text[at.use] = USE_NAMES[ag.use[i]];
    num[at.owners] = ag.owners[i];
    const from = Math.max(range.from, ag.start[i]);
    const to = Math.min(range.to, ag.start[i] + ag.blocks[i]);
    const emit = (first: number, end: number, has: boolean): void => {
      num[at.agbno] = first;
      num[at.blocks] = end - first;
      num[at.file] = file === undefined ? Number.NaN : has ? 1 : 0;
      sink.emit();
    };
    if (file === undefined) emit(from, to, false);
    else cut({ from, to }, ranges, emit);
  }
}

/** Runs of an AG gathered in cells: element i of each column is a cell. */
export interface Cells {
  readonly count: number;
  /** Blocks of a cell; the last may have fewer. */
  readonly perCell: number;
  /** What most of the cell is in use for. */
  readonly use: Uint8Array;
  /** That use's part of the cell, 1 to 255; 255 is all of it. */
  readonly share: Uint8Array;
  /** What else is in it: damage before all, else the most; the same as `use` in a cell of one use. */
  readonly also: Uint8Array;
  /** Most owners of a run in the cell. */
  readonly owners: Uint32Array;
  /** Blocks of each cell that a file has. */
  readonly lit: Uint32Array;
}

/** Gathers blocks `range` of an AG in cells of `perCell` blocks. */
export function cellsOf(
  ag: AgUsage,
  range: Range,
  perCell: number,
  file: ReadonlyMap<number, readonly Range[]> = new Map(),
): Cells {
  const count = Math.ceil((range.to - range.from) / perCell);
  const use = new Uint8Array(count);
  const share = new Uint8Array(count);
  const also = new Uint8Array(count);
  const owners = new Uint32Array(count);
  const lit = new Uint32Array(count);
  const sums = new Float64Array(USE_NAMES.length);
  let run = ag.at(range.from);
  for (let i = 0; i < count; i++) {
    const from = range.from + i * perCell;
    const to = Math.min(range.to, from + perCell);
    sums.fill(0);
    for (; run < ag.count && ag.start[run] < to; run++) {
      const end = ag.start[run] + ag.blocks[run];
      sums[ag.use[run]] += Math.min(end, to) - Math.max(ag.start[run], from);
      if (ag.owners[run] > owners[i]) owners[i] = ag.owners[run];
      if (end > to) break;
    }
    use[i] = most(sums, -1);
    share[i] = Math.max(1, Math.floor((sums[use[i]] / (to - from)) * 255));
    also[i] = second(sums, use[i]);
  }
  for (const { from, to } of file.get(ag.agno) ?? []) {
    const last = Math.min(to, range.to);
    for (let at = Math.max(from, range.from); at < last; ) {
      const cell = Math.floor((at - range.from) / perCell);
      const end = Math.min(last, range.from + (cell + 1) * perCell);
      lit[cell] += end - at;
      at = end;
    }
  }
  return { count, perCell, use, share, also, owners, lit };
}

/** The largest of the sums but `except`; -1 where there is none. */
function most(sums: Float64Array, except: number): number {
  let best = -1;
  for (let use = 0; use < sums.length; use++)
    if (use !== except && sums[use] > 0 && (best < 0 || sums[use] > sums[best])) best = use;
  return best;
}

function second(sums: Float64Array, first: number): number {
  for (const use of [USE.contested, USE.lost]) if (use !== first && sums[use] > 0) return use;
  const next = most(sums, first);
  return next < 0 ? first : next;
}
