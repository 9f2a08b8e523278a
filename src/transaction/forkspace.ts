/**
 * The blocks of a directory or an attribute fork, to be changed: found, added and given back by their place
 * in the fork. A directory block may be several filesystem blocks, which lie side by side on disk unless there
 * was no room for that when it was added.
 */
import type { Place } from '../format/da.js';
import { CorruptionError, type Report, throwFault } from '../format/fault.js';
import { agbnoOfFsblock, agnoOfFsblock, fsblockOffset, type Geometry } from '../format/geometry.js';
import type { ForkName } from '../volume/fork.js';
import { NoSpaceError } from './alloc.js';
import { allocateExtent, type Extent, forkMap, indexAt, unmapExtent } from './bmap.js';
import type { Buffer, Piece } from './buffers.js';
import type { LiveInode } from './inode.js';
import type { Transaction } from './transaction.js';

/** Buffers whose contents have passed their checks or were made here, and for which inode. */
const verified = new WeakMap<Buffer, number>();

/** A check of a block's contents: one of format/dircheck.ts, format/attrcheck.ts, format/da.ts. */
export type BlockCheck = (block: Uint8Array, place: Place, report: Report) => void;

export class ForkSpace {
  readonly tx: Transaction;
  readonly g: Geometry;
  readonly inode: LiveInode;
  readonly fork: ForkName;
  /** Filesystem blocks, and bytes, of one block of this fork. */
  readonly unit: number;
  readonly bytes: number;

  constructor(tx: Transaction, inode: LiveInode, fork: ForkName) {
    this.tx = tx;
    this.g = tx.engine.g;
    this.inode = inode;
    this.fork = fork;
    this.unit = fork === 'data' && inode.isDir ? this.g.dirblkfsbs : 1;
    this.bytes = this.unit * this.g.blocksize;
  }

  get extents(): readonly Extent[] {
    return forkMap(this.tx, this.inode, this.fork).extents;
  }

  /** File block behind the last one mapped. */
  get end(): number {
    const { extents } = this;
    const last = extents[extents.length - 1];
    return last === undefined ? 0 : last.offset + last.blocks;
  }

  /** File block behind the last one mapped below `limit`. */
  endBefore(limit: number): number {
    const { extents } = this;
    const i = indexAt(extents, limit - 1);
    const e = extents[i];
    if (e !== undefined && e.offset < limit) return Math.min(limit, e.offset + e.blocks);
    return i === 0 ? 0 : extents[i - 1].offset + extents[i - 1].blocks;
  }

  /** Throws what is wrong about the block at file block `at`. */
  bad(structure: string, at: number, field: string, value: number | string, expected: string): never {
    const fsblock = this.#fsblock(at);
    const place = fsblock < 0 ? {} : this.#place(fsblock);
    throw new CorruptionError({ structure, ino: this.inode.ino, ...place, field, value, expected });
  }

