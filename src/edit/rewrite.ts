/**
 * Changing what a range of a file holds so that a crash leaves all of the old or all of the new:
 *
 *   T1    new blocks are allocated and held for the file (hold.ts)
 *   data  what they are to hold is written to them and on stable storage; nothing on disk refers to them
 *   T2    they are mapped in place of the old ones, which lose an owner; size and times change with it
 *
 * Blocks that are mapped as unwritten are written where they stand and marked as written in T2. With `inPlace`
 * so are blocks the file has for itself, as Linux does it: a crash can then leave a mixture of old and new.
 * Only of a file with the reflink flag is the refcount btree asked at all.
 */

import { agbnoOfFsblock, agnoOfFsblock, fsblockOf, fsblockOffset } from '../format/geometry.js';
import { BBSIZE } from '../format/log.js';
import { convertExtents, type Extent } from '../transaction/bmap.js';
import type { LiveInode } from '../transaction/inode.js';
import { firstShared } from '../transaction/refcount.js';
import type { Transaction } from '../transaction/transaction.js';
import type { Edit } from './edit.js';
import { extentAt, extentsIn, holeAround } from './extents.js';
import { type CowProtocol, dropHeld, type Held, hold, mapHeld } from './hold.js';
import { markModified } from './inode.js';
import type { Input } from './input.js';
import { assertSpare, cowHint, sizeHint, takeBlocks } from './place.js';
import { blocksOf } from './sizes.js';

export interface DataOptions {
  /** How blocks are held that take the place of shared ones. Default 'efi'. */
  readonly cow?: CowProtocol;
  /** Overwrite blocks the file shares with nobody where they stand. */
  readonly inPlace?: boolean;
}

/** Bytes [from, to) of a file and what they become. */
export interface Patch {
  readonly from: bigint;
  readonly to: bigint;
  readonly input: Input;
  /** Byte of the input that goes to `from`. */
  readonly at: number;
}

export interface Rewrite extends DataOptions {
  readonly ino: number;
  readonly patch: Patch;
  /** Old bytes of the file that count; default all of it. */
  readonly size?: bigint;
  /** File blocks to be written anew, in order, in parts of the file the patch does not touch too. */
  readonly blocks: readonly { readonly from: number; readonly to: number }[];
  /**
   * Further changes in T2, after the mapping; `end` is the file block up to which blocks were written.
   */
  readonly finish: (tx: Transaction, inode: LiveInode, end: number) => void;
}

/** Blocks to be written: where they stand, and as which blocks of the file. */
interface Target extends Omit<Extent, 'unwritten'> {
  /** How they come to be the file's. */
  readonly kind: 'held' | 'unwritten' | 'own';
}

/** Bytes put together in one go. */
const CHUNK = 2 ** 20;

/** Log space a mapped or unmapped extent can take in T2, roughly: its record and what it defers. */
const LOG_PER_EXTENT = 512;

/** Most extents one operation changes: what T2 logs must fit a part of the log. */
export const maxExtents = (edit: Edit): number =>
  Math.max(16, Math.floor((edit.engine.log.device.blocks * BBSIZE) / 16 / LOG_PER_EXTENT));

/**
 * Writes blocks of a file. Returns the file block up to which they are written: the end, or less where more
 * extents are touched than go into one transaction. Throws NoSpaceError: nothing was changed then.
 */
export function rewrite(edit: Edit, r: Rewrite): number {
  const { engine } = edit;
  const plan = edit.run((tx) => planned(edit, tx, r));
  // Nothing depends on T1 being in the log first where blocks fill a hole.
  if (plan.copies) engine.flush();
  try {
    writeTargets(edit, r, plan.targets);
    edit.dataWritten();
    edit.run((tx, now) => {
      const inode = engine.inode(r.ino);
      tx.editInode(inode);
      for (const { held, from, to, keep } of plan.held) mapHeld(tx, inode, held, from, to, keep);
      for (const t of plan.targets)
        if (t.kind === 'unwritten') convertExtents(tx, inode, t.offset, t.blocks, false);
      r.finish(tx, inode, plan.end);
      markModified(tx, inode, now);
    });
  } catch (error) {
    const held = plan.held.map((h) => h.held);
    if (held.length > 0) edit.undo(error, () => dropHeld(engine, held));
    throw error;
  }
  return plan.end;
}

