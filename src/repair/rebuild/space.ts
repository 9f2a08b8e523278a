/**
 * Blocks repair may write to. First those that nobody used before and nobody uses now: the old metadata can still be
 * read then, whatever a repair cut short has written. Where they do not suffice, what is nobody's by now, and in the
 * end the blocks of what is written anew: those are logged before they are overwritten (`writeout.ts`).
 */
import { fsblockOf, type Geometry } from '../../format/geometry.js';
import type { ForkName } from '../../volume/fork.js';
import type { AgLook } from '../observe/aglook.js';
import { CLAIM, Claims } from '../observe/columns.js';
import type { Observation } from '../observe/observe.js';
import { intersect, type Run, runsHold, subtract, takeRuns } from './runlist.js';

/** Not enough room inside the image for what has to be built. */
export class NoSpaceError extends Error {
  constructor(message: string) {
    super(
      `${message}; nothing was written. Remove a file that can be spared (xfsimg rm) and repair again, or copy out what can be read (xfsimg extract)`,
    );
    this.name = 'NoSpaceError';
  }
}

/** A fork that is written anew: all of it, or its btree alone. */
export interface OldFork {
  readonly ino: number;
  readonly fork: ForkName;
  readonly tree?: boolean;
}

export class FreeSpace {
  readonly #g: Geometry;
  readonly #now: Observation;
  /** Runs by AG: what was free before and is now, what is free now, what is given up. */
  readonly #tiers: Run[][][];
  /** Forks that others have taken the place of. */
  readonly gaveUp: OldFork[] = [];
  /** Those whose blocks may be taken. */
  readonly #given = new Set<string>();
  /** Whether blocks were taken whose contents were still of use. */
  inPlace = false;
  /** AGs blocks were taken from. */
  readonly touched = new Set<number>();

  /** `unused`: what nobody used in the image as it is, by AG (`unusedRuns`). */
  constructor(now: Observation, unused: readonly (readonly Run[])[]) {
    this.#g = now.volume.g;
    this.#now = now;
    const free = now.ags.map((look) => unclaimed(look, false));
    const safe = free.map((runs, agno) => intersect(runs, unused[agno]));
    this.#tiers = [safe, free.map((runs, agno) => subtract(runs, safe[agno])), free.map(() => [])];
  }

  /**
   * Takes `count` blocks as fsblocks, near AG `agno` where there is room. `old` is what they are to replace, if
   * anything, and was read by now. Throws NoSpaceError.
   */
  take(agno: number, count: number, old?: OldFork): Float64Array {
    const out = new Float64Array(count);
    let at = this.#takeFrom(0, agno, out, 0);
    for (let tier = 1; tier < this.#tiers.length && at < count; tier++) {
      if (tier === 2) this.#giveUp(old === undefined ? this.gaveUp : [...this.gaveUp, old]);
      const before = at;
      at = this.#takeFrom(tier, agno, out, at);
      if (tier === 2 && at > before) this.inPlace = true;
    }
    if (at < count)
      throw new NoSpaceError(
        `${count} ${count === 1 ? 'block' : 'blocks'} must be written anew, and ${at} are free in the image`,
      );
    return out;
  }

  /** Fills `out` from index `at` on with blocks of a tier; returns how far it came. */
  #takeFrom(tier: number, agno: number, out: Float64Array, at: number): number {
    const ags = this.#tiers[tier];
    for (let i = 0; i < ags.length && at < out.length; i++) {
      const n = (agno + i) % ags.length;
      const runs = takeRuns(ags[n], Math.min(runsHold(ags[n]), out.length - at))!;
      if (runs.length === 0) continue;
      ags[n] = subtract(ags[n], runs);
      this.touched.add(n);
      for (const r of runs) for (let b = 0; b < r.blocks; b++) out[at++] = fsblockOf(this.#g, n, r.start + b);
    }
    return at;
  }

  /** Lets blocks be taken that nothing but old forks claims. */
  #giveUp(forks: readonly OldFork[]): void {
    for (const fork of forks) this.#add(fork);
  }

  #add({ ino, fork, tree }: OldFork): void {
    const name = `${ino} ${fork}`;
    if (this.#given.has(name)) return;
    this.#given.add(name);
    const slot = this.#now.table.slot(ino);
    const mask = CLAIM.ATTR | (tree ? CLAIM.BMBT : 0);
    const wanted = (fork === 'attr' ? CLAIM.ATTR : 0) | (tree ? CLAIM.BMBT : 0);
    this.#now.ags.forEach((look, agno) => {
      const { claims } = look;
      const isOld = (i: number): boolean => claims.owner[i] === slot && (claims.info[i] & mask) === wanted;
      const others = claimsBut(claims, isOld);
      if (others.count === claims.count) return;
      const given = subtract(gapsIn(others, look.length), gapsIn(claims, look.length));
      this.#tiers[2][agno] = [...this.#tiers[2][agno], ...given].sort((a, b) => a.start - b.start);
    });
  }
}

/** The claims of an AG without some of them. */
export function claimsBut(claims: Claims, without: (i: number) => boolean): Claims {
  const out = new Claims();
  for (let i = 0; i < claims.count; i++)
    if (!without(i))
      out.add(claims.start[i], claims.blocks[i], claims.owner[i], claims.offset[i], claims.info[i]);
  return out;
}

/** What each AG's bnobt calls free, where it can be believed, and nobody claims. */
export const unusedRuns = (o: Observation): Run[][] =>
  o.ags.map((look) => unclaimed(look, look.trees.bnobt?.sound === true));

/** What nobody claims in an AG; with `recorded`, only where the bnobt calls it free too. */
export function unclaimed({ claims, length, byStart }: AgLook, recorded: boolean): Run[] {
  const gaps = gapsIn(claims, length);
  if (!recorded) return gaps;
  const free: Run[] = [];
  for (let i = 0; i < byStart.count; i++) free.push({ start: byStart.start[i], blocks: byStart.blocks[i] });
  return intersect(gaps, free);
}

/** Runs between claims, up to block `length`. */
export function gapsIn(claims: Claims, length: number): Run[] {
  const { start, blocks, count } = claims;
  const order = claims.order();
  const gaps: Run[] = [];
  let end = 0;
  for (let i = 0; i < count; i++) {
    const c = order[i];
    if (start[c] > end) gaps.push({ start: end, blocks: start[c] - end });
    end = Math.max(end, start[c] + blocks[c]);
  }
  if (end < length) gaps.push({ start: end, blocks: length - end });
  return gaps;
}
