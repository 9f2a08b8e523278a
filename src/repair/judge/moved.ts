/**
 * Extents whose place in the fork is another's, put back where blocks have lost an owner. Without an rmap btree no
 * record says which blocks were whose, but the books can: where every stretch that lacks an owner is as long as
 * exactly one extent that has lost its place, and the other way round, and nothing else is missing that could have
 * owned one, each of them has only one place it can have come from.
 */
import { FORK_FORMAT } from '../../format/dinode.js';
import {
  EXTENT_SIZE,
  extentBlocks,
  extentFsblock,
  extentOffset,
  extentUnwritten,
} from '../../format/extent.js';
import { isFsRange } from '../../format/geometry.js';
import { forkExtents, isFileRange } from '../../volume/fork.js';
import { readInode } from '../../volume/inode.js';
import { CLAIM } from '../observe/columns.js';
import { SLOT } from '../observe/inodetable.js';
import type { Observation } from '../observe/observe.js';
import type { Mapping } from './context.js';
import type { JudgedRun } from './judge.js';
import { standingOn } from './standing.js';

/** An extent of a file's data that has lost its place. */
interface Lost {
  readonly ino: number;
  readonly offset: number;
  readonly blocks: number;
  readonly info: number;
  readonly flagged: boolean;
  /** Those who stay have the flag too: a refcount record that was moved looks the same. */
  readonly doubtful: boolean;
}

/** Neighbouring blocks that lack one owner each. */
interface Gap {
  readonly agno: number;
  readonly start: number;
  blocks: number;
  /** Others still own some of them. */
  shared: boolean;
  readonly runs: number[];
}

/** Blocks of a gap that are read for what stands on them. */
const MAX_READ = 100_000;

/**
 * Adds mappings to be restored to the verdicts. Returns where extents go back to, by inode number and first file
 * block.
 */
export function putBack(o: Observation, judged: JudgedRun[]): Map<string, Mapping> {
  const out = new Map<string, Mapping>();
  if (o.volume.g.features.rmapbt) return out;
  const lost = [...lostExtents(o, judged), ...impossibleExtents(o)];
  if (lost.length === 0 || !isAllElseWell(o, lost)) return out;
  const gaps = gapsOf(judged);
  if (gaps === undefined || gaps.length !== lost.length) return out;
  const byLength = new Map(gaps.map((gap) => [gap.blocks, gap]));
  const own = new Map(lost.map((l) => [l.blocks, l]));
  if (byLength.size !== gaps.length || own.size !== lost.length) return out;
  for (const gap of gaps) {
    const extent = own.get(gap.blocks);
    if (extent === undefined || (gap.shared && (!extent.flagged || extent.doubtful)) || holdsMetadata(o, gap))
      return out;
  }
  for (const gap of gaps) {
    const { ino, offset, blocks, info } = own.get(gap.blocks)!;
    out.set(`${ino} ${offset}`, { agno: gap.agno, start: gap.start, blocks, offset, info });
    for (const index of gap.runs) {
      const { run, verdict } = judged[index];
      const restored = { owner: ino, offset: offset + run.start - gap.start, info, claimed: false };
      const owners = run.claims.length + 1;
      const refcount = owners >= 2 ? owners : 0;
      judged[index] = { run, verdict: { ...verdict, restore: [...verdict.restore, restored], refcount } };
    }
  }
  return out;
}

/** Extents of files all of whose blocks turned out to be another's, or free. */
function lostExtents(o: Observation, judged: readonly JudgedRun[]): Lost[] {
  const blocks = new Map<string, number>();
  const doubts = new Set<string>();
  const out: Lost[] = [];
  for (const { run, verdict } of judged) {
    const kept = run.claims.filter((_, i) => verdict.claims[i] === 'kept');
    const uncounted = run.refcount === 0 && kept.length > 0 && kept.every((c) => c.flagged);
    run.claims.forEach((c, i) => {
      if (verdict.claims[i] !== 'corrupt' || (c.info & CLAIM.DATA) === 0) return;
      const key = `${run.agno} ${c.index}`;
      const sum = (blocks.get(key) ?? 0) + run.blocks;
      blocks.set(key, sum);
      if (uncounted) doubts.add(key);
      if (sum !== c.extentBlocks) return;
      const offset = o.ags[run.agno].claims.offset[c.index];
      out.push({
        ino: c.owner,
        offset,
        blocks: sum,
        info: c.info & CLAIM.UNWRITTEN,
        flagged: c.flagged,
        doubtful: doubts.has(key),
      });
    });
  }
  return out;
}

