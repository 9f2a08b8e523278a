/**
 * New files that get their contents before their name: until then they are on a list of unlinked inodes, and a
 * crash has recovery do away with them. So a file is there whole or not at all, however long it takes to fill.
 */
import type { Timespec } from '../format/dinode.js';
import type { LiveInode } from '../transaction/inode.js';
import { addUnlinked, removeUnlinked } from '../transaction/iunlink.js';
import type { Transaction } from '../transaction/transaction.js';
import { inactivate } from '../transaction/truncate.js';
import { addName, checkFree, type NewFile, newInode } from './create.js';
import type { Edit, Slot } from './edit.js';

/** Puts a new file on an unlinked list. */
export function hide(tx: Transaction, inode: LiveInode): void {
  inode.setNlink(0);
  addUnlinked(tx, inode);
}

/**
 * Has `fill` fill a hidden file, takes it off its list, and lets `name` name it. What either throws is passed on, and
 * there is no such file then.
 */
export function show<T>(
  edit: Edit,
  ino: number,
  fill: () => void,
  name: (tx: Transaction, inode: LiveInode, now: Timespec) => T,
): T {
  try {
    fill();
    return edit.run((tx, now) => {
      const inode = edit.inode(ino);
      tx.editInode(inode);
      removeUnlinked(tx, inode);
      inode.setNlink(1);
      return name(tx, inode, now);
    });
  } catch (error) {
    edit.undo(error, () => inactivate(edit.engine, ino));
    throw error;
  }
}

/** Makes a file, lets `fill` fill it, and names it, with what `complete` adds. Returns its inode number. */
export function createFilled(
  edit: Edit,
  slot: Slot,
  file: NewFile,
  fill: (ino: number) => void,
  complete: (tx: Transaction, inode: LiveInode) => void = () => {},
): number {
  checkFree(slot, false);
  const ino = edit.run((tx, now) => {
    const inode = newInode(edit, tx, slot.dir, file, now);
    hide(tx, inode);
    return inode.ino;
  });
  show(
    edit,
    ino,
    () => fill(ino),
    (tx, inode, now) => {
      complete(tx, inode);
      addName(tx, slot.dir, slot.name, inode, now);
    },
  );
  return ino;
}
