/**
 * The work of an observation in pieces that threads can take one by one: the space btrees of an AG, or a
 * stretch of inodes. Whoever does them, their results put together in order are what one thread finds.
 */
import { INODES_PER_CHUNK } from '../../format/geometry.js';
import type { Volume } from '../../volume/volume.js';
import { type AgLook, lookAtHeaders, readSpaceTrees } from './aglook.js';
import { ChunkReader } from './chunkreader.js';
import { Claims, RmapRecords, Runs } from './columns.js';
import { FaultLog } from './faultlog.js';
import { InodeScanner } from './inodescan.js';
import type { EntryColumns, InodeTable } from './inodetable.js';
import { ScanPart } from './scanpart.js';

/** Inodes of a stretch, at least; and stretches of a filesystem, at most. */
export const STRETCH = 8192;
const MAX_STRETCHES = 256;

/** What one unit comes to. */
export type UnitResult =
  | { readonly agno: number; readonly look: SpaceLook; readonly log: FaultLog }
  | { readonly part: ScanPart };

/** What an AG's space btrees tell. */
export type SpaceLook = Pick<
  AgLook,
  'claims' | 'byStart' | 'bySize' | 'shared' | 'cow' | 'rmaps' | 'trees' | 'treeBlocks'
>;

export class Units {
  /** The first units: an AG's space btrees each. */
  readonly ags: number;
  readonly #chunks: number;
  readonly #perStretch: number;
  #reader: ChunkReader | undefined;
  readonly count: number;

  constructor(agcount: number, chunks: number, stretch = STRETCH) {
    this.ags = agcount;
    this.#chunks = chunks;
    this.#perStretch = Math.max(Math.ceil(stretch / INODES_PER_CHUNK), Math.ceil(chunks / MAX_STRETCHES));
    this.count = agcount + Math.ceil(chunks / this.#perStretch);
  }

  /** The AG whose space btrees unit `index` is; undefined for a stretch of inodes. */
  agno(index: number): number | undefined {
    return index < this.ags ? index : undefined;
  }

  /** The chunks of a stretch: [from, to). */
  chunks(index: number): { from: number; to: number } {
    const from = (index - this.ags) * this.#perStretch;
    return { from, to: Math.min(from + this.#perStretch, this.#chunks) };
  }

  /** Inodes of unit `index`, for the progress. */
  inodes(index: number): number {
    if (index < this.ags) return 0;
    const { from, to } = this.chunks(index);
    return (to - from) * INODES_PER_CHUNK;
  }

  /** The AG in which the inodes of unit `index` begin. */
  agOf(index: number, table: InodeTable): number {
    const { from } = this.chunks(Math.min(index, this.count - 1));
    let agno = 0;
    while (agno + 1 < this.ags && table.firstChunk[agno + 1] <= from) agno++;
    return agno;
  }

  /** Does unit `index`, with results of its own. Directory entries are counted in `entries`. */
  run(index: number, volume: Volume, table: InodeTable, entries: EntryColumns): UnitResult {
    const agno = this.agno(index);
    if (agno !== undefined) {
      const look = { ...lookAtHeaders(volume, agno, () => {}), claims: new Claims() };
      const log = new FaultLog();
      readSpaceTrees(volume, look, log.report);
      const { claims, byStart, bySize, shared, cow, rmaps, trees, treeBlocks } = look;
      return { agno, look: { claims, byStart, bySize, shared, cow, rmaps, trees, treeBlocks }, log };
    }
    const part = ScanPart.of(volume.g.agcount);
    this.#reader ??= new ChunkReader(volume);
    this.scan(index, new InodeScanner(volume, table, entries, part, this.#reader));
    return { part };
  }

  /** Scans the inodes of unit `index`. */
  scan(index: number, scanner: InodeScanner): void {
    const { from, to } = this.chunks(index);
    for (let chunk = from; chunk < to; chunk++) scanner.chunk(chunk);
  }
}

/** Gives back what a result lost on the way from another thread: that its columns are more than data. */
export function revive(result: UnitResult): UnitResult {
  if ('part' in result) {
    const { claims, log, ...rest } = result.part;
    const own = new ScanPart(claims.map(asClaims), Object.assign(new FaultLog(), log));
    return { part: Object.assign(own, rest) };
  }
  const { agno, look, log } = result;
  const runs = (data: Runs): Runs => Object.assign(new Runs(), data);
  const { claims, byStart, bySize, shared, cow, rmaps, trees, treeBlocks } = look;
  const own: SpaceLook = {
    claims: asClaims(claims),
    byStart: runs(byStart),
    bySize: runs(bySize),
    shared: runs(shared),
    cow: runs(cow),
    rmaps: Object.assign(new RmapRecords(), rmaps),
    trees,
    treeBlocks: runs(treeBlocks),
  };
  return { agno, look: own, log: Object.assign(new FaultLog(), log) };
}

const asClaims = (data: Claims): Claims => Object.assign(new Claims(), data);

/** The memory of a result's columns: handed over instead of copied. */
export function memoryOf(result: UnitResult): ArrayBuffer[] {
  const columns = 'part' in result ? result.part.claims : Object.values(result.look);
  const out: ArrayBuffer[] = [];
  for (const column of columns)
    for (const array of Object.values(column))
      if (ArrayBuffer.isView(array)) out.push(array.buffer as ArrayBuffer);
  return out;
}
