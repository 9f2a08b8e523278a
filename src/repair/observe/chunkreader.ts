/** Reads inode chunks, many in one call where they stand side by side. */
import {
  agbnoOfAgino,
  aginoOfIno,
  agnoOfIno,
  blockOffset,
  type Geometry,
  INODES_PER_CHUNK,
} from '../../format/geometry.js';
import type { Volume } from '../../volume/volume.js';

/** Bytes of inode chunks read at once. */
const WINDOW = 512 * 1024;

export class ChunkReader {
  readonly #volume: Volume;
  readonly #g: Geometry;
  /** The chunk read last: 64 inodes; what stands in the holes of a sparse one is left over from others. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** The chunk's inodes one by one: windows on `bytes` made once. */
  readonly each: Uint8Array[];
  /** Bytes read ahead: see `#readWindow`. */
  readonly #window: Uint8Array;
  #windowAt = 0;
  #windowLength = 0;
  #lastChunk = -1;

  constructor(volume: Volume) {
    const { g } = volume;
    this.#volume = volume;
    this.#g = g;
    this.bytes = new Uint8Array(INODES_PER_CHUNK * g.inodesize);
    this.view = new DataView(this.bytes.buffer);
    this.#window = new Uint8Array(Math.max(WINDOW, this.bytes.length));
    this.each = Array.from({ length: INODES_PER_CHUNK }, (_, i) =>
      this.bytes.subarray(i * g.inodesize, (i + 1) * g.inodesize),
    );
  }

  /** Reads the chunk of inode `first`; of a sparse one only the blocks it has. */
  read(first: number, holemask: number): void {
    const g = this.#g;
    const agino = aginoOfIno(g, first);
    const offset =
      blockOffset(g, agnoOfIno(g, first), agbnoOfAgino(g, agino)) + (agino % g.inopblock) * g.inodesize;
    if (holemask === 0) {
      this.#readWindow(offset);
      return;
    }
    // Four inodes at a time, as the mask has them; a block never spans a border of the mask.
    const four = 4 * g.inodesize;
    for (let k = 0; k < 16; k++)
      if (((holemask >>> k) & 1) === 0)
        this.#volume.source.read(offset + k * four, this.bytes.subarray(k * four, (k + 1) * four));
  }

  /** Reads a whole chunk, and what follows it in the same call: chunks mostly stand side by side. */
  #readWindow(offset: number): void {
    const { source } = this.#volume;
    const length = this.bytes.length;
    if (offset < this.#windowAt || offset + length > this.#windowAt + this.#windowLength) {
      // Only where the last chunk stood right before is more than one worth reading.
      const more = offset === this.#lastChunk + length ? WINDOW : length;
      this.#windowLength = Math.max(length, Math.min(more, source.size - offset));
      this.#windowAt = offset;
      source.read(offset, this.#window.subarray(0, this.#windowLength));
    }
    const from = offset - this.#windowAt;
    this.bytes.set(this.#window.subarray(from, from + length));
    this.#lastChunk = offset;
  }
}
