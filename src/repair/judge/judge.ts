/** From an observation to findings: every suspicious run judged, then inodes, trees and counters. */
import { RMAP_OWNER_NAME } from '../../format/btree.js';
import { INODES_PER_CHUNK } from '../../format/geometry.js';
import { type ClaimEvidence, type Finding, findingOfFault, type RmapEvidence } from '../finding.js';
import { CLAIM } from '../observe/columns.js';
import { SLOT } from '../observe/inodetable.js';
import type { Observation, Progress } from '../observe/observe.js';
import { type Comparison, compareAg } from './compare.js';
import { Evidence, type Mapping } from './context.js';
import { judgeCopies } from './copies.js';
import { judgeCounters } from './counters.js';
import { judgeInodes } from './inodes.js';
import { putBack } from './moved.js';
import { Paths } from './paths.js';
import { type Run, type RunClaim, type RunRmap, runsOf } from './runs.js';
import { standingOn } from './standing.js';
import { judgeRun, type Verdict } from './verdict.js';

export interface JudgedRun {
  readonly run: Run;
  readonly verdict: Verdict;
}

export interface Judgement {
  readonly findings: Finding[];
  readonly comparisons: readonly Comparison[];
  readonly runs: readonly JudgedRun[];
  readonly evidence: Evidence;
}

/** Judges everything observed. Findings come in the order: verifiers' faults, runs by AG, inodes, counters. */
export function judge(o: Observation, progress?: Progress): Judgement {
  const comparisons = o.ags.map((look, agno) => {
    progress?.({ phase: 'comparing', agno, done: agno, total: o.ags.length, unit: 'AGs' });
    return compareAg(look, o.table);
  });
  const runs = o.ags.flatMap((look, i) => runsOf(look, o.table, comparisons[i]));
  const evidence = new Evidence(o, runs);
  const paths = new Paths(o);
  const findings = o.log.faults.map(findingOfFault);
  for (const f of findings) if (f.ino !== undefined) f.path = paths.text(f.ino);
  const judged = merged(runs.map((run) => ({ run, verdict: judgeRun(run, evidence) })));
  const moved = putBack(o, judged);
  // Sharing that a verdict takes apart is none; what it leaves of a run's claims may still share.
  settleSharing(o, judged);
  const writer = new RunFindings(o, evidence, moved, paths, findings);
  for (const { run, verdict } of judged) writer.add(run, verdict);
  writer.finish();
  judgeCounters(o, comparisons, findings);
  judgeCopies(o, findings);
  judgeInodes(o, judged, paths, findings);
  judgeFlags(o, paths, findings);
  return { findings, comparisons, runs: judged, evidence };
}

/** Joins neighbouring runs on which evidence and verdict are the same. */
function merged(judged: JudgedRun[]): JudgedRun[] {
  const out: JudgedRun[] = [];
  let last: JudgedRun | undefined;
  let signature = '';
  for (const next of judged) {
    const { run } = next;
    const own = signatureOf(next);
    if (
      last !== undefined &&
      own === signature &&
      last.run.agno === run.agno &&
      last.run.start + last.run.blocks === run.start
    ) {
      last.run.blocks += run.blocks;
      continue;
    }
    out.push(next);
    last = next;
    signature = own;
  }
  return out;
}

/** All that must be equal for two runs to be one; offsets as seen from the start of the AG. */
function signatureOf({ run, verdict }: JudgedRun): string {
  const claims = run.claims.map((c, i) => [c.owner, c.info, place(c, run), c.confirmed, verdict.claims[i]]);
  const rmaps = run.rmaps.map((r) => [r.owner, r.info, place(r, run), r.claimed]);
  const { restore, staleRmaps } = verdict;
  return JSON.stringify([
    claims,
    rmaps,
    run.refcount,
    run.cow,
    run.freeByStart,
    run.freeBySize,
    verdict.code,
    verdict.flagLost,
    verdict.missingRmaps,
    verdict.refcount,
    restore.map((r) => run.rmaps.indexOf(r)),
    staleRmaps.map((r) => run.rmaps.indexOf(r)),
  ]);
}

const place = (c: { owner: number; offset: number; info: number }, run: Run): number =>
  c.owner < 0 || c.info & CLAIM.BMBT ? 0 : c.offset - run.start;

