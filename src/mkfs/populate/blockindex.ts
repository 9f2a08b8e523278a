/** Blocks seen so far, by a checksum of what they hold: where a block of the same contents may stand. */
import { crc32c } from '../../format/checksum.js';

const FIRST_SLOTS = 2 ** 14;

/**
 * What a block is looked up by. The last block of a file is only the same as other last blocks with as many bytes,
 * as Linux has it.
 *
 * @param valid bytes of the file in it
 */
export function blockTag(block: Uint8Array, valid: number): number {
  const crc = crc32c(block);
  return valid === block.length ? crc : (crc ^ Math.imul(valid + 1, 0x9e37_79b1)) >>> 0;
}

export class BlockIndex {
  #count = 0;
  #tag = new Uint32Array(FIRST_SLOTS);
  /** 0 is empty: no file block stands at a filesystem's start. */
  #fsblock = new Float64Array(FIRST_SLOTS);
  /** Which file it was seen in, by a number the caller gives it. */
  #file = new Float64Array(FIRST_SLOTS);

  /**
   * The next slot from `slot` on with this tag; -1 where there is none. Begin with `start(tag)`, go on with
   * the slot behind the last.
   */
  find(tag: number, slot: number): number {
    const mask = this.#tag.length - 1;
    for (let s = slot & mask; this.#fsblock[s] !== 0; s = (s + 1) & mask) if (this.#tag[s] === tag) return s;
    return -1;
  }

  start(tag: number): number {
    return tag ^ (tag >>> 15);
  }

  fsblock(slot: number): number {
    return this.#fsblock[slot];
  }

  file(slot: number): number {
    return this.#file[slot];
  }

  add(tag: number, fsblock: number, file: number): void {
    if (++this.#count * 2 > this.#tag.length) this.#grow();
    this.#put(tag, fsblock, file);
  }

  #put(tag: number, fsblock: number, file: number): void {
    const mask = this.#tag.length - 1;
    let s = this.start(tag) & mask;
    while (this.#fsblock[s] !== 0) s = (s + 1) & mask;
    this.#tag[s] = tag;
    this.#fsblock[s] = fsblock;
    this.#file[s] = file;
  }

  #grow(): void {
    const [tag, fsblock, file] = [this.#tag, this.#fsblock, this.#file];
    const n = tag.length * 2;
    this.#tag = new Uint32Array(n);
    this.#fsblock = new Float64Array(n);
    this.#file = new Float64Array(n);
    for (let i = 0; i < tag.length; i++) if (fsblock[i] !== 0) this.#put(tag[i], fsblock[i], file[i]);
  }
}

/** Blocks of the filesystem, each marked or not. */
export class BlockSet {
  /** A bitmap for each 2^20 blocks that have a marked one among them. */
  readonly #pages = new Map<number, Uint8Array>();

  has(block: number): boolean {
    const page = this.#pages.get(Math.floor(block / 2 ** 20));
    const at = block % 2 ** 20;
    return page !== undefined && ((page[at >>> 3] >>> (at & 7)) & 1) === 1;
  }

  add(block: number): void {
    const index = Math.floor(block / 2 ** 20);
    let page = this.#pages.get(index);
    if (page === undefined) {
      page = new Uint8Array(2 ** 17);
      this.#pages.set(index, page);
    }
    const at = block % 2 ** 20;
    page[at >>> 3] |= 1 << (at & 7);
  }
}
