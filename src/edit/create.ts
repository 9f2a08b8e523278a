/** New files of every kind: an inode, and its first name. */
import { DIFLAG, S_IF, S_IFMT, type Timespec } from '../format/dinode.js';
import { ftypeOfMode } from '../format/dir.js';
import { inoOf } from '../format/geometry.js';
import { SYMLINK_MAXLEN } from '../format/symlink.js';
import { addEntry, initDirectory } from '../transaction/dir.js';
import { allocInode, initInode } from '../transaction/ialloc.js';
import type { LiveInode } from '../transaction/inode.js';
import { setTarget } from '../transaction/symlink.js';
import type { Transaction } from '../transaction/transaction.js';
import { type Edit, type Path, pathBytes, type Slot } from './edit.js';
import { EditError } from './error.js';
import { aclOf, applyDefault, chmodAcl, inheritFrom, isPlain, S_ISGID, setAcl } from './inherit.js';
import { checkDirectory, checkProject, markModified } from './inode.js';

export interface NewFile {
  /** S_IF type and permissions, before the umask or a default ACL takes some away. */
  readonly mode: number;
  /** The permissions are exactly these. */
  readonly exact?: boolean;
  /** Leave ACLs of the directory aside: the caller sets its own. */
  readonly noAcl?: boolean;
  readonly uid?: number;
  readonly gid?: number;
  /** Device number in Linux's 32-bit coding. */
  readonly rdev?: number;
}

/** Most links a file can have (XFS_MAXLINK). */
export const MAX_LINKS = 2 ** 31 - 1;

/** An inode in whose AG the next directory is made: directories go round, what is in them stays near them. */
function nextDirectoryNear(edit: Edit): number {
  const { g } = edit;
  const agno = edit.nextAg % g.agcount;
  edit.nextAg = (agno + 1) % g.agcount;
  return inoOf(g, agno, 0);
}

/**
 * Makes an inode for a file in `dir`, without a name for it yet but counted as having one ('.' of a directory
 * counted too). Inside `edit.run`. Throws NoSpaceError.
 */
export function newInode(
  edit: Edit,
  tx: Transaction,
  dir: LiveInode,
  file: NewFile,
  now: Timespec,
): LiveInode {
  const type = file.mode & S_IFMT;
  const isDir = type === S_IF.DIR;
  const near = isDir ? nextDirectoryNear(edit) : dir.ino;
  const defaults = file.noAcl === true || type === S_IF.LNK ? undefined : aclOf(tx, dir, 'default');
  const made = defaults === undefined ? undefined : applyDefault(defaults, file.mode);
  let mode = file.mode;
  if (file.exact !== true && type !== S_IF.LNK) mode = made?.mode ?? file.mode & ~edit.umask;
  let gid = file.gid ?? edit.gid;
  if ((dir.mode & S_ISGID) !== 0) {
    gid = file.gid ?? dir.gid;
    if (isDir) mode |= S_ISGID;
  }
  const inode = initInode(tx, allocInode(tx, near), {
    mode,
    nlink: isDir ? 2 : 1,
    uid: file.uid ?? edit.uid,
    gid,
    time: now,
    rdev: file.rdev,
    ...inheritFrom(dir, file.mode),
  });
  if (isDir) initDirectory(tx, inode, dir.ino);
  if (defaults !== undefined && made !== undefined) {
    const acl = file.exact === true ? chmodAcl(defaults, mode) : made.acl;
    if (!isPlain(acl)) setAcl(tx, inode, 'access', acl);
    if (isDir) setAcl(tx, inode, 'default', defaults);
  }
  return inode;
}

/** Gives an inode a name. Link counts of the inode are the caller's; those of the directory are kept here. */
export function addName(
  tx: Transaction,
  dir: LiveInode,
  name: Uint8Array,
  inode: LiveInode,
  now: Timespec,
): void {
  addEntry(tx, dir, name, inode.ino, ftypeOfMode(inode.mode));
  markModified(tx, dir, now);
  if (inode.isDir) dir.setNlink(dir.nlink + 1);
}

/** Refuses a name that is taken, and a directory nothing may be added to. */
export function checkFree(slot: Slot, isDir: boolean): void {
  if (slot.entry !== undefined) throw new EditError('EEXIST', slot.path);
  if (slot.slash && !isDir) throw new EditError('ENOENT', slot.path);
  checkDirectory(slot.dir, slot.path, 'add');
}

/** Makes a file where no name stands yet; `fill` completes it. Returns its inode number. */
export function createAt(
  edit: Edit,
  slot: Slot,
  file: NewFile,
  fill: (tx: Transaction, inode: LiveInode) => void = () => {},
): number {
  checkFree(slot, (file.mode & S_IFMT) === S_IF.DIR);
  const { dir, name } = slot;
  return edit.run((tx, now) => {
    const inode = newInode(edit, tx, dir, file, now);
    fill(tx, inode);
    addName(tx, dir, name, inode, now);
    return inode.ino;
  });
}

