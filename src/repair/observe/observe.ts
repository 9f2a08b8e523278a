/** Everything a filesystem says of itself, gathered in one pass and not yet judged. */
import { getU64 } from '../../format/structure.js';
import { NULLFSINO, SUPERBLOCK } from '../../format/superblock.js';
import type { Volume } from '../../volume/volume.js';
import { type AgLook, lookAtHeaders, readInodeTrees, readSpaceTrees } from './aglook.js';
import { FaultLog } from './faultlog.js';
import { InodeScanner } from './inodescan.js';
import { InodeTable, SLOT } from './inodetable.js';
import { ScanPart } from './scanpart.js';

export interface Observation {
  readonly volume: Volume;
  readonly ags: readonly AgLook[];
  readonly table: InodeTable;
  readonly inodes: ScanPart;
  /** What verifiers found wrong. */
  readonly log: FaultLog;
  /** Slots of quota and realtime inodes. */
  readonly systemSlots: readonly number[];
}

/** Reads the whole filesystem's metadata. `progress` is told of each AG before it is read. */
export function observe(volume: Volume, progress?: (phase: string, agno: number) => void): Observation {
  const { g } = volume;
  const log = new FaultLog();
  const table = new InodeTable(g);
  const ags: AgLook[] = [];
  for (let agno = 0; agno < g.agcount; agno++) {
    progress?.('btrees', agno);
    const look = lookAtHeaders(volume, agno, log.report);
    readInodeTrees(volume, look, table, log.report);
    ags.push(look);
  }
  table.freeze();
  const systemSlots = systemInodes(volume, table);
  for (const slot of systemSlots) table.flags[slot] |= SLOT.SYSTEM;
  for (const look of ags) readSpaceTrees(volume, look, log.report);
  progress?.('inodes', 0);
  const inodes = new ScanPart(
    ags.map((ag) => ag.claims),
    log,
  );
  const scanner = new InodeScanner(volume, table, table.entries, inodes);
  for (let chunk = 0; chunk < table.chunks; chunk++) scanner.chunk(chunk);
  return { volume, ags, table, inodes, log, systemSlots };
}

/** Inodes the superblock points to that no directory names. */
function systemInodes(volume: Volume, table: InodeTable): number[] {
  const slots: number[] = [];
  for (const field of ['rbmino', 'rsumino', 'uquotino', 'gquotino', 'pquotino'] as const) {
    const ino = getU64(volume.superblock, SUPERBLOCK.at[field]);
    if (ino === 0 || ino >= NULLFSINO) continue;
    const slot = table.slot(ino);
    if (slot >= 0) slots.push(slot);
  }
  return slots;
}