/** Which inodes share, once the verdicts are in: overlaps marked them all. */
function settleSharing(o: Observation, judged: readonly JudgedRun[]): void {
  const loses = new Set<number>();
  for (const { run, verdict } of judged)
    run.claims.forEach((c, i) => {
      if (c.slot >= 0 && (verdict.claims[i] !== 'kept' || verdict.refcount < 2)) loses.add(c.slot);
    });
  for (const slot of loses) o.table.flags[slot] &= ~SLOT.SHARES;
  if (loses.size === 0) return;
  // Those that lost something are looked at again: sharing may be left elsewhere.
  for (const { run, verdict } of judged)
    if (verdict.refcount >= 2) {
      run.claims.forEach((c, i) => {
        if (c.slot >= 0 && verdict.claims[i] === 'kept') o.table.flags[c.slot] |= SLOT.SHARES;
      });
      for (const r of verdict.restore) o.table.flags[o.table.slot(r.owner)] |= SLOT.SHARES;
    }
  const inRuns = judged.map(({ run }) => run);
  markHealthySharing(o, loses, inRuns);
}

/** Marks inodes of `slots` that overlap other claims outside all judged runs. */
function markHealthySharing(o: Observation, slots: Set<number>, runs: readonly Run[]): void {
  for (const { agno, claims } of o.ags) {
    const order = claims.order();
    const judgedHere = runs.filter((r) => r.agno === agno);
    const isJudged = (from: number, to: number): boolean =>
      judgedHere.some((r) => r.start <= from && to <= r.start + r.blocks);
    let end = 0;
    let widest = -1;
    for (const c of order) {
      const from = claims.start[c];
      const to = from + claims.blocks[c];
      if (from < end && widest >= 0) {
        const until = Math.min(end, to);
        for (const x of [c, widest]) {
          const slot = claims.owner[x];
          if (slot >= 0 && slots.has(slot) && !isJudged(from, until)) o.table.flags[slot] |= SLOT.SHARES;
        }
      }
      if (to > end) {
        end = to;
        widest = c;
      }
    }
  }
}

const kindOf = (c: { owner: number; info: number }): string => {
  if (c.owner < 0) return RMAP_OWNER_NAME[c.owner] ?? 'unknown';
  if (c.info & CLAIM.BMBT) return 'bmbt';
  if (c.info & CLAIM.ATTR) return 'attr';
  if (c.info & CLAIM.DIR) return 'dir';
  if (c.info & CLAIM.SYMLINK) return 'symlink';
  return c.info & CLAIM.SYSTEM ? 'quota' : 'data';
};

/** Findings of one kind kept together per inode: a lost flag is one finding, however many runs show it. */
interface FlagLoss {
  runs: number;
  blocks: number;
  first: Finding;
}

class RunFindings {
  readonly #o: Observation;
  readonly #evidence: Evidence;
  /** Where extents go back to, by inode number and first file block. */
  readonly #moved: ReadonlyMap<string, Mapping>;
  readonly #paths: Paths;
  readonly #out: Finding[];
  readonly #flags = new Map<number, FlagLoss>();

  constructor(
    o: Observation,
    evidence: Evidence,
    moved: ReadonlyMap<string, Mapping>,
    paths: Paths,
    out: Finding[],
  ) {
    this.#o = o;
    this.#evidence = evidence;
    this.#moved = moved;
    this.#paths = paths;
    this.#out = out;
  }

