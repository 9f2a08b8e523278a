/**
 * What a fork of an inode is, where its core cannot be believed: the bytes are read as each form they may have,
 * and how well they fit says which it is. Blocks that name the inode as their owner are the best witnesses.
 */

import { verifyAttrShortForm } from '../../format/attrcheck.js';
import { BMDR_BLOCK, maxRootRecords } from '../../format/btree.js';
import { FORK_FORMAT, S_IF } from '../../format/dinode.js';
import { verifyShortForm } from '../../format/dircheck.js';
import { EXTENT_SIZE, extentBlocks, extentFsblock, extentOffset } from '../../format/extent.js';
import type { Fault } from '../../format/fault.js';
import { agbnoOfFsblock, agnoOfFsblock, firstFreeAgbno, isFsRange } from '../../format/geometry.js';
import { getU64 } from '../../format/structure.js';
import { SYMLINK_MAXLEN } from '../../format/symlink.js';
import { type ForkName, isFileRange } from '../../volume/fork.js';
import type { Volume } from '../../volume/volume.js';
import { standingOn } from '../judge/standing.js';

/** How well bytes fit a form. */
export const FIT = {
  /** They cannot be that. */
  NO: 0,
  /** Nothing speaks against it, and nothing for it: an empty fork. */
  EMPTY: 1,
  /** All of it can be true. */
  LIKELY: 2,
  /** Blocks of this inode stand where it says. */
  PROVED: 3,
} as const;

/** A fork under a supposition. */
export interface Guess {
  readonly fit: number;
  readonly format: number;
  /** Extents in the fork; 0 in local and device format. */
  readonly count: number;
  /** Blocks that the extents of an inline list hold. */
  readonly blocks: number;
}

const NO = (format: number): Guess => ({ fit: FIT.NO, format, count: 0, blocks: 0 });

/** Where the bytes of a fork stand in the inode. */
export interface ForkBytes {
  readonly view: DataView;
  readonly at: number;
  readonly size: number;
}

/** Blocks that each of the leading extents adds up to, as long as they can be true one after another. */
export function leadingExtents(volume: Volume, { view, at, size }: ForkBytes): number[] {
  const { g } = volume;
  const sums: number[] = [];
  let end = 0;
  let sum = 0;
  for (let i = 0; (i + 1) * EXTENT_SIZE <= size; i++) {
    const rec = at + i * EXTENT_SIZE;
    const offset = extentOffset(view, rec);
    const fsblock = extentFsblock(view, rec);
    const blocks = extentBlocks(view, rec);
    if (blocks === 0 || offset < end || !isFileRange(g, offset, blocks) || !isFsRange(g, fsblock, blocks))
      break;
    if (agbnoOfFsblock(g, fsblock) < firstFreeAgbno(g)) break;
    end = offset + blocks;
    sum += blocks;
    sums.push(sum);
  }
  return sums;
}

/** What stands on a block of the filesystem and says that it is this inode's. */
function ownBlock(volume: Volume, ino: number, fsblock: number): string | undefined {
  const { g } = volume;
  if (!isFsRange(g, fsblock, 1)) return undefined;
  const standing = standingOn(volume, agnoOfFsblock(g, fsblock), agbnoOfFsblock(g, fsblock));
  return standing?.owner === ino ? standing.what : undefined;
}

/** The first block of the tree below a root inside the inode; undefined where the root cannot be one. */
export function bmbtChild(volume: Volume, { view, at, size }: ForkBytes): number | undefined {
  if (size < BMDR_BLOCK.size + 16) return undefined;
  const level = view.getUint16(at + BMDR_BLOCK.at.level);
  const numrecs = view.getUint16(at + BMDR_BLOCK.at.numrecs);
  const max = maxRootRecords(size);
  if (level === 0 || level > 10 || numrecs === 0 || numrecs > max) return undefined;
  const fsblock = getU64(view, at + BMDR_BLOCK.size + max * 8);
  return fsblock > 0 && isFsRange(volume.g, fsblock, 1) ? fsblock : undefined;
}

function btreeGuess(volume: Volume, ino: number, bytes: ForkBytes, count: number): Guess {
  const child = bmbtChild(volume, bytes);
  if (child === undefined) return NO(FORK_FORMAT.BTREE);
  const fit = ownBlock(volume, ino, child) === 'bmbt' ? FIT.PROVED : FIT.EMPTY;
  return { fit, format: FORK_FORMAT.BTREE, count, blocks: 0 };
}

