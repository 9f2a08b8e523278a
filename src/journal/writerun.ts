/**
 * Sectors that go to the image together: neighbours, and over small gaps what stands there already. Where some of
 * them are heads of blocks, they are written twice: first with those sectors as they were, then with all as they are
 * to be.
 */
import type { Source } from '../image/source.js';

/** Bytes of a sector, and sectors of a page. */
export const SECTOR = 512;
export const PAGE_SECTORS = 8;
/** Bytes written at a time, and sectors of a gap that is written over. */
const RUN = 1 << 20;
const GAP_SECTORS = 8;
/** Bytes after which the disk is given something to do. */
const SYNC_EVERY = 8 << 20;

export class WriteRun {
  readonly #under: Source;
  readonly #buffer = new Uint8Array(RUN);
  /** Stretches of sectors that lie together in memory too: their first sector, how many, where their contents are. */
  readonly #first = new Float64Array(RUN / SECTOR);
  readonly #length = new Int32Array(RUN / SECTOR);
  readonly #memory: Uint8Array[] = [];
  readonly #at = new Int32Array(RUN / SECTOR);
  readonly #head = new Uint8Array(RUN / SECTOR);
  #count = 0;
  /** The sector behind the last one; sectors added, and how many of them are heads. */
  #end = 0;
  #sectors = 0;
  #heads = 0;
  /** Bytes written since the disk was last told. */
  #waiting = 0;

  constructor(under: Source) {
    this.#under = under;
  }

  /** The sectors of this page come next: a page is never split. */
  page(number: number): void {
    if (this.#count > 0 && (number + 1) * PAGE_SECTORS - this.#first[0] > RUN / SECTOR) this.end();
  }

  /** A sector, its new contents, and whether it says how new its block is. To be added in ascending order. */
  add(sector: number, memory: Uint8Array, at: number, head: boolean): void {
    if (this.#count > 0 && sector - this.#end > GAP_SECTORS) this.end();
    const last = this.#count - 1;
    const bit = head ? 1 : 0;
    if (
      last >= 0 &&
      sector === this.#end &&
      this.#head[last] === bit &&
      this.#memory[last] === memory &&
      this.#at[last] + this.#length[last] * SECTOR === at
    )
      this.#length[last]++;
    else {
      const i = this.#count++;
      this.#first[i] = sector;
      this.#length[i] = 1;
      this.#memory[i] = memory;
      this.#at[i] = at;
      this.#head[i] = bit;
    }
    this.#end = sector + 1;
    this.#sectors++;
    this.#heads += bit;
  }

  /** Writes what there is. */
  end(): void {
    if (this.#count === 0) return;
    const first = this.#first[0];
    const span = this.#end - first;
    const mixed = this.#heads > 0 && this.#heads < this.#sectors;
    if (span > this.#sectors || mixed)
      this.#under.read(first * SECTOR, this.#buffer.subarray(0, span * SECTOR));
    if (this.#heads < this.#sectors) this.#write(0);
    if (this.#heads > 0) this.#write(1);
    this.#waiting += span * SECTOR;
    if (this.#waiting >= SYNC_EVERY) {
      this.#waiting = 0;
      this.#under.startSync?.();
    }
    this.#count = 0;
    this.#sectors = 0;
    this.#heads = 0;
  }

  /** Puts those that are heads, or are none, in their places and writes from the first to the last of them. */
  #write(head: number): void {
    const base = this.#first[0];
    let from = -1;
    let to = -1;
    for (let i = 0; i < this.#count; i++) {
      if (this.#head[i] !== head) continue;
      const at = (this.#first[i] - base) * SECTOR;
      const bytes = this.#length[i] * SECTOR;
      this.#buffer.set(this.#memory[i].subarray(this.#at[i], this.#at[i] + bytes), at);
      if (from < 0) from = at;
      to = at + bytes;
    }
    this.#under.write(base * SECTOR + from, this.#buffer.subarray(from, to));
  }
}
