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
 * a repair cut in step 4 is done again from there. What has to stand in place of the old needs the log (`mustFitLog`).
 */
import { sealCrc } from '../../format/checksum.js';
import { INCOMPAT } from '../../format/features.js';
import { blockOffset, fsblockOffset, type Geometry } from '../../format/geometry.js';
import { viewOf } from '../../format/structure.js';
import { SUPERBLOCK, setFeatureBits, verifySuperblock } from '../../format/superblock.js';
import type { OverlaySource } from '../../image/overlay.js';
import type { Source } from '../../image/source.js';
import { dropLog } from '../../journal/clear.js';
import { LogError } from '../../journal/error.js';
import { type LogState, scanLog } from '../../journal/scan.js';
import { recoverLog } from '../../transaction/recovery/recover.js';
import { openVolume } from '../../volume/volume.js';
import { type LogOutcome, trimLog } from '../prepare.js';
import { differingFields } from '../superblock.js';
import { type Change, fitsLog, logChanges } from './redo.js';
import { isIn, type Run } from './runlist.js';
import { NoSpaceError } from './space.js';

/** Sets or clears needsrepair in a superblock's sector. */
function setNeedsrepair(sector: Uint8Array, on: boolean): void {
  setFeatureBits(sector, 'features_incompat', INCOMPAT.NEEDSREPAIR, on);
  sealCrc(sector, SUPERBLOCK.at.crc);
}

/** A source whose superblock says needsrepair, whoever writes it. */
class MarkedSource implements Source {
  readonly #under: Source;
  constructor(under: Source) {
    this.#under = under;
  }
  get size(): number {
    return this.#under.size;
  }
  read(offset: number, into: Uint8Array): void {
    this.#under.read(offset, into);
  }
  write(offset: number, from: Uint8Array): void {
    if (offset > 0) {
      this.#under.write(offset, from);
      return;
    }
    const marked = from.slice();
    setNeedsrepair(marked.subarray(0, viewOf(marked).getUint16(SUPERBLOCK.at.sectsize)), true);
    this.#under.write(0, marked);
  }
  sync(): void {
    this.#under.sync();
  }
  close(): void {
    this.#under.close();
  }
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
  if (log === 'trimmed') {
    trimLog(target);
    target.sync();
  }
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
  if (isSame(before, overlaid)) {
    if (log === 'replayed') recoverLog(target);
    markNeedsrepair(g, target, true);
  } else {
    // Whatever can be replayed needs a superblock to be found by; with it Linux would find the damage, too.
    const marked = new MarkedSource(target);
    marked.write(0, overlaid);
    marked.sync();
    if (log === 'replayed') recoverLog(marked);
  }
  if (log === 'trimmed') trimLog(target);
  if (log === 'dropped') dropLog(openVolume(target));
  const { fresh, blocks, headers, bytes } = changesOf(g, overlay, unused);
  writeAll(target, fresh);
  const state = cleanLog(target, g);
  const redo = state && logChanges(target, state, inPlaceOf(g, { blocks, headers }));
  writeAll(target, blocks);
  writeAll(target, headers);
  if (redo !== undefined) {
    redo.unmount();
    target.sync();
  }
  markNeedsrepair(g, target, false);
  return bytes;
}

/**
 * Throws NoSpaceError where the log cannot hold what is to be written in place: asked before anything is written by a
 * repair that overwrites what it was made from.
 */
export function mustFitLog(g: Geometry, overlay: OverlaySource, unused: readonly (readonly Run[])[]): void {
  const state = cleanLog(overlay, g);
  if (state === undefined || !fitsLog(state, inPlaceOf(g, changesOf(g, overlay, unused))))
    throw new NoSpaceError(
      'there are no free blocks beside what must be written anew, and the log is too small for it',
    );
}

/** What is written over blocks in use, in pieces that can be logged. */
const inPlaceOf = (g: Geometry, { blocks, headers }: Pick<Changes, 'blocks' | 'headers'>): Change[] => [
  ...blocks,
  ...headers.flatMap((h) => sectorsOf(g, h)),
];

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
