/**
 * Free space: extents taken out of the two free-space btrees of an AG and given back, the AGFL kept filled
 * on the way, and the rmapbt told who owns what. Rules: xfs_alloc.c.
 */
import { AGF } from '../format/ag.js';
import { RMAP_OWN } from '../format/btree.js';
import { CorruptionError } from '../format/fault.js';
import { agbnoOfFsblock, agnoOfFsblock, fsblockOf, isAgRange } from '../format/geometry.js';
import { viewOf } from '../format/structure.js';
import { AgBtree } from './agtree.js';
import { newKey } from './btreenode.js';
import { getFreelist, minFreelist, putFreelist } from './freelist.js';
import { reservedBlocks } from './reserve.js';
import { type RmapOwner, rmapMap, rmapUnmap } from './rmap.js';
import type { Transaction } from './transaction.js';

/** There is no room in the image for what was asked. Nothing of the operation was done. */
export class NoSpaceError extends Error {
  constructor(message = 'no space left in the image') {
    super(message);
    this.name = 'NoSpaceError';
  }
}

export interface AllocRequest {
  /** Blocks: at least, and at most. */
  readonly min: number;
  readonly max: number;
  /** Where the extent should begin, or be near to; -1: anywhere. */
  readonly near: number;
  /** Take the extent at `near` and nowhere else. */
  readonly exact?: boolean;
  /** The start is to be a multiple of this many blocks. */
  readonly align?: number;
  /** Who owns it in the rmapbt; undefined: recorded later, or not at all. */
  readonly owner?: RmapOwner;
  /** For a btree with reserved space. */
  readonly reserved?: boolean;
  /** Blocks freed since the last checkpoint may be used: only for metadata that is logged whole. */
  readonly busy?: boolean;
  /** Blocks that must be left for what the same operation will need. */
  readonly left?: number;
  /** Lowest and highest start allowed (inclusive). */
  readonly from?: number;
  readonly to?: number;
}

export interface AgExtent {
  agbno: number;
  blocks: number;
}

/** Free extents looked at on either side of the wanted place, and among those of the right size. */
const NEARBY = 16;
const BY_SIZE = 32;

const key = newKey();
const record = new Uint8Array(8);
const recordView = viewOf(record);

const allocRecord = (start: number, blocks: number): Uint8Array => {
  recordView.setUint32(0, start);
  recordView.setUint32(4, blocks);
  return record;
};

/** A place found: the extent to take, and the free extent it lies in. */
interface Place {
  start: number;
  blocks: number;
  freeStart: number;
  freeBlocks: number;
}

/**
 * Takes an extent out of AG `agno`. Returns undefined, and has changed nothing but the AGFL, where the AG
 * has no such extent to give.
 */
export function allocExtent(tx: Transaction, agno: number, request: AllocRequest): AgExtent | undefined {
  const { engine } = tx;
  const reserved = reservedBlocks(engine, agno, request.reserved === true);
  const available = (): number => {
    const { view } = engine.agf(agno);
    const need = minFreelist(tx, agno);
    const listed = Math.min(view.getUint32(AGF.at.flcount), need);
    return view.getUint32(AGF.at.freeblks) + listed - reserved - need - (request.left ?? 0);
  };
  if (available() < request.min || engine.agf(agno).view.getUint32(AGF.at.longest) < request.min)
    return undefined;
  if (!fixFreelist(tx, agno)) return undefined;
  const max = Math.min(request.max, available());
  if (max < request.min) return undefined;
  const place = findPlace(tx, agno, max === request.max ? request : { ...request, max });
  if (place === undefined) return undefined;
  takeFree(tx, agno, place);
  if (request.owner !== undefined) rmapMap(tx, agno, place.start, place.blocks, request.owner);
  return { agbno: place.start, blocks: place.blocks };
}

/** One block for a btree, initialised and logged whole by the caller. Throws NoSpaceError. */
export function allocMetadataBlock(
  tx: Transaction,
  agno: number,
  near: number,
  owner: number,
  reserved: boolean,
): number {
  const got = allocExtent(tx, agno, {
    min: 1,
    max: 1,
    near,
    owner: { owner, offset: 0, flags: 0 },
    reserved,
    busy: tx.engine.reusesBusy,
  });
  if (got === undefined) throw new NoSpaceError(`no space left in AG ${agno} for its btrees`);
  return got.agbno;
}

export function freeMetadataBlock(tx: Transaction, agno: number, agbno: number, owner: number): void {
  freeExtent(tx, agno, agbno, 1, { owner, offset: 0, flags: 0 });
}

