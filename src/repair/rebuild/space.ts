/**
 * Blocks repair may write to while the old metadata must still be readable: what is free by the bnobt and
 * claimed by nobody. Blocks of trees that are being replaced are not among them, so that a repair cut short
 * finds everything it started from.
 */
import { fsblockOf, type Geometry } from '../../format/geometry.js';
import type { AgLook } from '../observe/aglook.js';
import type { Observation } from '../observe/observe.js';

/** Not enough room inside the image for what has to be built. */
export class NoSpaceError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'NoSpaceError';
  }
}

export interface Run {
  start: number;
  blocks: number;
}

export class FreeSpace {
  readonly #g: Geometry;
  readonly #ags: Run[][];
  /** AGs blocks were taken from. */
  readonly touched = new Set<number>();

  constructor(o: Observation) {
    this.#g = o.volume.g;
    this.#ags = unusedRuns(o);
  }

  /** Takes `count` blocks of AG `agno`, from its largest runs first; undefined where it has not that many. */
  takeIn(agno: number, count: number): Run[] | undefined {
    const runs = this.#ags[agno];
    let room = 0;
    for (const r of runs) room += r.blocks;
    if (room < count) return undefined;
    this.touched.add(agno);
    const out: Run[] = [];
    let left = count;
    // One run that holds all is worth more than the largest: the least that does.
    const whole = runs.filter((r) => r.blocks >= count).sort((a, b) => a.blocks - b.blocks)[0];
    const order = whole === undefined ? [...runs].sort((a, b) => b.blocks - a.blocks) : [whole];
    for (const r of order) {
      if (left === 0) break;
      const n = Math.min(left, r.blocks);
      out.push({ start: r.start, blocks: n });
      r.start += n;
      r.blocks -= n;
      left -= n;
    }
    this.#ags[agno] = runs.filter((r) => r.blocks > 0);
    return out;
  }

  /** Takes `count` blocks as fsblocks, near AG `agno` where there is room. Throws NoSpaceError. */
  take(agno: number, count: number): Float64Array {
    const out = new Float64Array(count);
    let at = 0;
    for (let i = 0; i < this.#ags.length && at < count; i++) {
      const n = (agno + i) % this.#ags.length;
      const room = this.#ags[n].reduce((sum, r) => sum + r.blocks, 0);
      const here = Math.min(room, count - at);
      if (here === 0) continue;
      for (const r of this.takeIn(n, here) ?? [])
        for (let b = 0; b < r.blocks; b++) out[at++] = fsblockOf(this.#g, n, r.start + b);
    }
    if (at < count) throw new NoSpaceError(`no room for ${count} blocks of rebuilt metadata`);
    return out;
  }
}

/** What each AG's bnobt calls free, where it can be believed, and nobody claims. */
export const unusedRuns = (o: Observation): Run[][] =>
  o.ags.map((look) => unclaimed(look, look.trees.bnobt?.sound === true));

/** What nobody claims in an AG; with `recorded`, only where the bnobt calls it free too. */
export function unclaimed(look: AgLook, recorded: boolean): Run[] {
  const { start, blocks, count } = look.claims;
  const order = look.claims.order();
  const gaps: Run[] = [];
  let end = 0;
  for (let i = 0; i < count; i++) {
    const c = order[i];
    if (start[c] > end) gaps.push({ start: end, blocks: start[c] - end });
    end = Math.max(end, start[c] + blocks[c]);
  }
  if (end < look.length) gaps.push({ start: end, blocks: look.length - end });
  if (!recorded) return gaps;
  const { byStart } = look;
  const out: Run[] = [];
  let k = 0;
  for (const gap of gaps) {
    const gapEnd = gap.start + gap.blocks;
    while (k < byStart.count && byStart.start[k] + byStart.blocks[k] <= gap.start) k++;
    for (let i = k; i < byStart.count && byStart.start[i] < gapEnd; i++) {
      const from = Math.max(gap.start, byStart.start[i]);
      const to = Math.min(gapEnd, byStart.start[i] + byStart.blocks[i]);
      if (to > from) out.push({ start: from, blocks: to - from });
    }
  }
  return out;
}
