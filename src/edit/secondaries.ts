/** The superblock's copies at the start of every AG but the first: what is changed in the primary follows there. */
import { sealCrc } from '../format/checksum.js';
import { blockOffset, type Geometry } from '../format/geometry.js';
import { SUPERBLOCK, verifySuperblock } from '../format/superblock.js';
import type { Source } from '../image/source.js';

/**
 * Changes every secondary superblock that verifies and waits for stable storage. One that does not is left for
 * repair. The primary must be on stable storage: between it and them nothing is lost, for Linux reads the
 * primary alone, and the same change can be made again. Returns the AGs left alone.
 */
export function changeSecondaries(
  source: Source,
  g: Geometry,
  change: (sector: Uint8Array) => void,
): number[] {
  const left: number[] = [];
  const sector = new Uint8Array(g.sectsize);
  for (let agno = 1; agno < g.agcount; agno++) {
    const at = blockOffset(g, agno, 0);
    source.read(at, sector);
    let sound = true;
    verifySuperblock(sector, { agno, agbno: 0 }, () => {
      sound = false;
    });
    if (!sound) {
      left.push(agno);
      continue;
    }
    change(sector);
    sealCrc(sector, SUPERBLOCK.at.crc);
    source.write(at, sector);
  }
  source.sync();
  return left;
}

/** A change of the sector's bytes that needs no decoding. */
export const putBytes =
  (at: number, bytes: Uint8Array) =>
  (sector: Uint8Array): void =>
    sector.set(bytes, at);
