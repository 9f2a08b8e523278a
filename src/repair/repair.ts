/**
 * The repair: find the superblock, settle the log, examine, decide, rebuild, all in an overlay; examine the result,
 * and only when that is clean write it to the image. What this version cannot make clean it refuses by name, with
 * nothing written.
 */

import { sealCrc } from '../format/checksum.js';
import { INCOMPAT } from '../format/features.js';
import { blockOffset } from '../format/geometry.js';
import { setU64, viewOf } from '../format/structure.js';
import { SUPERBLOCK, setFeatureBits } from '../format/superblock.js';
import { OverlaySource } from '../image/overlay.js';
import type { Source } from '../image/source.js';
import { bytesOf, openVolume } from '../volume/volume.js';
import { type Examination, examine, examineByThreads } from './examine.js';
import type { Finding } from './finding.js';
import { agfBtreeblks, agfField } from './observe/aglook.js';
import { type Observation, observe, type Progress } from './observe/observe.js';
import { type LogOutcome, restoreSuperblock, settleLog } from './prepare.js';
import { QUOTA_CHECKED } from './quota.js';
import { rebuildAg } from './rebuild/ag.js';
import { ContentEdits } from './rebuild/contents.js';
import { DirEdits } from './rebuild/dirs.js';
import type { DuplicatePolicy } from './rebuild/inodes.js';
import { InodeEdits } from './rebuild/inodes.js';
import { LostFound } from './rebuild/lostfound.js';
import { MendState, mendCores } from './rebuild/mends.js';
import { ParentEdits } from './rebuild/parents.js';
import type { Run } from './rebuild/runlist.js';
import { FreeSpace, unusedRuns } from './rebuild/space.js';
import { mustFitLog, writeLog, writeOut } from './rebuild/writeout.js';
import { copyOf } from './superblock.js';

export interface RepairOptions {
  readonly onDuplicate: DuplicatePolicy;
  /** Empties a log that is not clean instead of replaying it. */
  readonly dropLog?: boolean;
  /** Keeps what is about to be overwritten; called before the first write. `after`: the image as it will be. */
  readonly undo?: (ranges: readonly { offset: number; length: number }[], after: Source) => void;
  readonly progress?: Progress;
}

export interface RepairResult {
  /** What was found, and repaired. */
  readonly findings: readonly Finding[];
  readonly log: LogOutcome;
  /** Bytes written; 0 for a clean image. */
  readonly written: number;
}

/** Damage that is not repaired: what is left after all that could be done was tried. Nothing was written. */
export class UnrepairedError extends Error {
  readonly findings: readonly Finding[];
  readonly left: readonly Finding[];
  constructor(findings: readonly Finding[], left: readonly Finding[]) {
    const codes = [...new Set(left.map((f) => f.code))];
    super(`this damage is not yet repaired by xfsimg: ${codes.join(', ')}; nothing was written`);
    this.name = 'UnrepairedError';
    this.findings = findings;
    this.left = left;
  }
}

const isDamage = (f: Finding): boolean => f.severity === 'damage';

/** Rounds of inode changes: a verdict can bring another to light, and none needs many. */
const MAX_ROUNDS = 12;

/**
 * Repairs the filesystem in `target`. Throws LogError where the log cannot be replayed, UnrepairedError, and
 * NoSpaceError where the image has no room for what has to be built; the image is as it was then.
 */
export function repair(target: Source, options: RepairOptions): RepairResult {
  const steps = repairing(target, options);
  let step = steps.next();
  while (!step.done) step = steps.next(examine(openVolume(step.value), options.progress));
  return step.value;
}

/** The same, examining by several threads where that pays. */
export async function repairByThreads(target: Source, options: RepairOptions): Promise<RepairResult> {
  const steps = repairing(target, options);
  let step = steps.next();
  while (!step.done) step = steps.next(await examineByThreads(openVolume(step.value), options.progress));
  return step.value;
}

/** The repair itself; it hands out what it wants examined. */
function* repairing(
  target: Source,
  options: RepairOptions,
): Generator<OverlaySource, RepairResult, Examination> {
  const overlay = new OverlaySource(target);
  const restored = restoreSuperblock(overlay);
  const log = settleLog(overlay, options.dropLog === true);
  const first = yield overlay;
  const findings = [...restored, ...first.findings].map((f) => ({ ...f, path: f.path }));
  const { g } = first.observation.volume;
  const damaged = findings.some(isDamage);
  if (!damaged && log.kind === 'clean') return { findings, log, written: 0 };
  const unused = damaged ? unusedRuns(first.observation) : [];
  const { losses, inPlace } = damaged
    ? yield* rebuild(overlay, first, findings, unused, options)
    : { losses: [], inPlace: false };
  if (inPlace) mustFitLog(g, overlay, unused);
  const write = (to: Source): number =>
    damaged ? writeOut(g, overlay, to, log.kind, unused) : writeLog(g, overlay, to, log.kind);
  if (options.undo !== undefined) {
    // Done in memory once: the log takes more than the overlay shows.
    const trial = new OverlaySource(target);
    write(trial);
    const ranges = [...trial.pages()].map(([offset, page]) => ({ offset, length: page.length }));
    options.undo(ranges, overlay);
  }
  return { findings: [...findings, ...losses], log, written: write(target) };
}

interface Rebuilt {
  /** What could not be saved. */
  readonly losses: readonly Finding[];
  /** Whether something stands where what it was made from stood. */
  readonly inPlace: boolean;
}

