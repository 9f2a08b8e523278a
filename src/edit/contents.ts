/** A new regular file's contents: blocks for its data, and the data in them, read from a source. */
import { NoSpaceError } from '../transaction/alloc.js';
import { allocateExtent, type Extent } from '../transaction/bmap.js';
import type { LiveInode } from '../transaction/inode.js';
import type { Transaction } from '../transaction/transaction.js';
import type { Edit } from './edit.js';
import type { Input } from './input.js';
import { spareBlocks } from './place.js';

/** What a file is filled from. */
export interface Contents {
  readonly size: number;
  /** Blocks of zeros are holes: the file has some, and nobody knows where. */
  readonly findHoles?: boolean;
  /** The next part with data at or behind byte `from`, [start, end); what lies between is a hole. */
  nextData(from: number): readonly [number, number] | undefined;
  /** Reads at byte `offset`; fewer bytes than asked for only at the end. */
  read(offset: number, into: Uint8Array): number;
}

/** What is read from an input, without holes. */
export const inputContents = (input: Input): Contents => ({
  size: input.size,
  nextData: (from) => (from < input.size ? [from, input.size] : undefined),
  read: (offset, into) => {
    input.read(offset, into);
    return into.length;
  },
});

/** Bytes read and written in one piece. */
const PIECE = 1 << 20;
/** Extents mapped in one transaction. */
const PER_TRANSACTION = 64;

const NOTHING: Contents = { size: 0, nextData: () => undefined, read: () => 0 };

let piece = new Uint8Array(0);

/** File blocks [first, end) that hold data. */
interface Run {
  readonly first: number;
  readonly end: number;
}

/** A file being filled: what of it has blocks so far. */
export class Filling {
  readonly #edit: Edit;
  readonly #contents: Contents;
  readonly #runs: readonly Run[];
  #run = 0;
  #at = 0;

  constructor(edit: Edit, contents: Contents = NOTHING) {
    this.#edit = edit;
    this.#contents = contents;
    this.#runs = dataRuns(contents, edit.g.blocksize);
    this.#at = this.#runs[0]?.first ?? 0;
  }

  get isDone(): boolean {
    return this.#run === this.#runs.length;
  }

  /** What `step` can be taken back to. */
  mark(): { run: number; at: number } {
    return { run: this.#run, at: this.#at };
  }

  back(mark: { run: number; at: number }): void {
    this.#run = mark.run;
    this.#at = mark.at;
  }

  /**
   * Maps blocks, of all of the rest or of as much as goes into one transaction. Returns them, to be given to
   * `write` when nothing can fail any more. Throws NoSpaceError.
   */
  step(tx: Transaction, inode: LiveInode): Extent[] {
    const out: Extent[] = [];
    while (!this.isDone && out.length < PER_TRANSACTION) {
      const { end } = this.#runs[this.#run];
      const got = allocateExtent(tx, inode, 'data', this.#at, end - this.#at);
      out.push(got);
      this.#at += got.blocks;
      if (this.#at < end) continue;
      this.#run++;
      this.#at = this.#runs[this.#run]?.first ?? 0;
    }
    return out;
  }

  /** Writes the data of extents `step` returned. */
  write(extents: readonly Extent[]): void {
    const { blocksize } = this.#edit.g;
    for (const e of extents) {
      const bytes = e.blocks * blocksize;
      for (let done = 0; done < bytes; done += PIECE) {
        const length = Math.min(PIECE, bytes - done);
        if (piece.length < length) piece = new Uint8Array(length);
        const into = piece.subarray(0, length);
        const from = e.offset * blocksize + done;
        const wanted = Math.max(0, Math.min(length, this.#contents.size - from));
        into.fill(0, this.#contents.read(from, into.subarray(0, wanted)));
        this.#edit.engine.writeData(e.fsblock, into, done);
      }
    }
    if (extents.length > 0) this.#edit.dataWritten();
  }
}

/** Where a file has data, in whole blocks. */
function dataRuns(contents: Contents, blocksize: number): Run[] {
  const runs: { first: number; end: number }[] = [];
  const add = (first: number, end: number): void => {
    const last = runs[runs.length - 1];
    if (last !== undefined && last.end >= first) last.end = Math.max(last.end, end);
    else runs.push({ first, end });
  };
  const limit = Math.ceil(contents.size / blocksize);
  for (let at = 0; at < contents.size; ) {
    const data = contents.nextData(at);
    if (data === undefined) break;
    const first = Math.floor(data[0] / blocksize);
    const end = Math.min(limit, Math.ceil(data[1] / blocksize));
    if (contents.findHoles === true) findRuns(contents, blocksize, first, end, add);
    else add(first, end);
    at = Math.max(data[1], at + 1);
  }
  return runs;
}

function findRuns(
  contents: Contents,
  blocksize: number,
  first: number,
  end: number,
  add: (first: number, end: number) => void,
): void {
  const step = Math.max(1, Math.floor(PIECE / blocksize));
  const bytes = new Uint8Array(step * blocksize);
  const zeros = new Uint8Array(blocksize);
  for (let block = first; block < end; block += step) {
    const count = Math.min(step, end - block);
    const wanted = Math.min(count * blocksize, contents.size - block * blocksize);
    bytes.fill(0, contents.read(block * blocksize, bytes.subarray(0, wanted)));
    for (let i = 0; i < count; i++)
      if (Buffer.compare(bytes.subarray(i * blocksize, (i + 1) * blocksize), zeros) !== 0)
        add(block + i, block + i + 1);
  }
}

/** Throws NoSpaceError where files cannot have so many more blocks. */
export function checkSpace(edit: Edit, blocks: number): void {
  const free = spareBlocks(edit.engine.begin());
  if (blocks <= free) return;
  const mib = (n: number): string => `${((n * edit.g.blocksize) / 2 ** 20).toFixed(1)} MiB`;
  throw new NoSpaceError(
    `no space left in the image: ${mib(blocks)} are needed, ${mib(free)} are free for files`,
  );
}
