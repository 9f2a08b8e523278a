/** The evidence away from a run: what a claimant maps elsewhere, what blocks have lost their owner. */
import { RMAP_OWN } from '../../format/btree.js';
import { XFS_DQUOT_MAGIC } from '../../format/dquot.js';
import { blockOffset } from '../../format/geometry.js';
import { SYMLINK_MAXLEN, symlinkSpace } from '../../format/symlink.js';
import { readInode } from '../../volume/inode.js';
import { CLAIM } from '../observe/columns.js';
import { SLOT } from '../observe/inodetable.js';
import type { Observation } from '../observe/observe.js';
import type { Run, RunClaim, RunRmap } from './runs.js';
import { standingOn } from './standing.js';
import { type Context, isUnrecorded, SUSPICION } from './verdict.js';

/** A stretch of an inode's fork, by claim or by rmap record. */
export interface Mapping {
  readonly agno: number;
  readonly start: number;
  readonly blocks: number;
  readonly offset: number;
  readonly info: number;
}

const FORK = CLAIM.ATTR | CLAIM.BMBT;

export class Evidence implements Context {
  readonly #o: Observation;
  /** By AG, in order. */
  readonly #runs: Run[][];
  /** Claims and rmap records of the inodes involved, by inode number. */
  readonly #claims = new Map<number, Mapping[]>();
  readonly #rmaps = new Map<number, Mapping[]>();
  /** Stretches that lost a claimant: leaked ones, and those with a refcount above the claims. */
  readonly #leaked = new Lost();
  readonly #sharedLeaked = new Lost();

  constructor(observation: Observation, runs: readonly Run[]) {
    this.#o = observation;
    const { table } = observation;
    const slots = new Set<number>();
    for (const run of runs) {
      for (const c of run.claims) if (c.slot >= 0) slots.add(c.slot);
      for (const r of run.rmaps) {
        const slot = r.owner > 0 ? table.slot(r.owner) : -1;
        if (slot >= 0) slots.add(slot);
      }
    }
    this.#runs = observation.ags.map(() => []);
    for (const run of runs) this.#runs[run.agno].push(run);
    if (slots.size > 0) this.#gather(slots);
    this.#findLost(runs);
  }

  /** What the inodes in these slots map, by their claims and by the rmap btree. */
  #gather(slots: ReadonlySet<number>): void {
    const { ags, table } = this.#o;
    const inos = new Set<number>();
    for (const slot of slots) inos.add(table.ino(slot));
    for (const { agno, claims, rmaps } of ags) {
      for (let i = 0; i < claims.count; i++)
        if (claims.owner[i] >= 0 && slots.has(claims.owner[i]))
          put(this.#claims, table.ino(claims.owner[i]), agno, claims, i);
      for (let i = 0; i < rmaps.count; i++)
        if (inos.has(rmaps.owner[i])) put(this.#rmaps, rmaps.owner[i], agno, rmaps, i);
    }
  }

  #findLost(runs: readonly Run[]): void {
    // A tree that is damaged is silent on more than what was changed.
    const leaked = (run: Run): boolean =>
      run.trust.free && run.claims.length === 0 && !run.freeByStart && !run.freeBySize;
    const shared = (run: Run): boolean =>
      run.trust.refcount &&
      run.refcount >= 2 &&
      run.refcount > run.claims.filter((c) => c.info & CLAIM.DATA).length;
    this.#leaked.gather(runs, (run) => leaked(run) && !shared(run));
    this.#sharedLeaked.gather(runs, shared);
    // A file can have had its extent partly to itself and partly shared.
    this.#sharedLeaked.gather(runs, (run) => leaked(run) || shared(run));
  }

  stands(run: Run, claim: RunClaim): boolean {
    const { volume } = this.#o;
    const { g } = volume;
    switch (claim.owner) {
      case RMAP_OWN.FS:
      case RMAP_OWN.LOG:
        return true;
      case RMAP_OWN.INODES:
        return standingOn(volume, run.agno, run.start)?.what === 'inodes';
      case RMAP_OWN.COW:
        return false;
    }
    if (claim.info & CLAIM.SYSTEM) return volume.block(run.agno, run.start).getUint16(0) === XFS_DQUOT_MAGIC;
    const standing = standingOn(volume, run.agno, run.start);
    if (claim.owner < 0)
      // Tree blocks were checked when the tree was walked; the free list's blocks hold nothing.
      return standing !== undefined && standing.owner === run.agno && standing.what.endsWith('bt');
    if (standing !== undefined) return standing.owner === claim.owner;
    // A directory block of several filesystem blocks verifies as a whole, from its first, and so does a target.
    const ahead =
      claim.info & CLAIM.SYMLINK
        ? run.start - this.#o.ags[run.agno].claims.start[claim.index]
        : claim.info & CLAIM.DIR
          ? claim.offset % g.dirblkfsbs
          : 0;
    const most =
      claim.info & CLAIM.SYMLINK ? Math.ceil(SYMLINK_MAXLEN / symlinkSpace(g.blocksize)) : g.dirblkfsbs;
    if (ahead === 0 || ahead >= most) return false;
    const first = run.start - ahead;
    if (first < 0 || blockOffset(g, run.agno, first) < 0) return false;
    return standingOn(volume, run.agno, first)?.owner === claim.owner;
  }

