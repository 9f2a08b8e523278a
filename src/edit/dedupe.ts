/**
 * Equal blocks made one: every block of the files is looked up among those seen before by its checksum, every
 * pair found is compared byte by byte, and what is equal is shared in runs as long as possible. Blocks of zeros
 * are given back as holes. Times stay as they are, as with Linux's FIDEDUPERANGE.
 */
import { crc32c } from '../format/checksum.js';
import { fsblockOffset } from '../format/geometry.js';
import { BlockIndex, BlockSet, blockTag } from '../mkfs/populate/blockindex.js';
import { type Extent, forkMap, unmapExtent } from '../transaction/bmap.js';
import type { LiveInode } from '../transaction/inode.js';
import type { Edit } from './edit.js';
import { assertSpare } from './place.js';
import { maxExtents } from './rewrite.js';
import { setReflink, shareExtents } from './share.js';
import { blocksOf } from './sizes.js';

/** What came of one file. In blocks. */
export interface Deduped {
  readonly ino: number;
  /** Blocks that hold data, and of those the ones shared with a file seen before already. */
  blocks: number;
  known: number;
  /** Shared now, and given back as holes. */
  shared: number;
  holes: number;
}

/** A stretch of a file that is equal to blocks seen before, or zero. */
interface Match {
  offset: number;
  blocks: number;
  /** Where the equal blocks stand; 0 for zeros. */
  fsblock: number;
  /** Number of the file they were seen in. */
  file: number;
}

/** Bytes read and looked up in one go. */
const PIECE = 2 ** 20;

export class Deduper {
  readonly #edit: Edit;
  readonly #index = new BlockIndex();
  readonly #scanned = new BlockSet();
  readonly #inos: number[] = [];
  readonly #seen = new Set<number>();
  readonly #blocksize: number;
  readonly #piece: Uint8Array;
  readonly #other: Uint8Array;
  readonly #zeros: Uint8Array;
  readonly #zeroTag: number;
  /** Tags of the piece's blocks. */
  readonly #tags: Uint32Array;

  constructor(edit: Edit) {
    this.#edit = edit;
    this.#blocksize = edit.g.blocksize;
    this.#piece = new Uint8Array(Math.max(PIECE, this.#blocksize));
    this.#other = new Uint8Array(this.#piece.length);
    this.#zeros = new Uint8Array(this.#blocksize);
    this.#zeroTag = crc32c(this.#zeros);
    this.#tags = new Uint32Array(this.#piece.length / this.#blocksize);
  }

