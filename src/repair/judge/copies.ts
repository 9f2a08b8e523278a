/** The copies of the superblock in all AGs but the first, held against the primary one. */
import { bytesOf } from '../../volume/volume.js';
import type { Finding } from '../finding.js';
import type { Observation } from '../observe/observe.js';
import { copyFault } from '../superblock.js';

export function judgeCopies(o: Observation, out: Finding[]): void {
  const { volume } = o;
  const primary = bytesOf(volume.superblock);
  for (let agno = 1; agno < volume.g.agcount; agno++) {
    const what = copyFault(volume.g, agno, primary, bytesOf(volume.header(agno, 'sb')));
    if (what === undefined) continue;
    out.push({
      code: 'superblock.copy',
      severity: 'damage',
      agno,
      agbno: 0,
      message: `the copy of the superblock in AG ${agno}: ${what}`,
      action: 'write it anew from the primary superblock',
    });
  }
}
