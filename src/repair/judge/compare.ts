/**
 * Holds what the trees of one AG record against what the filesystem's owners claim. This is the fast half of
 * the judge: linear passes over columns, with no opinion on who is right. It marks the stretches of the AG
 * where something does not agree; the verdicts are made there and nowhere else.
 */
import type { AgLook } from '../observe/aglook.js';
import { CLAIM, orderBy, Runs } from '../observe/columns.js';
import { type InodeTable, SLOT } from '../observe/inodetable.js';

/** Stretches [from, to) of an AG, gathered in any order. */
export class Stretches {
  readonly #from: number[] = [];
  readonly #to: number[] = [];

  add(from: number, to: number): void {
    if (to <= from) return;
    const last = this.#from.length - 1;
    // Neighbours come one after another: most need no merging later.
    if (last >= 0 && from >= this.#from[last] && from <= this.#to[last]) {
      if (to > this.#to[last]) this.#to[last] = to;
      return;
    }
    this.#from.push(from);
    this.#to.push(to);
  }

  /** Ascending, those that touch made one. */
  merged(): { from: number; to: number }[] {
    const order = this.#from.map((_, i) => i).sort((a, b) => this.#from[a] - this.#from[b]);
    const out: { from: number; to: number }[] = [];
    for (const i of order) {
      const last = out[out.length - 1];
      if (last !== undefined && this.#from[i] <= last.to) last.to = Math.max(last.to, this.#to[i]);
      else out.push({ from: this.#from[i], to: this.#to[i] });
    }
    return out;
  }
}

/** What was compared in one AG. */
export interface Comparison {
  /** Claims in order of start. */
  readonly order: Uint32Array;
  /** Where a verdict is called for. */
  readonly suspicious: { from: number; to: number }[];
  /** Whether the rmap btree is there and sound: what it does not record, is not so. */
  readonly rmap: boolean;
  /** Whether the refcount btree is there and sound. */
  readonly refcount: boolean;
  /** Whether both free-space btrees are sound. */
  readonly free: boolean;
  /** First extent the two free-space btrees do not agree on. */
  readonly freeDiffers: { start: number; blocks: number } | undefined;
}

export function compareAg(look: AgLook, table: InodeTable): Comparison {
  const order = look.claims.order();
  const out = new Stretches();
  const rmap = look.trees.rmapbt?.sound === true;
  const refcount = look.trees.refcountbt?.sound === true;
  const free = look.trees.bnobt?.sound === true && look.trees.cntbt?.sound === true;
  markClusters(look, order, table, out);
  if (look.trees.refcountbt !== undefined) compareRefcounts(look, order, out);
  if (rmap) compareRmaps(look, order, table, out);
  if (look.trees.bnobt?.sound === true) compareFree(look, order, out);
  const freeDiffers = free ? compareFreeTrees(look, out) : undefined;
  return { order, suspicious: out.merged(), rmap, refcount, free, freeDiffers };
}

/**
 * Finds claims that overlap. Where every one of them is a flagged file's data this may be sharing, for the
 * other comparisons to confirm; anything else calls for a verdict.
 */
function markClusters(look: AgLook, order: Uint32Array, table: InodeTable, out: Stretches): void {
  const { start, blocks, owner, info, count } = look.claims;
  const { flags } = table;
  let i = 0;
  while (i < count) {
    const first = order[i];
    const from = start[first];
    let end = from + blocks[first];
    let k = i + 1;
    while (k < count && start[order[k]] < end) {
      const e = start[order[k]] + blocks[order[k]];
      if (e > end) end = e;
      k++;
    }
    if (k > i + 1) {
      let ordinary = true;
      for (let m = i; m < k; m++) {
        const c = order[m];
        if ((info[c] & CLAIM.DATA) === 0 || (info[c] & CLAIM.DOUBTFUL) !== 0) ordinary = false;
        else {
          if ((flags[owner[c]] & SLOT.REFLINK) === 0) ordinary = false;
          flags[owner[c]] |= SLOT.SHARES;
        }
      }
      if (!ordinary) out.add(from, end);
    }
    i = k;
  }
}

/** Runs of blocks with two or more claims, and how many. */
export function sharedRuns(look: AgLook, order: Uint32Array): Runs {
  const { start, blocks, count } = look.claims;
  const runs = new Runs();
  for (let i = 0; i < count; ) {
    const from = start[order[i]];
    const length = blocks[order[i]];
    let end = from + length;
    let alike = true;
    let k = i + 1;
    for (; k < count && start[order[k]] < end; k++) {
      const c = order[k];
      alike &&= start[c] === from && blocks[c] === length;
      if (start[c] + blocks[c] > end) end = start[c] + blocks[c];
    }
    // Whole files cloned: all claims are on the same blocks.
    if (k > i + 1) {
      if (alike) runs.merge(from, length, k - i);
      else sweep(look, order.subarray(i, k), runs);
    }
    i = k;
  }
  return runs;
}

/** The runs within claims that hang together, in order of start: by their starts and their sorted ends. */
function sweep(look: AgLook, claims: Uint32Array, runs: Runs): void {
  const { start, blocks } = look.claims;
  const end = claims.map((c) => start[c] + blocks[c]).sort();
  let depth = 0;
  let at = 0;
  let s = 0;
  for (let e = 0; e < end.length; ) {
    const next = s < claims.length ? Math.min(start[claims[s]], end[e]) : end[e];
    if (depth >= 2 && next > at) runs.merge(at, next - at, depth);
    at = next;
    for (; s < claims.length && start[claims[s]] === next; s++) depth++;
    for (; e < end.length && end[e] === next; e++) depth--;
  }
}

/** Claims counted against refcount records. */
function compareRefcounts(look: AgLook, order: Uint32Array, out: Stretches): void {
  const found = sharedRuns(look, order);
  const recorded = new Runs();
  for (let i = 0; i < look.shared.count; i++)
    recorded.merge(look.shared.start[i], look.shared.blocks[i], look.shared.value[i]);
  markDifferences(found, recorded, out);
}

/** Marks where two ascending lists of runs do not have the same value. Values are 1 or more. */
function markDifferences(a: Runs, b: Runs, out: Stretches): void {
  let i = 0;
  let k = 0;
  let at = 0;
  while (i < a.count || k < b.count) {
    const aStart = i < a.count ? Math.max(a.start[i], at) : Infinity;
    const bStart = k < b.count ? Math.max(b.start[k], at) : Infinity;
    const aEnd = i < a.count ? a.start[i] + a.blocks[i] : Infinity;
    const bEnd = k < b.count ? b.start[k] + b.blocks[k] : Infinity;
    if (aEnd <= at) i++;
    else if (bEnd <= at) k++;
    else if (aStart < bStart) {
      at = Math.min(aEnd, bStart);
      out.add(aStart, at);
    } else if (bStart < aStart) {
      at = Math.min(bEnd, aStart);
      out.add(bStart, at);
    } else {
      at = Math.min(aEnd, bEnd);
      if (a.value[i] !== b.value[k]) out.add(aStart, at);
    }
  }
}

/** The part of a claim that its rmap record repeats. */
export const RMAP_BITS = CLAIM.ATTR | CLAIM.BMBT | CLAIM.UNWRITTEN;

/** One stretch of an owner's blocks, from either side. */
interface Piece {
  start: number;
  blocks: number;
  owner: number;
  offset: number;
  info: number;
}

/** Claims against rmap records, both ways. */
function compareRmaps(look: AgLook, order: Uint32Array, table: InodeTable, out: Stretches): void {
  const { claims, rmaps } = look;
  const n = claims.count;
  const m = rmaps.count;
  const looseClaims: Piece[] = [];
  const looseRmaps: Piece[] = [];
  const claimOwner = (c: number): number => {
    const owner = claims.owner[c];
    return owner < 0 ? owner : table.ino(owner);
  };
  let i = 0;
  let k = 0;
  const { start, blocks, offset, info } = claims;
  while (i < n || k < m) {
    // Nearly all say the same on both sides.
    for (; i < n && k < m; i++, k++) {
      const c = order[i];
      if (start[c] !== rmaps.start[k] || blocks[c] !== rmaps.blocks[k] || offset[c] !== rmaps.offset[k])
        break;
      if ((info[c] & RMAP_BITS) !== rmaps.info[k] || claimOwner(c) !== rmaps.owner[k]) break;
    }
    if (i === n && k === m) break;
    let side = 0;
    if (i === n) side = 1;
    else if (k === m) side = -1;
    else {
      const c = order[i];
      side = start[c] - rmaps.start[k];
      if (side === 0) {
        const owner = claimOwner(c);
        // Special owners are the highest in the tree's order, which takes them as unsigned.
        const a = owner < 0 ? owner + 2 ** 64 : owner;
        const b = rmaps.owner[k] < 0 ? rmaps.owner[k] + 2 ** 64 : rmaps.owner[k];
        side = a !== b ? a - b : offset[c] - rmaps.offset[k];
        if (side === 0) side = -1;
      }
    }
    if (side < 0) {
      const c = order[i++];
      looseClaims.push({
        start: start[c],
        blocks: blocks[c],
        owner: claimOwner(c),
        offset: offset[c],
        info: info[c] & RMAP_BITS,
      });
    } else {
      looseRmaps.push({
        start: rmaps.start[k],
        blocks: rmaps.blocks[k],
        owner: rmaps.owner[k],
        offset: rmaps.offset[k],
        info: rmaps.info[k],
      });
      k++;
    }
  }
  if (looseClaims.length === 0 && looseRmaps.length === 0) return;
  // The same blocks may be cut in other places: an extent's records merge in the tree.
  const a = joined(looseClaims);
  const b = joined(looseRmaps);
  i = 0;
  k = 0;
  while (i < a.length || k < b.length) {
    const side = i === a.length ? 1 : k === b.length ? -1 : comparePieces(a[i], b[k]);
    if (side === 0 && a[i].blocks === b[k].blocks && a[i].offset === b[k].offset) {
      i++;
      k++;
      continue;
    }
    const piece = side <= 0 ? a[i++] : b[k++];
    out.add(piece.start, piece.start + piece.blocks);
  }
}

const comparePieces = (a: Piece, b: Piece): number =>
  a.owner - b.owner || a.info - b.info || a.start - b.start || a.offset - b.offset;

/** Orders pieces by owner and makes neighbours that continue each other one. */
function joined(pieces: Piece[]): Piece[] {
  pieces.sort(comparePieces);
  const out: Piece[] = [];
  for (const p of pieces) {
    const last = out[out.length - 1];
    if (
      last !== undefined &&
      last.owner === p.owner &&
      last.info === p.info &&
      last.start + last.blocks === p.start &&
      (p.owner < 0 || (p.info & CLAIM.BMBT) !== 0 || last.offset + last.blocks === p.offset)
    )
      last.blocks += p.blocks;
    else out.push(p);
  }
  return out;
}

/** Blocks must be claimed or free, and not both. */
function compareFree(look: AgLook, order: Uint32Array, out: Stretches): void {
  const { start, blocks, count } = look.claims;
  const unclaimed = new Runs();
  let end = 0;
  for (let i = 0; i < count; i++) {
    const c = order[i];
    if (start[c] > end) unclaimed.add(end, start[c] - end, 1);
    const e = start[c] + blocks[c];
    if (e > end) end = e;
  }
  if (end < look.length) unclaimed.add(end, look.length - end, 1);
  const free = new Runs();
  for (let i = 0; i < look.byStart.count; i++) free.merge(look.byStart.start[i], look.byStart.blocks[i], 1);
  markDifferences(unclaimed, free, out);
}

/** The cntbt holds the bnobt's extents in another order. */
function compareFreeTrees(look: AgLook, out: Stretches): { start: number; blocks: number } | undefined {
  const { byStart, bySize } = look;
  const order = orderBy(bySize.start, bySize.count);
  const most = Math.max(byStart.count, bySize.count);
  let first: { start: number; blocks: number } | undefined;
  for (let i = 0; i < most; i++) {
    const s = i < byStart.count ? byStart.start[i] : -1;
    const c = i < bySize.count ? order[i] : -1;
    if (c >= 0 && s === bySize.start[c] && byStart.blocks[i] === bySize.blocks[c]) continue;
    if (s >= 0) {
      first ??= { start: s, blocks: byStart.blocks[i] };
      out.add(s, s + byStart.blocks[i]);
    }
    if (c >= 0) {
      first ??= { start: bySize.start[c], blocks: bySize.blocks[c] };
      out.add(bySize.start[c], bySize.start[c] + bySize.blocks[c]);
    }
  }
  return first;
}
