/**
 * From the overlay to the image, in an order that can be cut anywhere. Until the AG headers change, the old
 * trees stand untouched beside what is new; needsrepair keeps Linux from mounting what is half done.
 *
 *   1. the superblock says needsrepair
 *   2. new blocks and changed inodes
 *   3. AG headers, each AG's in one write: now the new trees are in force
 *   4. needsrepair goes
 *
 * Each step is on stable storage before the next begins.
 */
import { sealCrc } from '../../format/checksum.js';
import { INCOMPAT } from '../../format/features.js';
import { blockOffset, type Geometry } from '../../format/geometry.js';
import { viewOf } from '../../format/structure.js';
import { SUPERBLOCK } from '../../format/superblock.js';
import type { OverlaySource } from '../../image/overlay.js';
import type { Source } from '../../image/source.js';

const AT = SUPERBLOCK.at;

/** Sets or clears needsrepair in a superblock's sector. */
function setNeedsrepair(sector: Uint8Array, on: boolean): void {
  const v = viewOf(sector);
  const bits = v.getUint32(AT.features_incompat);
  v.setUint32(AT.features_incompat, (on ? bits | INCOMPAT.NEEDSREPAIR : bits & ~INCOMPAT.NEEDSREPAIR) >>> 0);
  sealCrc(sector, AT.crc);
}

/** Bytes that `writeOut` will change: what an undo file has to keep. The superblock is among them. */
export function changes(g: Geometry, overlay: OverlaySource): { offset: number; length: number }[] {
  const out = [...overlay.pages()].map(([offset, page]) => ({ offset, length: page.length }));
  if (!out.some((c) => c.offset === 0)) out.unshift({ offset: 0, length: g.sectsize });
  return out;
}

/** Writes everything the overlay holds to `target`, which lies under it. Returns the bytes written. */
export function writeOut(g: Geometry, overlay: OverlaySource, target: Source): number {
  const before = new Uint8Array(g.sectsize);
  target.read(0, before);
  setNeedsrepair(before, true);
  target.write(0, before);
  target.sync();
  let bytes = 0;
  const agBytes = blockOffset(g, 1, 0);
  const headerBytes = 4 * g.sectsize;
  const dirty = new Set<number>([0]);
  for (const [offset, page] of overlay.pages()) {
    bytes += page.length;
    // A page may hold headers and blocks both: cut it at the borders of the AG's headers.
    for (let at = offset; at < offset + page.length; ) {
      const agno = Math.floor(at / agBytes);
      const within = at - agno * agBytes;
      const inHeader = within < headerBytes && agno < g.agcount;
      const border = inHeader ? agno * agBytes + headerBytes : (agno + 1) * agBytes;
      const to = Math.min(offset + page.length, border);
      if (inHeader) dirty.add(agno);
      else target.write(at, page.subarray(at - offset, to - offset));
      at = to;
    }
  }
  target.sync();
  const headers = new Uint8Array(headerBytes);
  for (const agno of [...dirty].sort((a, b) => b - a)) {
    overlay.read(agno * agBytes, headers);
    if (agno === 0) setNeedsrepair(headers.subarray(0, g.sectsize), true);
    target.write(agno * agBytes, headers);
  }
  target.sync();
  // AG 0 came last: its first sector is still at hand.
  setNeedsrepair(headers.subarray(0, g.sectsize), false);
  target.write(0, headers.subarray(0, g.sectsize));
  target.sync();
  return bytes;
}