interface Plan {
  readonly targets: Target[];
  /** Held blocks, the part of them to be mapped, and whether the rest stays with the file. */
  readonly held: {
    readonly held: Held;
    readonly from: number;
    readonly to: number;
    readonly keep: boolean;
  }[];
  /** Some of them take the place of others. */
  copies: boolean;
  end: number;
}

/** T1: says where every block goes and allocates what is needed for that. */
function planned(edit: Edit, tx: Transaction, r: Rewrite): Plan {
  const inode = edit.inode(r.ino);
  const plan: Plan = { targets: [], held: [], copies: false, end: 0 };
  const budget = { left: maxExtents(edit) };
  for (const { from, to } of r.blocks) {
    plan.end = from;
    for (const run of runsIn(edit, tx, inode, from, to, r.inPlace === true)) {
      if (budget.left <= 0) break;
      if (run.kind === 'new') takeRun(edit, tx, inode, r, run, plan, budget);
      else {
        budget.left--;
        plan.targets.push({ ...run, kind: run.kind });
        plan.end = run.offset + run.blocks;
      }
    }
    if (plan.end < to) break;
  }
  if (plan.held.length > 0) {
    // The bmbt may need blocks in T2: half-full leaves for all new extents, and a path to the root.
    const perLeaf = Math.floor(edit.g.blocksize / 32) - 4;
    assertSpare(tx, Math.ceil((plan.held.length * 2) / perLeaf) + 8);
  }
  return plan;
}

interface Run {
  readonly kind: 'new' | 'unwritten' | 'own';
  readonly offset: number;
  readonly blocks: number;
  /** Where they stand; 0 for new ones. */
  readonly fsblock: number;
  /** Extents there now. */
  readonly old: number;
}

/** The range in runs of one kind: what is a hole or is to be replaced goes together. */
function runsIn(
  edit: Edit,
  tx: Transaction,
  inode: LiveInode,
  from: number,
  to: number,
  inPlace: boolean,
): Run[] {
  const out: Run[] = [];
  const fresh = (offset: number, end: number, old: number): void => {
    if (end <= offset) return;
    const last = out.at(-1);
    if (last?.kind === 'new')
      out[out.length - 1] = { ...last, blocks: end - last.offset, old: last.old + old };
    else out.push({ kind: 'new', offset, blocks: end - offset, fsblock: 0, old });
  };
  let at = from;
  for (const e of extentsIn(tx, inode, from, to)) {
    fresh(at, e.offset, 0);
    at = e.offset + e.blocks;
    if (e.unwritten) out.push({ ...e, kind: 'unwritten', old: 1 });
    else if (!inPlace) fresh(e.offset, at, 1);
    else
      for (const part of byOwner(edit, tx, inode, e))
        if (part.shared) fresh(part.offset, part.offset + part.blocks, 1);
        else out.push({ ...part, kind: 'own', old: 1 });
  }
  fresh(at, to, 0);
  return out;
}

/** An extent in parts that have other owners, and parts that have none. */
export function* byOwner(
  edit: Edit,
  tx: Transaction,
  inode: LiveInode,
  e: Extent,
): Generator<Extent & { readonly shared: boolean }> {
  const { g } = edit;
  const agno = agnoOfFsblock(g, e.fsblock);
  const part = (fsblock: number, blocks: number, shared: boolean) => ({
    ...e,
    offset: e.offset + (fsblock - e.fsblock),
    fsblock,
    blocks,
    shared,
  });
  const end = e.fsblock + e.blocks;
  for (let at = e.fsblock; at < end; ) {
    const run = inode.isReflink ? firstShared(tx, agno, agbnoOfFsblock(g, at), end - at) : undefined;
    const start = run === undefined ? end : fsblockOf(g, agno, run.start);
    if (start > at) yield part(at, start - at, false);
    if (run !== undefined) yield part(start, run.blocks, true);
    at = start + (run?.blocks ?? 0);
  }
}

