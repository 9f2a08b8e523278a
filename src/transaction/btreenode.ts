/** Blocks of btrees as changes see them, and their keys: words of 32 bits, most significant first. */
import type { Buffer } from './buffers.js';

export const MAX_KEY_WORDS = 5;
export type Key = Uint32Array;
export const newKey = (): Key => new Uint32Array(MAX_KEY_WORDS);

/** A block of a tree, or the root of a bmbt inside its inode. */
export class Node {
  readonly buffer: Buffer;
  readonly view: DataView;
  readonly level: number;
  /** How the tree's pointers name it; -1 for a root inside an inode. */
  readonly ptr: number;
  /** Byte positions of the record count, the records or keys, and the pointers. */
  readonly countAt: number;
  readonly entries: number;
  readonly ptrs: number;
  readonly max: number;

  constructor(
    buffer: Buffer,
    level: number,
    ptr: number,
    countAt: number,
    entries: number,
    ptrs: number,
    max: number,
  ) {
    this.buffer = buffer;
    this.view = buffer.view;
    this.level = level;
    this.ptr = ptr;
    this.countAt = countAt;
    this.entries = entries;
    this.ptrs = ptrs;
    this.max = max;
  }

  get count(): number {
    return this.view.getUint16(this.countAt);
  }

  get inInode(): boolean {
    return this.ptr === -1;
  }
}

/** Turns the key of a record (or of a node's entry) into words. */
export interface KeyReader {
  /** Words that order the records. */
  readonly words: number;
  /** Words nodes keep of a key, where that is more. */
  readonly stored?: number;
  /** Lowest key of the record at `at`. */
  record(v: DataView, at: number, into: Key): void;
  /** Highest key of the record at `at`; only of trees whose records overlap. */
  recordHigh?(v: DataView, at: number, into: Key): void;
  /** The key at `at` of a node. */
  key(v: DataView, at: number, into: Key): void;
  /** Writes a key into a node. */
  write(v: DataView, at: number, key: Key): void;
}

/** Negative, 0 or positive, by the first `words` words. */
export const compareKeys = (a: Key, b: Key, words: number): number => {
  for (let i = 0; i < words; i++) if (a[i] !== b[i]) return a[i] < b[i] ? -1 : 1;
  return 0;
};
