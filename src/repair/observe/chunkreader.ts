/** Reads inode chunks, many in one call where they stand side by side, and checks their checksums together. */
import { SideBySide } from '../../format/checksum.js';
import { DINODE } from '../../format/dinode.js';
import {
  agbnoOfAgino,
  aginoOfIno,
  agnoOfIno,
  blockOffset,
  type Geometry,
  INODES_PER_CHUNK,
} from '../../format/geometry.js';
import type { Volume } from '../../volume/volume.js';

/** Bytes of inode chunks read at once: what fits a core's own cache with room to spare. */
const WINDOW = 256 * 1024;

export class ChunkReader {
  readonly #volume: Volume;
  readonly #g: Geometry;
  /** Where chunks are read to; `read` says where in it. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly #chunkSize: number;
  readonly #checksums: SideBySide;
  /** Offset in the source of what stands in `bytes`, and how many bytes of it. */
  #windowAt = 0;
  #windowLength = 0;
  #lastChunk = -1;

  constructor(volume: Volume) {
    const { g } = volume;
    this.#volume = volume;
    this.#g = g;
    this.#chunkSize = INODES_PER_CHUNK * g.inodesize;
    this.bytes = new Uint8Array(Math.max(WINDOW, this.#chunkSize));
    this.view = new DataView(this.bytes.buffer);
    this.#checksums = new SideBySide(g.inodesize, DINODE.at.crc);
  }

  /**
   * Reads the chunk of inode `first`, and returns where in `bytes` it begins. Of a sparse one only what is there
   * is read; what stands in its holes is left over from others.
   */
  read(first: number, holemask: number): number {
    const g = this.#g;
    const agino = aginoOfIno(g, first);
    const offset =
      blockOffset(g, agnoOfIno(g, first), agbnoOfAgino(g, agino)) + (agino % g.inopblock) * g.inodesize;
    if (holemask === 0) return this.#readWindow(offset);
    this.#windowLength = 0;
    // Four inodes at a time, as the mask has them; a block never spans a border of the mask.
    const four = 4 * g.inodesize;
    for (let k = 0; k < 16; k++)
      if (((holemask >>> k) & 1) === 0)
        this.#volume.source.read(offset + k * four, this.bytes.subarray(k * four, (k + 1) * four));
    return 0;
  }

  /** Whether the checksums of all 64 inodes of the chunk at byte `at` of `bytes` are right. */
  holds(at: number): boolean {
    return this.#checksums.hold(this.bytes, this.view, at, INODES_PER_CHUNK);
  }

  /** Reads a whole chunk, and what follows it in the same call: chunks mostly stand side by side. */
  #readWindow(offset: number): number {
    const { source } = this.#volume;
    const length = this.#chunkSize;
    if (offset < this.#windowAt || offset + length > this.#windowAt + this.#windowLength) {
      // Only where the last chunk stood right before is more than one worth reading.
      const more = offset === this.#lastChunk + length ? this.bytes.length : length;
      this.#windowLength = Math.max(length, Math.min(more, source.size - offset));
      this.#windowAt = offset;
      source.read(offset, this.bytes.subarray(0, this.#windowLength));
    }
    this.#lastChunk = offset;
    return offset - this.#windowAt;
  }
}
