/** Blocks that were held for a copy on write when the filesystem crashed: no file maps them. */
import { fsblockOf } from '../../format/geometry.js';
import { deferCowStaging } from '../defer.js';
import type { Engine } from '../engine.js';
import { firstCowStaging } from '../refcount.js';

/** Frees them. Returns how many blocks there were. */
export function releaseCowStaging(engine: Engine): number {
  const { g } = engine;
  if (!g.features.reflink) return 0;
  let blocks = 0;
  for (let agno = 0; agno < g.agcount; agno++)
    for (;;) {
      const run = firstCowStaging(engine.begin(), agno);
      if (run === undefined) break;
      const fsblock = fsblockOf(g, agno, run.start);
      engine.run((tx) => {
        deferCowStaging(tx, fsblock, run.blocks, false);
        tx.defer({ kind: 'free', fsblock, blocks: run.blocks, owner: undefined });
      });
      blocks += run.blocks;
    }
  return blocks;
}
