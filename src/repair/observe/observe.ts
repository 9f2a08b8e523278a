/** Everything a filesystem says of itself, gathered in one pass and not yet judged. */
import type { Fault } from '../../format/fault.js';
import { getU64 } from '../../format/structure.js';
import { NULLFSINO, SUPERBLOCK } from '../../format/superblock.js';
import type { Volume } from '../../volume/volume.js';
import { type AgLook, lookAtAg } from './aglook.js';
import { type InodeScan, scanInodes } from './inodescan.js';
import { InodeTable, SLOT } from './inodetable.js';

export interface Observation {
  readonly volume: Volume;
  readonly ags: readonly AgLook[];
  readonly table: InodeTable;
  readonly inodes: InodeScan;
  /** What verifiers found wrong, the first MAX_FAULTS of it. */
  readonly faults: Fault[];
  /** All faults, kept or not. */
  readonly faultCount: number;
  /** Slots of quota and realtime inodes. */
  readonly systemSlots: readonly number[];
}

/** Faults kept for the report: a disk of noise should not fill memory. */
const MAX_FAULTS = 100_000;

/** Reads the whole filesystem's metadata. `progress` is told of each AG before it is read. */
export function observe(volume: Volume, progress?: (phase: string, agno: number) => void): Observation {
  const { g } = volume;
  const faults: Fault[] = [];
  let faultCount = 0;
  const report = (fault: Fault): void => {
    faultCount++;
    if (faults.length < MAX_FAULTS) faults.push(fault);
  };
  const table = new InodeTable(g);
  const ags: AgLook[] = [];
  for (let agno = 0; agno < g.agcount; agno++) {
    progress?.('btrees', agno);
    ags.push(lookAtAg(volume, agno, table, report));
  }
  table.freeze();
  const systemSlots = systemInodes(volume, table);
  for (const slot of systemSlots) table.flags[slot] |= SLOT.SYSTEM;
  progress?.('inodes', 0);
  const claims = ags.map((ag) => ag.claims);
  const inodes = scanInodes(volume, table, claims, report);
  return { volume, ags, table, inodes, faults, faultCount, systemSlots };
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
