/**
 * Contents of regular files: written, cut off, extended, punched. Each call is one operation: a crash leaves
 * all of it or nothing, up to so many extents as one transaction can change (`maxExtents`); what is longer is
 * done from its front to its back, each part whole.
 */
import { DIFLAG2 } from '../format/dinode.js';
import { NoSpaceError } from '../transaction/alloc.js';
import { unmapExtent } from '../transaction/bmap.js';
import type { LiveInode } from '../transaction/inode.js';
import type { Transaction } from '../transaction/transaction.js';
import type { Edit } from './edit.js';
import { extentAt, extentsIn, mappedEnd } from './extents.js';
import { dropCapability, markModified } from './inode.js';
import { type Input, ZeroInput } from './input.js';
import { byOwner, type DataOptions, maxExtents, type Patch, rewrite } from './rewrite.js';
import { blockOf, blocksOf, byteOf, dropBehind, NO_PATCH, setSize, shownTail, unmapBehind } from './sizes.js';

const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);

export interface WriteOptions extends DataOptions {
  /** The file ends where what is written ends. */
  readonly truncate?: boolean;
}

/**
 * Writes the input into a file from byte `at` on; the file grows where that is needed, and what lies between
 * its end and `at` reads as zeros. The caller has checked that this ends within MAX_FILE_SIZE. Throws
 * NoSpaceError: nothing was changed then.
 */
export function writeFile(
  edit: Edit,
  ino: number,
  at: bigint,
  input: Input,
  options: WriteOptions = {},
): void {
  const end = at + BigInt(input.size);
  if (options.truncate === true) shortenByParts(edit, ino, end);
  if (at === end && options.truncate === true) truncateFile(edit, ino, end, options);
  for (let from = at; from < end; ) {
    const patch: Patch = { from, to: end, input, at: Number(from - at) };
    const first = blockOf(edit, from);
    const last = blocksOf(edit, end);
    const inode = edit.inode(ino);
    const size = inode.exactSize;
    const blocks = [{ from: first, to: last }];
    if (blockOf(edit, size) < first) blocks.unshift(...shownTail(edit, inode));
    const reached = rewrite(edit, {
      ...options,
      ino,
      patch,
      blocks,
      size: options.truncate === true ? min(size, end) : size,
      finish: (tx, file, block) => {
        const now = min(end, byteOf(edit, block));
        if (from > size) dropBehind(tx, file, blocksOf(edit, size), first);
        if (options.truncate === true && now === end) {
          unmapBehind(tx, file, last);
          setSize(tx, file, end);
        } else if (now > size) setSize(tx, file, now);
        dropCapability(tx, file);
      },
    });
    from = min(end, byteOf(edit, reached));
  }
}

/** Gives a file another size: cut off, or extended by zeros. Throws NoSpaceError: nothing was changed then. */
export function truncateFile(edit: Edit, ino: number, size: bigint, options: DataOptions = {}): void {
  const inode = edit.inode(ino);
  if (size > inode.exactSize) extend(edit, inode, size, options);
  else shorten(edit, inode, size, options);
}

function extend(edit: Edit, inode: LiveInode, size: bigint, options: DataOptions): void {
  const before = inode.exactSize;
  rewrite(edit, {
    ...options,
    ino: inode.ino,
    patch: NO_PATCH,
    blocks: shownTail(edit, inode),
    finish: (tx, file) => {
      dropBehind(tx, file, blocksOf(edit, before), blocksOf(edit, size));
      setSize(tx, file, size);
      dropCapability(tx, file);
    },
  });
}

