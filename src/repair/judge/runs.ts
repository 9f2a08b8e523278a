/**
 * The evidence over a suspicious stretch, cut into runs on which it is the same from first block to last:
 * who claims the run, what the refcount and rmap btrees record, what the free-space btrees say.
 */
import type { AgLook } from '../observe/aglook.js';
import { CLAIM } from '../observe/columns.js';
import { type InodeTable, SLOT } from '../observe/inodetable.js';
import type { Comparison } from './compare.js';

export interface RunClaim {
  /** Index in the AG's claims. */
  readonly index: number;
  /** Inode slot, -1 for special owners. */
  readonly slot: number;
  /** Inode number, or special owner. */
  readonly owner: number;
  /** File block of the run's first block. */
  readonly offset: number;
  readonly info: number;
  readonly flagged: boolean;
  /** Length of the whole extent this run is a part of. */
  readonly extentBlocks: number;
  /** An rmap record names this owner and offset. */
  confirmed: boolean;
}

export interface RunRmap {
  readonly owner: number;
  readonly offset: number;
  readonly info: number;
  /** A claim goes with it. */
  claimed: boolean;
}

export interface Run {
  readonly agno: number;
  readonly start: number;
  blocks: number;
  readonly claims: RunClaim[];
  readonly rmaps: RunRmap[];
  /** Shared-domain refcount: 0 where there is no record. */
  readonly refcount: number;
  readonly cow: boolean;
  readonly freeByStart: boolean;
  readonly freeBySize: boolean;
  /** What can be said of the trees here: see Comparison. */
  readonly trust: Comparison;
}

/** Finds everything that overlaps a stretch, in columns ordered by start. */
class Finder {
  readonly #start: Uint32Array;
  readonly #blocks: Uint32Array;
  readonly #order: Uint32Array;
  /** Highest end of the first i + 1 elements: how far back an overlap can begin. */
  readonly #reach: Float64Array;

  constructor(start: Uint32Array, blocks: Uint32Array, order: Uint32Array) {
    this.#start = start;
    this.#blocks = blocks;
    this.#order = order;
    this.#reach = new Float64Array(order.length);
    let reach = 0;
    for (let i = 0; i < order.length; i++) {
      reach = Math.max(reach, start[order[i]] + blocks[order[i]]);
      this.#reach[i] = reach;
    }
  }

  find(from: number, to: number): number[] {
    let low = 0;
    let high = this.#order.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#start[this.#order[middle]] < to) low = middle + 1;
      else high = middle;
    }
    const out: number[] = [];
    for (let i = low - 1; i >= 0 && this.#reach[i] > from; i--) {
      const c = this.#order[i];
      if (this.#start[c] + this.#blocks[c] > from) out.push(c);
    }
    return out.reverse();
  }
}

const ascending = (n: number): Uint32Array => Uint32Array.from({ length: n }, (_, i) => i);

/** The same for a claim and an rmap record that speak of the same: offsets count in file forks alone. */
const identity = (c: { owner: number; offset: number; info: number }): string =>
  `${c.owner} ${c.info & (CLAIM.ATTR | CLAIM.BMBT)} ${c.owner < 0 || c.info & CLAIM.BMBT ? 0 : c.offset}`;

/** All runs of one AG that call for a verdict, in order. */
export function runsOf(look: AgLook, table: InodeTable, trust: Comparison): Run[] {
  if (trust.suspicious.length === 0) return [];
  const { claims, rmaps, shared, cow, byStart, bySize } = look;
  const findClaims = new Finder(claims.start, claims.blocks, trust.order);
  const findRmaps = new Finder(rmaps.start, rmaps.blocks, ascending(rmaps.count));
  const findShared = new Finder(shared.start, shared.blocks, ascending(shared.count));
  const findCow = new Finder(cow.start, cow.blocks, ascending(cow.count));
  const findByStart = new Finder(byStart.start, byStart.blocks, ascending(byStart.count));
  const sizeOrder = ascending(bySize.count).sort((a, b) => bySize.start[a] - bySize.start[b]);
  const findBySize = new Finder(bySize.start, bySize.blocks, sizeOrder);
  const out: Run[] = [];

  for (const { from, to } of trust.suspicious) {
    const cuts = new Set<number>([from, to]);
    const all: [number[], { start: Uint32Array; blocks: Uint32Array }][] = [
      [findClaims.find(from, to), claims],
      [findRmaps.find(from, to), rmaps],
      [findShared.find(from, to), shared],
      [findCow.find(from, to), cow],
      [findByStart.find(from, to), byStart],
      [findBySize.find(from, to), bySize],
    ];
    for (const [indices, columns] of all)
      for (const i of indices) {
        const end = columns.start[i] + columns.blocks[i];
        if (columns.start[i] > from) cuts.add(columns.start[i]);
        if (end < to) cuts.add(end);
      }
    const edges = [...cuts].sort((a, b) => a - b);
    for (let e = 0; e + 1 < edges.length; e++) {
      const start = edges[e];
      const end = edges[e + 1];
      const runClaims = findClaims.find(start, end).map((c): RunClaim => {
        const slot = claims.owner[c];
        return {
          index: c,
          slot: slot < 0 ? -1 : slot,
          owner: slot < 0 ? slot : table.ino(slot),
          offset: claims.offset[c] + (slot < 0 || claims.info[c] & CLAIM.BMBT ? 0 : start - claims.start[c]),
          info: claims.info[c],
          flagged: slot >= 0 && (table.flags[slot] & SLOT.REFLINK) !== 0,
          extentBlocks: claims.blocks[c],
          confirmed: false,
        };
      });
      const runRmaps = findRmaps.find(start, end).map((r): RunRmap => {
        const moves = rmaps.owner[r] >= 0 && (rmaps.info[r] & CLAIM.BMBT) === 0;
        const offset = rmaps.offset[r] + (moves ? start - rmaps.start[r] : 0);
        return { owner: rmaps.owner[r], offset, info: rmaps.info[r], claimed: false };
      });
      const unmatched = new Map<string, RunClaim[]>();
      for (const c of runClaims) {
        const same = unmatched.get(identity(c));
        if (same === undefined) unmatched.set(identity(c), [c]);
        else same.push(c);
      }
      for (const r of runRmaps) {
        const claim = unmatched.get(identity(r))?.pop();
        if (claim === undefined) continue;
        r.claimed = true;
        claim.confirmed = true;
      }
      const record = findShared.find(start, end)[0];
      out.push({
        agno: look.agno,
        start,
        blocks: end - start,
        claims: runClaims,
        rmaps: runRmaps,
        refcount: record === undefined ? 0 : shared.value[record],
        cow: findCow.find(start, end).length > 0,
        freeByStart: findByStart.find(start, end).length > 0,
        freeBySize: findBySize.find(start, end).length > 0,
        trust,
      });
    }
  }
  return out;
}
