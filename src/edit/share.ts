/**
 * Sharing blocks between files: clones of ranges and of whole files. Both sides get the reflink flag in the
 * transaction that shares; holes and unwritten extents become holes, as Linux has it (xfs_reflink.c).
 */
import { DIFLAG2 } from '../format/dinode.js';
import { type Extent, mapExtent, unmapExtent } from '../transaction/bmap.js';
import { REFCOUNT_OP } from '../transaction/defer.js';
import type { LiveInode } from '../transaction/inode.js';
import type { Transaction } from '../transaction/transaction.js';
import { UnsupportedError } from '../volume/volume.js';
import type { Edit } from './edit.js';
import { extentsIn, mappedEnd } from './extents.js';
import { dropCapability } from './inode.js';
import { assertSpare } from './place.js';
import { maxExtents, rewrite } from './rewrite.js';
import { blocksOf, dropBehind, NO_PATCH, setSize, shownTail, unmapBehind } from './sizes.js';
import { shortenByParts } from './write.js';

/** Refuses a filesystem without the feature. Throws UnsupportedError. */
export function requireReflink(edit: Edit): void {
  if (!edit.g.features.reflink)
    throw new UnsupportedError(
      'the filesystem was made without the reflink feature: blocks cannot be shared',
    );
}

export function setReflink(tx: Transaction, inode: LiveInode): void {
  if (inode.isReflink) return;
  tx.editInode(inode);
  inode.setFlags2(inode.flags2 | DIFLAG2.REFLINK);
}

/**
 * Lets `target` map blocks that another file has, in place of what it maps there now. Both are flagged by the
 * caller. `pieces`: written extents, at their offsets in `target`.
 */
export function shareExtents(tx: Transaction, target: LiveInode, pieces: readonly Extent[]): void {
  for (const piece of pieces) {
    const { offset, fsblock, blocks } = piece;
    unmapExtent(tx, target, 'data', offset, blocks);
    tx.defer({ kind: 'refcount', op: REFCOUNT_OP.INCREASE, fsblock, blocks });
    mapExtent(tx, target, 'data', { ...piece, unwritten: false });
  }
}

/** File blocks of a clone: from where, to where, how many. */
export interface BlockRange {
  readonly from: number;
  readonly to: number;
  readonly blocks: number;
}

/**
 * What of [at, at + blocks) of the range is to be shared, at its place in the target; blocks both have there
 * already are left out.
 */
function piecesOf(tx: Transaction, source: LiveInode, target: LiveInode, range: BlockRange): Extent[] {
  const shift = range.to - range.from;
  const out: Extent[] = [];
  for (const e of extentsIn(tx, source, range.from, range.from + range.blocks)) {
    if (e.unwritten) continue;
    const offset = e.offset + shift;
    const there = extentsIn(tx, target, offset, offset + e.blocks);
    const same = there.length === 1 && there[0].blocks === e.blocks && there[0].fsblock === e.fsblock;
    if (!same || there[0].unwritten) out.push({ ...e, offset });
  }
  return out;
}

/** The range in parts that touch no more extents of either file than go into one transaction. */
function* parts(
  edit: Edit,
  source: LiveInode,
  target: LiveInode | undefined,
  range: BlockRange,
): Generator<BlockRange> {
  const tx = edit.engine.begin();
  const most = maxExtents(edit);
  const end = range.from + range.blocks;
  const shift = range.to - range.from;
  for (let at = range.from; at < end; ) {
    const ends = [
      extentsIn(tx, source, at, end)[most],
      target && extentsIn(tx, target, at + shift, end + shift)[most],
    ].map((e, i) => (e === undefined ? end : i === 0 ? e.offset : e.offset - shift));
    const to = Math.min(...ends);
    yield { from: at, to: at + shift, blocks: to - at };
    at = to;
  }
}

/** Shares one part: the target maps there what the source does, and nothing else. */
function sharePart(tx: Transaction, source: LiveInode, target: LiveInode, part: BlockRange): void {
  const pieces = piecesOf(tx, source, target, part);
  setReflink(tx, source);
  setReflink(tx, target);
  const keep = extentsIn(tx, source, part.from, part.from + part.blocks).filter((e) => !e.unwritten);
  let at = part.from;
  const shift = part.to - part.from;
  // Holes of the source.
  for (const e of [...keep, { offset: part.from + part.blocks, blocks: 0 }]) {
    if (e.offset > at) unmapExtent(tx, target, 'data', at + shift, e.offset - at);
    at = e.offset + e.blocks;
  }
  assertSpare(tx, Math.ceil((pieces.length * 4) / (tx.engine.g.blocksize / 16)) + 8);
  shareExtents(tx, target, pieces);
}

/** Bytes of a clone. */
export interface CloneRange {
  readonly from: bigint;
  readonly to: bigint;
  readonly length: bigint;
}

/**
 * Shares a range of `from` with `to`, both regular files. Offsets are multiples of the block size; the length
 * is one, or the range ends where the source ends and behind which the target has nothing. The caller has
 * checked that (`checkRange`). Throws NoSpaceError: nothing of the part it concerns was changed then.
 */
