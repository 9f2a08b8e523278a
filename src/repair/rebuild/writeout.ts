/**
 * From the overlay to the image, in an order that can be cut anywhere. Until the AG headers change, the old
 * trees stand untouched beside what is new; needsrepair keeps Linux from mounting what is half done.
 *
 *   0. a log with something to replay is replayed (which can be cut by itself)
 *   1. the superblock says needsrepair; a log that is dropped is emptied
 *   2. new blocks and changed inodes
 *   3. AG headers, each AG's in one write: now the new trees are in force
 *   4. needsrepair goes
 *
 * Each step is on stable storage before the next begins.
 */
import { sealCrc } from '../../format/checksum.js';
import { INCOMPAT } from '../../format/features.js';
import { blockOffset, fsblockOffset, type Geometry } from '../../format/geometry.js';
import { viewOf } from '../../format/structure.js';
import { SUPERBLOCK, verifySuperblock } from '../../format/superblock.js';
import type { OverlaySource } from '../../image/overlay.js';
import type { Source } from '../../image/source.js';
import { dropLog } from '../../journal/clear.js';
import { recoverLog } from '../../transaction/recovery/recover.js';
import { openVolume } from '../../volume/volume.js';
import type { LogOutcome } from '../prepare.js';
import { differingFields } from '../superblock.js';

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

/** Does for `target` what was done in the overlay with the log, where nothing else was: each can be cut by itself. */
export function writeLog(overlay: OverlaySource, target: Source, log: LogOutcome['kind']): number {
  if (log === 'replayed') recoverLog(target);
  if (log === 'dropped') dropLog(openVolume(target));
  let bytes = 0;
  for (const [, page] of overlay.pages()) bytes += page.length;
  return bytes;
}

/** Whether a sector is a superblock of this very filesystem that verifies. */
function isSame(sector: Uint8Array, overlaid: Uint8Array): boolean {
  let ok = true;
  verifySuperblock(sector, { agno: 0 }, () => {
    ok = false;
  });
  return ok && differingFields(sector, overlaid).length === 0;
}

/**
 * Writes everything the overlay holds to `target`, which lies under it; `log` says what was done there with the log.
 * Returns the bytes written.
 */
export function writeOut(
  g: Geometry,
  overlay: OverlaySource,
  target: Source,
  log: LogOutcome['kind'],
): number {
  const before = new Uint8Array(g.sectsize);
  const overlaid = new Uint8Array(g.sectsize);
  target.read(0, before);
  overlay.read(0, overlaid);
  // Whatever can be replayed needs a superblock to be found by.
  const same = isSame(before, overlaid);
  if (same && log === 'replayed') recoverLog(target);
  if (same) target.read(0, before);
  else before.set(overlaid);
  setNeedsrepair(before, true);
  target.write(0, before);
  target.sync();
  if (!same && log === 'replayed') {
    recoverLog(target);
    target.read(0, before);
    setNeedsrepair(before, true);
    target.write(0, before);
  }
  if (log === 'dropped') dropLog(openVolume(target));
  const logFrom = fsblockOffset(g, g.logstart);
  const logTo = logFrom + g.logblocks * g.blocksize;
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
      const inLog = at >= logFrom && at < logTo;
      const to = Math.min(offset + page.length, border, at < logFrom ? logFrom : inLog ? logTo : Infinity);
      if (inHeader) dirty.add(agno);
      // The log is in order already.
      else if (!inLog) target.write(at, page.subarray(at - offset, to - offset));
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
