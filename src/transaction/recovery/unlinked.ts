/** Files that had no name left when the filesystem crashed, and were still open: nobody can reach them. */
import { AGI_UNLINKED_BUCKETS } from '../../format/ag.js';
import { CorruptionError } from '../../format/fault.js';
import type { Engine } from '../engine.js';
import { firstUnlinked } from '../iunlink.js';
import { inactivate } from '../truncate.js';

/** Frees them with all their blocks. Returns how many there were. */
export function freeUnlinkedInodes(engine: Engine): number {
  let count = 0;
  for (let agno = 0; agno < engine.g.agcount; agno++)
    for (let bucket = 0; bucket < AGI_UNLINKED_BUCKETS; bucket++) {
      for (;;) {
        const ino = firstUnlinked(engine.begin(), agno, bucket);
        if (ino === undefined) break;
        const inode = engine.inode(ino);
        if (inode.nlink !== 0)
          throw new CorruptionError({
            structure: 'dinode',
            ino,
            field: 'nlink',
            value: inode.nlink,
            expected: `0: it is on an unlinked list of AG ${agno}`,
          });
        inactivate(engine, ino);
        count++;
      }
    }
  return count;
}
