/**
 * What a replay changes, kept in memory by sectors until all of the log has been read and believed: only then
 * does any of it go to the image.
 *
 * Sectors and not blocks: a log that touches one inode in every cluster should not cost a cluster of memory
 * each time.
 */
import { BlockCache } from '../image/cache.js';
import type { Source } from '../image/source.js';

export const SECTOR = 512;
/** Bytes read from the image at a time, and kept: log items come in runs of neighbours. */
const WINDOW = 16 * 1024;
const WINDOW_CACHE = 8 * 2 ** 20;
/** Sectors are kept in slabs of this many. */
const SLAB_SECTORS = 2048;
/** Neighbouring sectors are written in one go up to this many bytes. */
const WRITE_RUN = 1 << 20;

export class RecoverySet implements Source {
  readonly under: Source;
  readonly #windows: BlockCache;
  /** Sector number to slot. */
  readonly #slots = new Map<number, number>();
  readonly #slabs: { bytes: Uint8Array; view: DataView }[] = [];
  /** Sectors to be written after all others: they say how new their block is. */
  readonly #heads = new Set<number>();

  constructor(under: Source) {
    this.under = under;
    this.#windows = new BlockCache(under, WINDOW_CACHE);
  }

  get size(): number {
    return this.under.size;
  }

  /** Sectors changed so far. */
  get sectors(): number {
    return this.#slots.size;
  }

  read(offset: number, into: Uint8Array): void {
    for (let at = 0; at < into.length; ) {
      const from = offset + at;
      const skip = from % SECTOR;
      const count = Math.min(SECTOR - skip, into.length - at);
      const slot = this.#slots.get((from - skip) / SECTOR);
      if (slot === undefined) this.#readUnder(from, into, at, count);
      else {
        const pos = (slot % SLAB_SECTORS) * SECTOR + skip;
        into.set(this.#slab(slot).bytes.subarray(pos, pos + count), at);
      }
      at += count;
    }
  }

  write(offset: number, from: Uint8Array): void {
    for (let at = 0; at < from.length; ) {
      const to = offset + at;
      const skip = to % SECTOR;
      const count = Math.min(SECTOR - skip, from.length - at);
      const slot = this.#own((to - skip) / SECTOR, count < SECTOR);
      const whole = at === 0 && count === from.length;
      this.#slab(slot).bytes.set(
        whole ? from : from.subarray(at, at + count),
        (slot % SLAB_SECTORS) * SECTOR + skip,
      );
      at += count;
    }
  }

  /** Nothing is on its way anywhere: see `apply`. */
  sync(): void {}

  close(): void {
    this.under.close();
  }

  /** Marks the sector at `offset` as one that says how new its block is. */
  head(offset: number): void {
    this.#heads.add(Math.floor(offset / SECTOR));
  }

  /**
   * Writes everything to the image underneath and waits until it is on stable storage. A block's sectors are
   * written before the one that tells its LSN: half-written it is still an old one, to be replayed again.
   */
  apply(): void {
    const rest: number[] = [];
    const heads: number[] = [];
    for (const sector of this.#slots.keys()) (this.#heads.has(sector) ? heads : rest).push(sector);
    this.#writeSectors(rest);
    this.under.sync();
    this.#writeSectors(heads);
    this.under.sync();
    this.#windows.clear();
  }

  #writeSectors(sectors: number[]): void {
    const order = Float64Array.from(sectors).sort();
    const buffer = new Uint8Array(Math.min(WRITE_RUN, order.length * SECTOR));
    let used = 0;
    for (let i = 0; i < order.length; i++) {
      buffer.set(this.#sector(order[i])!, used);
      used += SECTOR;
      if (used < buffer.length && order[i + 1] === order[i] + 1) continue;
      this.under.write((order[i] + 1) * SECTOR - used, buffer.subarray(0, used));
      used = 0;
    }
  }

  #slab(slot: number): { bytes: Uint8Array; view: DataView } {
    return this.#slabs[Math.floor(slot / SLAB_SECTORS)];
  }

  /** The bytes of a changed sector. */
  #sector(sector: number): Uint8Array | undefined {
    const slot = this.#slots.get(sector);
    if (slot === undefined) return undefined;
    const pos = (slot % SLAB_SECTORS) * SECTOR;
    return this.#slab(slot).bytes.subarray(pos, pos + SECTOR);
  }

  /** The slot of a sector that is going to be changed; `load`: with its present contents. */
  #own(sector: number, load: boolean): number {
    const known = this.#slots.get(sector);
    if (known !== undefined) return known;
    const slot = this.#slots.size;
    if (slot % SLAB_SECTORS === 0) {
      const bytes = new Uint8Array(SLAB_SECTORS * SECTOR);
      this.#slabs.push({ bytes, view: new DataView(bytes.buffer) });
    }
    if (load)
      this.#readUnder(sector * SECTOR, this.#slab(slot).bytes, (slot % SLAB_SECTORS) * SECTOR, SECTOR);
    this.#slots.set(sector, slot);
    return slot;
  }

  #readUnder(offset: number, into: Uint8Array, at: number, count: number): void {
    const first = offset - (offset % WINDOW);
    const window = this.#windows.get(first, Math.min(WINDOW, this.size - first));
    into.set(new Uint8Array(window.buffer as ArrayBuffer, window.byteOffset + offset - first, count), at);
  }
}
