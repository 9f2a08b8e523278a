/**
 * The refcount btree: how many owners shared blocks have. Blocks with one owner have no record; blocks held
 * for a copy on write have one of their own domain, counted 1. Records that touch and count the same are one
 * record. Rules: xfs_refcount.c.
 */
import { MAX_REFCOUNT, REFC_COWFLAG } from '../format/btree.js';
import { CorruptionError } from '../format/fault.js';
import { viewOf } from '../format/structure.js';
import { AgBtree } from './agtree.js';
import { newKey } from './btreenode.js';
import type { Transaction } from './transaction.js';

export interface RefcountRun {
  start: number;
  blocks: number;
  count: number;
}

/** Records one call changes at most: what is left is for the next transaction. */
const MAX_RECORDS = 48;

const key = newKey();
const bytes = new Uint8Array(12);
const view = viewOf(bytes);

function pack(run: RefcountRun, flag: number): Uint8Array {
  view.setUint32(0, (run.start | flag) >>> 0);
  view.setUint32(4, run.blocks);
  view.setUint32(8, run.count);
  return bytes;
}

function openTree(tx: Transaction, agno: number): AgBtree {
  tx.engine.refcountLookups++;
  return new AgBtree(tx, agno, 'refcountbt');
}

/** Reads the record at the cursor; undefined where it is of the other domain. */
function current(tree: AgBtree, flag: number): RefcountRun | undefined {
  const word = tree.view.getUint32(tree.at);
  if ((word & REFC_COWFLAG) >>> 0 !== flag) return undefined;
  return {
    start: word & 0x7fff_ffff,
    blocks: tree.view.getUint32(tree.at + 4),
    count: tree.view.getUint32(tree.at + 8),
  };
}

/**
 * Records of a domain that touch [start, end), those that only border on it too, in order; at most `limit`
 * that overlap it.
 */
function touching(tree: AgBtree, start: number, end: number, flag: number, limit: number): RefcountRun[] {
  const out: RefcountRun[] = [];
  key[0] = (start | flag) >>> 0;
  let more = tree.lookupLE(key);
  if (more) {
    // The record before the first may border on the range.
    const run = current(tree, flag);
    if (run !== undefined && run.start === start && tree.previous()) {
      const before = current(tree, flag);
      if (before !== undefined && before.start + before.blocks === start) out.push(before);
      more = tree.next();
    }
  } else more = tree.lookupGE(key);
  for (; more; more = tree.next()) {
    const run = current(tree, flag);
    if (run === undefined) {
      if ((tree.view.getUint32(tree.at) & REFC_COWFLAG) >>> 0 < flag) continue;
      break;
    }
    if (run.start + run.blocks < start) continue;
    if (run.start > end || out.length > limit) break;
    out.push(run);
  }
  return out;
}

/** Replaces records by others over the same stretch of the AG. */
function replace(tree: AgBtree, old: RefcountRun[], now: RefcountRun[], flag: number): void {
  let first = 0;
  const same = (a: RefcountRun, b: RefcountRun): boolean =>
    a.start === b.start && a.blocks === b.blocks && a.count === b.count;
  while (first < old.length && first < now.length && same(old[first], now[first])) first++;
  let oldEnd = old.length;
  let nowEnd = now.length;
  while (oldEnd > first && nowEnd > first && same(old[oldEnd - 1], now[nowEnd - 1])) {
    oldEnd--;
    nowEnd--;
  }
  const starts = new Map<number, RefcountRun>();
  for (let i = first; i < nowEnd; i++) starts.set(now[i].start, now[i]);
  for (let i = first; i < oldEnd; i++) {
    key[0] = (old[i].start | flag) >>> 0;
    if (!tree.lookupEQ(key))
      throw new CorruptionError({
        structure: 'refcountbt',
        agno: tree.agno,
        field: 'recs',
        value: 'no record',
        expected: `the record at block ${old[i].start}`,
      });
    const stays = starts.get(old[i].start);
    if (stays === undefined) tree.remove();
    else {
      if (!same(stays, old[i])) tree.update(pack(stays, flag));
      starts.delete(old[i].start);
    }
  }
  for (const run of starts.values()) tree.insert(pack(run, flag));
}

/** Appends a run, merged with the last one where they continue each other. */
function append(runs: RefcountRun[], start: number, blocks: number, count: number): void {
  if (blocks === 0) return;
  const last = runs[runs.length - 1];
  if (last !== undefined && last.start + last.blocks === start && last.count === count) last.blocks += blocks;
  else runs.push({ start, blocks, count });
}

/**
 * Adds `delta` (1 or -1) to the owners of [agbno, agbno + blocks). Returns how many blocks from the start
 * are done: fewer than asked where many records lie there. `freed` takes each run whose last owner is gone.
 */
