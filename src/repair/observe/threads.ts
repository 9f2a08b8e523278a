/**
 * An observation by several threads. Each takes the next unit that nobody has taken; inode columns stand in
 * memory they share, all else is put together when they are done. The result is the same for any number.
 */

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Lsn } from '../../format/log.js';
import { handleOf, type SourceHandle } from '../../image/handle.js';
import { bytesOf, type Volume } from '../../volume/volume.js';
import type { EntryColumns, InodeTable, SharedTable } from './inodetable.js';
import { revive, type UnitResult, type Units } from './units.js';

/** What a thread is started with: enough to open the filesystem. */
export interface Start {
  readonly source: SourceHandle;
  readonly superblock: Uint8Array;
  readonly head: Lsn | undefined;
}

/** What it is told once the inode btrees are read. Element 0 of `next`: the unit to take; of `done`: inodes. */
export interface Orders {
  readonly table: SharedTable;
  readonly next: Int32Array;
  readonly done: Int32Array;
  readonly stretch: number;
}

/** What it answers. */
export interface Answer {
  readonly results: { index: number; result: UnitResult }[];
  readonly entries: EntryColumns;
}

/** The worker's code: beside the bundle this stands in, or built from the sources this is one of. */
function workerPath(): string | undefined {
  for (const place of ['./worker.cjs', '../../../dist/worker.cjs']) {
    const path = fileURLToPath(new URL(place, import.meta.url));
    if (existsSync(path)) return path;
  }
  return undefined;
}

/** Milliseconds between turns while this thread waits for the others. */
const TURN = 100;

export class Threads {
  readonly #workers: { worker: Worker; answer: Promise<Answer | undefined> }[] = [];
  readonly next = new Int32Array(new SharedArrayBuffer(4));
  /** Inodes scanned so far, by all. */
  readonly done = new Int32Array(new SharedArrayBuffer(4));

  /** Starts `count` threads besides this one, or none where the source or the installation does not allow. */
  constructor(volume: Volume, count: number) {
    const path = workerPath();
    const source = handleOf(volume.source);
    if (path === undefined || source === undefined) return;
    const workerData: Start = { source, superblock: bytesOf(volume.superblock), head: volume.g.head };
    for (let i = 0; i < count; i++) {
      const worker = new Worker(path, { workerData });
      worker.unref();
      // A thread that fails is as good as none: its units are done again here, and fail in their own words.
      const answer = new Promise<Answer | undefined>((resolve) => {
        worker.once('message', resolve);
        worker.once('error', () => resolve(undefined));
        worker.once('exit', () => resolve(undefined));
      });
      this.#workers.push({ worker, answer });
    }
  }

  /** Threads besides this one. */
  get count(): number {
    return this.#workers.length;
  }

  /** Does all units; `own` does one here, and is called until none is left. Results by unit. */
  async run(
    units: Units,
    table: InodeTable,
    own: (index: number) => UnitResult,
    between: () => unknown,
    stretch: number,
  ): Promise<UnitResult[]> {
    const orders: Orders = { table: table.share(), next: this.next, done: this.done, stretch };
    for (const { worker } of this.#workers) worker.postMessage(orders);
    const results: UnitResult[] = new Array(units.count);
    for (;;) {
      const index = Atomics.add(this.next, 0, 1);
      if (index >= units.count) break;
      results[index] = own(index);
      Atomics.add(this.done, 0, units.inodes(index));
      await between();
    }
    const turning = setInterval(between, TURN);
    const answers = await Promise.all(this.#workers.map(({ answer }) => answer));
    clearInterval(turning);
    for (const got of answers) {
      if (got === undefined) continue;
      for (const { index, result } of got.results) results[index] = revive(result);
      table.entries.merge(got.entries);
    }
    for (let index = 0; index < units.count; index++) results[index] ??= own(index);
    return results;
  }
}
