/** The runs that most files share, and who they are. */
import { USE } from '../dump/rows/usage.js';
import { CLAIM } from '../repair/observe/columns.js';
import type { Observation } from '../repair/observe/observe.js';
import type { SharedOwner, SharedRun } from './payload.js';
import type { Usage } from './usage.js';

/** Runs shown, and owners of each. */
const RUNS = 40;
const OWNERS = 24;

interface Candidate {
  readonly agno: number;
  readonly agbno: number;
  readonly blocks: number;
  readonly owners: number;
  readonly by: SharedOwner[];
}

const before = (a: Candidate, b: Candidate): number => b.owners - a.owners || b.blocks - a.blocks;

/** The most shared runs with their first owners, by inode number, and how many shared runs there are. */
export function mostShared(
  o: Observation,
  usage: Usage,
  pathOf: (ino: number) => string | undefined,
): { runs: SharedRun[]; count: number } {
  let top: Candidate[] = [];
  let count = 0;
  for (const ag of usage.ags)
    for (let i = 0; i < ag.count; i++) {
      if (ag.use[i] !== USE.shared) continue;
      count++;
      const last = top.length >= RUNS ? top[RUNS - 1] : undefined;
      if (last !== undefined && ag.owners[i] < last.owners) continue;
      top.push({
        agno: ag.agno,
        agbno: ag.start[i],
        blocks: ag.blocks[i],
        owners: ag.owners[i],
        by: [],
      });
      // Sorted now and then, so that what is kept stays little.
      if (top.length >= RUNS * 8) top = top.sort(before).slice(0, RUNS);
    }
  top = top.sort(before).slice(0, RUNS);
  for (const { agno, claims } of o.ags) {
    const here = top.filter((run) => run.agno === agno).sort((a, b) => a.agbno - b.agbno);
    if (here.length === 0) continue;
    for (let i = 0; i < claims.count; i++) {
      if ((claims.info[i] & CLAIM.DATA) === 0) continue;
      const from = claims.start[i];
      const to = from + claims.blocks[i];
      for (const run of here) {
        if (run.agbno >= to) break;
        const first = Math.max(from, run.agbno);
        const blocks = Math.min(to, run.agbno + run.blocks) - first;
        if (blocks <= 0 || run.by.length >= OWNERS) continue;
        const ino = o.table.ino(claims.owner[i]);
        run.by.push({ ino, path: pathOf(ino), offset: claims.offset[i] + first - from, blocks });
      }
    }
  }
  return { runs: top, count };
}
