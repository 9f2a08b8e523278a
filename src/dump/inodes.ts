/** Inodes, one a row. */
import { FORK_FORMAT_NAME } from '../format/dinode.js';
import { agnoOfIno } from '../format/geometry.js';
import { FILE_TYPES, fileType, flagNames } from '../format/mode.js';
import { verifyInode, walkInodes } from '../volume/inode.js';
import type { Volume } from '../volume/volume.js';
import type { AgOptions } from './ags.js';
import { bool, oneOf, type RowSink, table, text, u64, uint } from './table.js';

const FORMATS = [...FORK_FORMAT_NAME, 'unknown'];

export const INODES = table('inodes', 'an inode', {
  ino: uint('inode number'),
  agno: uint('allocation group'),
  allocated: bool('in use, by the inode btree'),
  type: oneOf(FILE_TYPES, 'type of file'),
  mode: text('di_mode in octal'),
  nlink: uint('names this file has'),
  uid: uint('owner'),
  gid: uint('group'),
  projid: uint('project'),
  size: u64('bytes'),
  nblocks: u64('filesystem blocks in use, those of attributes and btrees too'),
  format: oneOf(FORMATS, 'what the data fork holds'),
  nextents: u64('extents of the data fork'),
  aformat: oneOf(FORMATS, 'what the attribute fork holds'),
  naextents: uint('extents of the attribute fork'),
  reflink: bool('the reflink flag: some block of this file may be shared'),
  flags: text('flags set, by name, separated by commas'),
  generation: uint('generation of the inode'),
});

export interface InodesOptions extends AgOptions {
  /** Free inodes too. */
  readonly free?: boolean;
}

/** Emits inodes in number order as they stand; those that do not verify are reported too. */
export function dumpInodes(volume: Volume, sink: RowSink, options: InodesOptions = {}): void {
  const { g } = volume;
  const { num, text: cells } = sink;
  const { at } = INODES;
  const report = options.report ?? volume.report;
  walkInodes(
    volume,
    (inode, allocated) => {
      verifyInode(g, inode, allocated, report);
      const { mode } = inode;
      num[at.ino] = inode.ino;
      num[at.agno] = agnoOfIno(g, inode.ino);
      num[at.allocated] = allocated ? 1 : 0;
      cells[at.type] = fileType(mode);
      cells[at.mode] = `0${mode.toString(8)}`;
      num[at.nlink] = inode.nlink;
      num[at.uid] = inode.uid;
      num[at.gid] = inode.gid;
      num[at.projid] = inode.projid;
      num[at.size] = inode.size;
      num[at.nblocks] = inode.nblocks;
      cells[at.format] = FORK_FORMAT_NAME[inode.format] ?? 'unknown';
      num[at.nextents] = inode.nextents;
      cells[at.aformat] = FORK_FORMAT_NAME[inode.aformat] ?? 'unknown';
      num[at.naextents] = inode.naextents;
      num[at.reflink] = inode.isReflink ? 1 : 0;
      cells[at.flags] = flagNames(inode.flags, inode.flags2).join(',');
      num[at.generation] = inode.generation;
      sink.emit();
    },
    { agno: options.agno, free: options.free === true, report },
  );
}
