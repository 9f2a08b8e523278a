/**
 * The verdict on one run of blocks, by the evidence over it.
 *
 *   claims of metadata that verifies, against data       the data claim is corrupt
 *   all flagged, rmap agrees or is absent                 shared; refcount := number of claims
 *   some flagged, refcount = all claims                   shared; a flag was lost
 *   some flagged, refcount = the flagged claims (>= 2)    the unflagged claims are corrupt duplicates
 *   none flagged, refcount = all claims                   shared; the flags were lost
 *   rmap names the owner                                  it keeps the run, the others are corrupt duplicates
 *   rmap names an owner that does not claim the run       that mapping is restored
 *   nothing tells                                         undecided
 *
 * Without an rmap btree two more things are asked before a run is left undecided (SUSPICION). Both point at a
 * mapping that was changed, and neither ever makes anything shared: a claimant whose own inode does not add up,
 * and, where there is none, blocks that have lost an owner: at the end of one claimant's extent, or elsewhere and of
 * just its length.
 * Where such blocks account for every extent that has lost its place, they are its place: `moved.ts`.
 * A refcount record of as many as claim the run, or more, is for all flagged claimants; a refcount btree that
 * does not verify is against none by what it leaves out.
 */
import { RMAP_OWN } from '../../format/btree.js';
import { CLAIM } from '../observe/columns.js';
import type { Run, RunClaim, RunRmap } from './runs.js';

export type ClaimVerdict = 'kept' | 'corrupt' | 'undecided';

export interface Verdict {
  /** One a claim, in the run's order. */
  readonly claims: ClaimVerdict[];
  /** Why corrupt claims are, as the finding's code. */
  readonly code:
    | 'duplicate.corrupt'
    | 'duplicate.metadata'
    | 'duplicate.undecided'
    | 'mapping.free'
    | 'mapping.wrong';
  /** Indices of unflagged claims that are sharing all the same. */
  readonly flagLost: number[];
  /** rmap records whose owner lost the mapping, to be restored. */
  readonly restore: RunRmap[];
  /** rmap records nothing supports. */
  readonly staleRmaps: RunRmap[];
  /** Claims that are kept though no rmap record has them. */
  readonly missingRmaps: number[];
  /** What the refcount should be: 0 for no record. */
  readonly refcount: number;
}

/** How much tells that a claim's mapping was changed. */
export const SUSPICION = {
  NONE: 0,
  /** Blocks elsewhere have lost an owner, and are just as long. */
  LENGTH: 1,
  /** Moved back by as many blocks as have lost an owner at one end, the extent would not be on the run. */
  SHIFT: 2,
  /** The inode's forks list what cannot be, or not as many blocks as it counts. */
  INODE: 3,
} as const;

/** What the verdict asks beyond the run itself. */
export interface Context {
  /** Whether the metadata claim's own block stands there and verifies. */
  stands(run: Run, claim: RunClaim): boolean;
  /**
   * Whether an rmap record over a run its owner does not claim there is to be believed: the owner is in use,
   * and what it maps at that offset (if anything) is not confirmed by an rmap record.
   */
  isLostMapping(run: Run, rmap: RunRmap): boolean;
  /** Whether an rmap record gives this file offset other blocks, which nobody claims. */
  isMappedElsewhere(run: Run, claim: RunClaim): boolean;
  /** How much tells that this claim's mapping was changed: one of SUSPICION. */
  suspicion(run: Run, claim: RunClaim): number;
}

/**
 * Blocks of one claim that nothing else has, and that nothing calls free: had the claim come there by damage, they
 * would be somebody's, or free. It is their rmap record that is gone, or tells of other blocks now.
 */
export const isUnrecorded = ({ claims, rmaps, freeByStart, freeBySize, trust }: Run): boolean =>
  trust.rmap && trust.free && claims.length === 1 && rmaps.length === 0 && !freeByStart && !freeBySize;

const isData = (c: RunClaim): boolean => (c.info & CLAIM.DATA) !== 0;