function findPlace(tx: Transaction, agno: number, request: AllocRequest): Place | undefined {
  const { min, max, near } = request;
  const { busy } = tx.engine;
  const align = request.align ?? 1;
  const from = request.from ?? 0;
  const to = request.to ?? 0xffff_ffff;
  let best: Place | undefined;
  let bestScore = Number.POSITIVE_INFINITY;

  /** Considers a stretch that may be used: at the wanted place, at its start, at its end. */
  const stretch = (s: number, n: number, freeStart: number, freeBlocks: number): void => {
    const end = s + n;
    const low = Math.max(s, from);
    const attempt = (at: number): void => {
      const length = Math.min(max, end - at);
      if (at < low || at > to || length < min) return;
      if (request.exact === true && at !== near) return;
      // Missing blocks weigh more than distance.
      const score = (max - length) * 2 ** 32 + (near < 0 ? n : Math.abs(at - near));
      if (score >= bestScore) return;
      bestScore = score;
      best = { start: at, blocks: length, freeStart, freeBlocks };
    };
    if (near >= low && near < end) attempt(Math.ceil(near / align) * align);
    attempt(Math.ceil(low / align) * align);
    if (end - max > low) attempt(Math.floor((end - max) / align) * align);
  };
  const consider = (start: number, blocks: number): void => {
    if (request.busy === true) stretch(start, blocks, start, blocks);
    else busy.idle(agno, start, blocks, (s, n) => stretch(s, n, start, blocks));
  };
  const found = (): Place | undefined => best;

  const bnobt = new AgBtree(tx, agno, 'bnobt');
  if (near >= 0) {
    key[0] = near;
    let more = bnobt.lookupLE(key);
    for (let i = 0; more && i < (request.exact === true ? 1 : NEARBY); i++) {
      consider(bnobt.view.getUint32(bnobt.at), bnobt.view.getUint32(bnobt.at + 4));
      if (i === 0 && best !== undefined && found()!.start === near && found()!.blocks === max) return best;
      more = bnobt.previous();
    }
    if (request.exact === true) return best;
    more = bnobt.lookupGE(key);
    for (let i = 0; more && i < NEARBY; i++) {
      consider(bnobt.view.getUint32(bnobt.at), bnobt.view.getUint32(bnobt.at + 4));
      more = bnobt.next();
    }
    if (found()?.blocks === max) return best;
  }
  const cntbt = new AgBtree(tx, agno, 'cntbt');
  key[0] = max + align - 1;
  key[1] = 0;
  let more = cntbt.lookupGE(key);
  for (let i = 0; more && i < BY_SIZE; i++) {
    consider(cntbt.view.getUint32(cntbt.at), cntbt.view.getUint32(cntbt.at + 4));
    if (near < 0 && found()?.blocks === max) return best;
    more = cntbt.next();
  }
  if (found()?.blocks === max) return best;
  // The longest there are, until none can beat what was found.
  for (more = cntbt.last(); more; more = cntbt.previous()) {
    const blocks = cntbt.view.getUint32(cntbt.at + 4);
    if (blocks < min || blocks <= (found()?.blocks ?? 0)) break;
    consider(cntbt.view.getUint32(cntbt.at), blocks);
    if (found()?.blocks === max) break;
  }
  return best;
}

/** Takes a place out of both trees. */
function takeFree(tx: Transaction, agno: number, place: Place): void {
  const { start, blocks, freeStart, freeBlocks } = place;
  const cntbt = new AgBtree(tx, agno, 'cntbt');
  const bnobt = new AgBtree(tx, agno, 'bnobt');
  const before = start - freeStart;
  const after = freeStart + freeBlocks - (start + blocks);
  removeBySize(cntbt, agno, freeStart, freeBlocks);
  if (before > 0) cntbt.insert(allocRecord(freeStart, before));
  if (after > 0) cntbt.insert(allocRecord(start + blocks, after));

  key[0] = freeStart;
  if (!bnobt.lookupEQ(key)) missing('bnobt', agno, freeStart);
  if (before > 0) {
    bnobt.update(allocRecord(freeStart, before));
    if (after > 0) bnobt.insert(allocRecord(start + blocks, after));
  } else if (after > 0) bnobt.update(allocRecord(start + blocks, after));
  else bnobt.remove();
  tx.add32(tx.engine.agf(agno), AGF.at.freeblks, -blocks);
  setLongest(tx, agno, cntbt);
}

function removeBySize(cntbt: AgBtree, agno: number, start: number, blocks: number): void {
  key[0] = blocks;
  key[1] = start;
  if (!cntbt.lookupEQ(key)) missing('cntbt', agno, start);
  cntbt.remove();
}

function missing(structure: string, agno: number, agbno: number): never {
  throw new CorruptionError({
    structure,
    agno,
    field: 'recs',
    value: 'no record',
    expected: `the free extent at block ${agbno}`,
  });
}

function setLongest(tx: Transaction, agno: number, cntbt: AgBtree): void {
  const longest = cntbt.last() ? cntbt.view.getUint32(cntbt.at + 4) : 0;
  const agf = tx.engine.agf(agno);
  if (agf.view.getUint32(AGF.at.longest) !== longest) tx.put32(agf, AGF.at.longest, longest);
}

