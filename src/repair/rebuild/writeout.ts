/**
 * From the overlay to the image, in an order that can be cut anywhere.
 *
 *   0. a log with something to replay is replayed (which can be cut by itself)
 *   1. the superblock says needsrepair, and Linux does not mount it; a log that is dropped is emptied
 *   2. what goes into blocks that nobody used
 *   3. everything else is logged as one checkpoint: from here on the next run finishes the repair by replaying it
 *   4. everything else is put in place, AG headers last: each AG's in one write
 *   5. the log says that nothing is left to replay
 *   6. needsrepair goes
 *
 * Each step is on stable storage before the next begins. A log too small for all the changes is left out (3, 5): new
 * btrees and directories stand in blocks that were free before, so that what the old ones say can still be read, and
 * a repair cut in step 4 is done again from there.
 */
import { sealCrc } from '../../format/checksum.js';
import { INCOMPAT } from '../../format/features.js';
import { blockOffset, fsblockOffset, type Geometry } from '../../format/geometry.js';
import { SUPERBLOCK, setFeatureBits, verifySuperblock } from '../../format/superblock.js';
import type { OverlaySource } from '../../image/overlay.js';
import type { Source } from '../../image/source.js';
import { dropLog } from '../../journal/clear.js';
import { LogError } from '../../journal/error.js';
import { type LogState, scanLog } from '../../journal/scan.js';
import { recoverLog } from '../../transaction/recovery/recover.js';
import { openVolume } from '../../volume/volume.js';
import type { LogOutcome } from '../prepare.js';
import { differingFields } from '../superblock.js';
import { type Change, logChanges } from './redo.js';
import type { Run } from './space.js';

/** Sets or clears needsrepair in a superblock's sector. */
function setNeedsrepair(sector: Uint8Array, on: boolean): void {
  setFeatureBits(sector, 'features_incompat', INCOMPAT.NEEDSREPAIR, on);
  sealCrc(sector, SUPERBLOCK.at.crc);
}

/** The same for the superblock in `target`, on stable storage. */
function markNeedsrepair(g: Geometry, target: Source, on: boolean): void {
  const sector = new Uint8Array(g.sectsize);
  target.read(0, sector);
  setNeedsrepair(sector, on);
  target.write(0, sector);
  target.sync();
}

/** Does for `target` what was done in the overlay with the log, where nothing else was. Returns the bytes written. */
export function writeLog(
  g: Geometry,
  overlay: OverlaySource,
  target: Source,
  log: LogOutcome['kind'],
): number {
  // A replay can be cut by itself; a log half emptied is one that Linux must not believe.
  if (log === 'replayed') recoverLog(target);
  if (log === 'dropped') {
    markNeedsrepair(g, target, true);
    dropLog(openVolume(target));
    markNeedsrepair(g, target, false);
  }
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
 * Writes everything the overlay holds to `target`, which lies under it; `log` says what was done there with the log,
 * `unused` which blocks of each AG nobody used before. Returns the bytes written.
 */
export function writeOut(
  g: Geometry,
  overlay: OverlaySource,
  target: Source,
  log: LogOutcome['kind'],
  unused: readonly (readonly Run[])[],
): number {
  const before = new Uint8Array(g.sectsize);
  const overlaid = new Uint8Array(g.sectsize);
  target.read(0, before);
  overlay.read(0, overlaid);
  // Whatever can be replayed needs a superblock to be found by.
  const same = isSame(before, overlaid);
  if (same && log === 'replayed') recoverLog(target);
  if (!same) target.write(0, overlaid);
  markNeedsrepair(g, target, true);
  if (!same && log === 'replayed') {
    recoverLog(target);
    markNeedsrepair(g, target, true);
  }
  if (log === 'dropped') dropLog(openVolume(target));
  const { fresh, blocks, headers, bytes } = changesOf(g, overlay, unused);
  writeAll(target, fresh);
  const state = cleanLog(target, g);
  const redo = state && logChanges(target, state, [...blocks, ...headers.flatMap((h) => sectorsOf(g, h))]);
  writeAll(target, blocks);
  writeAll(target, headers);
  if (redo !== undefined) {
    redo.unmount();
    target.sync();
  }
  markNeedsrepair(g, target, false);
  return bytes;
}

/** The log of `target`, where something can be appended to it. */
function cleanLog(target: Source, g: Geometry): LogState | undefined {
  try {
    const state = scanLog(target, g);
    return state.clean ? state : undefined;
  } catch (error) {
    if (!(error instanceof LogError)) throw error;
    return undefined;
  }
}

function writeAll(target: Source, changes: readonly Change[]): void {
  for (const { offset, bytes } of changes) target.write(offset, bytes);
  target.sync();
}

function sectorsOf(g: Geometry, { offset, bytes }: Change): Change[] {
  const out: Change[] = [];
  for (let at = 0; at < bytes.length; at += g.sectsize)
    out.push({ offset: offset + at, bytes: bytes.subarray(at, at + g.sectsize) });
  return out;
}

interface Changes {
  /** Into blocks that nobody used. */
  readonly fresh: Change[];
  readonly blocks: Change[];
  /** AG headers, each AG's in one piece, AG 0 last; the superblock says needsrepair. */
  readonly headers: Change[];
  readonly bytes: number;
}

/** What the overlay holds, the log left out. */
function changesOf(g: Geometry, overlay: OverlaySource, unused: readonly (readonly Run[])[]): Changes {
  const logFrom = fsblockOffset(g, g.logstart);
  const logTo = logFrom + g.logblocks * g.blocksize;
  const agBytes = blockOffset(g, 1, 0);
  const headerBytes = 4 * g.sectsize;
  const dirty = new Set<number>([0]);
  const fresh: Change[] = [];
  const blocks: Change[] = [];
  let bytes = 0;
  for (const [offset, page] of overlay.pages()) {
    bytes += page.length;
    // A page may hold headers, blocks in use and others: cut it where one of them ends.
    for (let at = offset; at < offset + page.length; ) {
      const agno = Math.floor(at / agBytes);
      const within = at - agno * agBytes;
      const inHeader = within < headerBytes && agno < g.agcount;
      const block = Math.floor(within / g.blocksize);
      const border = agno * agBytes + (inHeader ? headerBytes : (block + 1) * g.blocksize);
      const to = Math.min(offset + page.length, border);
      if (inHeader) dirty.add(agno);
      else if (at < logFrom || at >= logTo) {
        const change = { offset: at, bytes: page.subarray(at - offset, to - offset) };
        (isIn(unused[agno], block) ? fresh : blocks).push(change);
      }
      at = to;
    }
  }
  const headers = [...dirty]
    .sort((a, b) => b - a)
    .map((agno) => {
      const header = new Uint8Array(headerBytes);
      overlay.read(agno * agBytes, header);
      if (agno === 0) setNeedsrepair(header.subarray(0, g.sectsize), true);
      return { offset: agno * agBytes, bytes: header };
    });
  return { fresh, blocks, headers, bytes };
}

/** Whether a block is in one of the runs, which ascend. */
function isIn(runs: readonly Run[] | undefined, block: number): boolean {
  let low = 0;
  let high = (runs?.length ?? 0) - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (runs![middle].start <= block) low = middle;
    else high = middle - 1;
  }
  const run = runs?.[low];
  return run !== undefined && block >= run.start && block < run.start + run.blocks;
}