function takeRun(
  edit: Edit,
  tx: Transaction,
  inode: LiveInode,
  r: Rewrite,
  run: Run,
  plan: Plan,
  budget: { left: number },
): void {
  const copies = run.old > 0;
  const protocol = copies && inode.isReflink ? (r.cow ?? 'efi') : 'efi';
  const to = run.offset + run.blocks;
  plan.copies ||= copies;
  budget.left -= run.old;
  const taken = takeBlocks(tx, inode, {
    from: run.offset,
    to,
    hint: copies && inode.isReflink ? cowHint(inode) : sizeHint(inode),
    ...(copies ? { low: 0, high: Number.MAX_SAFE_INTEGER } : room(edit, tx, inode, r, run)),
    max: Math.max(1, budget.left),
  });
  for (const t of taken) {
    budget.left--;
    const from = Math.max(run.offset, t.offset);
    const end = Math.min(to, t.offset + t.blocks);
    plan.held.push({ held: hold(tx, protocol, t), from, to: end, keep: !copies });
    plan.targets.push({
      kind: 'held',
      offset: from,
      fsblock: t.fsblock + (from - t.offset),
      blocks: end - from,
    });
    plan.end = end;
  }
}

/**
 * How far a run that fills a hole may be widened, for the slack is mapped too: no further than the hole goes, nor
 * than the file will. (Linux maps it behind the file's end as well, and gives that back when the file is closed.)
 */
function room(
  edit: Edit,
  tx: Transaction,
  inode: LiveInode,
  r: Rewrite,
  run: Run,
): { low: number; high: number } {
  const { low, high } = holeAround(tx, inode, run.offset);
  const size = r.patch.to > inode.exactSize ? r.patch.to : inode.exactSize;
  return { low, high: Math.max(run.offset + run.blocks, Math.min(high, blocksOf(edit, size))) };
}

// ---- data

function writeTargets(edit: Edit, r: Rewrite, targets: readonly Target[]): void {
  const { engine } = edit;
  const { blocksize } = edit.g;
  const contents = new Contents(edit, r);
  const most = Math.max(1, Math.floor(CHUNK / blocksize));
  const longest = targets.reduce((n, t) => Math.max(n, t.blocks), 0);
  const buffer = new Uint8Array(Math.min(most, longest) * blocksize);
  for (const t of targets)
    for (let done = 0; done < t.blocks; ) {
      const n = Math.min(most, t.blocks - done);
      const bytes = buffer.subarray(0, n * blocksize);
      contents.compose(t.offset + done, bytes);
      engine.writeData(t.fsblock + done, bytes);
      done += n;
    }
}

/** What blocks of the file are to hold: the old bytes with the patch over them. */
class Contents {
  readonly #edit: Edit;
  readonly #inode: LiveInode;
  readonly #tx: Transaction;
  readonly #patch: Patch;
  readonly #size: bigint;

  constructor(edit: Edit, r: Rewrite) {
    this.#edit = edit;
    this.#inode = edit.inode(r.ino);
    this.#tx = edit.engine.begin();
    this.#patch = r.patch;
    this.#size = r.size ?? this.#inode.exactSize;
  }

  /** Fills `into` with whole blocks from file block `block` on. */
  compose(block: number, into: Uint8Array): void {
    const { blocksize } = this.#edit.g;
    const { from, to, input, at } = this.#patch;
    const start = BigInt(block) * BigInt(blocksize);
    const clamp = (byte: bigint): number => {
      const rest = byte - start;
      return rest <= 0n ? 0 : rest >= BigInt(into.length) ? into.length : Number(rest);
    };
    const first = clamp(from);
    const last = clamp(to);
    // Old bytes are needed of blocks the patch does not cover.
    for (let i = 0; i < into.length; i += blocksize)
      if (i < first || i + blocksize > last)
        this.#old(block + i / blocksize, into.subarray(i, i + blocksize));
    // What stands behind the end of the file is nobody's business.
    into.fill(0, clamp(this.#size));
    if (last > first) input.read(at + Number(start + BigInt(first) - from), into.subarray(first, last));
  }

  #old(block: number, into: Uint8Array): void {
    const e = extentAt(this.#tx, this.#inode, block);
    if (e === undefined || e.unwritten) into.fill(0);
    else this.#edit.source.read(fsblockOffset(this.#edit.g, e.fsblock), into);
  }
}
