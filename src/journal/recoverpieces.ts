/**
 * Directory blocks in pieces. A directory block of several filesystem blocks need not lie side by side on disk;
 * Linux then logs each piece as a buffer item of its own (xfs_buf_item.c), of which only the first holds the
 * block's header. A checksum can be computed over all of them together alone, and only the directory's own
 * extents say which they are: so that is done when everything is replayed. (Linux 6.18 seals the first piece
 * as if it were the block, and then refuses the mount.)
 */
import { sealCrc } from '../format/checksum.js';
import { CorruptionError, throwFault } from '../format/fault.js';
import { fsblockOffset, type Geometry } from '../format/geometry.js';
import { identityOf } from '../format/identity.js';
import { compareLsn, compareLsnAt, type Lsn, writeLsn } from '../format/log.js';
import { BLFT } from '../format/logitems.js';
import { viewOf } from '../format/structure.js';
import { type ExtentList, findExtent, readExtents } from '../volume/fork.js';
import { readInode } from '../volume/inode.js';
import { openVolume, type Volume } from '../volume/volume.js';
import type { RecoverySet } from './recoverset.js';

/** What a buffer shorter than a directory block can be a piece of. */
const OF_DIRECTORIES: ReadonlySet<number> = new Set([
  BLFT.DIR_BLOCK,
  BLFT.DIR_DATA,
  BLFT.DIR_FREE,
  BLFT.DIR_LEAF1,
  BLFT.DIR_LEAFN,
  BLFT.DA_NODE,
]);

export class PieceReplay {
  readonly #set: RecoverySet;
  readonly #g: Geometry;
  /** By byte offset of each filesystem block in a piece: the last LSN it was replayed at. */
  readonly #replayed = new Map<number, Lsn>();
  /** Inodes that were logged: whatever changes a directory logs its inode too. */
  readonly #inodes = new Set<number>();

  constructor(set: RecoverySet, g: Geometry) {
    this.#set = set;
    this.#g = g;
  }

  addInode(ino: number): void {
    if (this.#g.dirblkfsbs > 1) this.#inodes.add(ino);
  }

  /** Notes that a buffer of a type (BLFT) was replayed. */
  addBuffer(offset: number, length: number, type: number, lsn: Lsn): void {
    const { dirblksize, blocksize } = this.#g;
    if (length >= dirblksize || !OF_DIRECTORIES.has(type)) return;
    for (let at = 0; at < length; at += blocksize) this.#replayed.set(offset + at, lsn);
  }

  /** Seals the directory blocks that had pieces replayed. What cannot be read is left as it was logged. */
  settle(): void {
    if (this.#replayed.size === 0) return;
    const volume = openVolume(this.#set);
    for (const ino of this.#inodes) {
      try {
        const inode = readInode(volume, ino);
        if (inode.isDir) this.#settleDirectory(volume, readExtents(volume, inode, 'data', throwFault));
      } catch (error) {
        if (!(error instanceof CorruptionError)) throw error;
      }
    }
  }

  #settleDirectory(volume: Volume, extents: ExtentList): void {
    const { dirblkfsbs } = volume.g;
    let next = 0;
    for (let i = 0; i < extents.count; i++) {
      const end = extents.offset[i] + extents.blocks[i];
      let at = Math.max(next, Math.ceil(extents.offset[i] / dirblkfsbs) * dirblkfsbs);
      for (; at < end; at += dirblkfsbs) if (at + dirblkfsbs > end) this.#settleBlock(volume, extents, at);
      next = at;
    }
  }

  #settleBlock(volume: Volume, extents: ExtentList, at: number): void {
    const { g } = volume;
    const block = new Uint8Array(g.dirblksize);
    let lsn: Lsn | undefined;
    let first = 0;
    for (let b = 0; b < g.dirblkfsbs; b++) {
      const i = findExtent(extents, at + b);
      if (i >= extents.count || extents.offset[i] > at + b) return;
      const offset = fsblockOffset(g, extents.fsblock[i] + at + b - extents.offset[i]);
      if (b === 0) first = offset;
      this.#set.read(offset, block.subarray(b * g.blocksize, (b + 1) * g.blocksize));
      const here = this.#replayed.get(offset);
      if (here !== undefined && (lsn === undefined || compareLsn(here, lsn) > 0)) lsn = here;
    }
    const v = viewOf(block);
    const identity = identityOf(v, 0);
    if (lsn === undefined || identity === undefined || !OF_DIRECTORIES.has(identity.type)) return;
    if (compareLsnAt(v, identity.lsn, lsn) < 0) writeLsn(v, identity.lsn, lsn);
    sealCrc(block, identity.crc);
    this.#set.put(first + identity.lsn, block, identity.lsn, 8);
    this.#set.put(first + identity.crc, block, identity.crc, 4);
    // Its pieces can be anywhere.
    this.#set.head(first, Number.POSITIVE_INFINITY);
  }
}
