/** Files given another name or place. Rules: xfs_rename, vfs_rename. */
import { ftypeOfMode } from '../format/dir.js';
import { addEntry, findEntry, removeEntry, replaceEntry } from '../transaction/dir.js';
import type { LiveInode } from '../transaction/inode.js';
import { inactivate } from '../transaction/truncate.js';
import type { Edit, Path, Slot } from './edit.js';
import { EditError } from './error.js';
import { checkDirectory, checkFlags, checkProject, markChanged, markModified } from './inode.js';
import { dropName, unlink } from './remove.js';

const DOTS = Uint8Array.of(0x2e, 0x2e);

/** Whether `dir` is `inode` or lies below it. */
function isBelow(edit: Edit, dir: LiveInode, inode: LiveInode): boolean {
  const seen = new Set<number>();
  for (let at = dir; ; ) {
    if (at.ino === inode.ino) return true;
    if (at.ino === edit.g.rootino || seen.has(at.ino)) return false;
    seen.add(at.ino);
    const up = findEntry(edit.engine.begin(), at, DOTS);
    if (up === undefined) return false;
    at = edit.inode(up.ino);
  }
}

/**
 * Gives what `from` names the name `to`. A file there is replaced, as is an empty directory by a directory.
 * Throws PathError, EditError, NoSpaceError.
 */
export function rename(edit: Edit, from: Path, to: Path): void {
  const source = edit.slot(from);
  if (source.entry === undefined) throw new EditError('ENOENT', source.path);
  const target = edit.slot(to);
  const moved = edit.inode(source.entry.ino);
  const there = target.entry === undefined ? undefined : edit.inode(target.entry.ino);
  if (check(edit, source, target, moved, there) === 'same') {
    const isOneName = source.dir.ino === target.dir.ino && Buffer.compare(source.name, target.name) === 0;
    if (isOneName) throw new EditError('EEXIST', target.path, 'is the same file');
    // Two names of one file: the one stays, as it does with mv.
    unlink(edit, from);
    return;
  }
  move(edit, source, target, moved.ino, there?.ino);
}

function check(
  edit: Edit,
  source: Slot,
  target: Slot,
  moved: LiveInode,
  there: LiveInode | undefined,
): 'same' | undefined {
  if ((source.slash || target.slash) && !moved.isDir)
    throw new EditError('ENOTDIR', source.slash ? source.path : target.path);
  checkDirectory(source.dir, source.path, 'remove');
  checkFlags(moved, source.path);
  checkDirectory(target.dir, target.path, there === undefined ? 'add' : 'remove');
  if (moved.isDir && isBelow(edit, target.dir, moved))
    throw new EditError('EINVAL', source.path, 'a directory cannot be moved into itself');
  if (there?.ino === moved.ino) return 'same';
  if (there !== undefined) {
    checkFlags(there, target.path);
    if (there.isDir && !moved.isDir) throw new EditError('EISDIR', target.path);
    if (!there.isDir && moved.isDir) throw new EditError('ENOTDIR', target.path);
  }
  checkProject(target, moved);
  if (there?.isDir && edit.list(there).length > 0) throw new EditError('ENOTEMPTY', target.path);
  return undefined;
}

function move(edit: Edit, source: Slot, target: Slot, ino: number, thereIno: number | undefined): void {
  const elsewhere = source.dir.ino !== target.dir.ino;
  const gone = edit.run((tx, now) => {
    const inode = edit.inode(ino);
    const ftype = ftypeOfMode(inode.mode);
    let last = false;
    markModified(tx, target.dir, now);
    if (thereIno === undefined) {
      addEntry(tx, target.dir, target.name, ino, ftype);
      if (elsewhere && inode.isDir) target.dir.setNlink(target.dir.nlink + 1);
    } else {
      replaceEntry(tx, target.dir, target.name, ino, ftype);
      last = dropName(tx, edit.inode(thereIno), now);
    }
    if (elsewhere && inode.isDir) replaceEntry(tx, inode, DOTS, target.dir.ino, ftype);
    markChanged(tx, inode, now);
    removeEntry(tx, source.dir, source.name);
    markModified(tx, source.dir, now);
    if (inode.isDir && (elsewhere || thereIno !== undefined)) source.dir.setNlink(source.dir.nlink - 1);
    return last;
  });
  if (gone && thereIno !== undefined) inactivate(edit.engine, thereIno);
}