export function judgeRun(run: Run, context: Context): Verdict {
  const n = run.claims.length;
  const draft: Draft = {
    claims: new Array<ClaimVerdict>(n).fill('kept'),
    code: 'duplicate.corrupt',
    flagLost: [],
    restore: [],
    staleRmaps: [],
    missingRmaps: [],
  };
  const meta = run.claims.some((c) => !isData(c));
  if (n >= 2 && meta) judgeMetadata(run, context, draft);
  else if (n >= 2) judgeDuplicates(run, context, draft);
  else if (n === 1) judgeSingle(run, context, draft);
  judgeRmaps(run, context, draft);
  return { ...draft, refcount: expectedRefcount(run, draft) };
}

type Draft = { -readonly [K in keyof Omit<Verdict, 'refcount'>]: Verdict[K] };

/** Data and metadata, or two kinds of metadata, on one block: one of them is wrong, always. */
function judgeMetadata(run: Run, context: Context, draft: Draft): void {
  draft.code = 'duplicate.metadata';
  const stands = run.claims.map((c) => !isData(c) && context.stands(run, c));
  if (stands.includes(true)) {
    // A fork has a block of its own once: at the place of an rmap record, or else at the first.
    const best = run.claims.findIndex((c, i) => stands[i] && c.confirmed);
    const place = run.claims[best >= 0 ? best : stands.indexOf(true)];
    run.claims.forEach((c, i) => {
      if (!stands[i] || (c !== place && c.slot >= 0 && c.slot === place.slot)) draft.claims[i] = 'corrupt';
    });
    return;
  }
  // The metadata does not verify, or is of a kind that cannot tell: the free list, staging extents.
  draft.code = 'duplicate.corrupt';
  const data = run.claims.filter(isData);
  const staging = run.claims.some((c) => c.owner === RMAP_OWN.COW);
  const sound = run.claims.filter((c) => context.suspicion(run, c) === SUSPICION.NONE);
  if (run.trust.rmap && run.claims.some((c) => c.confirmed)) {
    run.claims.forEach((c, i) => {
      if (!c.confirmed) draft.claims[i] = 'corrupt';
    });
  } else if (data.length === 0 && sound.length === 1) {
    run.claims.forEach((c, i) => {
      if (c !== sound[0]) draft.claims[i] = 'corrupt';
    });
  } else if (staging && data.length === 1 && context.suspicion(run, data[0]) === SUSPICION.NONE) {
    draft.code = 'duplicate.undecided';
    draft.claims.fill('undecided');
  } else {
    // What the free list holds is written on by nobody: a file whose mapping was changed has not put it there.
    const listed = run.claims.every((c) => isData(c) || c.owner === RMAP_OWN.AG);
    const moved = listed && data.every((c) => context.suspicion(run, c) > SUSPICION.NONE);
    const dataKept = !moved && !(staging && data.length === 1);
    run.claims.forEach((c, i) => {
      if (isData(c) ? !dataKept : dataKept || (c.owner !== RMAP_OWN.COW && !moved))
        draft.claims[i] = 'corrupt';
    });
  }
}