  #place(fsblock: number): Place {
    const { g, inode } = this;
    return { ino: inode.ino, agno: agnoOfFsblock(g, fsblock), agbno: agbnoOfFsblock(g, fsblock) };
  }

  /** First filesystem block of the block at file block `at`; -1 in a hole. */
  #fsblock(at: number): number {
    const { extents } = this;
    const e = extents[indexAt(extents, at)];
    if (e === undefined || e.offset > at) return -1;
    return e.fsblock + (at - e.offset);
  }

  /** Where the parts of the block at file block `at` are, if not side by side. Throws CorruptionError in a hole. */
  #pieces(at: number): Piece[] | undefined {
    const { extents, unit, g } = this;
    if (unit === 1) return undefined;
    let i = indexAt(extents, at);
    const first = extents[i];
    if (first.offset + first.blocks >= at + unit) return undefined;
    const pieces: Piece[] = [];
    for (let next = at; next < at + unit; i++) {
      const e = extents[i];
      if (e === undefined || e.offset > next)
        this.bad(`${this.fork} fork`, at, 'startoff', next, 'a block of the fork, not a hole');
      const skip = next - e.offset;
      const blocks = Math.min(e.blocks - skip, at + unit - next);
      pieces.push({ offset: fsblockOffset(g, e.fsblock + skip), length: blocks * g.blocksize });
      next += blocks;
    }
    return pieces;
  }

  /** Where the block at file block `at` stands. Throws CorruptionError in a hole. */
  placeOf(at: number): Place {
    const fsblock = this.#fsblock(at);
    if (fsblock < 0) this.bad(`${this.fork} fork`, at, 'startoff', at, 'a block of the fork, not a hole');
    return this.#place(fsblock);
  }

  has(at: number): boolean {
    return this.#fsblock(at) >= 0;
  }

  /** The block at file block `at`. Throws CorruptionError in a hole. */
  get(at: number, type: number): Buffer {
    const fsblock = this.#fsblock(at);
    if (fsblock < 0) this.bad(`${this.fork} fork`, at, 'startoff', at, 'a block of the fork, not a hole');
    return this.tx.engine.buffers.get(fsblockOffset(this.g, fsblock), this.bytes, type, this.#pieces(at));
  }

  /** The same, its contents checked when it is met first. Throws CorruptionError. */
  checked(at: number, type: number, check: BlockCheck): Buffer {
    const buffer = this.get(at, type);
    this.check(buffer, at, check);
    return buffer;
  }

  check(buffer: Buffer, at: number, check: BlockCheck): void {
    if (verified.get(buffer) === this.inode.ino) return;
    check(buffer.bytes, this.#place(this.#fsblock(at)), throwFault);
    verified.set(buffer, this.inode.ino);
  }

  /** Adds a block of zeros in the hole at file block `at`: in pieces where there is no other room. Throws NoSpaceError. */
  add(at: number, type: number): Buffer {
    const { tx, inode, fork, unit } = this;
    try {
      allocateExtent(tx, inode, fork, at, unit, { min: unit, metadata: true });
    } catch (error) {
      // Blocks freed lately come first: what cancels them in the log must not meet pieces of a block.
      if (!(error instanceof NoSpaceError) || unit === 1 || tx.engine.busy.blocks > 0) throw error;
      for (let done = 0; done < unit; )
        done += allocateExtent(tx, inode, fork, at + done, unit - done, { metadata: true }).blocks;
    }
    return this.#fresh(at, type);
  }

  /** The block at file block `at` once more, as zeros. */
  renew(at: number, type: number): Buffer {
    return this.#fresh(at, type);
  }

  #fresh(at: number, type: number): Buffer {
    const offset = fsblockOffset(this.g, this.#fsblock(at));
    const buffer = this.tx.fresh(offset, this.bytes, type, this.#pieces(at));
    verified.set(buffer, this.inode.ino);
    return buffer;
  }

  /** Gives the block at file block `at` back. */
  remove(at: number): void {
    const { tx, inode, fork, unit } = this;
    this.#cancel(at);
    unmapExtent(tx, inode, fork, at, unit);
  }

  /** The log forgets what it holds of the blocks from file block `from` on; unmapping them is the caller's. */
  cancelFrom(from: number): void {
    const { extents, unit } = this;
    let next = from;
    for (const e of [...extents]) {
      let at = Math.max(next, Math.ceil(e.offset / unit) * unit);
      for (; at < e.offset + e.blocks; at += unit) this.#cancel(at);
      next = at;
    }
  }

  #cancel(at: number): void {
    this.tx.cancelAt(fsblockOffset(this.g, this.#fsblock(at)), this.bytes, this.#pieces(at));
  }

  /** First file block from `from` on, a multiple of the unit away, that is a hole. */
  firstHole(from: number): number {
    const { extents, unit } = this;
    let at = from;
    for (let i = indexAt(extents, from); i < extents.length && extents[i].offset < at + unit; i++)
      at = from + Math.ceil((extents[i].offset + extents[i].blocks - from) / unit) * unit;
    return at;
  }
}

/** Gives a buffer another type; abort puts the old one back. */
export function retype(tx: Transaction, buffer: Buffer, type: number): void {
  const before = buffer.type;
  tx.onAbort(() => {
    buffer.type = before;
  });
  buffer.type = type;
}
