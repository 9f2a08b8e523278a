/** Contents of regular files: read, written in one piece where they can be, holes left out, equal ones shared. */
import { createHash } from 'node:crypto';
import type { ExtentColumns } from '../../build/fork.js';
import { S_IF } from '../../format/dinode.js';
import { agnoOfFsblock, fsblockOffset, type Geometry } from '../../format/geometry.js';
import { blockTag } from './blockindex.js';
import { type KnownFile, SharedRuns, WrittenBlocks } from './dedupe.js';
import type { ForkBlocks } from './forkblocks.js';
import { type SourceTree, SPARSE, type TreeSource } from './tree.js';

/** Bytes of a file read in one piece. */
const PIECE = 2 ** 20;

export class Contents {
  /** Blocks written, and blocks shared instead. */
  written = 0;
  shared = 0;
  /** Claims beyond the first on each AG's blocks. */
  readonly sharedRuns: readonly SharedRuns[];
  /** Inodes that were stored before others came to share their blocks. */
  readonly lenders = new Set<number>();
  readonly #g: Geometry;
  readonly #blocks: ForkBlocks;
  readonly #source: TreeSource;
  readonly #tree: SourceTree;
  readonly #piece: Uint8Array;
  readonly #zeros: Uint8Array;
  readonly #index: WrittenBlocks | undefined;
  readonly #knownFiles: Map<string, KnownFile> | undefined;
  /** Sizes that more than one file has: only those can be equal. */
  readonly #sizes: Map<number, number> | undefined;
  #ino = 0;
  #shares = false;

  constructor(blocks: ForkBlocks, source: TreeSource, dedupe: 'block' | 'file' | undefined) {
    const { g, space, output } = blocks;
    this.#g = g;
    this.#blocks = blocks;
    this.#source = source;
    this.#tree = source.tree;
    this.#piece = new Uint8Array(Math.max(PIECE, g.blocksize));
    this.#zeros = new Uint8Array(g.blocksize);
    this.#index = dedupe === 'block' ? new WrittenBlocks(g, output) : undefined;
    if (dedupe === 'file') {
      this.#knownFiles = new Map();
      this.#sizes = this.#sizesSeenTwice();
    }
    this.sharedRuns = space.ags.map(() => new SharedRuns());
  }

  /**
   * Writes row `file`, which has the name of row `row` and is inode `ino`, and maps it in `list`. Returns whether
   * it shares blocks with files before it.
   */
  write(file: number, row: number, ino: number, list: ExtentColumns): boolean {
    this.#ino = ino;
    this.#shares = false;
    const source = this.#source;
    source.open(file, row);
    try {
      const size = this.#tree.size[file];
      const key = this.#sizes?.has(size) ? this.#hash(size) : undefined;
      const known = key === undefined ? undefined : this.#knownFiles?.get(key);
      if (known !== undefined) this.#shareFile(known, list);
      else {
        if (this.#tree.sparse[file] === SPARSE.NO && this.#index === undefined) this.#writeWhole(size, list);
        else this.#writeRuns(file, size, list);
        if (key !== undefined) this.#remember(key, list);
      }
    } finally {
      source.shut();
    }
    return this.#shares;
  }

  /** A file without holes, of whose blocks none is known: all its room is taken at once. */
  #writeWhole(size: number, list: ExtentColumns): void {
    const { blocksize } = this.#g;
    const blocks = Math.ceil(size / blocksize);
    this.#blocks.take(list, 0, blocks);
    this.written += blocks;
    for (let at = 0; at < size; at += this.#piece.length) {
      const length = Math.min(this.#piece.length, blocks * blocksize - at);
      // In one piece it is read to where it is written from.
      const direct = list.count === 1;
      const piece = direct
        ? this.#blocks.output.room(fsblockOffset(this.#g, list.fsblock[0]) + at, length)
        : this.#piece.subarray(0, length);
      this.#read(at, size, piece);
      if (!direct) this.#blocks.write(list, at / blocksize, piece);
    }
  }

  #writeRuns(file: number, size: number, list: ExtentColumns): void {
    const { blocksize } = this.#g;
    const end = Math.ceil(size / blocksize) * blocksize;
    for (let at = 0; at < size; ) {
      const data = this.#source.nextData(at);
      if (data === undefined) break;
      const from = Math.max(at, Math.floor(data[0] / blocksize) * blocksize);
      const to = Math.min(Math.ceil(data[1] / blocksize) * blocksize, end);
      for (at = from; at < to; at += this.#piece.length) {
        const piece = this.#piece.subarray(0, Math.min(this.#piece.length, to - at));
        this.#read(at, size, piece);
        this.#writePiece(file, list, at, size, piece);
      }
      at = to;
    }
  }

