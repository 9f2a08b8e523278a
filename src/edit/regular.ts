/** Regular files by path, and whether their contents may be changed. */
import type { LiveInode } from '../transaction/inode.js';
import { type Edit, type Path, pathBytes } from './edit.js';
import { EditError } from './error.js';
import { checkFlags } from './inode.js';
import { MAX_FILE_SIZE } from './sizes.js';

/** The regular file a path names, links followed. Throws PathError, EditError. */
export function readableFile(edit: Edit, path: Path): LiveInode {
  const inode = edit.resolve(path);
  if (inode.isDir) throw new EditError('EISDIR', pathBytes(path));
  if (!inode.isRegular) throw new EditError('EINVAL', pathBytes(path), 'not a regular file');
  return inode;
}

/** The same, to be changed; `append`: at its end only. */
export function regularFile(edit: Edit, path: Path, append = false): LiveInode {
  const inode = readableFile(edit, path);
  checkFlags(inode, pathBytes(path), append);
  return inode;
}

/** Refuses what would make a file larger than one can be. */
export function checkEnd(path: Path, end: bigint): void {
  if (end <= MAX_FILE_SIZE) return;
  throw new EditError(
    'EFBIG',
    pathBytes(path),
    `a file has at most ${MAX_FILE_SIZE} bytes; this would make it ${end}`,
  );
}
