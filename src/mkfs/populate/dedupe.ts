/** Which contents have been written before, and where: an index of blocks by checksum, held against the image. */
import { fsblockOffset, type Geometry } from '../../format/geometry.js';
import { BlockIndex } from './blockindex.js';
import type { Output } from './output.js';

/** Blocks written so far. */
export class WrittenBlocks {
  readonly #g: Geometry;
  readonly #output: Output;
  readonly #block: Uint8Array;
  readonly #index = new BlockIndex();

  constructor(g: Geometry, output: Output) {
    this.#g = g;
    this.#output = output;
    this.#block = new Uint8Array(g.blocksize);
  }

  /** A block with these very bytes: every candidate is read back and compared. */
  find(tag: number, block: Uint8Array): { fsblock: number; ino: number } | undefined {
    const index = this.#index;
    for (let s = index.find(tag, index.start(tag)); s >= 0; s = index.find(tag, s + 1)) {
      const fsblock = index.fsblock(s);
      this.#output.read(fsblockOffset(this.#g, fsblock), this.#block);
      if (Buffer.compare(this.#block, block) === 0) return { fsblock, ino: index.file(s) };
    }
    return undefined;
  }

  add(tag: number, fsblock: number, ino: number): void {
    this.#index.add(tag, fsblock, ino);
  }
}

/** Extents of a file that others may turn out to be equal to. */
export interface KnownFile {
  readonly ino: number;
  /** Offset, fsblock, blocks; again and again. */
  readonly extents: Float64Array;
}

/** Claims on blocks beyond the first, in one AG: what its refcount records are made from. */
export class SharedRuns {
  readonly #events: { at: number; change: number }[] = [];

  add(agbno: number, blocks: number): void {
    this.#events.push({ at: agbno, change: 1 }, { at: agbno + blocks, change: -1 });
  }

  get any(): boolean {
    return this.#events.length > 0;
  }

  /** Runs with one and the same number of owners, two or more, by start. */
  records(): { agbno: number; blocks: number; refcount: number }[] {
    const events = this.#events.sort((a, b) => a.at - b.at);
    const out: { agbno: number; blocks: number; refcount: number }[] = [];
    let extra = 0;
    for (let i = 0; i < events.length; ) {
      const { at } = events[i];
      for (; i < events.length && events[i].at === at; i++) extra += events[i].change;
      if (extra === 0 || i === events.length) continue;
      const blocks = events[i].at - at;
      const last = out.at(-1);
      if (last !== undefined && last.agbno + last.blocks === at && last.refcount === extra + 1)
        last.blocks += blocks;
      else out.push({ agbno: at, blocks, refcount: extra + 1 });
    }
    return out;
  }
}
