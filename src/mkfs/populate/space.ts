/**
 * Free space while an image is filled: each AG's free runs, used from the front to the back, AG after AG.
 * Every AG keeps enough at its end for its btrees, and for what Linux sets aside when it mounts.
 */

import { heightOfBlocks, minRecords } from '../../build/heights.js';
import type { Rmap } from '../../build/records.js';
import { BTREES, type BtreeKind, RMAP_OWN } from '../../format/btree.js';
import {
  agLength,
  agnoOfFsblock,
  fsblockOf,
  type Geometry,
  INODES_PER_CHUNK,
} from '../../format/geometry.js';
import { MkfsError } from '../error.js';

/** Blocks of a btree of `records` records at its thinnest, and with it of what Linux reserves for it. */
function largestTree(kind: BtreeKind, blocksize: number, records: number): number {
  const [leaf, node] = minRecords(kind, blocksize);
  let total = 0;
  let n = records;
  for (let level = 0; n > 1 || level === 0; level++) {
    n = Math.ceil(n / (level === 0 ? leaf : node));
    total += n;
    if (n <= 1) break;
  }
  return total;
}

/** Blocks Linux wants to be able to set aside in an AG for btrees that grow (xfs_ag_resv_init). */
export function agReserve(g: Geometry, agno: number, logAg: number): number {
  const length = agLength(g, agno);
  const usable = length - (agno === logAg ? g.logblocks : 0);
  const { features: f, blocksize } = g;
  let blocks = 0;
  if (f.reflink) blocks += largestTree(BTREES.refcountbt, blocksize, usable);
  if (f.finobt)
    blocks += largestTree(BTREES.finobt, blocksize, Math.ceil((usable * g.inopblock) / INODES_PER_CHUNK));
  if (f.rmapbt) blocks += Math.max(Math.ceil(length / 100), largestTree(BTREES.rmapbt, blocksize, length));
  return blocks + freeTreesReserve(g, length);
}

/** The free-space trees and the free list: a full list, and trees of a thousand gaps. */
function freeTreesReserve(g: Geometry, length: number): number {
  const height = heightOfBlocks(minRecords(BTREES.bnobt, g.blocksize), length);
  return 4 * height + 2 * largestTree(BTREES.bnobt, g.blocksize, Math.min(1000, length));
}

/** A free run. */
export interface Run {
  agbno: number;
  blocks: number;
}

/** Rmap records of one AG in columns, in the order they arise. */
export class RmapColumns {
  count = 0;
  agbno = new Uint32Array(64);
  blocks = new Uint32Array(64);
  owner = new Float64Array(64);
  offset = new Float64Array(64);
  /** 2: attribute fork, 1: block of a bmbt. */
  flags = new Uint8Array(64);

  /** Adds a record; what carries on the one before it becomes one with it. */
  add(agbno: number, blocks: number, owner: number, offset: number, flags: number): void {
    const last = this.count - 1;
    if (
      last >= 0 &&
      this.agbno[last] + this.blocks[last] === agbno &&
      this.owner[last] === owner &&
      this.flags[last] === flags &&
      (owner < 0 || (flags & 1) !== 0 || this.offset[last] + this.blocks[last] === offset)
    ) {
      this.blocks[last] += blocks;
      return;
    }
    if (this.count === this.agbno.length) this.#grow();
    const i = this.count++;
    this.agbno[i] = agbno;
    this.blocks[i] = blocks;
    this.owner[i] = owner;
    this.offset[i] = offset;
    this.flags[i] = flags;
  }

  get(i: number): Rmap {
    return {
      agbno: this.agbno[i],
      blocks: this.blocks[i],
      owner: this.owner[i],
      offset: this.offset[i],
      attrFork: (this.flags[i] & 2) !== 0,
      bmbtBlock: (this.flags[i] & 1) !== 0,
    };
  }

  /** The record that ends right in front of block `agbno`; the records are in order. */
  findBefore(agbno: number): Rmap | undefined {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.agbno[middle] < agbno) low = middle + 1;
      else high = middle;
    }
    return low > 0 && this.agbno[low - 1] + this.blocks[low - 1] === agbno ? this.get(low - 1) : undefined;
  }

  #grow(): void {
    const n = this.count * 2;
    const grow = <T extends Uint32Array | Float64Array | Uint8Array>(from: T, to: T): T => {
      to.set(from);
      return to;
    };
    this.agbno = grow(this.agbno, new Uint32Array(n));
    this.blocks = grow(this.blocks, new Uint32Array(n));
    this.owner = grow(this.owner, new Float64Array(n));
    this.offset = grow(this.offset, new Float64Array(n));
    this.flags = grow(this.flags, new Uint8Array(n));
  }
}

