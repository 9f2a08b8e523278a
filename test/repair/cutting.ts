/**
 * A repair, and the image as each cut of it would leave it: after every sector that it changes. The repair runs once;
 * what it wrote by then is put over the damaged image.
 */
import { createHash } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { INCOMPAT } from '../../src/format/features.js';
import { fsblockOffset } from '../../src/format/geometry.js';
import { viewOf } from '../../src/format/structure.js';
import { SUPERBLOCK } from '../../src/format/superblock.js';
import { OverlaySource } from '../../src/image/overlay.js';
import type { Source } from '../../src/image/source.js';
import { type RepairResult, repair } from '../../src/repair/repair.js';
import { openVolume } from '../../src/volume/volume.js';
import { CutSource } from '../support/cut.js';

export interface CutState {
  /** Sectors changed before the cut. */
  readonly sectors: number;
  readonly source: OverlaySource;
}

export class CutRepair {
  readonly damaged: Source;
  readonly result: RepairResult;
  readonly finished: OverlaySource;
  readonly #cut: CutSource;

  constructor(damaged: Source, dropLog = false) {
    this.damaged = damaged;
    this.finished = new OverlaySource(damaged);
    this.#cut = new CutSource(this.finished, Number.POSITIVE_INFINITY, { record: true });
    this.result = repair(this.#cut, { onDuplicate: 'quarantine', dropLog });
  }

  get sectors(): number {
    return this.#cut.written;
  }

  /** Where to cut: everywhere, or in so many places spread evenly, the first and the last among them. */
  points(most: number): number[] {
    const last = this.sectors - 1;
    if (last <= most) return Array.from({ length: last }, (_, i) => i + 1);
    return Array.from({ length: most }, (_, i) => 1 + Math.round((i * (last - 1)) / (most - 1)));
  }

  /** The image as it is after so many sectors, which ascend. It must not be written to. */
  *states(points: readonly number[]): Generator<CutState> {
    const source = new OverlaySource(this.damaged);
    let done = 0;
    for (const sectors of points) {
      for (; done < sectors; done++) {
        const { offset, bytes } = this.#cut.changes![done];
        source.write(offset, bytes);
      }
      yield { sectors, source };
    }
  }
}

/** Whether Linux refuses to mount an image because a repair of it has begun. */
export function isMarked(source: Source): boolean {
  const sector = new Uint8Array(512);
  source.read(0, sector);
  return (viewOf(sector).getUint32(SUPERBLOCK.at.features_incompat) & INCOMPAT.NEEDSREPAIR) !== 0;
}

/** Pages in which overlays, one over the other, differ from what lies under them all. */
export function changedPages(top: OverlaySource): { offset: number; bytes: Uint8Array }[] {
  const pages = new Set<number>();
  for (let source: Source = top; source instanceof OverlaySource; source = source.under)
    for (const [offset] of source.pages()) pages.add(offset);
  return [...pages]
    .sort((a, b) => a - b)
    .map((offset) => {
      const bytes = new Uint8Array(Math.min(4096, top.size - offset));
      top.read(offset, bytes);
      return { offset, bytes };
    });
}

/** A digest of what was changed outside the log, whose records differ with the way a repair came about. */
export function digest(top: OverlaySource, pages = changedPages(top)): string {
  const { g } = openVolume(top);
  const from = fsblockOffset(g, g.logstart);
  const to = from + g.logblocks * g.blocksize;
  const hash = createHash('sha256');
  for (const { offset, bytes } of pages)
    if (offset < from || offset >= to) hash.update(`${offset}:`).update(bytes);
  return hash.digest('hex');
}

/** Puts pages into an image file. */
export function writePages(
  path: string,
  pages: readonly { readonly offset: number; readonly bytes: Uint8Array }[],
): void {
  const fd = openSync(path, 'r+');
  try {
    for (const { offset, bytes } of pages) writeSync(fd, bytes, 0, bytes.length, offset);
  } finally {
    closeSync(fd);
  }
}