/** Two or more data forks of regular files. */
function judgeDuplicates(run: Run, context: Context, draft: Draft): void {
  const { claims, refcount, trust } = run;
  const n = claims.length;
  const flagged = claims.filter((c) => c.flagged).length;
  const confirmed = claims.filter((c) => c.confirmed).length;
  const loseFlag = (): void =>
    claims.forEach((c, i) => {
      if (!c.flagged && draft.claims[i] === 'kept') draft.flagLost.push(i);
    });
  const lose = (of: (c: RunClaim) => boolean, as: ClaimVerdict = 'corrupt'): void =>
    claims.forEach((c, i) => {
      if (of(c)) draft.claims[i] = as;
    });

  if (confirmed === n) {
    loseFlag();
    return;
  }
  if (trust.rmap && (confirmed > 0 || run.rmaps.some((r) => context.isLostMapping(run, r)))) {
    // All else says shared, and the rmap btree alone has lost a record.
    const others = run.rmaps.some((r) => !r.claimed && context.isLostMapping(run, r));
    if (flagged === n && refcount === n && !others) return;
    lose((c) => !c.confirmed);
    if (confirmed >= 2) loseFlag();
    return;
  }
  // A record above the claims tells of one that is missing, and nothing against those that are there.
  if (flagged === n && refcount >= n) return;
  const suspicion = claims.map((c) => context.suspicion(run, c));
  for (const least of [SUSPICION.INODE, SUSPICION.SHIFT, SUSPICION.LENGTH]) {
    if (refcount === n) break;
    // That no record is found where the tree does not verify is nothing against those with the flag.
    if (least !== SUSPICION.INODE && flagged === n && !trust.refcount && refcount === 0) break;
    // The blocks that are missing are as long as one extent, or at the end of another: not both.
    const other = least === SUSPICION.LENGTH ? SUSPICION.SHIFT : undefined;
    const kept = claims.filter((_, i) => suspicion[i] < least || suspicion[i] === other);
    if (kept.length === 0 || kept.length === n) continue;
    // More suspects than there are claims too many: lengths alike by chance.
    if (refcount < n && refcount > kept.length) continue;
    // What is left must make sense by itself.
    if (kept.length === 1 || kept.every((c) => c.flagged) || refcount === kept.length) {
      lose((c) => !kept.includes(c));
      if (kept.length >= 2) loseFlag();
      return;
    }
  }
  if (flagged === n) return;
  if (refcount === n) {
    loseFlag();
    return;
  }
  if (flagged >= 2) {
    lose((c) => !c.flagged);
    return;
  }
  draft.code = 'duplicate.undecided';
  lose(() => true, 'undecided');
}

/** One claim, and some record that does not agree with it. */
function judgeSingle(run: Run, context: Context, draft: Draft): void {
  const [claim] = run.claims;
  const { trust } = run;
  if (claim.confirmed || isUnrecorded(run)) return;
  if (!isData(claim)) {
    const lost = trust.rmap && run.rmaps.some((r) => context.isLostMapping(run, r));
    const inFork = claim.slot >= 0 && (claim.info & CLAIM.BMBT) === 0;
    if (trust.rmap && inFork && context.isMappedElsewhere(run, claim)) {
      draft.code = 'mapping.wrong';
      draft.claims[0] = 'corrupt';
    } else if (lost && !context.stands(run, claim)) {
      draft.code = 'mapping.wrong';
      draft.claims[0] = 'corrupt';
    } else if (inFork && trust.free && run.freeByStart && run.freeBySize && !context.stands(run, claim)) {
      draft.code = 'mapping.free';
      draft.claims[0] = 'corrupt';
    }
    return;
  }
  if (run.freeByStart && run.freeBySize && trust.free) {
    draft.code = 'mapping.free';
    draft.claims[0] = 'corrupt';
  } else if (
    trust.rmap &&
    (run.rmaps.some((r) => context.isLostMapping(run, r)) || context.isMappedElsewhere(run, claim))
  ) {
    draft.code = 'mapping.wrong';
    draft.claims[0] = 'corrupt';
  }
}

/** The rmap records of the run, once it is settled who owns it. */
function judgeRmaps(run: Run, context: Context, draft: Draft): void {
  if (!run.trust.rmap) return;
  const kept = run.claims.filter((_, i) => draft.claims[i] === 'kept');
  const metadataKept = kept.some((c) => !isData(c));
  for (const r of run.rmaps) {
    if (r.claimed) continue;
    if (!metadataKept && !(run.freeByStart && run.freeBySize) && context.isLostMapping(run, r)) {
      // A lost mapping shares with those that are kept only if they are recorded as sharing.
      if (kept.length === 0 || run.refcount > kept.length || kept.every((c) => c.confirmed && c.flagged))
        draft.restore.push(r);
      else draft.staleRmaps.push(r);
    } else draft.staleRmaps.push(r);
  }
  run.claims.forEach((c, i) => {
    if (draft.claims[i] === 'kept' && !c.confirmed) draft.missingRmaps.push(i);
  });
}

function expectedRefcount(run: Run, draft: Draft): number {
  if (draft.claims.includes('undecided')) return run.refcount;
  const kept = run.claims.filter((c, i) => isData(c) && draft.claims[i] === 'kept').length;
  const owners = kept + draft.restore.length;
  return owners >= 2 ? owners : 0;
}
