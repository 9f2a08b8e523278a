/**
 * Contents of regular files. Holes, unwritten extents and what lies behind the last extent read as zeros.
 */
import { FORK_FORMAT } from '../format/dinode.js';
import { CorruptionError } from '../format/fault.js';
import { agbnoOfFsblock, agnoOfFsblock, fsblockOffset } from '../format/geometry.js';
import { ImageError } from '../image/source.js';
import { type ExtentList, findExtent, readExtents } from './fork.js';
import type { Inode } from './inode.js';
import type { Volume } from './volume.js';

/**
 * A part of a file, [offset, offset + length) in bytes: data, or zeros that nobody needs to read. Offsets begin
 * at a block border: that is exact as a number even in a file of 2^63 bytes, whose every byte is not.
 */
export interface Segment {
  readonly offset: number;
  readonly length: number;
  readonly zeros: boolean;
}

export class FileReader {
  readonly volume: Volume;
  readonly inode: Inode;
  readonly size: number;
  readonly extents: ExtentList;
  readonly #exactSize: bigint;

  /** Throws CorruptionError where the inode is no regular file, or its extents cannot be true. */
  constructor(volume: Volume, inode: Inode) {
    this.volume = volume;
    this.inode = inode;
    this.size = inode.size;
    this.#exactSize = inode.exactSize;
    const fail = (field: string, value: number | string, expected: string): never => {
      throw new CorruptionError({ structure: 'dinode', ino: inode.ino, field, value, expected });
    };
    if (!inode.isRegular) fail('mode', `0${inode.mode.toString(8)}`, 'a regular file');
    if (inode.format !== FORK_FORMAT.EXTENTS && inode.format !== FORK_FORMAT.BTREE)
      fail('format', inode.format, 'extents or btree');
    this.extents = readExtents(volume, inode, 'data');
  }

  /** Bytes from `offset` to the end of the file; negative behind it. */
  #rest(offset: number): number {
    if (Number.isSafeInteger(this.size)) return this.size - offset;
    return Number(this.#exactSize - BigInt(offset));
  }

  /** The file from front to end: runs of data and of zeros, none empty, up to its size. */
  *segments(): Generator<Segment> {
    const { extents } = this;
    const { blocksize } = this.volume.g;
    let at = 0;
    for (let i = 0; i < extents.count; i++) {
      if (extents.unwritten[i] === 1) continue;
      const from = extents.offset[i] * blocksize;
      const rest = this.#rest(from);
      if (rest <= 0) break;
      if (from > at) yield { offset: at, length: from - at, zeros: true };
      const length = Math.min(extents.blocks[i] * blocksize, rest);
      yield { offset: from, length, zeros: false };
      if (length === rest) return;
      at = from + length;
    }
    const rest = this.#rest(at);
    if (rest > 0) yield { offset: at, length: rest, zeros: true };
  }

  /**
   * Fills `into` from byte `offset` of the file. Returns the bytes filled: fewer only at the end of the file.
   * Throws CorruptionError where the image does not give them.
   */
  read(offset: number, into: Uint8Array): number {
    const length = Math.max(0, Math.min(into.length, this.#rest(offset)));
    const { extents } = this;
    const { g } = this.volume;
    let done = 0;
    let i = findExtent(extents, Math.floor(offset / g.blocksize));
    while (done < length) {
      const at = offset + done;
      const from = i < extents.count ? extents.offset[i] * g.blocksize : Number.POSITIVE_INFINITY;
      if (from > at) {
        const n = Math.min(from - at, length - done);
        into.fill(0, done, done + n);
        done += n;
        continue;
      }
      const n = Math.min(from + extents.blocks[i] * g.blocksize - at, length - done);
      const part = into.subarray(done, done + n);
      if (extents.unwritten[i] === 1) part.fill(0);
      else this.#readData(i, at - from, part);
      done += n;
      i++;
    }
    return length;
  }

  #readData(i: number, skip: number, into: Uint8Array): void {
    const { g, source } = this.volume;
    const fsblock = this.extents.fsblock[i];
    try {
      source.read(fsblockOffset(g, fsblock) + skip, into);
    } catch (error) {
      if (!(error instanceof ImageError)) throw error;
      const block = fsblock + Math.floor(skip / g.blocksize);
      throw new CorruptionError({
        structure: 'data fork',
        ino: this.inode.ino,
        agno: agnoOfFsblock(g, block),
        agbno: agbnoOfFsblock(g, block),
        field: `bmx[${i}].startblock`,
        value: fsblock,
        expected: `blocks that can be read (${error.message})`,
      });
    }
  }
}

/** Bytes of a file written in one piece. */
const PIECE = 2 ** 20;

/**
 * Hands a file's contents to `write` in pieces of up to 1 MiB, zeros included. The piece is used again: it
 * must be written, or copied, before `write` returns.
 */
export function streamFile(volume: Volume, inode: Inode, write: (piece: Uint8Array) => void): void {
  const reader = new FileReader(volume, inode);
  const buffer = new Uint8Array(Math.min(PIECE, Math.max(1, reader.size)));
  let zeros: Uint8Array | undefined;
  for (const { offset, length, zeros: isZeros } of reader.segments()) {
    if (isZeros) zeros ??= new Uint8Array(buffer.length);
    for (let done = 0; done < length; ) {
      const n = Math.min(buffer.length, length - done);
      const piece = (isZeros ? zeros! : buffer).subarray(0, n);
      if (!isZeros) reader.read(offset + done, piece);
      write(piece);
      done += n;
    }
  }
}

/** A whole file in memory. Throws RangeError for one larger than `limit` (default 1 GiB). */
export function readFile(volume: Volume, inode: Inode, limit = 2 ** 30): Uint8Array {
  const reader = new FileReader(volume, inode);
  if (reader.size > limit) throw new RangeError(`inode ${inode.ino} has ${reader.size} bytes, over ${limit}`);
  const out = new Uint8Array(reader.size);
  reader.read(0, out);
  return out;
}