function shorten(edit: Edit, inode: LiveInode, size: bigint, options: DataOptions): void {
  const { ino } = inode;
  shortenByParts(edit, ino, size);
  const keep = blocksOf(edit, size);
  const cut =
    size % BigInt(edit.g.blocksize) === 0n ? undefined : extentAt(edit.engine.begin(), inode, keep - 1);
  const written = cut !== undefined && !cut.unwritten && size < inode.exactSize;
  const shared = written && [...byOwner(edit, edit.engine.begin(), inode, cut)][0].shared;
  // The end of the last block becomes zeros: in a copy where others have the block too, else in place, but
  // only when the log says that the file ends before it.
  rewrite(edit, {
    ...options,
    ino,
    patch: { from: size, to: byteOf(edit, keep), input: new ZeroInput(), at: 0 },
    blocks: shared ? [{ from: keep - 1, to: keep }] : [],
    finish: (tx, file) => {
      unmapBehind(tx, file, keep);
      setSize(tx, file, size);
      dropCapability(tx, file);
      // As Linux does: a file without blocks shares none (xfs_itruncate_clear_reflink_flags).
      if (file.isReflink && mappedEnd(tx, file) === 0) file.setFlags2(file.flags2 & ~DIFLAG2.REFLINK);
    },
  });
  if (!written || shared) return;
  edit.engine.flush();
  const used = Number(size % BigInt(edit.g.blocksize));
  edit.engine.writeData(cut.fsblock, new Uint8Array(edit.g.blocksize - used), used);
}

/** Cuts off from the end as long as more extents are left there than go into one transaction. */
export function shortenByParts(edit: Edit, ino: number, size: bigint): void {
  const keep = blocksOf(edit, size);
  takeOffEnd(edit, ino, keep, Number.MAX_SAFE_INTEGER, (tx, inode, from) =>
    setSize(tx, inode, min(inode.exactSize, byteOf(edit, from))),
  );
}

/** Unmaps the end of a range, a transaction at a time, until what is left of it goes into one. */
function takeOffEnd(
  edit: Edit,
  ino: number,
  from: number,
  to: number,
  also: (tx: Transaction, inode: LiveInode, from: number) => void = () => {},
): void {
  const most = maxExtents(edit);
  for (;;) {
    const gone = extentsIn(edit.engine.begin(), edit.inode(ino), from, to);
    if (gone.length <= most) return;
    const first = gone[gone.length - most].offset;
    const end = gone[gone.length - 1].offset + gone[gone.length - 1].blocks;
    edit.run((tx, now) => {
      const inode = edit.inode(ino);
      unmapExtent(tx, inode, 'data', first, end - first);
      also(tx, inode, first);
      markModified(tx, inode, now);
    });
  }
}

/**
 * Makes bytes [from, to) of a file zeros and gives the blocks among them back. The size stays. Throws
 * NoSpaceError: nothing was changed then.
 */
export function punchFile(
  edit: Edit,
  ino: number,
  from: bigint,
  to: bigint,
  options: DataOptions = {},
): void {
  const whole = { from: blocksOf(edit, from), to: blockOf(edit, to) };
  takeOffEnd(edit, ino, whole.from, whole.to);
  // Blocks that lie in the range with a part only, where they hold data: one, or one at either end.
  const parts = new Set(
    [blockOf(edit, from), blockOf(edit, to)].filter((b) => b < whole.from || b >= whole.to),
  );
  const inode = edit.inode(ino);
  const blocks = [...parts]
    .filter((b) => byteOf(edit, b) < to)
    .filter((b) => extentAt(edit.engine.begin(), inode, b)?.unwritten === false)
    .map((b) => ({ from: b, to: b + 1 }));
  rewrite(edit, {
    ...options,
    ino,
    patch: { from, to, input: new ZeroInput(), at: 0 },
    blocks,
    finish: (tx, file) => {
      if (whole.to > whole.from) unmapExtent(tx, file, 'data', whole.from, whole.to - whole.from);
      dropCapability(tx, file);
    },
  });
}

/** A NoSpaceError with the way out of it, where overwriting in place would need no space. */
export function explainNoSpace(error: unknown, inPlace: boolean): unknown {
  if (!(error instanceof NoSpaceError) || inPlace) return error;
  return new NoSpaceError(
    `${error.message}: new blocks are needed for what is overwritten, so that a crash leaves old or new; ` +
      '--in-place does without for blocks the file shares with nobody',
  );
}
