/** Names taken away, and files done away with once nobody names them. */

import type { Timespec } from '../format/dinode.js';
import { removeEntry } from '../transaction/dir.js';
import type { LiveInode } from '../transaction/inode.js';
import { addUnlinked } from '../transaction/iunlink.js';
import type { Transaction } from '../transaction/transaction.js';
import { inactivate } from '../transaction/truncate.js';
import type { Edit, Path, Slot } from './edit.js';
import { EditError } from './error.js';
import { checkDirectory, checkFlags, markChanged, markModified } from './inode.js';
import { joinPath, walk } from './walk.js';

/**
 * A name of a file goes away: one link less, two where it is a directory ('.' too), and onto an unlinked list
 * with the last. The name itself, and the directory's link count, are the caller's. Says whether the file is
 * to be done away with, by `inactivate`, when the transaction is committed.
 */
export function dropName(tx: Transaction, inode: LiveInode, now: Timespec): boolean {
  markChanged(tx, inode, now);
  inode.setNlink(Math.max(0, inode.nlink - (inode.isDir ? 2 : 1)));
  if (inode.nlink > 0) return false;
  addUnlinked(tx, inode);
  return true;
}

const isEmpty = (edit: Edit, dir: LiveInode): boolean => edit.list(dir).length === 0;

/** Removes what stands at a slot: no directory, or an empty one. Throws EditError. */
function removeAt(edit: Edit, dir: LiveInode, name: Uint8Array, inode: LiveInode, path: Uint8Array): void {
  checkDirectory(dir, path, 'remove');
  checkFlags(inode, path);
  if (inode.isDir && !isEmpty(edit, inode)) throw new EditError('ENOTEMPTY', path);
  const { ino } = inode;
  const gone = edit.run((tx, now) => {
    const child = edit.inode(ino);
    removeEntry(tx, dir, name);
    markModified(tx, dir, now);
    if (child.isDir) dir.setNlink(dir.nlink - 1);
    return dropName(tx, child, now);
  });
  if (gone) inactivate(edit.engine, ino);
}

function occupant(edit: Edit, slot: Slot): LiveInode {
  if (slot.entry === undefined) throw new EditError('ENOENT', slot.path);
  const inode = edit.inode(slot.entry.ino);
  if (slot.slash && !inode.isDir) throw new EditError('ENOTDIR', slot.path);
  return inode;
}

/** Removes a name of a file that is no directory. Throws PathError, EditError. */
export function unlink(edit: Edit, path: Path): void {
  const slot = edit.slot(path);
  const inode = occupant(edit, slot);
  if (inode.isDir) throw new EditError('EISDIR', slot.path);
  removeAt(edit, slot.dir, slot.name, inode, slot.path);
}

/** Removes an empty directory. Throws PathError, EditError. */
export function rmdir(edit: Edit, path: Path): void {
  const slot = edit.slot(path);
  const inode = occupant(edit, slot);
  if (!inode.isDir) throw new EditError('ENOTDIR', slot.path);
  removeAt(edit, slot.dir, slot.name, inode, slot.path);
}

/**
 * Removes a file, or a directory with all that is in it, from the leaves up: each name is an operation of its
 * own. Files that cannot be removed are looked for before the first one goes. Throws PathError, EditError.
 */
export function removeTree(edit: Edit, path: Path): void {
  const slot = edit.slot(path);
  const inode = occupant(edit, slot);
  checkDirectory(slot.dir, slot.path, 'remove');
  for (const f of walk(edit, inode, slot.path)) checkFlags(f.inode, f.path);
  removeBelow(edit, slot.dir, slot.name, inode, slot.path);
}

function removeBelow(edit: Edit, dir: LiveInode, name: Uint8Array, inode: LiveInode, path: Uint8Array): void {
  if (inode.isDir)
    for (const e of edit.list(inode))
      removeBelow(edit, inode, e.name, edit.inode(e.ino), joinPath(path, e.name));
  removeAt(edit, dir, name, inode, path);
}
