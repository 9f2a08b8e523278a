import { type Cell, RowCollector, type RowSink, type Table } from '../../src/dump/table.js';
import { describeFault, type Fault } from '../../src/format/fault.js';
import { openSource } from '../../src/image/open.js';
import { openVolume, type Volume } from '../../src/volume/volume.js';
import type { MkfsOptions } from '../support/populate.js';

/** Images that every comparison runs on: block sizes, features, trees several levels deep. */
export const SHAPES: readonly { name: string; mkfs: MkfsOptions; scale: 'small' | 'full' }[] = [
  { name: '4 KiB blocks, rmapbt', mkfs: { args: ['-m', 'rmapbt=1'] }, scale: 'small' },
  { name: '1 KiB blocks, rmapbt', mkfs: { args: ['-b', 'size=1024', '-m', 'rmapbt=1'] }, scale: 'full' },
  {
    name: '1 KiB blocks, nrext64, 4 KiB directory blocks, no rmapbt',
    mkfs: { args: ['-b', 'size=1024', '-n', 'size=4096', '-i', 'nrext64=1', '-m', 'rmapbt=0'] },
    scale: 'small',
  },
  {
    name: 'no sparse inodes, no finobt, no reflink',
    mkfs: { args: ['-m', 'finobt=0,reflink=0,bigtime=0,inobtcount=0', '-i', 'sparse=0,size=1024'] },
    scale: 'small',
  },
];

export function withVolume<T>(image: string, fn: (volume: Volume) => T): T {
  const volume = openVolume(openSource(image));
  try {
    return fn(volume);
  } finally {
    volume.close();
  }
}

/** The rows `run` emits, and the faults it reports as lines. */
export function collect(
  volume: Volume,
  table: Table,
  run: (sink: RowSink) => void,
): { rows: Record<string, Cell>[]; faults: string[] } {
  const sink = new RowCollector(table);
  const faults: Fault[] = [];
  volume.report = (fault) => faults.push(fault);
  run(sink);
  return { rows: sink.rows, faults: faults.map(describeFault) };
}