export function cloneRange(edit: Edit, from: number, to: number, range: CloneRange): void {
  const source = edit.inode(from);
  const whole: BlockRange = {
    from: blocksOf(edit, range.from),
    to: blocksOf(edit, range.to),
    blocks: blocksOf(edit, range.length),
  };
  const end = range.to + range.length;
  for (const part of parts(edit, source, edit.inode(to), whole)) {
    const target = edit.inode(to);
    const size = target.exactSize;
    const last = part.from + part.blocks === whole.from + whole.blocks;
    const now = last ? end : BigInt(part.to + part.blocks) * BigInt(edit.g.blocksize);
    rewrite(edit, {
      ino: to,
      patch: NO_PATCH,
      blocks: range.to > size ? shownTail(edit, target) : [],
      finish: (tx, file) => {
        if (range.to > size) dropBehind(tx, file, blocksOf(edit, size), part.to);
        sharePart(tx, edit.inode(from), file, part);
        if (now > size) setSize(tx, file, now);
        dropCapability(tx, file);
      },
    });
  }
}

/** What is wrong with a range to be cloned, and on which side; undefined where nothing is. */
export function checkRange(
  edit: Edit,
  source: LiveInode,
  target: LiveInode | undefined,
  range: CloneRange,
): { readonly side: 'source' | 'target'; readonly why: string } | undefined {
  const { blocksize } = edit.g;
  const aligned = (n: bigint): boolean => n % BigInt(blocksize) === 0n;
  const onSource = (why: string) => ({ side: 'source' as const, why });
  const onTarget = (why: string) => ({ side: 'target' as const, why });
  const end = range.from + range.length;
  if (range.from > source.exactSize || end > source.exactSize)
    return onSource(`bytes ${range.from} to ${end} are not all in it: it has ${source.exactSize}`);
  if (!aligned(range.from))
    return onSource(`only whole blocks can be shared: ${range.from} is ${off(blocksize)}`);
  if (!aligned(range.to))
    return onTarget(`only whole blocks can be shared: ${range.to} is ${off(blocksize)}`);
  if (!aligned(range.length)) {
    if (end !== source.exactSize)
      return onSource(
        `only whole blocks can be shared: ${range.length} bytes are ${off(blocksize)}, nor its end`,
      );
    if (target !== undefined && range.to + range.length < target.exactSize)
      return onTarget('the last block of the range is not full, and would stand before more data');
  }
  if (source.ino === target?.ino && range.to < end && range.from < range.to + range.length)
    return onTarget('the two ranges of the file overlap');
  return undefined;
}

const off = (blocksize: number): string => `no multiple of ${blocksize}`;

/** The hint for copies on write goes along with a clone of a whole file, as Linux has it: of an empty one nothing. */
function copyHint(tx: Transaction, source: LiveInode, target: LiveInode): void {
  if (source.exactSize === 0n) return;
  if ((source.flags2 & DIFLAG2.COWEXTSIZE) === 0 || (target.flags2 & DIFLAG2.COWEXTSIZE) !== 0) return;
  tx.editInode(target);
  target.setFlags2(target.flags2 | DIFLAG2.COWEXTSIZE);
  target.setCowextsize(source.cowextsize);
}

/** Blocks of a file that a clone of all of it shares. */
const wholeOf = (edit: Edit, source: LiveInode): BlockRange => ({
  from: 0,
  to: 0,
  blocks: Math.min(blocksOf(edit, source.exactSize), mappedEnd(edit.engine.begin(), source)),
});

/** Makes an existing file hold what another holds. */
export function cloneOver(edit: Edit, from: number, to: number): void {
  const source = edit.inode(from);
  const whole = wholeOf(edit, source);
  shortenByParts(edit, to, source.exactSize);
  const all = [...parts(edit, source, edit.inode(to), whole)];
  const before = all.slice(0, -1);
  const size = source.exactSize;
  for (const part of before)
    edit.run((tx) => {
      const target = edit.inode(to);
      tx.editInode(target);
      sharePart(tx, edit.inode(from), target, part);
      const end = BigInt(part.to + part.blocks) * BigInt(edit.g.blocksize);
      if (end > target.exactSize) setSize(tx, target, end);
    });
  rewrite(edit, {
    ino: to,
    patch: NO_PATCH,
    blocks: [],
    finish: (tx, file) => {
      const last = all.at(-1);
      if (last !== undefined) sharePart(tx, edit.inode(from), file, last);
      unmapBehind(tx, file, whole.blocks);
      setSize(tx, file, size);
      copyHint(tx, edit.inode(from), file);
      dropCapability(tx, file);
    },
  });
}

/**
 * The steps, each for a transaction, that give a new file the contents of another; one step where that fits
 * one transaction.
 */
export function cloneSteps(edit: Edit, from: number): ((tx: Transaction, target: LiveInode) => void)[] {
  const source = edit.inode(from);
  const steps = [...parts(edit, source, undefined, wholeOf(edit, source))].map(
    (part) => (tx: Transaction, target: LiveInode) => sharePart(tx, edit.inode(from), target, part),
  );
  const last = (tx: Transaction, target: LiveInode): void => {
    const file = edit.inode(from);
    setSize(tx, target, file.exactSize);
    copyHint(tx, file, target);
  };
  const end = steps.pop();
  steps.push((tx, target) => {
    end?.(tx, target);
    last(tx, target);
  });
  return steps;
}