export function adjustRefcount(
  tx: Transaction,
  agno: number,
  agbno: number,
  blocks: number,
  delta: 1 | -1,
  freed: (agbno: number, blocks: number) => void,
): number {
  const tree = openTree(tx, agno);
  let end = agbno + blocks;
  let old = touching(tree, agbno, end, 0, MAX_RECORDS);
  if (old.length > MAX_RECORDS) {
    // Stop where the last record seen begins; it is now the neighbour behind the range.
    end = Math.max(old[old.length - 1].start, agbno + 1);
    old = touching(tree, agbno, end, 0, MAX_RECORDS + 2);
  }
  const now: RefcountRun[] = [];
  let at = agbno;
  const put = (start: number, length: number, count: number): void => {
    if (length === 0) return;
    const next = count === MAX_REFCOUNT ? count : count + delta;
    if (next > 1) append(now, start, length, next);
    else if (next === 0) freed(start, length);
  };
  for (const run of old) {
    const runEnd = run.start + run.blocks;
    if (run.count < 2) badRun(agno, run, 'at least 2 owners');
    // What lies before the range keeps its count.
    append(now, run.start, Math.max(0, Math.min(runEnd, agbno) - run.start), run.count);
    const from = Math.max(run.start, agbno);
    const to = Math.min(runEnd, end);
    if (from < to) {
      put(at, from - at, 1);
      put(from, to - from, run.count);
      at = to;
    }
    if (runEnd > end) {
      put(at, end - at, 1);
      at = end;
      append(now, Math.max(run.start, end), runEnd - Math.max(run.start, end), run.count);
    }
  }
  put(at, end - at, 1);
  replace(tree, old, now, 0);
  return end - agbno;
}

/** Records that blocks are held for a copy on write. */
export function addCowStaging(tx: Transaction, agno: number, agbno: number, blocks: number): void {
  const tree = openTree(tx, agno);
  const end = agbno + blocks;
  const old = touching(tree, agbno, end, REFC_COWFLAG, 4);
  const now: RefcountRun[] = [];
  let placed = false;
  for (const run of old) {
    if (run.start < end && run.start + run.blocks > agbno) badRun(agno, run, 'no staging record here');
    if (!placed && run.start >= end) {
      append(now, agbno, blocks, 1);
      placed = true;
    }
    append(now, run.start, run.blocks, 1);
  }
  if (!placed) append(now, agbno, blocks, 1);
  replace(tree, old, now, REFC_COWFLAG);
}

/** Takes the record that blocks are held for a copy on write away. The blocks themselves are not freed. */
export function removeCowStaging(tx: Transaction, agno: number, agbno: number, blocks: number): void {
  const tree = openTree(tx, agno);
  const end = agbno + blocks;
  const old = touching(tree, agbno, end, REFC_COWFLAG, 4);
  const now: RefcountRun[] = [];
  let done = 0;
  for (const run of old) {
    const runEnd = run.start + run.blocks;
    append(now, run.start, Math.max(0, Math.min(runEnd, agbno) - run.start), 1);
    done += Math.max(0, Math.min(runEnd, end) - Math.max(run.start, agbno));
    const rest = Math.max(run.start, end);
    append(now, rest, Math.max(0, runEnd - rest), 1);
  }
  if (done !== blocks)
    badRun(agno, { start: agbno, blocks: done, count: 1 }, `staging records for ${blocks} blocks`);
  replace(tree, old, now, REFC_COWFLAG);
}

/** The first staging extent of an AG, for recovery to release; undefined where there is none. */
export function firstCowStaging(tx: Transaction, agno: number): RefcountRun | undefined {
  const tree = openTree(tx, agno);
  key[0] = REFC_COWFLAG;
  return tree.lookupGE(key) ? current(tree, REFC_COWFLAG) : undefined;
}

/** The first stretch of [agbno, agbno + blocks) with more than one owner; undefined where there is none. */
export function firstShared(
  tx: Transaction,
  agno: number,
  agbno: number,
  blocks: number,
): RefcountRun | undefined {
  const tree = openTree(tx, agno);
  const end = agbno + blocks;
  for (const run of touching(tree, agbno, end, 0, 2)) {
    const start = Math.max(run.start, agbno);
    const to = Math.min(run.start + run.blocks, end);
    if (start < to) return { start, blocks: to - start, count: run.count };
  }
  return undefined;
}

function badRun(agno: number, run: RefcountRun, expected: string): never {
  throw new CorruptionError({
    structure: 'refcountbt',
    agno,
    agbno: run.start,
    field: 'recs',
    value: `${run.blocks} blocks with refcount ${run.count}`,
    expected,
  });
}
