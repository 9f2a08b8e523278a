/** Power cuts: every write of a run is kept, and images are put together as a cut after any sector left them. */
import type { Source } from '../../src/image/source.js';

const SECTOR = 512;

/** Passes everything on and keeps a copy of every write, in order. */
export class RecordingSource implements Source {
  readonly under: Source;
  readonly writes: { offset: number; bytes: Uint8Array }[] = [];
  /** Sectors written so far. */
  sectors = 0;

  constructor(under: Source) {
    this.under = under;
  }
  get size(): number {
    return this.under.size;
  }
  read(offset: number, into: Uint8Array): void {
    this.under.read(offset, into);
  }
  write(offset: number, from: Uint8Array): void {
    this.writes.push({ offset, bytes: from.slice() });
    this.sectors += Math.ceil(from.length / SECTOR);
    this.under.write(offset, from);
  }
  sync(): void {}
  close(): void {
    this.under.close();
  }
}

/** Plays recorded writes into the image they began with. */
export class Replayer {
  readonly #image: Source;
  readonly #writes: RecordingSource['writes'];
  #write = 0;
  #within = 0;
  sectors = 0;

  /** `image`: the state before the first write; it is changed. */
  constructor(image: Source, writes: RecordingSource['writes']) {
    this.#image = image;
    this.#writes = writes;
  }

  /** Goes on to the cut after so many sectors; never back. */
  to(sectors: number): void {
    while (this.sectors < sectors && this.#write < this.#writes.length) {
      const { offset, bytes } = this.#writes[this.#write];
      const left = Math.ceil(bytes.length / SECTOR) - this.#within;
      const take = Math.min(left, sectors - this.sectors);
      const from = this.#within * SECTOR;
      this.#image.write(offset + from, bytes.subarray(from, from + take * SECTOR));
      this.sectors += take;
      this.#within += take;
      if (take === left) {
        this.#write++;
        this.#within = 0;
      }
    }
  }
}
