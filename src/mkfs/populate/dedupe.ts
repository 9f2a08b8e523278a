/** Which contents have been written before, and where: an index of blocks by checksum, held against the image. */
import { crc32c } from '../../format/checksum.js';
import { fsblockOffset, type Geometry } from '../../format/geometry.js';
import type { Output } from './output.js';

const FIRST_SLOTS = 2 ** 14;

export class BlockIndex {
  readonly #g: Geometry;
  readonly #output: Output;
  readonly #block: Uint8Array;
  #count = 0;
  #tag = new Uint32Array(FIRST_SLOTS);
  /** 0 is empty: no file block stands at a filesystem's start. */
  #fsblock = new Float64Array(FIRST_SLOTS);
  #ino = new Float64Array(FIRST_SLOTS);

  constructor(g: Geometry, output: Output) {
    this.#g = g;
    this.#output = output;
    this.#block = new Uint8Array(g.blocksize);
  }

  /**
   * What a block is looked up by. The last block of a file is only the same as other last blocks with as many
   * bytes, as Linux has it.
   *
   * @param valid bytes of the file in it
   */
  tagOf(block: Uint8Array, valid: number): number {
    const crc = crc32c(block);
    return valid === block.length ? crc : (crc ^ Math.imul(valid + 1, 0x9e37_79b1)) >>> 0;
  }

  /** A block with these very bytes: every candidate is read back and compared. */
  find(tag: number, block: Uint8Array): { fsblock: number; ino: number } | undefined {
    const mask = this.#tag.length - 1;
    for (let s = (tag ^ (tag >>> 15)) & mask; this.#fsblock[s] !== 0; s = (s + 1) & mask) {
      if (this.#tag[s] !== tag) continue;
      this.#output.read(fsblockOffset(this.#g, this.#fsblock[s]), this.#block);
      if (Buffer.compare(this.#block, block) === 0) return { fsblock: this.#fsblock[s], ino: this.#ino[s] };
    }
    return undefined;
  }

  add(tag: number, fsblock: number, ino: number): void {
    if (++this.#count * 2 > this.#tag.length) this.#grow();
    this.#put(tag, fsblock, ino);
  }

  #put(tag: number, fsblock: number, ino: number): void {
    const mask = this.#tag.length - 1;
    let s = (tag ^ (tag >>> 15)) & mask;
    while (this.#fsblock[s] !== 0) s = (s + 1) & mask;
    this.#tag[s] = tag;
    this.#fsblock[s] = fsblock;
    this.#ino[s] = ino;
  }

  #grow(): void {
    const tag = this.#tag;
    const fsblock = this.#fsblock;
    const ino = this.#ino;
    const n = tag.length * 2;
    this.#tag = new Uint32Array(n);
    this.#fsblock = new Float64Array(n);
    this.#ino = new Float64Array(n);
    for (let i = 0; i < tag.length; i++) if (fsblock[i] !== 0) this.#put(tag[i], fsblock[i], ino[i]);
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