  /** Fills `piece` from byte `at`; what lies behind the file's end is zeros. */
  #read(at: number, size: number, piece: Uint8Array): void {
    piece.fill(0, this.#source.read(at, size - at < piece.length ? piece.subarray(0, size - at) : piece));
  }

  /** Blocks of zeros become holes where the file is sparse; blocks that are known are shared. */
  #writePiece(file: number, list: ExtentColumns, at: number, size: number, piece: Uint8Array): void {
    const { blocksize } = this.#g;
    const sparse = this.#tree.sparse[file] === SPARSE.UNKNOWN;
    const index = this.#index;
    let run = 0;
    const tags: number[] = [];
    const flush = (end: number): void => {
      if (run === 0) return;
      const from = end - run * blocksize;
      this.#writeRun(list, (at + from) / blocksize, piece.subarray(from, end), size - at - from, tags);
      run = 0;
      tags.length = 0;
    };
    for (let i = 0; i < piece.length; i += blocksize) {
      const block = piece.subarray(i, i + blocksize);
      if (sparse && Buffer.compare(block, this.#zeros) === 0) {
        flush(i);
        continue;
      }
      if (index !== undefined) {
        const tag = blockTag(block, Math.min(blocksize, size - at - i));
        const found = index.find(tag, block);
        if (found !== undefined) {
          flush(i);
          this.#share(found.ino, found.fsblock, 1);
          list.add((at + i) / blocksize, found.fsblock, 1);
          continue;
        }
        tags.push(tag);
      }
      run++;
    }
    flush(piece.length);
  }

  /** Writes blocks at file block `fileBlock`, right behind the file's last extent where that is free. */
  #writeRun(
    list: ExtentColumns,
    fileBlock: number,
    bytes: Uint8Array,
    left: number,
    tags: readonly number[],
  ): void {
    const { blocksize } = this.#g;
    const { space, output } = this.#blocks;
    const count = bytes.length / blocksize;
    const hold = Math.max(count, Math.ceil(left / blocksize));
    this.written += count;
    for (let done = 0; done < count; ) {
      const last = list.count - 1;
      const next = last < 0 ? undefined : list.fsblock[last] + list.blocks[last];
      const piece =
        (next === undefined ? undefined : space.takeAt(next, count - done)) ?? space.take(count - done, hold);
      list.add(fileBlock + done, piece.fsblock, piece.blocks);
      output.write(
        fsblockOffset(this.#g, piece.fsblock),
        bytes.subarray(done * blocksize, (done + piece.blocks) * blocksize),
      );
      for (let i = 0; i < piece.blocks && this.#index !== undefined; i++)
        this.#index.add(tags[done + i], piece.fsblock + i, this.#ino);
      done += piece.blocks;
    }
  }

  #share(owner: number, fsblock: number, blocks: number): void {
    this.sharedRuns[agnoOfFsblock(this.#g, fsblock)].add(fsblock % 2 ** this.#g.agblklog, blocks);
    this.shared += blocks;
    this.#shares = true;
    if (owner !== this.#ino) this.lenders.add(owner);
  }

  #shareFile(known: KnownFile, list: ExtentColumns): void {
    const e = known.extents;
    for (let i = 0; i < e.length; i += 3) {
      list.add(e[i], e[i + 1], e[i + 2]);
      this.#share(known.ino, e[i + 1], e[i + 2]);
    }
  }

  #remember(key: string, list: ExtentColumns): void {
    const extents = new Float64Array(list.count * 3);
    for (let i = 0; i < list.count; i++)
      extents.set([list.offset[i], list.fsblock[i], list.blocks[i]], i * 3);
    this.#knownFiles?.set(key, { ino: this.#ino, extents });
  }

  #sizesSeenTwice(): Map<number, number> {
    const tree = this.#tree;
    const seen = new Map<number, number>();
    for (let i = 1; i < tree.count; i++)
      if (tree.type(i) === S_IF.REG && tree.link[i] < 0 && tree.size[i] > 0)
        seen.set(tree.size[i], (seen.get(tree.size[i]) ?? 0) + 1);
    for (const [size, count] of seen) if (count === 1) seen.delete(size);
    return seen;
  }

  /** SHA-256 of the contents of the file that is open, and its size. */
  #hash(size: number): string {
    const hash = createHash('sha256');
    for (let at = 0; at < size; at += this.#piece.length) {
      const piece = this.#piece.subarray(0, Math.min(this.#piece.length, size - at));
      piece.fill(0, this.#source.read(at, piece));
      hash.update(piece);
    }
    return `${size}:${hash.digest('base64')}`;
  }
}
