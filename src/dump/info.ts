/** `info`: what a filesystem is and how full it is, a line each. */
import { AGF, AGI } from '../format/ag.js';
import type { Features } from '../format/features.js';
import { SUPERBLOCK } from '../format/superblock.js';
import type { Volume } from '../volume/volume.js';
import { any, emitRow, type RowSink, table, text } from './table.js';

export const INFO = table('info', 'a property of the filesystem', {
  property: text('what is told'),
  value: any('its value; sizes in bytes unless the property says blocks'),
});

const FEATURE_NAMES: readonly [keyof Features, string][] = [
  ['ftype', 'ftype'],
  ['finobt', 'finobt'],
  ['sparseInodes', 'sparse'],
  ['rmapbt', 'rmapbt'],
  ['reflink', 'reflink'],
  ['bigtime', 'bigtime'],
  ['inobtcount', 'inobtcount'],
  ['nrext64', 'nrext64'],
  ['exchangeRange', 'exchange'],
  ['parent', 'parent'],
  ['metadir', 'metadir'],
  ['metaUuid', 'meta_uuid'],
  ['needsrepair', 'needsrepair'],
];

/**
 * Emits the rows. Free space and inode counts are summed from the AG headers, which hold also where the log
 * is dirty and the superblock's own counters are behind.
 */
export function dumpInfo(volume: Volume, sink: RowSink): void {
  const { g } = volume;
  const row = (property: string, value: string | number): void => emitRow(sink, INFO, { property, value });
  const sb = SUPERBLOCK.decode(volume.superblock);
  row('label', String(sb.fname));
  row('uuid', g.uuid);
  if (g.features.metaUuid) row('metadata uuid', g.metaUuid);
  row(
    'features',
    FEATURE_NAMES.filter(([key]) => g.features[key])
      .map(([, name]) => name)
      .join(' '),
  );
  row('size', g.dblocks * g.blocksize);
  row('block size', g.blocksize);
  row('sector size', g.sectsize);
  row('blocks', g.dblocks);
  row('AGs', g.agcount);
  row('AG blocks', g.agblocks);
  row('stripe unit', g.unit * g.blocksize);
  row('stripe width', g.width * g.blocksize);
  row('inode size', g.inodesize);
  row('inode space, percent at most', g.imaxPct);
  row('directory block size', g.dirblksize);
  row('log start block', g.logstart);
  row('log blocks', g.logblocks);
  row('log sector size', g.logsectsize);
  row('log stripe unit', g.logsunit > 1 ? g.logsunit : 0);
  row('root inode', g.rootino);
  let free = 0;
  let inodes = 0;
  let freeInodes = 0;
  for (let agno = 0; agno < g.agcount; agno++) {
    const agf = volume.agf(agno);
    const agi = volume.agi(agno);
    free += agf.getUint32(AGF.at.freeblks) + agf.getUint32(AGF.at.flcount) + agf.getUint32(AGF.at.btreeblks);
    inodes += agi.getUint32(AGI.at.count);
    freeInodes += agi.getUint32(AGI.at.freecount);
  }
  row('free blocks', free);
  row('used blocks', g.dblocks - free);
  row('inodes allocated', inodes);
  row('inodes free', freeInodes);
}