  add(run: Run, verdict: Verdict): void {
    const where = { agno: run.agno, agbno: run.start, blocks: run.blocks };
    const evidence = this.#evidenceOf(run, verdict);
    const range = blocksText(run);
    const push = (f: Omit<Finding, 'severity'>): void => {
      this.#out.push({ severity: 'damage', ...f });
    };
    run.claims.forEach((c, i) => {
      if (verdict.claims[i] !== 'corrupt') return;
      const owners = run.claims.filter((_, k) => verdict.claims[k] === 'kept');
      const to = owners.map((k) => this.#name(k)).join(', ');
      const { message, action } = this.#corrupt(run, verdict, c, to);
      const code = c.slot < 0 ? (c.owner === -9 ? 'refcount.domain' : 'agfl.value') : verdict.code;
      push({ code, ...where, ...this.#who(c), message, evidence, action });
    });
    if (verdict.claims.includes('undecided')) {
      const all = run.claims.map((k) => this.#name(k)).join(', ');
      push({
        code: 'duplicate.undecided',
        ...where,
        message: `${range} claimed by ${all}: no evidence tells whose they are`,
        evidence,
        action: 'quarantine the blocks in lost+found; every claimant gets a hole there',
      });
    }
    for (const i of verdict.flagLost) {
      const c = run.claims[i];
      const known = this.#flags.get(c.owner);
      if (known !== undefined) {
        known.runs++;
        known.blocks += run.blocks;
        continue;
      }
      const first: Finding = {
        code: 'reflink.flag-lost',
        severity: 'damage',
        ...where,
        ...this.#who(c),
        message: '',
        evidence,
        action: 'set the reflink flag',
      };
      this.#out.push(first);
      this.#flags.set(c.owner, { runs: 1, blocks: run.blocks, first });
    }
    for (const r of verdict.restore) {
      const { owner, offset } = r;
      // Where the owner maps something else there that is corrupt, that finding says so already.
      const there = this.#evidence.mappingAt(owner, offset, r.info);
      if (
        there !== undefined ||
        run.claims.some((c, i) => c.owner === owner && verdict.claims[i] === 'corrupt')
      )
        continue;
      push({
        code: 'mapping.lost',
        ...where,
        ino: owner,
        path: this.#paths.text(owner),
        offset,
        message: run.trust.rmap
          ? `${verb(run, 'belong', 'belongs')} to inode ${owner} at file block ${offset} by the rmap btree; its fork has a hole there`
          : `${verb(run, 'lack', 'lacks')} an owner, and inode ${owner} an extent of that length at file block ${offset}`,
        evidence,
        action: `restore the mapping${run.trust.rmap ? ' from the rmap record' : ''}`,
      });
    }
    this.#rmaps(run, verdict, evidence, push);
    this.#refcount(run, verdict, evidence, push);
    this.#free(run, verdict, evidence, push);
  }

  /** Sentences that need all runs: how much each inode that lost its flag shares. */
  finish(): void {
    for (const { runs, blocks, first } of this.#flags.values())
      first.message =
        `inode ${first.ino}${quoted(first.path)} shares ${blocks} blocks in ${runs === 1 ? '1 run' : `${runs} runs`}` +
        ' by the records of the refcount or rmap btree, and its reflink flag is off';
  }

  #corrupt(run: Run, verdict: Verdict, c: RunClaim, owners: string): { message: string; action: string } {
    const range = blocksText(run);
    if (c.slot < 0)
      return {
        message: `${verb(run, 'stand', 'stands')} in the ${kindOf(c) === 'cow' ? 'refcount btree as CoW staging' : 'free list'}, and the owner is ${owners}`,
        action: 'drop the record',
      };
    const name = this.#name(c);
    const source = this.#evidence.elsewhere(run, c);
    const back = this.#moved.get(`${c.owner} ${this.#o.ags[run.agno].claims.offset[c.index]}`);
    const moved = run.rmaps.find((r) => r.owner === c.owner && !r.claimed);
    const action =
      moved !== undefined
        ? `move the mapping to file block ${moved.offset}, where the rmap record has it`
        : source !== undefined
          ? `restore the mapping from the rmap record: AG ${source.agno} block ${source.start}, ${source.blocks} blocks`
          : back !== undefined
            ? `restore the mapping: AG ${back.agno} block ${back.start}, ${back.blocks} blocks, which lack an owner and are as long`
            : kindOf(c) === 'data'
              ? 'the range becomes a hole'
              : 'drop the mapping and rebuild from what else is known';
    const maps = `${name} maps ${range} at file block ${c.offset}`;
    switch (verdict.code) {
      case 'duplicate.metadata':
        return { message: `${maps}, where metadata stands (${owners})`, action };
      case 'mapping.free':
        return { message: `${maps}, which both free-space btrees call free`, action };
      case 'mapping.wrong': {
        const by = run.rmaps.filter((r) => !r.claimed).map((r) => this.#rmapName(r));
        const to =
          by.length > 0 ? `which the rmap btree gives to ${by.join(', ')}` : 'which no rmap record gives it';
        return { message: `${maps}, ${to}`, action };
      }
      default:
        return {
          message: `${maps}: the true owner is ${owners === '' ? 'another by the rmap btree' : owners}; a corrupt duplicate, not sharing`,
          action,
        };
    }
  }

  #rmaps(run: Run, verdict: Verdict, evidence: Finding['evidence'], push: Push): void {
    if (!run.trust.rmap) return;
    const where = { agno: run.agno, agbno: run.start, blocks: run.blocks };
    const range = blocksText(run);
    const stale = verdict.staleRmaps.map((r) => this.#rmapName(r)).join(', ');
    const missing = verdict.missingRmaps.map((i) => run.claims[i]);
    const kept = run.claims.filter((_, i) => verdict.claims[i] === 'kept');
    const action = 'rebuild the rmap btree';
    for (const c of missing) {
      const code = stale !== '' ? 'rmap.wrong' : 'rmap.missing';
      const says = stale !== '' ? `the rmap record names ${stale}` : 'no rmap record says so';
      const message = `${verb(run, 'belong', 'belongs')} to ${this.#name(c)}; ${says}`;
      push({ code, ...where, ...this.#who(c), message, evidence, action });
    }
    if (stale !== '' && missing.length === 0) {
      const code = kept.length > 0 ? 'rmap.wrong' : 'rmap.stale';
      const owners = kept.length > 0 ? `to ${kept.map((c) => this.#name(c)).join(', ')}` : 'to nobody';
      push({
        code,
        ...where,
        message: `${verb(run, 'belong', 'belongs')} ${owners}; an rmap record names ${stale}`,
        evidence,
        action,
      });
    }
    // The record is there and differs in whether the extent was written.
    kept.forEach((c) => {
      if (!c.confirmed) return;
      const same = run.rmaps.filter(
        (r) => r.owner === c.owner && r.offset === c.offset && ((r.info ^ c.info) & CLAIM.ATTR) === 0,
      );
      if (same.length === 0 || same.some((r) => ((r.info ^ c.info) & CLAIM.UNWRITTEN) === 0)) return;
      const says = c.info & CLAIM.UNWRITTEN ? 'unwritten, and written' : 'written, and unwritten';
      const message = `${range} of ${this.#name(c)}: ${says} by the rmap record`;
      push({ code: 'rmap.wrong', ...where, ...this.#who(c), message, evidence, action });
    });
  }

  #refcount(run: Run, verdict: Verdict, evidence: Finding['evidence'], push: Push): void {
    if (!run.trust.refcount || verdict.claims.includes('undecided')) return;
    const should = verdict.refcount;
    const stands = run.refcount;
    // A record of one is not valid, and reported with the tree.
    if (stands === should || (stands < 2 && should === 0)) return;
    const where = { agno: run.agno, agbno: run.start, blocks: run.blocks };
    const kept = run.claims.filter((_, i) => verdict.claims[i] === 'kept');
    const names = kept.map((c) => this.#name(c)).join(', ') || 'nobody';
    const code = stands === 0 ? 'refcount.missing' : stands < should ? 'refcount.low' : 'refcount.high';
    const record = stands === 0 ? 'no refcount record' : `refcount ${stands}`;
    const owners = should === 0 ? kept.length : should;
    push({
      code,
      ...where,
      message: `${verb(run, 'have', 'has')} ${owners} ${owners === 1 ? 'owner' : 'owners'} (${names}) and ${record}`,
      evidence,
      action: should === 0 ? 'drop the refcount record' : `set the refcount to ${should}`,
    });
  }

  #free(run: Run, verdict: Verdict, evidence: Finding['evidence'], push: Push): void {
    if (!run.trust.free) return;
    const where = { agno: run.agno, agbno: run.start, blocks: run.blocks };
    const kept = run.claims.filter((_, i) => verdict.claims[i] !== 'corrupt');
    if (kept.length > 0 && run.freeByStart) {
      const names = kept.map((c) => this.#name(c)).join(', ');
      const message = `${verb(run, 'belong', 'belongs')} to ${names}, and the bnobt calls it free`;
      push({ code: 'free.overlap', ...where, message, evidence, action: 'rebuild the free-space btrees' });
    }
    const leaked = kept.length === 0 && verdict.restore.length === 0 && !run.freeByStart && !run.freeBySize;
    if (leaked) {
      const message = `${verb(run, 'belong', 'belongs')} to nobody, and the free-space btrees do not have it`;
      push({ code: 'free.leaked', ...where, message, evidence, action: 'rebuild the free-space btrees' });
    }
  }

  #who(c: RunClaim): { ino?: number; path?: string; offset?: number } {
    if (c.slot < 0) return {};
    const offset = c.info & CLAIM.BMBT ? undefined : c.offset;
    return { ino: c.owner, path: this.#paths.text(c.owner), offset };
  }

  #name(c: RunClaim): string {
    if (c.slot < 0) return `the filesystem's own ${kindOf(c)}`;
    const kind = kindOf(c);
    return `${kind === 'data' ? '' : `the ${kind} blocks of `}inode ${c.owner}${quoted(this.#paths.text(c.owner))}`;
  }

  #rmapName(r: RunRmap): string {
    if (r.owner < 0) return `the filesystem's own ${kindOf(r)}`;
    return `inode ${r.owner}${quoted(this.#paths.text(r.owner))} at file block ${r.offset}`;
  }

  #evidenceOf(run: Run, verdict: Verdict): NonNullable<Finding['evidence']> {
    const { table, volume } = this.#o;
    const claims = run.claims.map((c, i): ClaimEvidence => {
      const inode = c.slot >= 0;
      return {
        ...(inode ? { ino: c.owner, path: this.#paths.text(c.owner) } : {}),
        kind: kindOf(c),
        ...(inode && (c.info & CLAIM.BMBT) === 0
          ? { offset: c.offset, unwritten: (c.info & CLAIM.UNWRITTEN) !== 0, reflink: c.flagged }
          : {}),
        rmap: run.trust.rmap ? c.confirmed : null,
        verified: c.slot < 0 || (table.flags[c.slot] & SLOT.DOUBTFUL) === 0,
        verdict: verdict.claims[i],
      };
    });
    const rmap = run.trust.rmap
      ? run.rmaps.map(
          (r): RmapEvidence => ({
            owner: r.owner < 0 ? kindOf(r) : r.owner,
            kind:
              r.owner < 0 ? 'special' : r.info & CLAIM.BMBT ? 'bmbt' : r.info & CLAIM.ATTR ? 'attr' : 'data',
            offset: r.offset,
            unwritten: (r.info & CLAIM.UNWRITTEN) !== 0,
            claimed: r.claimed,
          }),
        )
      : null;
    const refcount =
      run.refcount > 0
        ? { count: run.refcount, domain: 'shared' as const }
        : run.cow
          ? { count: 1, domain: 'cow' as const }
          : null;
    const standing = standingOn(volume, run.agno, run.start);
    const owner = standing?.owner === undefined ? '' : ` of ${standing.owner}`;
    return { claims, refcount, rmap, ...(standing ? { standing: `${standing.what}${owner}` } : {}) };
  }
}

type Push = (f: Omit<Finding, 'severity'>) => void;

const quoted = (path: string | undefined): string => (path === undefined ? '' : ` (${path})`);

/** 'block 5 belongs', 'blocks 5-9 belong': the verb with it. */
const verb = (run: Run, many: string, one: string): string =>
  `${blocksText(run)} ${run.blocks === 1 ? one : many}`;

const blocksText = (run: Run): string =>
  run.blocks === 1
    ? `AG ${run.agno} block ${run.start}`
    : `AG ${run.agno} blocks ${run.start}-${run.start + run.blocks - 1}`;

/** Flags without sharing: the kernel leaves them set, so this is worth a note and no damage. */
function judgeFlags(o: Observation, paths: Paths, out: Finding[]): void {
  const { table } = o;
  const wanted = SLOT.USED | SLOT.REFLINK;
  const slots = table.chunks * INODES_PER_CHUNK;
  for (let slot = 0; slot < slots; slot++) {
    if ((table.flags[slot] & (wanted | SLOT.SHARES)) !== wanted) continue;
    const ino = table.ino(slot);
    out.push({
      code: 'reflink.flag-unneeded',
      severity: 'note',
      ino,
      get path() {
        return paths.text(ino);
      },
      message: `inode ${ino} has the reflink flag and shares nothing`,
      action: 'clear the reflink flag',
    });
  }
}