/** Extents of files that no disk of this size can hold: all but their place can be true. */
function impossibleExtents({ log, table, volume }: Observation): Lost[] {
  const { g } = volume;
  const inos = new Set(log.faults.filter((f) => f.structure === 'data fork').map((f) => f.ino!));
  return [...inos].flatMap((ino) => {
    const inode = readInode(volume, ino, { verify: false });
    if (!inode.isRegular || inode.format !== FORK_FORMAT.EXTENTS) return [];
    const flagged = (table.flags[table.slot(ino)] & SLOT.REFLINK) !== 0;
    const count = Math.min(forkExtents(inode, 'data'), Math.floor(inode.dataSize / EXTENT_SIZE));
    const { view, dataAt } = inode;
    const out: Lost[] = [];
    let end = 0;
    for (let at = dataAt; at < dataAt + count * EXTENT_SIZE; at += EXTENT_SIZE) {
      const [offset, blocks] = [extentOffset(view, at), extentBlocks(view, at)];
      if (blocks === 0 || offset < end || !isFileRange(g, offset, blocks)) return [];
      end = offset + blocks;
      if (isFsRange(g, extentFsblock(view, at), blocks)) continue;
      out.push({
        ino,
        offset,
        blocks,
        info: extentUnwritten(view, at) ? CLAIM.UNWRITTEN : 0,
        flagged,
        doubtful: false,
      });
    }
    return out;
  });
}

/** Whether nothing else is damaged that may have owned blocks: other inodes, and the trees that lead to them. */
function isAllElseWell(o: Observation, lost: readonly Lost[]): boolean {
  const { table, inodes } = o;
  const inos = new Set(lost.map((l) => l.ino));
  if (inodes.blockCounts.length > 0 || inodes.dangling.length > 0) return false;
  for (const { trees } of o.ags) {
    if (!trees.bnobt?.sound || !trees.cntbt?.sound || !trees.inobt?.sound) return false;
    // What was shared cannot be told from what was not.
    if (!trees.refcountbt?.sound && lost.some((l) => l.flagged)) return false;
  }
  for (let slot = 0; slot < table.slots; slot++)
    if (table.entries.count[slot] > 0 && (table.flags[slot] & SLOT.USED) === 0) return false;
  return o.log.faults.every(({ ino, structure }) =>
    ino === undefined ? structure === 'refcountbt' : inos.has(ino) && structure === 'data fork',
  );
}

/** All stretches that lack an owner, in order; undefined where some lack more than one. */
function gapsOf(judged: readonly JudgedRun[]): Gap[] | undefined {
  const out: Gap[] = [];
  for (const [index, { run, verdict }] of judged.entries()) {
    if (verdict.claims.includes('undecided') || run.trust.freeDiffers !== undefined) return undefined;
    const kept = verdict.claims.filter((c) => c === 'kept').length;
    const shared = run.trust.refcount && run.refcount >= 2 && run.refcount > kept;
    const leaked = kept === 0 && !run.freeByStart && !run.freeBySize;
    if (!shared && !leaked) continue;
    // A run that lost a wrong claim and a right one is no place to judge by lengths.
    if (run.claims.length !== kept || (shared && run.refcount !== kept + 1)) return undefined;
    const last = out[out.length - 1];
    if (last !== undefined && last.agno === run.agno && last.start + last.blocks === run.start) {
      last.blocks += run.blocks;
      last.shared ||= shared;
      last.runs.push(index);
    } else out.push({ agno: run.agno, start: run.start, blocks: run.blocks, shared, runs: [index] });
  }
  return out;
}

/** Whether something stands in a gap that is no file's data. */
function holdsMetadata({ volume }: Observation, { agno, start, blocks }: Gap): boolean {
  for (let b = 0; b < Math.min(blocks, MAX_READ); b++)
    if (standingOn(volume, agno, start + b) !== undefined) return true;
  return false;
}