export interface AgSpaceState {
  readonly agno: number;
  /** Free runs by start. */
  readonly free: Run[];
  /** Blocks of the runs above that files may still take. */
  usable: number;
  readonly rmaps: RmapColumns;
}

/** Gaps looked through before the run everything comes from: a bound on the search. */
const MAX_GAPS = 32;

export class Space {
  readonly g: Geometry;
  readonly ags: readonly AgSpaceState[];
  /** Where the search begins: AGs before it are full. */
  #current = 0;

  constructor(g: Geometry, ags: readonly AgSpaceState[]) {
    this.g = g;
    this.ags = ags;
  }

  /** Blocks that can still be taken. */
  get left(): number {
    return this.ags.reduce((n, ag) => n + ag.usable, 0);
  }

  /**
   * Takes up to `want` blocks that lie side by side: all of them where any run of the AGs holds them, else
   * the most there is. Throws MkfsError where nothing is left.
   *
   * @param hold blocks that whoever asks will want in the end, this piece included: the run is chosen for them
   */
  take(want: number, hold = want): { fsblock: number; blocks: number } {
    let best: { ag: AgSpaceState; run: Run; blocks: number } | undefined;
    for (let i = this.#current; i < this.ags.length; i++) {
      const ag = this.ags[i];
      if (ag.usable === 0) {
        if (i === this.#current && i < this.ags.length - 1) this.#current++;
        continue;
      }
      const from = Math.max(0, ag.free.length - MAX_GAPS);
      for (let k = from; k < ag.free.length; k++) {
        const run = ag.free[k];
        const blocks = Math.min(run.blocks, ag.usable);
        if (blocks >= hold) return this.#cut(ag, run, Math.min(want, blocks));
        if (best === undefined || blocks > best.blocks) best = { ag, run, blocks };
      }
    }
    if (best === undefined || best.blocks === 0) throw noSpace(want);
    return this.#cut(best.ag, best.run, Math.min(want, best.blocks));
  }

  /** Takes up to `want` blocks that begin at `fsblock`; undefined where that block is not free. */
  takeAt(fsblock: number, want: number): { fsblock: number; blocks: number } | undefined {
    const ag = this.ags[agnoOfFsblock(this.g, fsblock)];
    const agbno = fsblock % 2 ** this.g.agblklog;
    const run = ag.free.findLast((r) => r.agbno === agbno);
    const blocks = Math.min(want, run?.blocks ?? 0, ag.usable);
    return run === undefined || blocks === 0 ? undefined : this.#cut(ag, run, blocks);
  }

  /** Takes `want` blocks at a multiple of `align` within their AG; undefined where no run has them. */
  takeAligned(want: number, align: number): { agno: number; agbno: number } | undefined {
    for (let i = this.#current; i < this.ags.length; i++) {
      const ag = this.ags[i];
      for (let k = 0; k < ag.free.length; k++) {
        const run = ag.free[k];
        const agbno = Math.ceil(run.agbno / align) * align;
        if (agbno + want > run.agbno + run.blocks || want > ag.usable) continue;
        const before = agbno - run.agbno;
        if (before > 0) {
          ag.free.splice(k, 0, { agbno: run.agbno, blocks: before });
          run.agbno = agbno;
          run.blocks -= before;
        }
        this.#cut(ag, run, want);
        return { agno: ag.agno, agbno };
      }
    }
    return undefined;
  }

  #cut(ag: AgSpaceState, run: Run, blocks: number): { fsblock: number; blocks: number } {
    const { agbno } = run;
    run.agbno += blocks;
    run.blocks -= blocks;
    ag.usable -= blocks;
    if (run.blocks === 0) ag.free.splice(ag.free.indexOf(run), 1);
    return { fsblock: fsblockOf(this.g, ag.agno, agbno), blocks };
  }

  /** Notes who owns a run. */
  own(fsblock: number, blocks: number, owner: number, offset: number, flags: number): void {
    const agno = agnoOfFsblock(this.g, fsblock);
    this.ags[agno].rmaps.add(fsblock % 2 ** this.g.agblklog, blocks, owner, offset, flags);
  }

  ownInodes(agno: number, agbno: number, blocks: number): void {
    this.ags[agno].rmaps.add(agbno, blocks, RMAP_OWN.INODES, 0, 0);
  }
}

export const noSpace = (want: number): MkfsError =>
  new MkfsError(
    'space',
    `the filesystem is full: no room for ${want} more ${want === 1 ? 'block' : 'blocks'}; make it larger, or let --size auto fit it to the files`,
  );
