/** Everything a filesystem says of itself, gathered in one pass and not yet judged. */

import { getU64 } from '../../format/structure.js';
import { NULLFSINO, SUPERBLOCK } from '../../format/superblock.js';
import { LogError } from '../../journal/error.js';
import { scanLog } from '../../journal/scan.js';
import type { Volume } from '../../volume/volume.js';
import { type AgLook, lookAtHeaders, readInodeTrees, readSpaceTrees } from './aglook.js';
import { type KnownChunks, searchChunks } from './chunksearch.js';
import { FaultLog } from './faultlog.js';
import { InodeScanner } from './inodescan.js';
import { InodeTable, SLOT } from './inodetable.js';
import { ScanPart } from './scanpart.js';
import { Threads } from './threads.js';
import { STRETCH, type UnitResult, Units } from './units.js';

export interface Observation {
  readonly volume: Volume;
  readonly ags: readonly AgLook[];
  readonly table: InodeTable;
  readonly inodes: ScanPart;
  /** What verifiers found wrong. */
  readonly log: FaultLog;
  /** Slots of quota and realtime inodes. */
  readonly systemSlots: readonly number[];
  /** Threads that looked. */
  readonly threads: number;
}

/** Where an observation stands, for whoever waits. */
export interface Stage {
  readonly phase: 'inode btrees' | 'space btrees' | 'inodes' | 'comparing';
  /** The AG that is being read, where AGs are read one by one. */
  readonly agno?: number;
  readonly done: number;
  readonly total: number;
  readonly unit: 'AGs' | 'inodes';
}

export type Progress = (stage: Stage) => void;

/** Reads the whole filesystem's metadata. */
export function observe(volume: Volume, progress?: Progress): Observation {
  knowHead(volume);
  return withChunksFound(observeOnce(volume, progress, NO_CHUNKS), progress);
}

/** LSNs are judged from here on. A log whose head is not known, or that was never written, gives no measure. */
function knowHead({ source, g }: Volume): void {
  try {
    const { head, zeroed } = scanLog(source, g);
    g.head = zeroed ? undefined : head;
  } catch (error) {
    if (!(error instanceof LogError)) throw error;
  }
}

const NO_CHUNKS: KnownChunks = new Map();

/** Most times chunks are looked for: each that is found can lead to others. */
const MAX_SEARCHES = 8;

/** Looks again where the inode btrees cannot be believed, with the chunks that were found on disk. */
function withChunksFound(first: Observation, progress: Progress | undefined): Observation {
  let o = first;
  let known = NO_CHUNKS;
  for (let n = 0; n < MAX_SEARCHES; n++) {
    const found = searchChunks(o, known);
    if (found === undefined) break;
    known = found;
    o = observeOnce(o.volume, progress, known);
  }
  return o;
}

/** One pass; `known` are the chunks of AGs whose inobt is not asked. */
function observeOnce(volume: Volume, progress: Progress | undefined, known: KnownChunks): Observation {
  const o = begin(volume, 1, progress, known);
  for (const stage of oneByOne(o)) progress?.(stage);
  return o;
}

/**
 * The same by `threads` threads, where the source can be read by several; the event loop turns in between. The
 * observation is the same. `stretch`: inodes that a thread takes at once, at least.
 */
export async function observeByThreads(
  volume: Volume,
  threads: number,
  progress?: Progress,
  stretch = STRETCH,
): Promise<Observation> {
  knowHead(volume);
  const workers = new Threads(volume, threads - 1);
  const o = begin(volume, workers.count + 1, progress, NO_CHUNKS);
  if (workers.count === 0) {
    for (const stage of oneByOne(o)) {
      progress?.(stage);
      await turn();
    }
    return withChunksFound(o, progress);
  }
  const { ags, table, inodes, log } = o;
  const units = new Units(ags.length, table.chunks, stretch);
  const between = (): Promise<void> => {
    progress?.(stageAt(units, table, workers.next[0], workers.done[0]));
    return turn();
  };
  const own = (index: number): UnitResult => units.run(index, volume, table, table.entries);
  for (const result of await workers.run(units, table, own, between, stretch)) {
    if ('part' in result) inodes.append(result.part);
    else {
      const { agno, look } = result;
      const { claims, treeBlocks, trees } = ags[agno];
      claims.append(look.claims);
      treeBlocks.append(look.treeBlocks);
      Object.assign(ags[agno], { ...look, claims, treeBlocks, trees: { ...trees, ...look.trees } });
      log.append(result.log);
    }
  }
  return withChunksFound(o, progress);
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** All units by this thread, straight into the observation; yields what comes next. */
function* oneByOne({ volume, ags, table, inodes, log }: Observation): Generator<Stage> {
  const units = new Units(ags.length, table.chunks);
  const scanner = new InodeScanner(volume, table, table.entries, inodes);
  // Most inodes claim one run or none, most in their own AG.
  for (const { claims, inodes: count } of ags) claims.reserve(claims.count + count);
  let done = 0;
  for (let index = 0; index < units.count; index++) {
    yield stageAt(units, table, index, done);
    const agno = units.agno(index);
    if (agno === undefined) units.scan(index, scanner);
    else readSpaceTrees(volume, ags[agno], log.report);
    done += units.inodes(index);
  }
}

/** Where things stand when unit `index` is the next, and `done` inodes are scanned. */
function stageAt(units: Units, table: InodeTable, index: number, done: number): Stage {
  const agno = units.agno(index);
  if (agno !== undefined) return { phase: 'space btrees', agno, done: agno, total: units.ags, unit: 'AGs' };
  return { phase: 'inodes', agno: units.agOf(index, table), done, total: table.slots, unit: 'inodes' };
}

/** Headers and inode btrees: what says where inodes are. */
function begin(
  volume: Volume,
  threads: number,
  progress: Progress | undefined,
  known: KnownChunks,
): Observation {
  const { g } = volume;
  const log = new FaultLog();
  const table = new InodeTable(g);
  const ags: AgLook[] = [];
  for (let agno = 0; agno < g.agcount; agno++) {
    progress?.({ phase: 'inode btrees', agno, done: agno, total: g.agcount, unit: 'AGs' });
    const look = lookAtHeaders(volume, agno, log.report);
    readInodeTrees(volume, look, table, log.report, known.get(agno));
    ags.push(look);
  }
  table.freeze();
  const systemSlots = systemInodes(volume, table);
  for (const slot of systemSlots) table.flags[slot] |= SLOT.SYSTEM;
  const inodes = new ScanPart(
    ags.map((ag) => ag.claims),
    log,
  );
  return { volume, ags, table, inodes, log, systemSlots, threads };
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