/** Puts an extent into both trees, merged with what is free beside it. */
function giveFree(tx: Transaction, agno: number, agbno: number, blocks: number): void {
  const cntbt = new AgBtree(tx, agno, 'cntbt');
  const bnobt = new AgBtree(tx, agno, 'bnobt');
  const end = agbno + blocks;
  const alreadyFree = (at: number): never => {
    throw new CorruptionError({
      structure: 'bnobt',
      agno,
      field: 'recs',
      value: `block ${at} free`,
      expected: `blocks ${agbno} to ${end - 1} in use: they are being freed`,
    });
  };
  let start = agbno;
  let total = blocks;
  let rightStart = -1;
  key[0] = agbno;
  if (bnobt.lookupGE(key)) {
    const at = bnobt.view.getUint32(bnobt.at);
    const length = bnobt.view.getUint32(bnobt.at + 4);
    if (at < end) alreadyFree(at);
    if (at === end) {
      rightStart = at;
      total += length;
      removeBySize(cntbt, agno, at, length);
    }
  }
  let leftMerged = false;
  key[0] = agbno;
  if (bnobt.lookupLE(key)) {
    const at = bnobt.view.getUint32(bnobt.at);
    const length = bnobt.view.getUint32(bnobt.at + 4);
    if (at + length > agbno) alreadyFree(agbno);
    if (at + length === agbno) {
      start = at;
      total += length;
      leftMerged = true;
      removeBySize(cntbt, agno, at, length);
    }
  }
  if (leftMerged && rightStart >= 0) {
    key[0] = rightStart;
    if (bnobt.lookupEQ(key)) bnobt.remove();
  }
  if (leftMerged || rightStart >= 0) {
    key[0] = leftMerged ? start : rightStart;
    if (!bnobt.lookupEQ(key)) missing('bnobt', agno, key[0]);
    bnobt.update(allocRecord(start, total));
  } else bnobt.insert(allocRecord(start, total));
  cntbt.insert(allocRecord(start, total));
  tx.add32(tx.engine.agf(agno), AGF.at.freeblks, blocks);
  setLongest(tx, agno, cntbt);
}

/**
 * Frees an extent. `owner`: whose rmap record goes with it; undefined where that is gone already or was
 * never there. Throws CorruptionError where blocks of it are free.
 */
export function freeExtent(
  tx: Transaction,
  agno: number,
  agbno: number,
  blocks: number,
  owner: RmapOwner | undefined,
): void {
  const { engine } = tx;
  if (!isAgRange(engine.g, agno, agbno, blocks))
    throw new CorruptionError({
      structure: 'extent to free',
      agno,
      agbno,
      field: 'blocks',
      value: blocks,
      expected: 'blocks inside the AG',
    });
  fixFreelist(tx, agno);
  if (owner !== undefined) rmapUnmap(tx, agno, agbno, blocks, owner);
  giveFree(tx, agno, agbno, blocks);
  engine.busy.add(agno, agbno, blocks);
}

/**
 * Brings the AGFL to the length the trees' heights ask for. To be called before every change of the
 * free-space trees or the rmapbt. False where the AG has no blocks left for it.
 */
export function fixFreelist(tx: Transaction, agno: number): boolean {
  const agf = tx.engine.agf(agno);
  const count = (): number => agf.view.getUint32(AGF.at.flcount);
  const owner: RmapOwner = { owner: RMAP_OWN.AG, offset: 0, flags: 0 };
  while (count() > minFreelist(tx, agno)) {
    const agbno = getFreelist(tx, agno, false);
    rmapUnmap(tx, agno, agbno, 1, owner);
    giveFree(tx, agno, agbno, 1);
    tx.engine.busy.add(agno, agbno, 1);
  }
  while (count() < minFreelist(tx, agno)) {
    const max = minFreelist(tx, agno) - count();
    const place = findPlace(tx, agno, { min: 1, max, near: 0, busy: tx.engine.reusesBusy });
    if (place === undefined) return false;
    takeFree(tx, agno, place);
    for (let i = 0; i < place.blocks; i++) putFreelist(tx, agno, place.start + i, false);
    rmapMap(tx, agno, place.start, place.blocks, owner);
  }
  return true;
}

// ---- any AG

export interface PlaceRequest {
  /** Fsblock the extent should begin at or be near to. */
  readonly near: number;
  readonly min: number;
  readonly max: number;
  readonly align?: number;
  readonly owner?: RmapOwner;
  readonly busy?: boolean;
  readonly left?: number;
}

/**
 * Takes an extent out of the AG of `near` or, going round, of the next that has one; first of the longest
 * size asked for, then less. Throws NoSpaceError where no AG has even the least.
 */
export function allocAnywhere(tx: Transaction, request: PlaceRequest): { fsblock: number; blocks: number } {
  const { g } = tx.engine;
  const home = agnoOfFsblock(g, request.near);
  for (const min of request.min < request.max ? [request.max, request.min] : [request.min])
    for (let i = 0; i < g.agcount; i++) {
      const agno = (home + i) % g.agcount;
      const got = allocExtent(tx, agno, {
        min,
        max: request.max,
        near: i === 0 ? agbnoOfFsblock(g, request.near) : 0,
        align: request.align,
        owner: request.owner,
        busy: request.busy,
        left: request.left,
      });
      if (got !== undefined) return { fsblock: fsblockOf(g, agno, got.agbno), blocks: got.blocks };
    }
  throw new NoSpaceError();
}
