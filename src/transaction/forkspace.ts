/**
 * The blocks of a directory or an attribute fork, to be changed: found, added and given back by their place
 * in the fork. A directory block may be several filesystem blocks; those must lie side by side on disk, as
 * they do in whatever is added here.
 */
import type { Place } from '../format/da.js';
import { CorruptionError, type Report, throwFault } from '../format/fault.js';
import { agbnoOfFsblock, agnoOfFsblock, fsblockOffset, type Geometry } from '../format/geometry.js';
import type { ForkName } from '../volume/fork.js';
import { allocateExtent, type Extent, forkMap, indexAt, unmapExtent } from './bmap.js';
import type { Buffer } from './buffers.js';
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
    if (e.offset + e.blocks < at + this.unit)
      throw new Error(
        `inode ${this.inode.ino}: the directory block at file block ${at} is in pieces on disk, ` +
          'which cannot be changed here',
      );
    return e.fsblock + (at - e.offset);
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
    return this.tx.engine.buffers.get(fsblockOffset(this.g, fsblock), this.bytes, type);
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

  /** Adds a block of zeros in the hole at file block `at`. Throws NoSpaceError. */
  add(at: number, type: number): Buffer {
    const { tx, inode, fork, unit } = this;
    const { fsblock } = allocateExtent(tx, inode, fork, at, unit, { min: unit, metadata: true });
    return this.#fresh(fsblock, type);
  }

  /** The block at file block `at` once more, as zeros. */
  renew(at: number, type: number): Buffer {
    return this.#fresh(this.#fsblock(at), type);
  }

  #fresh(fsblock: number, type: number): Buffer {
    const buffer = this.tx.fresh(fsblockOffset(this.g, fsblock), this.bytes, type);
    verified.set(buffer, this.inode.ino);
    return buffer;
  }

  /** Gives the block at file block `at` back. */
  remove(at: number): void {
    const { tx, inode, fork, unit } = this;
    const fsblock = this.#fsblock(at);
    tx.cancelAt(fsblockOffset(this.g, fsblock), this.bytes);
    unmapExtent(tx, inode, fork, at, unit);
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
