/** Forks written anew into blocks that are free, and the inode that points to them. */
import { type BuiltFork, buildFork, ExtentColumns, type ForkTarget } from '../../build/fork.js';
import { sealCrc } from '../../format/checksum.js';
import { DINODE, DINODE64, dinodeIsNrext64 } from '../../format/dinode.js';
import { agnoOfIno, fsblockOffset, inodeOffset } from '../../format/geometry.js';
import { setU64, viewOf } from '../../format/structure.js';
import { type ForkName, walkExtents, walkForkBlocks } from '../../volume/fork.js';
import { type Inode, readInode } from '../../volume/inode.js';
import { bytesOf, type Volume } from '../../volume/volume.js';
import type { FreeSpace, OldFork } from './space.js';

const IGNORE = (): void => {};

/** Blocks a fork holds, those of its bmbt included, as far as it can be read. */
export function forkHolds(volume: Volume, inode: Inode, fork: ForkName): number {
  let blocks = 0;
  const add = (_offset: number, _fsblock: number, n: number): void => {
    blocks += n;
  };
  walkExtents(volume, inode, fork, add, IGNORE);
  walkForkBlocks(volume, inode, fork, () => blocks++, IGNORE);
  return blocks;
}

/** Takes blocks for runs of a fork that is written anew, near the inode. What the old one holds was read by now. */
export function takeBlocks(
  volume: Volume,
  space: FreeSpace,
  ino: number,
  fork: ForkName,
  runs: readonly { readonly offset: number; readonly count: number }[],
): ExtentColumns {
  const list = new ExtentColumns();
  for (const run of runs) {
    const taken = space.take(agnoOfIno(volume.g, ino), run.count, { ino, fork });
    for (let i = 0; i < run.count; i++) list.add(run.offset + i, taken[i], 1);
  }
  return list;
}

/** Where blocks of a fork go, given its extents. */
export function targetOf(volume: Volume, list: ExtentColumns): ForkTarget {
  const { g } = volume;
  return {
    daddr: (fileBlock) => fsblockOffset(g, list.find(fileBlock)!) / 512,
    emit: (fileBlock, block) => {
      for (let i = 0; i * g.blocksize < block.length; i++)
        volume.source.write(
          fsblockOffset(g, list.find(fileBlock + i)!),
          block.subarray(i * g.blocksize, (i + 1) * g.blocksize),
        );
    },
  };
}

/** The inode's part of a fork that maps `list`, its btree in new blocks. */
export function buildNewFork(
  volume: Volume,
  space: FreeSpace,
  old: OldFork,
  list: ExtentColumns,
  room: number,
): BuiltFork {
  const { g } = volume;
  const { ino } = old;
  return buildFork(g, ino, list, room, {
    take: (count) => space.take(agnoOfIno(g, ino), count, old),
    emit: (fsblock, block) => volume.source.write(fsblockOffset(g, fsblock), block),
  });
}

/** What an inode's fork becomes. */
export interface NewFork {
  /** FORK_FORMAT. */
  readonly format: number;
  /** What stands in the inode. */
  readonly bytes: Uint8Array;
  readonly extents: number;
  /** Blocks it holds. */
  readonly blocks: number;
  /** di_size, where it changes with the fork. */
  readonly size?: number;
}

/** Writes a fork into `bytes`, a copy of the inode `old`: its literal area, format and count of extents. */
export function placeFork(
  bytes: Uint8Array,
  old: Inode,
  fork: ForkName,
  to: Pick<NewFork, 'bytes' | 'format' | 'extents'>,
): void {
  const v = viewOf(bytes);
  const data = fork === 'data';
  const at = (data ? old.dataAt : old.attrAt) - old.base;
  bytes.fill(0, at, at + (data ? old.dataSize : old.attrSize));
  bytes.set(to.bytes, at);
  const big = dinodeIsNrext64(v, 0);
  if (data) {
    v.setUint8(DINODE.at.format, to.format);
    if (big) setU64(v, DINODE64.at.nextents, to.extents);
    else v.setUint32(DINODE.at.nextents, to.extents);
  } else {
    v.setInt8(DINODE.at.aformat, to.format);
    if (big) v.setUint32(DINODE64.at.naextents, to.extents);
    else v.setUint16(DINODE.at.naextents, to.extents);
  }
}

/** Puts a fork in the place of the inode's own. The blocks of the old one become nobody's. */
export function replaceFork(
  volume: Volume,
  space: FreeSpace,
  ino: number,
  fork: ForkName,
  to: NewFork,
): void {
  const { g } = volume;
  const old = readInode(volume, ino, { verify: false });
  const bytes = bytesOf(old.view).slice(old.base, old.base + g.inodesize);
  const v = new DataView(bytes.buffer);
  const other =
    fork === 'data' ? (old.hasAttrFork ? forkHolds(volume, old, 'attr') : 0) : forkHolds(volume, old, 'data');
  placeFork(bytes, old, fork, to);
  if (to.size !== undefined) setU64(v, DINODE.at.size, to.size);
  setU64(v, DINODE.at.nblocks, to.blocks + other);
  sealCrc(bytes, DINODE.at.crc);
  volume.source.write(inodeOffset(g, ino), bytes);
  volume.cache.clear();
  space.gaveUp.push({ ino, fork });
}