  isLostMapping(run: Run, rmap: RunRmap): boolean {
    if (rmap.claimed || rmap.owner <= 0 || (rmap.info & CLAIM.BMBT) !== 0) return false;
    const { table } = this.#o;
    const slot = table.slot(rmap.owner);
    if (slot < 0 || (table.flags[slot] & SLOT.USED) === 0) return false;
    // The same place of the same file, in its other fork: the record is wrong in a bit.
    if (run.claims.some((c) => c.slot === slot && c.offset === rmap.offset && (c.info ^ rmap.info) & FORK))
      return false;
    // The same file's blocks at another offset: another record for that offset, or its size, tells which of the
    // two can be.
    const same = run.claims.find(
      (c) => c.slot === slot && ((c.info ^ rmap.info) & FORK) === 0 && !c.confirmed,
    );
    if (same !== undefined) {
      if (!this.isMappedElsewhere(run, same))
        return this.#isPastEnd(slot, same.offset) && !this.#isPastEnd(slot, rmap.offset);
      const beyond = this.#beyond(run, same, rmap);
      if (beyond !== undefined) return lacksOwner(beyond);
    }
    // The offset must not be mapped by something the rmap btree confirms, or all else.
    let mapped = false;
    for (const at of [rmap.offset, rmap.offset + run.blocks - 1]) {
      const there = covering(this.#claims.get(rmap.owner), at, rmap.info);
      if (there === undefined) continue;
      mapped = true;
      if (this.#isConfirmed(rmap.owner, there, at)) return false;
      const now = this.#runAt(there.agno, there.start + at - there.offset);
      if (now !== undefined && !lacksOwner(run) && (isUnrecorded(now) || isCounted(now))) return false;
    }
    // Where the owners are as many as the refcount says, it is the record that names the wrong one.
    return mapped || !isCounted(run);
  }

  /**
   * Of an extent and an rmap record that lie a little aside of each other: the run of the record that the extent does
   * not reach. It tells which of the two was moved.
   */
  #beyond(run: Run, claim: RunClaim, rmap: RunRmap): Run | undefined {
    const start = this.#o.ags[run.agno].claims.start[claim.index];
    const end = start + claim.extentBlocks;
    const record = this.#rmaps
      .get(rmap.owner)
      ?.find(
        (r) =>
          r.agno === run.agno &&
          r.start <= run.start &&
          run.start < r.start + r.blocks &&
          r.offset + run.start - r.start === rmap.offset,
      );
    if (record === undefined) return undefined;
    if (record.start + record.blocks > end) return this.#runAt(run.agno, end);
    return record.start < start ? this.#runAt(run.agno, start - 1) : undefined;
  }

  /** The run a block is in, where it calls for a verdict. */
  #runAt(agno: number, agbno: number): Run | undefined {
    const runs = this.#runs[agno];
    let low = 0;
    let high = runs.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (runs[middle].start <= agbno) low = middle;
      else high = middle - 1;
    }
    const run = runs[low];
    return run !== undefined && agbno >= run.start && agbno < run.start + run.blocks ? run : undefined;
  }

  /** Whether a file block lies behind the file's end. */
  #isPastEnd(slot: number, offset: number): boolean {
    const { volume, table } = this.#o;
    const inode = readInode(volume, table.ino(slot), { verify: false });
    return offset >= Math.ceil(inode.size / volume.g.blocksize);
  }

  /** Whether an rmap record repeats what `mapping` says of file block `at`. */
  #isConfirmed(ino: number, mapping: Mapping, at: number): boolean {
    const block = mapping.start + (at - mapping.offset);
    for (const r of this.#rmaps.get(ino) ?? [])
      if (
        r.agno === mapping.agno &&
        ((r.info ^ mapping.info) & FORK) === 0 &&
        block >= r.start &&
        block < r.start + r.blocks &&
        r.offset + (block - r.start) === at
      )
        return true;
    return false;
  }

  isMappedElsewhere(run: Run, claim: RunClaim): boolean {
    return this.elsewhere(run, claim) !== undefined;
  }

  /** The rmap record that gives a claim's file offset other blocks than the run's. */
  elsewhere(run: Run, claim: RunClaim): Mapping | undefined {
    if (claim.slot < 0 || claim.info & CLAIM.BMBT || !this.#o.ags[run.agno].trees.rmapbt?.sound)
      return undefined;
    for (const r of this.#rmaps.get(claim.owner) ?? []) {
      if (((r.info ^ claim.info) & FORK) !== 0) continue;
      if (claim.offset < r.offset || claim.offset >= r.offset + r.blocks) continue;
      const at = r.start + (claim.offset - r.offset);
      if (r.agno === run.agno && at === run.start) continue;
      const blocks = Math.min(run.blocks, r.offset + r.blocks - claim.offset);
      return { agno: r.agno, start: at, blocks, offset: claim.offset, info: r.info };
    }
    return undefined;
  }

  suspicion(run: Run, claim: RunClaim): number {
    if (claim.slot < 0) return SUSPICION.NONE;
    if (this.#o.table.flags[claim.slot] & (SLOT.BLOCKS_DIFFER | SLOT.ODD_FORK)) return SUSPICION.INODE;
    const start = this.#o.ags[run.agno].claims.start[claim.index];
    // Only a flagged file can have been one of several owners elsewhere.
    const lost = claim.flagged ? [this.#leaked, this.#sharedLeaked] : [this.#leaked];
    if (lost.some((l) => l.shifted(run, start, claim.extentBlocks))) return SUSPICION.SHIFT;
    if (lost.some((l) => l.fits(run.agno, start, claim.extentBlocks))) return SUSPICION.LENGTH;
    return SUSPICION.NONE;
  }

  /** What an inode's fork maps at a file block, if anything. */
  mappingAt(ino: number, offset: number, info: number): Mapping | undefined {
    return covering(this.#claims.get(ino), offset, info);
  }
}

/**
 * Whether the refcount btree knows of as many owners as claim a run, all of them with the flag: by that each of them
 * is right.
 */
const isCounted = ({ claims, refcount, trust }: Run): boolean =>
  trust.refcount && claims.length >= 2 && refcount === claims.length && claims.every((c) => c.flagged);

/** Whether a run has fewer claims than there are owners by the other trees. */
const lacksOwner = ({ claims, refcount, trust, freeByStart, freeBySize }: Run): boolean =>
  claims.length === 0
    ? trust.free && !freeByStart && !freeBySize
    : trust.refcount && refcount >= 2 && refcount > claims.length;

/** Stretches that some claimant was moved away from, by their length. */
class Lost {
  readonly #byLength = new Map<number, { agno: number; start: number }[]>();

  readonly #byStart = new Map<string, number>();
  readonly #byEnd = new Map<string, number>();

  /** Takes the longest stretches of neighbouring runs that have a property. */
  gather(runs: readonly Run[], has: (run: Run) => boolean): void {
    let agno = -1;
    let end = -1;
    let length = 0;
    const add = (): void => {
      if (length === 0) return;
      const known = this.#byLength.get(length);
      const stretch = { agno, start: end - length };
      if (known === undefined) this.#byLength.set(length, [stretch]);
      else known.push(stretch);
      this.#byStart.set(`${agno} ${end - length}`, length);
      this.#byEnd.set(`${agno} ${end}`, length);
      length = 0;
    };
    for (const run of runs) {
      const yes = has(run);
      if (!yes || run.agno !== agno || run.start !== end) add();
      if (yes) length += run.blocks;
      agno = run.agno;
      end = run.start + run.blocks;
    }
    add();
  }

  /** Whether an extent may be one that was moved away: as long as a stretch, and no longer on it. */
  fits(agno: number, start: number, blocks: number): boolean {
    const known = this.#byLength.get(blocks) ?? [];
    return known.some((s) => s.agno !== agno || s.start + blocks <= start || start + blocks <= s.start);
  }

  /** Whether an extent may have been moved by less than its length, onto `run`, away from a stretch at its end. */
  shifted({ agno, start: at, blocks: length }: Run, start: number, blocks: number): boolean {
    const end = start + blocks;
    const behind = this.#byStart.get(`${agno} ${end}`) ?? 0;
    const before = this.#byEnd.get(`${agno} ${start}`) ?? 0;
    return (behind <= blocks && at + length <= start + behind) || (before <= blocks && at >= end - before);
  }
}

function put(
  into: Map<number, Mapping[]>,
  ino: number,
  agno: number,
  from: { start: Uint32Array; blocks: Uint32Array; offset: Float64Array; info: Uint8Array },
  i: number,
): void {
  const mapping = {
    agno,
    start: from.start[i],
    blocks: from.blocks[i],
    offset: from.offset[i],
    info: from.info[i],
  };
  const list = into.get(ino);
  if (list === undefined) into.set(ino, [mapping]);
  else list.push(mapping);
}

/** The mapping of a fork that covers file block `at`. */
function covering(list: Mapping[] | undefined, at: number, info: number): Mapping | undefined {
  return list?.find((m) => ((m.info ^ info) & FORK) === 0 && at >= m.offset && at < m.offset + m.blocks);
}