  /** Looks at one more file and shares what it can; undefined for a file seen before. Throws NoSpaceError. */
  add(ino: number): Deduped | undefined {
    if (this.#seen.has(ino)) return undefined;
    this.#seen.add(ino);
    const file = this.#inos.push(ino) - 1;
    const out: Deduped = { ino, blocks: 0, known: 0, shared: 0, holes: 0 };
    const matches: Match[] = [];
    const inode = this.#edit.inode(ino);
    const { extents } = forkMap(this.#edit.engine.begin(), inode, 'data');
    const end = blocksOf(this.#edit, inode.exactSize);
    for (const e of extents)
      if (!e.unwritten && e.offset < end) this.#scan(inode, file, clip(e, end), matches, out);
    this.#apply(ino, matches);
    for (const m of matches) {
      if (m.fsblock === 0) out.holes += m.blocks;
      else out.shared += m.blocks;
    }
    return out;
  }

  #scan(inode: LiveInode, file: number, e: Extent, matches: Match[], out: Deduped): void {
    out.blocks += e.blocks;
    const most = this.#piece.length / this.#blocksize;
    for (let done = 0; done < e.blocks; ) {
      // Blocks met before, by way of another file, need no second look.
      let n = 0;
      while (done + n < e.blocks && n < most && !this.#scanned.has(e.fsblock + done + n)) n++;
      if (n === 0) {
        out.known++;
        done++;
        continue;
      }
      this.#scanPiece(inode, file, e.offset + done, e.fsblock + done, n, matches);
      done += n;
    }
  }

  #scanPiece(
    inode: LiveInode,
    file: number,
    offset: number,
    fsblock: number,
    n: number,
    matches: Match[],
  ): void {
    const size = this.#blocksize;
    const { g, source } = this.#edit;
    source.read(fsblockOffset(g, fsblock), this.#piece.subarray(0, n * size));
    let run: Match | undefined;
    const close = (): void => {
      if (run !== undefined) this.#verify(run, offset, fsblock, file, matches);
      run = undefined;
    };
    for (let i = 0; i < n; i++) {
      this.#scanned.add(fsblock + i);
      const block = this.#piece.subarray(i * size, (i + 1) * size);
      const tag = this.#tagOf(inode, offset + i, block);
      this.#tags[i] = tag;
      if (tag === this.#zeroTag && Buffer.compare(block, this.#zeros) === 0) {
        if (run !== undefined && run.fsblock === 0) run.blocks++;
        else {
          close();
          run = { offset: offset + i, blocks: 1, fsblock: 0, file };
        }
        continue;
      }
      // What follows the run so far is the best match there is.
      const next: number = run === undefined || run.fsblock === 0 ? -1 : run.fsblock + run.blocks;
      let slot = this.#index.find(tag, this.#index.start(tag));
      const first = slot;
      while (slot >= 0 && this.#index.fsblock(slot) !== next) slot = this.#index.find(tag, slot + 1);
      if (slot >= 0) {
        run!.blocks++;
        continue;
      }
      close();
      if (first < 0) this.#index.add(tag, fsblock + i, file);
      else
        run = {
          offset: offset + i,
          blocks: 1,
          fsblock: this.#index.fsblock(first),
          file: this.#index.file(first),
        };
    }
    close();
  }

  #tagOf(inode: LiveInode, offset: number, block: Uint8Array): number {
    const rest = inode.exactSize - BigInt(offset) * BigInt(block.length);
    return blockTag(block, rest >= BigInt(block.length) ? block.length : Number(rest));
  }

  /** Compares a run found in the piece with what it is said to be equal to; what is goes to the matches. */
  #verify(run: Match, offset: number, fsblock: number, file: number, matches: Match[]): void {
    if (run.fsblock === 0) {
      append(matches, run);
      return;
    }
    const size = this.#blocksize;
    const from = run.offset - offset;
    const { g, source } = this.#edit;
    const ours = this.#piece.subarray(from * size, (from + run.blocks) * size);
    const theirs = this.#other.subarray(0, ours.length);
    source.read(fsblockOffset(g, run.fsblock), theirs);
    if (Buffer.compare(ours, theirs) === 0) {
      append(matches, run);
      return;
    }
    for (let i = 0; i < run.blocks; i++) {
      const same = Buffer.compare(
        ours.subarray(i * size, (i + 1) * size),
        theirs.subarray(i * size, (i + 1) * size),
      );
      if (same === 0)
        append(matches, { ...run, offset: run.offset + i, fsblock: run.fsblock + i, blocks: 1 });
      else this.#index.add(this.#tags[from + i], fsblock + from + i, file);
    }
  }

  /** Shares what was found, in as few transactions as hold it. */
  #apply(ino: number, matches: readonly Match[]): void {
    const edit = this.#edit;
    const most = Math.max(1, Math.floor(maxExtents(edit) / 4));
    for (let done = 0; done < matches.length; done += most) {
      const group = matches.slice(done, done + most);
      edit.run((tx) => {
        const inode = edit.inode(ino);
        assertSpare(tx, Math.ceil((group.length * 4) / (this.#blocksize / 16)) + 8);
        for (const m of group) {
          if (m.fsblock === 0) {
            unmapExtent(tx, inode, 'data', m.offset, m.blocks);
            continue;
          }
          setReflink(tx, edit.inode(this.#inos[m.file]));
          setReflink(tx, inode);
          shareExtents(tx, inode, [{ ...m, unwritten: false }]);
        }
      });
    }
  }
}

function clip(e: Extent, end: number): Extent {
  return e.offset + e.blocks <= end ? e : { ...e, blocks: end - e.offset };
}

function append(matches: Match[], run: Match): void {
  const last = matches.at(-1);
  if (last !== undefined && last.offset + last.blocks === run.offset && last.file === run.file) {
    const zeros = last.fsblock === 0 && run.fsblock === 0;
    if (zeros || (last.fsblock !== 0 && last.fsblock + last.blocks === run.fsblock)) {
      last.blocks += run.blocks;
      return;
    }
  }
  matches.push(run);
}
