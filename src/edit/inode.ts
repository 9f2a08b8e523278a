/** What operations of all kinds do to inodes: times, permission bits that a change takes away, flags that forbid it. */
import { ATTR_FLAG } from '../format/attr.js';
import { DIFLAG, S_IF, type Timespec } from '../format/dinode.js';
import { removeAttr } from '../transaction/attr.js';
import type { LiveInode } from '../transaction/inode.js';
import type { Transaction } from '../transaction/transaction.js';
import type { Slot } from './edit.js';
import { EditError } from './error.js';

/** The inode changed, not what it holds. */
export function markChanged(tx: Transaction, inode: LiveInode, now: Timespec): void {
  tx.editInode(inode);
  inode.setTime('ctime', now);
}

/** What the file or directory holds changed. */
export function markModified(tx: Transaction, inode: LiveInode, now: Timespec): void {
  tx.editInode(inode);
  inode.setTime('mtime', now);
  inode.setTime('ctime', now);
}

const CAPABILITY = Buffer.from('capability');

/** A file's capabilities go when its contents or owner change, root's doing or not (file_remove_privs). */
export function dropCapability(tx: Transaction, inode: LiveInode): void {
  if (!inode.isDir && inode.hasAttrFork) removeAttr(tx, inode, ATTR_FLAG.SECURE, CAPABILITY);
}

/** Refuses what the flags of a file forbid even root: `append` may be allowed where the change only adds. */
export function checkFlags(inode: LiveInode, path: Uint8Array, append = false): void {
  if (inode.flags & DIFLAG.IMMUTABLE || (inode.flags & DIFLAG.APPEND && !append))
    throw new EditError('EPERM', path);
}

/** The same for a directory whose entries are to change. */
export const checkDirectory = (dir: LiveInode, path: Uint8Array, what: 'add' | 'remove'): void =>
  checkFlags(dir, path, what === 'add');

const SPECIAL: readonly number[] = [S_IF.CHR, S_IF.BLK, S_IF.FIFO, S_IF.SOCK];

/**
 * Refuses a name in a directory whose project is not the file's. Devices, FIFOs and sockets may be without one
 * (xfs_link, xfs_rename).
 */
export function checkProject({ dir, path }: Slot, inode: LiveInode): void {
  if (!(dir.flags & DIFLAG.PROJINHERIT) || dir.projid === inode.projid) return;
  if (inode.projid === 0 && SPECIAL.includes(inode.type)) return;
  throw new EditError('EXDEV', path);
}
