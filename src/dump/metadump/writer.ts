/** Records of a metadump, version 1: an index of disk addresses, then the sectors (format/metadump.ts). */
import { METABLOCK, METABLOCK_ENTRIES, METADUMP_SECTOR, XFS_MD_MAGIC_V1 } from '../../format/metadump.js';
import { setU64, viewOf } from '../../format/structure.js';

/** Takes the next bytes of the dump; they are used again afterwards. */
export type DumpSink = (bytes: Uint8Array) => void;

export class DumpWriter {
  readonly #sink: DumpSink;
  readonly #record = new Uint8Array((1 + METABLOCK_ENTRIES) * METADUMP_SECTOR);
  readonly #view = viewOf(this.#record);
  #count = 0;
  sectors = 0;

  /** @param info METADUMP_INFO bits, which every record carries */
  constructor(sink: DumpSink, info: number) {
    this.#sink = sink;
    this.#view.setUint32(METABLOCK.at.magic, XFS_MD_MAGIC_V1);
    this.#view.setUint8(METABLOCK.at.blocklog, 9);
    this.#view.setUint8(METABLOCK.at.info, info);
  }

  /** Adds whole sectors that stand at byte `offset` of the image. */
  add(offset: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += METADUMP_SECTOR) {
      setU64(this.#view, METABLOCK.size + this.#count * 8, (offset + at) / METADUMP_SECTOR);
      this.#record.set(bytes.subarray(at, at + METADUMP_SECTOR), (1 + this.#count) * METADUMP_SECTOR);
      this.sectors++;
      if (++this.#count === METABLOCK_ENTRIES) this.#flush();
    }
  }

  /** Writes the last record, which has room left, be it all of its room. */
  finish(): void {
    this.#flush();
  }

  #flush(): void {
    this.#view.setUint16(METABLOCK.at.count, this.#count);
    this.#record.fill(0, METABLOCK.size + this.#count * 8, METADUMP_SECTOR);
    this.#sink(this.#record.subarray(0, (1 + this.#count) * METADUMP_SECTOR));
    this.#count = 0;
  }
}
