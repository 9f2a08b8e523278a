/** What operations of all kinds do to inodes: times, permission bits that a change takes away, flags that forbid it. */
import { ATTR_FLAG } from '../format/attr.js';
import { DIFLAG, type Timespec } from '../format/dinode.js';
import { removeAttr } from '../transaction/attr.js';
import type { LiveInode } from '../transaction/inode.js';
import type { Transaction } from '../transaction/transaction.js';
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
