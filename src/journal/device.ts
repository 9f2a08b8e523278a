/**
 * The log as a ring of 512-byte basic blocks inside the image, addressed from its start. Reading goes
 * through one of two doors: `cycle` and `isHeader` look at single blocks through a small window (searching
 * for the head touches a few hundred of them), `LogReader` streams records in large chunks.
 */
import { fsblockOffset, type Geometry } from '../format/geometry.js';
import {
  BBSIZE,
  blockCycle,
  type Lsn,
  XLOG_HEADER_CYCLE_SIZE,
  XLOG_HEADER_MAGIC,
  XLOG_MAX_RECORD_SIZE,
} from '../format/log.js';
import { parseUuid, viewOf } from '../format/structure.js';
import type { Source } from '../image/source.js';
import { LogError } from './error.js';

const WINDOW_BLOCKS = 128;
/** Large enough for any record, small enough to stay in a processor's cache. */
const CHUNK_BLOCKS = 640;

export class LogDevice {
  readonly source: Source;
  readonly g: Geometry;
  /** Byte of the image at which the log begins, and its length in basic blocks. */
  readonly start: number;
  readonly blocks: number;
  /** UUID that records of this filesystem's log carry: the one shown to the user. */
  readonly uuid: Uint8Array;
  /** Bytes of a log buffer where no mount option says otherwise (xfs_log.c, xfs_super.c). */
  readonly bufferSize: number;
  readonly #window = new DataView(new ArrayBuffer(WINDOW_BLOCKS * BBSIZE));
  #windowAt = -1;

  constructor(source: Source, g: Geometry) {
    this.source = source;
    this.g = g;
    this.start = fsblockOffset(g, g.logstart);
    this.blocks = Math.floor((g.logblocks * g.blocksize) / BBSIZE);
    this.uuid = new Uint8Array(16);
    parseUuid(g.uuid, viewOf(this.uuid), 0);
    this.bufferSize = Math.max(XLOG_HEADER_CYCLE_SIZE, g.logsunit);
    if (this.blocks * BBSIZE < 2 * XLOG_MAX_RECORD_SIZE)
      throw new LogError({ cycle: 0, block: 0 }, `the log has only ${this.blocks * BBSIZE} bytes`);
  }

  /** Position of a basic block in the window, which is read in where needed. */
  #at(block: number): number {
    const first = block - (block % WINDOW_BLOCKS);
    if (first !== this.#windowAt) {
      const count = Math.min(WINDOW_BLOCKS, this.blocks - first);
      this.#windowAt = -1;
      this.source.read(this.start + first * BBSIZE, new Uint8Array(this.#window.buffer, 0, count * BBSIZE));
      this.#windowAt = first;
    }
    return (block - first) * BBSIZE;
  }

  /** The cycle number stamped on a block. */
  cycle(block: number): number {
    return blockCycle(this.#window, this.#at(block));
  }

  /** Whether a block begins with the magic of a record header. */
  isHeader(block: number): boolean {
    const at = this.#at(block);
    return this.#window.getUint32(at) === XLOG_HEADER_MAGIC;
  }

  /** A copy of one block. */
  block(block: number): DataView {
    const at = this.#at(block);
    return new DataView(this.#window.buffer.slice(at, at + BBSIZE));
  }

  /** LSN of a block, by the cycle stamped on it: for messages. */
  lsnOf(block: number): Lsn {
    const inside = block % this.blocks;
    return { cycle: this.cycle(inside), block: inside };
  }
}

/**
 * Streams the log forward in chunks, numbered as they are read. What was handed out of a chunk stays as it is
 * until `release` says that nobody needs it; only then its memory is read into again.
 */
export class LogReader {
  readonly device: LogDevice;
  /** Number of the chunk the last read came from. */
  sequence = 0;
  #chunk: Uint8Array = new Uint8Array(0);
  #first = 0;
  #count = 0;
  /** Chunks still in use, oldest first, with their numbers; and those free to be filled again. */
  readonly #used: { sequence: number; bytes: Uint8Array }[] = [];
  readonly #free: Uint8Array[] = [];

  constructor(device: LogDevice) {
    this.device = device;
  }

  /** `count` blocks from `block` on, all before the physical end of the log. Writable by the caller. */
  read(block: number, count: number): Uint8Array {
    if (block < this.#first || block + count > this.#first + this.#count) {
      const want = Math.min(Math.max(CHUNK_BLOCKS, count), this.device.blocks - block);
      if (this.#count > 0) this.#used.push({ sequence: this.sequence, bytes: this.#chunk });
      this.#count = 0;
      const free = this.#free.pop();
      this.#chunk = free !== undefined && free.length >= want * BBSIZE ? free : new Uint8Array(want * BBSIZE);
      this.device.source.read(this.device.start + block * BBSIZE, this.#chunk.subarray(0, want * BBSIZE));
      this.#first = block;
      this.#count = want;
      this.sequence++;
    }
    const at = (block - this.#first) * BBSIZE;
    return this.#chunk.subarray(at, at + count * BBSIZE);
  }

  /** Nothing from chunks before this number is needed any more. */
  release(before: number): void {
    while (this.#used.length > 0 && this.#used[0].sequence < before)
      this.#free.push(this.#used.shift()!.bytes);
  }

  /** `count` blocks from `block` on, past the physical end of the log to its start where need be. */
  readWrapped(block: number, count: number): Uint8Array {
    const { blocks } = this.device;
    const from = block % blocks;
    if (from + count <= blocks) return this.read(from, count);
    const out = new Uint8Array(count * BBSIZE);
    const before = blocks - from;
    out.set(this.read(from, before));
    out.set(this.read(0, count - before), before * BBSIZE);
    return out;
  }
}