export interface MkdirOptions {
  /** Make missing directories on the way too; one that is there is no error. */
  readonly parents?: boolean;
  /** Permissions of the last one, exactly. Default 777 without the umask. */
  readonly mode?: number;
}

const dirMode = (mode: number | undefined): NewFile =>
  mode === undefined ? { mode: S_IF.DIR | 0o777 } : { mode: S_IF.DIR | mode, exact: true };

/** Makes a directory. Throws PathError, EditError, NoSpaceError. */
export function mkdir(edit: Edit, path: Path, options: MkdirOptions = {}): void {
  if (options.parents !== true) {
    createAt(edit, edit.slot(path), dirMode(options.mode));
    return;
  }
  const bytes = pathBytes(path);
  // All of the way is looked at before the first directory is made.
  for (const end of prefixes(bytes)) {
    const part = bytes.subarray(0, end);
    const there = existing(edit, part);
    if (there === undefined) {
      makeRest(edit, bytes, end, options.mode);
      return;
    }
    if (!there.isDir) throw new EditError(end === bytes.length ? 'EEXIST' : 'ENOTDIR', part);
  }
}

function existing(edit: Edit, path: Uint8Array): LiveInode | undefined {
  try {
    return edit.resolve(path);
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Makes the directories of a path from that on which its first `from` bytes name. */
function makeRest(edit: Edit, path: Uint8Array, from: number, mode: number | undefined): void {
  const ends = prefixes(path).filter((end) => end >= from);
  const names = ends.map((end) => path.subarray(path.lastIndexOf(0x2f, end - 1) + 1, end));
  for (const name of names) {
    if (name.length > 255) throw new EditError('ENAMETOOLONG', path);
    if (name.length === 2 && name[0] === 0x2e && name[1] === 0x2e) throw new EditError('ENOENT', path);
  }
  const first = edit.slot(path.subarray(0, from));
  checkFree(first, true);
  edit.run((tx, now) => {
    let dir = first.dir;
    names.forEach((name, i) => {
      const last = i === names.length - 1;
      const inode = newInode(edit, tx, dir, dirMode(last ? mode : undefined), now);
      addName(tx, dir, name, inode, now);
      dir = inode;
    });
  });
}

/** Where each name of a path ends, '.' left out. */
function prefixes(path: Uint8Array): number[] {
  const out: number[] = [];
  for (let from = 0; from < path.length; ) {
    let to = path.indexOf(0x2f, from);
    if (to < 0) to = path.length;
    if (to > from && !(to - from === 1 && path[from] === 0x2e)) out.push(to);
    from = to + 1;
  }
  return out;
}

/** Makes a symbolic link. `target`: 1 to 1023 bytes. */
export function symlink(edit: Edit, target: Path, path: Path): void {
  const bytes = pathBytes(target);
  if (bytes.length === 0) throw new EditError('ENOENT', pathBytes(path), 'a symbolic link needs a target');
  if (bytes.length >= SYMLINK_MAXLEN)
    throw new EditError(
      'ENAMETOOLONG',
      pathBytes(path),
      `a target of ${bytes.length} bytes: at most ${SYMLINK_MAXLEN - 1}`,
    );
  createAt(edit, edit.slot(path), { mode: S_IF.LNK | 0o777 }, (tx, inode) => setTarget(tx, inode, bytes));
}

/** Makes a device, FIFO or socket. `rdev`: Linux's 32-bit coding. */
export function mknod(
  edit: Edit,
  path: Path,
  file: { readonly type: number; readonly rdev?: number; readonly mode?: number },
): void {
  const exact = file.mode !== undefined;
  createAt(edit, edit.slot(path), { mode: file.type | (file.mode ?? 0o666), exact, rdev: file.rdev });
}

/** Gives a file another name. */
export function link(edit: Edit, target: Path, path: Path, options: { follow?: boolean } = {}): void {
  const inode = edit.resolve(target, { follow: options.follow === true });
  const slot = edit.slot(path);
  checkFree(slot, false);
  if (inode.isDir) throw new EditError('EISDIR', pathBytes(target), 'a directory has one name only');
  linkInode(edit, inode, slot, pathBytes(target));
}

/** The same for an inode that was found; `what` for messages. */
export function linkInode(edit: Edit, inode: LiveInode, slot: Slot, what: Uint8Array): void {
  if (inode.flags & (DIFLAG.IMMUTABLE | DIFLAG.APPEND)) throw new EditError('EPERM', what);
  if (inode.nlink >= MAX_LINKS) throw new EditError('EMLINK', what);
  checkProject(slot, inode);
  edit.run((tx, now) => {
    addName(tx, slot.dir, slot.name, inode, now);
    tx.editInode(inode);
    inode.setNlink(inode.nlink + 1);
    inode.setTime('ctime', now);
  });
}
