/** Files as rows: what `ls`, `find` and `stat` show of them. */
import { S_IF } from '../format/dinode.js';
import { FILE_TYPES, fileType, flagNames, modeString } from '../format/mode.js';
import { bytesToText } from '../format/text.js';
import { isoTime } from '../format/time.js';
import type { Inode } from '../volume/inode.js';
import { readSymlink } from '../volume/symlink.js';
import type { Volume } from '../volume/volume.js';
import { any, oneOf, optional, type RowSink, table, text, uint } from './table.js';

export const FILES = table('files', 'a name in the directory tree and the file behind it', {
  path: text('path from the root of the filesystem'),
  ino: uint('inode number'),
  type: oneOf(FILE_TYPES, 'type of file'),
  mode: text('type and permissions, as ls -l writes them'),
  perm: text('permissions with setuid, setgid and sticky, in octal'),
  nlink: uint('names this file has'),
  uid: uint('owner'),
  gid: uint('group'),
  projid: uint('project'),
  size: any('bytes'),
  blocks: uint('filesystem blocks in use, those of attributes and btrees too'),
  atime: text('last access, UTC'),
  mtime: text('last change of contents, UTC'),
  ctime: text('last change of the inode, UTC'),
  crtime: text('creation, UTC'),
  flags: text('flags set in the inode, separated by commas'),
  nextents: uint('extents of the data fork'),
  naextents: uint('extents of the attribute fork'),
  generation: uint('generation of the inode'),
  target: optional(text('target of a symbolic link')),
  rdev: optional(text('major:minor of a device')),
});

const { at } = FILES;

export const isDevice = (inode: Inode): boolean => inode.type === S_IF.BLK || inode.type === S_IF.CHR;

/** Emits the row of one file. Throws CorruptionError where a link's target cannot be read. */
export function emitFile(sink: RowSink, volume: Volume, inode: Inode, path: Uint8Array): void {
  const { num, text: cells, any: values } = sink;
  const target = inode.type === S_IF.LNK ? bytesToText(readSymlink(volume, inode)) : null;
  cells[at.path] = bytesToText(path);
  num[at.ino] = inode.ino;
  cells[at.type] = fileType(inode.mode);
  cells[at.mode] = modeString(inode.mode);
  cells[at.perm] = (inode.mode & 0o7777).toString(8).padStart(4, '0');
  num[at.nlink] = inode.nlink;
  num[at.uid] = inode.uid;
  num[at.gid] = inode.gid;
  num[at.projid] = inode.projid;
  values[at.size] = Number.isSafeInteger(inode.size) ? inode.size : inode.exactSize;
  num[at.blocks] = inode.nblocks;
  cells[at.atime] = isoTime(inode.atime);
  cells[at.mtime] = isoTime(inode.mtime);
  cells[at.ctime] = isoTime(inode.ctime);
  cells[at.crtime] = isoTime(inode.crtime);
  cells[at.flags] = flagNames(inode.flags, inode.flags2).join(',');
  num[at.nextents] = inode.nextents;
  num[at.naextents] = inode.naextents;
  num[at.generation] = inode.generation;
  cells[at.target] = target;
  cells[at.rdev] = isDevice(inode) ? `${inode.rdev.major}:${inode.rdev.minor}` : null;
  sink.emit();
}
