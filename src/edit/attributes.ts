/** Permissions, owners and times of files that are there. */
import { S_IF, S_IFMT, type Timespec } from '../format/dinode.js';
import type { LiveInode } from '../transaction/inode.js';
import { createAt } from './create.js';
import { type Edit, type Path, pathBytes } from './edit.js';
import { aclOf, chmodAcl, S_ISGID, S_ISUID, setAcl } from './inherit.js';
import { checkFlags, dropCapability, markChanged } from './inode.js';
import type { ModeChange } from './mode.js';
import { walk } from './walk.js';

/** Changes the permissions of a file; of a link, of what it leads to. */
export function chmod(
  edit: Edit,
  path: Path,
  change: ModeChange,
  options: { recursive?: boolean } = {},
): void {
  const start = edit.resolve(path);
  const files =
    options.recursive === true
      ? walk(edit, start, pathBytes(path))
      : [{ inode: start, path: pathBytes(path) }];
  // Links met on the way have no permissions.
  const changed = files.filter((f) => f.inode.type !== S_IF.LNK);
  for (const f of changed) checkFlags(f.inode, f.path);
  for (const f of changed) setMode(edit, f.inode.ino, change);
}

function setMode(edit: Edit, ino: number, change: ModeChange): void {
  edit.run((tx, now) => {
    const inode = edit.inode(ino);
    const mode = change(inode.mode & ~S_IFMT, inode.isDir);
    markChanged(tx, inode, now);
    inode.setMode(inode.type | mode);
    const acl = inode.hasAttrFork ? aclOf(tx, inode, 'access') : undefined;
    if (acl !== undefined) setAcl(tx, inode, 'access', chmodAcl(acl, mode));
  });
}

export interface ChownOptions {
  /** Everything below too; links themselves, not what they lead to. */
  readonly recursive?: boolean;
  /** A link at the end of the path itself. */
  readonly noDereference?: boolean;
}

/** Changes owner and group; undefined leaves one as it is. */
export function chown(
  edit: Edit,
  path: Path,
  uid: number | undefined,
  gid: number | undefined,
  options: ChownOptions = {},
): void {
  const recursive = options.recursive === true;
  const start = edit.resolve(path, { follow: !recursive && options.noDereference !== true });
  const files = recursive ? walk(edit, start, pathBytes(path)) : [{ inode: start, path: pathBytes(path) }];
  for (const f of files) checkFlags(f.inode, f.path);
  for (const f of files) setOwner(edit, f.inode.ino, uid, gid);
}

function setOwner(edit: Edit, ino: number, uid: number | undefined, gid: number | undefined): void {
  edit.run((tx, now) => {
    const inode = edit.inode(ino);
    markChanged(tx, inode, now);
    inode.setOwner(uid ?? inode.uid, gid ?? inode.gid);
    if (inode.isDir) return;
    dropCapability(tx, inode);
    inode.setMode(withoutPrivileges(inode));
  });
}

/** setuid goes, and setgid where it means execution with the group's rights (setattr_should_drop_sgid). */
function withoutPrivileges(inode: LiveInode): number {
  const { mode } = inode;
  const group = (mode & 0o010) !== 0 ? S_ISGID : 0;
  return mode & ~(S_ISUID | group);
}

export interface TouchOptions {
  /** Times to set; undefined: not this one. */
  readonly atime?: Timespec | 'now';
  readonly mtime?: Timespec | 'now';
  /** No error, and nothing made, where the file is missing. */
  readonly noCreate?: boolean;
  readonly noDereference?: boolean;
}

/** Sets times; makes an empty file where there is none. */
export function touch(edit: Edit, path: Path, options: TouchOptions): void {
  let ino: number;
  try {
    const inode = edit.resolve(path, { follow: options.noDereference !== true });
    // What is append-only may only be touched.
    checkFlags(inode, pathBytes(path), options.atime === 'now' && options.mtime === 'now');
    ino = inode.ino;
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error;
    if (options.noCreate === true) return;
    const file = { mode: S_IF.REG | 0o666 };
    createAt(edit, edit.slot(path), file, (_tx, inode) => setTimes(inode, options, inode.ctime));
    return;
  }
  edit.run((tx, now) => {
    const inode = edit.inode(ino);
    markChanged(tx, inode, now);
    setTimes(inode, options, now);
  });
}

function setTimes(inode: LiveInode, { atime, mtime }: TouchOptions, now: Timespec): void {
  if (atime !== undefined) inode.setTime('atime', atime === 'now' ? now : atime);
  if (mtime !== undefined) inode.setTime('mtime', mtime === 'now' ? now : mtime);
}
