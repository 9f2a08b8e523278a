/** The other end of threads.ts: opens the filesystem anew and does units for as long as there are any. */
import { parentPort, workerData } from 'node:worker_threads';
import { openHandle } from '../../image/handle.js';
import { Volume } from '../../volume/volume.js';
import { EntryColumns, InodeTable } from './inodetable.js';
import type { Answer, Orders, Start } from './threads.js';
import { memoryOf, type UnitResult, Units } from './units.js';

const { source, superblock, head } = workerData as Start;
/** The cache serves the few blocks of one directory or tree at a time. */
const CACHE = 4 * 2 ** 20;
const volume = new Volume(openHandle(source), superblock, CACHE);
volume.g.head = head;

function work({ table: shared, next, done, stretch }: Orders): void {
  const table = InodeTable.from(volume.g, shared);
  const units = new Units(volume.g.agcount, table.chunks, stretch);
  const entries = new EntryColumns(table.slots, volume.g.features.parent);
  const results: { index: number; result: UnitResult }[] = [];
  const { count, types, heldBy, parents } = entries;
  const memory = [count, types, heldBy, parents].map((column) => column.buffer as ArrayBuffer);
  for (;;) {
    const index = Atomics.add(next, 0, 1);
    if (index >= units.count) break;
    const result = units.run(index, volume, table, entries);
    results.push({ index, result });
    memory.push(...memoryOf(result));
    Atomics.add(done, 0, units.inodes(index));
  }
  const answer: Answer = { results, entries };
  parentPort!.postMessage(answer, memory);
}

parentPort!.once('message', work);