/** The attribute fork read in `format`; `count` is what the inode says of its extents. */
export function attrGuess(
  volume: Volume,
  ino: number,
  bytes: ForkBytes,
  format: number,
  count: number,
): Guess {
  if (bytes.size <= 0) return { fit: count === 0 ? FIT.EMPTY : FIT.NO, format, count: 0, blocks: 0 };
  if (format === FORK_FORMAT.LOCAL) {
    const faults: Fault[] = [];
    const { view, at, size } = bytes;
    const fork = new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset + at, size);
    verifyAttrShortForm(volume.g, fork, ino, (f) => faults.push(f));
    if (faults.length > 0 || count !== 0) return NO(format);
    return { fit: fork[2] > 0 ? FIT.PROVED : FIT.EMPTY, format, count: 0, blocks: 0 };
  }
  if (format === FORK_FORMAT.BTREE) return btreeGuess(volume, ino, bytes, count);
  if (format !== FORK_FORMAT.EXTENTS) return NO(format);
  if (count === 0) return { fit: FIT.EMPTY, format, count, blocks: 0 };
  const sums = leadingExtents(volume, bytes);
  if (count > sums.length) return NO(format);
  // A leaf or a node; the latter looks alike in directories and attributes.
  const what = ownBlock(volume, ino, extentFsblock(bytes.view, bytes.at));
  const proved = extentOffset(bytes.view, bytes.at) === 0 && (what === 'attr' || what === 'dir');
  return { fit: proved ? FIT.PROVED : FIT.EMPTY, format, count, blocks: sums[count - 1] };
}

export interface DataAs {
  /** S_IF of the inode. */
  readonly type: number;
  readonly format: number;
  readonly count: number;
  readonly size: number;
}

/** The data fork read as a file of `type` has it. */
export function dataGuess(volume: Volume, ino: number, bytes: ForkBytes, as: DataAs): Guess {
  const { type, format, count, size } = as;
  const { view, at } = bytes;
  switch (format) {
    case FORK_FORMAT.DEV: {
      const device = type === S_IF.CHR || type === S_IF.BLK || type === S_IF.FIFO || type === S_IF.SOCK;
      return { fit: device && size === 0 && count === 0 ? FIT.LIKELY : FIT.NO, format, count: 0, blocks: 0 };
    }
    case FORK_FORMAT.LOCAL: {
      if (count !== 0 || size > bytes.size || size === 0) return NO(format);
      const fork = new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset + at, size);
      if (type === S_IF.LNK)
        return { fit: fork.includes(0) ? FIT.NO : FIT.LIKELY, format, count: 0, blocks: 0 };
      const faults: Fault[] = [];
      verifyShortForm(volume.g, fork, ino, (f) => faults.push(f));
      const fit = type === S_IF.DIR && faults.length === 0 ? FIT.PROVED : FIT.NO;
      return { fit, format, count: 0, blocks: 0 };
    }
    case FORK_FORMAT.EXTENTS: {
      if (count === 0) return { fit: type === S_IF.REG ? FIT.EMPTY : FIT.NO, format, count, blocks: 0 };
      const sums = leadingExtents(volume, bytes);
      if (count > sums.length) return NO(format);
      const what = ownBlock(volume, ino, extentFsblock(view, at));
      return { fit: fitOf(type, what, size), format, count, blocks: sums[count - 1] };
    }
    case FORK_FORMAT.BTREE: {
      const guess = btreeGuess(volume, ino, bytes, count);
      return type === S_IF.REG || type === S_IF.DIR ? guess : NO(format);
    }
  }
  return NO(format);
}

/** Whether a file of `type` begins with a block of this kind. */
function fitOf(type: number, what: string | undefined, size: number): number {
  // A block that does not verify may be damaged itself.
  const damaged = what === undefined ? FIT.EMPTY : FIT.NO;
  if (type === S_IF.DIR) return what === 'dir' ? FIT.PROVED : damaged;
  if (type === S_IF.LNK) {
    if (size === 0 || size > SYMLINK_MAXLEN) return FIT.NO;
    return what === 'symlink' ? FIT.PROVED : damaged;
  }
  return type === S_IF.REG && (what === undefined || what === 'inodes') ? FIT.LIKELY : FIT.NO;
}

export const forkBytes = (
  view: DataView,
  fork: ForkName,
  forkoff: number,
  coreSize: number,
  inodesize: number,
): ForkBytes => {
  const room = inodesize - coreSize;
  const cut = Math.min(forkoff * 8, room);
  if (fork === 'data') return { view, at: coreSize, size: cut === 0 ? room : cut };
  return { view, at: coreSize + cut, size: cut === 0 ? 0 : room - cut };
};
