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

export class WriteRun {
  readonly #under: Source;
  readonly #buffer = new Uint8Array(RUN);
  readonly #sectors = new Float64Array(RUN / SECTOR);
  readonly #memory: Uint8Array[] = [];
  readonly #at = new Int32Array(RUN / SECTOR);
  readonly #head = new Uint8Array(RUN / SECTOR);
  #count = 0;
  #heads = 0;

  constructor(under: Source) {
    this.#under = under;
  }

  /** The sectors of this page come next: a page is never split. */
  page(number: number): void {
    if (this.#count > 0 && (number + 1) * PAGE_SECTORS - this.#sectors[0] > this.#sectors.length) this.end();
  }

  /** A sector, its new contents, and whether it says how new its block is. To be added in ascending order. */
  add(sector: number, memory: Uint8Array, at: number, head: boolean): void {
    if (this.#count > 0 && sector - this.#sectors[this.#count - 1] > GAP_SECTORS + 1) this.end();
    const i = this.#count++;
    this.#sectors[i] = sector;
    this.#memory[i] = memory;
    this.#at[i] = at;
    this.#head[i] = head ? 1 : 0;
    if (head) this.#heads++;
  }

  /** Writes what there is. */
  end(): void {
    const count = this.#count;
    if (count === 0) return;
    const first = this.#sectors[0];
    const span = this.#sectors[count - 1] - first + 1;
    const mixed = this.#heads > 0 && this.#heads < count;
    if (span > count || mixed) this.#under.read(first * SECTOR, this.#buffer.subarray(0, span * SECTOR));
    if (this.#heads < count) this.#write(0);
    if (this.#heads > 0) this.#write(1);
    this.#count = 0;
    this.#heads = 0;
  }

  /** Puts those that are heads, or are none, in their places and writes from the first to the last of them. */
  #write(head: number): void {
    const base = this.#sectors[0];
    const buffer = this.#buffer;
    let from = -1;
    let to = -1;
    for (let i = 0; i < this.#count; ) {
      if (this.#head[i] !== head) {
        i++;
        continue;
      }
      // Neighbours that are neighbours in memory too are copied together.
      let next = i + 1;
      while (
        next < this.#count &&
        this.#head[next] === head &&
        this.#memory[next] === this.#memory[i] &&
        this.#at[next] === this.#at[i] + (next - i) * SECTOR &&
        this.#sectors[next] === this.#sectors[i] + next - i
      )
        next++;
      const to0 = (this.#sectors[i] - base) * SECTOR;
      const bytes = (next - i) * SECTOR;
      buffer.set(this.#memory[i].subarray(this.#at[i], this.#at[i] + bytes), to0);
      if (from < 0) from = to0;
      to = to0 + bytes;
      i = next;
    }
    this.#under.write(base * SECTOR + from, buffer.subarray(from, to));
  }
}
