/**
 * New files that get their contents before their name: until then they are on a list of unlinked inodes, and a
 * crash has recovery do away with them. So a file is there whole or not at all, however long it takes to fill.
 */
import type { LiveInode } from '../transaction/inode.js';
import { addUnlinked, removeUnlinked } from '../transaction/iunlink.js';
import type { Transaction } from '../transaction/transaction.js';
import { inactivate } from '../transaction/truncate.js';
import { addName, checkFree, type NewFile, newInode } from './create.js';
import type { Edit, Slot } from './edit.js';

/** Makes a file, lets `fill` fill it, and names it, with what `complete` adds. What it throws is passed on, and there
 * is no such file then. */
export function createFilled(
  edit: Edit,
  slot: Slot,
  file: NewFile,
  fill: (ino: number) => void,
  complete: (tx: Transaction, inode: LiveInode) => void = () => {},
): number {
  checkFree(slot, false);
  const ino = edit.run((tx, now) => {
    const inode = newInode(edit, tx, slot.dir, file, now, 0);
    addUnlinked(tx, inode);
    return inode.ino;
  });
  try {
    fill(ino);
    edit.run((tx, now) => {
      const inode = edit.inode(ino);
      removeUnlinked(tx, inode);
      tx.editInode(inode);
      inode.setNlink(1);
      complete(tx, inode);
      addName(tx, slot.dir, slot.name, inode, now);
    });
  } catch (error) {
    edit.undo(error, () => inactivate(edit.engine, ino));
    throw error;
  }
  return ino;
}
