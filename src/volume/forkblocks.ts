/**
 * The blocks of a directory or an attribute fork, by their place in the fork. A directory block can be
 * several filesystem blocks, and those need not lie side by side.
 */
import type { Place } from '../format/da.js';
import { CorruptionError, type Report } from '../format/fault.js';
import { agbnoOfFsblock, agnoOfFsblock, fsblockOffset } from '../format/geometry.js';
import { type ExtentList, type ForkName, findExtent, readExtents } from './fork.js';
import type { Inode } from './inode.js';
import { bytesOf, type Volume } from './volume.js';

/**
 * Blocks that have passed their checks, and the inode they passed for: looking up many names in one directory
 * checks each of its blocks once. A view lives as long as the cache keeps it.
 */
const verified = new WeakMap<DataView, number>();

/** Bytes read ahead at once. */
const AHEAD = 2 ** 17;

export class ForkBlocks {
  readonly volume: Volume;
  readonly inode: Inode;
  readonly extents: ExtentList;
  /** Filesystem blocks of one block of this fork. */
  readonly fsbs: number;
  /** File block behind the last one mapped. */
  readonly end: number;
  readonly #fork: ForkName;
  /** Blocks read ahead: file blocks [aheadFrom, aheadTo). */
  #ahead = new Uint8Array(0);
  #aheadFrom = 0;
  #aheadTo = 0;

  /** Reads the fork's extents; faults in them go to `report`, which may throw. */
  constructor(volume: Volume, inode: Inode, fork: ForkName, report: Report) {
    this.volume = volume;
    this.inode = inode;
    this.#fork = fork;
    this.fsbs = fork === 'data' && inode.isDir ? volume.g.dirblkfsbs : 1;
    this.extents = readExtents(volume, inode, fork, report);
    const { count, offset, blocks } = this.extents;
    this.end = count === 0 ? 0 : offset[count - 1] + blocks[count - 1];
  }

  /** Where the block at file block `at` stands; undefined in a hole. */
  place(at: number): Place | undefined {
    const { extents } = this;
    const i = findExtent(extents, at);
    if (i >= extents.count || extents.offset[i] > at) return undefined;
    const { g } = this.volume;
    const fsblock = extents.fsblock[i] + (at - extents.offset[i]);
    return { ino: this.inode.ino, agno: agnoOfFsblock(g, fsblock), agbno: agbnoOfFsblock(g, fsblock) };
  }

  /** The block at file block `at`; undefined where any part of it is a hole. */
  read(at: number): DataView | undefined {
    const { extents, fsbs, volume } = this;
    const { g } = volume;
    const i = findExtent(extents, at);
    if (i >= extents.count || extents.offset[i] > at) return undefined;
    const size = fsbs * g.blocksize;
    const skip = at - extents.offset[i];
    if (extents.blocks[i] - skip >= fsbs)
      return volume.cache.get(fsblockOffset(g, extents.fsblock[i] + skip), size);
    const whole = new Uint8Array(size);
    for (let b = 0; b < fsbs; b++) {
      const k = findExtent(extents, at + b);
      if (k >= extents.count || extents.offset[k] > at + b) return undefined;
      const from = fsblockOffset(g, extents.fsblock[k] + (at + b - extents.offset[k]));
      volume.source.read(from, whole.subarray(b * g.blocksize, (b + 1) * g.blocksize));
    }
    return new DataView(whole.buffer);
  }

  /**
   * The same for a walk along the fork, which will also want the blocks after it: `more` file blocks from `at`
   * on lie side by side. They are read in one piece and kept for this walk, not in the cache.
   */
  readAhead(at: number, more: number): DataView | undefined {
    const { volume, fsbs } = this;
    const { blocksize } = volume.g;
    if (at < this.#aheadFrom || at + fsbs > this.#aheadTo) {
      const blocks = Math.min(Math.floor(more / fsbs) * fsbs, Math.max(fsbs, AHEAD / blocksize));
      if (blocks <= fsbs) return this.read(at);
      const i = findExtent(this.extents, at);
      const fsblock = this.extents.fsblock[i] + (at - this.extents.offset[i]);
      this.#ahead = new Uint8Array(blocks * blocksize);
      volume.source.read(fsblockOffset(volume.g, fsblock), this.#ahead);
      this.#aheadFrom = at;
      this.#aheadTo = at + blocks;
    }
    return new DataView(this.#ahead.buffer, (at - this.#aheadFrom) * blocksize, fsbs * blocksize);
  }

  /** The block at file block `at`. Throws CorruptionError in a hole, as what `field` pointed there. */
  need(at: number, structure: string, field: string): DataView {
    const v = this.read(at);
    if (v === undefined)
      throw new CorruptionError({
        structure,
        ino: this.inode.ino,
        field,
        value: at,
        expected: `a block of the ${this.#fork} fork, not a hole`,
      });
    return v;
  }

  /** Runs `check` on a block unless it has passed before. Whether it found nothing wrong. */
  verify(
    v: DataView,
    at: number,
    check: (block: Uint8Array, place: Place, report: Report) => void,
    report: Report,
  ): boolean {
    if (verified.get(v) === this.inode.ino) return true;
    const place = this.place(at);
    if (place === undefined) return false;
    let clean = true;
    check(bytesOf(v), place, (fault) => {
      clean = false;
      report(fault);
    });
    if (clean) verified.set(v, this.inode.ino);
    return clean;
  }
}