/** Rebuilds in the overlay what is wrong, and gives what could not be saved; throws where something is left. */
function* rebuild(
  overlay: OverlaySource,
  first: Examination,
  findings: readonly Finding[],
  unused: readonly (readonly Run[])[],
  options: RepairOptions,
): Generator<OverlaySource, Rebuilt, Examination> {
  const mends = new MendState();
  let inPlace = false;
  const rebuildTrees = (o: Observation, agnos: Iterable<number>): void => {
    for (const agno of agnos) if (rebuildAg(o, agno, unused[agno])) inPlace = true;
  };
  let state = first;
  for (let round = 0; round < MAX_ROUNDS && state.findings.some(isDamage); round++) {
    const { observation, judgement } = state;
    const { volume } = observation;
    const space = new FreeSpace(observation, unused);
    const lostFound = new LostFound(observation);
    // Cores before forks before what they hold before link counts: each is read through the one before.
    if (mendCores(observation, state.findings, volume, mends) > 0) {
      state = yield overlay;
      continue;
    }
    const edits = new InodeEdits(observation, judgement, options.onDuplicate);
    // Mappings that come and go are not to keep for ever what hangs on them from being written anew.
    const settled = edits.size === 0 || round >= MAX_ROUNDS / 2;
    const contents = new ContentEdits(observation, settled ? state.findings : []);
    const dirs = new DirEdits(observation, settled && contents.size === 0 ? state.findings : []);
    const named = settled && contents.size + dirs.size === 0;
    const parents = new ParentEdits(observation, named ? state.findings : []);
    const anew = contents.size + dirs.size + parents.size > 0;
    if (contents.size > 0) contents.apply(volume, space, mends);
    else if (dirs.size > 0) dirs.apply(volume, space, lostFound);
    else if (parents.size > 0) parents.apply(volume, space);
    else if (edits.size === 0) edits.addLinks(state.findings);
    if (!anew && edits.size === 0) break;
    if (edits.size > 0 && !anew) edits.apply(volume, space, lostFound);
    if (edits.copies || anew) {
      // The trees must know of it before anything is judged again: new blocks would look like mappings of free
      // space, and rmap records of the old ones like mappings that were lost.
      const agnos = new Set([
        ...space.touched,
        ...agsOf(
          observation,
          new Set([...dirs.inodes, ...contents.inodes, ...parents.inodes, volume.g.rootino]),
        ),
      ]);
      rebuildTrees(observe(openVolume(overlay)), agnos);
    }
    if (space.inPlace) inPlace = true;
    state = yield overlay;
  }
  // Every AG that any finding concerned, before or after, gets new trees.
  const damaged = new Set<number>();
  for (const f of [...first.findings, ...state.findings])
    if (isDamage(f) && f.agno !== undefined && f.code !== 'superblock.copy') damaged.add(f.agno);
  for (const look of state.observation.ags)
    if (Object.values(look.trees).some((t) => t.sound === false)) damaged.add(look.agno);
  rebuildTrees(state.observation, damaged);
  setCounters(overlay, yield overlay);
  writeCopies(overlay, state.findings);
  const last = yield overlay;
  const left = last.findings.filter(isDamage);
  if (left.length > 0)
    throw new UnrepairedError(
      findings,
      left.map((f) => ({ ...f, path: f.path })),
    );
  return { losses: mends.losses, inPlace };
}

/** AGs in which any of these inodes has blocks. */
function agsOf(o: Observation, inos: ReadonlySet<number>): Set<number> {
  const out = new Set<number>();
  if (inos.size === 0) return out;
  for (const { agno, claims } of o.ags)
    for (let i = 0; i < claims.count && !out.has(agno); i++)
      if (claims.owner[i] >= 0 && inos.has(o.table.ino(claims.owner[i]))) out.add(agno);
  return out;
}

/** The copies of the superblock that findings call wrong, from the primary one. */
function writeCopies(overlay: OverlaySource, findings: readonly Finding[]): void {
  const { g, superblock } = openVolume(overlay);
  const copy = copyOf(bytesOf(superblock));
  for (const f of findings) if (f.code === 'superblock.copy') overlay.write(blockOffset(g, f.agno!, 0), copy);
}

/** The superblock's counters, from AGs that are right. */
function setCounters(overlay: OverlaySource, state: Examination): void {
  const { g } = state.observation.volume;
  let free = 0;
  let inodes = 0;
  let freeInodes = 0;
  for (const ag of state.observation.ags) {
    free += agfField(ag, 'freeblks') + ag.freeList.length + agfBtreeblks(ag);
    inodes += ag.inodes;
    freeInodes += ag.freeInodes;
  }
  const sector = new Uint8Array(g.sectsize);
  overlay.read(0, sector);
  const v = viewOf(sector);
  setFeatureBits(sector, 'features_incompat', INCOMPAT.NEEDSREPAIR, false);
  setU64(v, SUPERBLOCK.at.icount, inodes);
  setU64(v, SUPERBLOCK.at.ifree, freeInodes);
  setU64(v, SUPERBLOCK.at.fdblocks, free);
  // What quotas count may have changed: Linux counts anew.
  v.setUint16(SUPERBLOCK.at.qflags, v.getUint16(SUPERBLOCK.at.qflags) & ~QUOTA_CHECKED);
  sealCrc(sector, SUPERBLOCK.at.crc);
  overlay.write(0, sector);
}
