/** Edits as data, each to be done by xfsimg and by Linux. */
import {
  chmodSync,
  chownSync,
  closeSync,
  ftruncateSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { chmod, chown, touch } from '../../src/edit/attributes.js';
import { createAt, link, mkdir, mknod, symlink } from '../../src/edit/create.js';
import { type Edit, pathBytes } from '../../src/edit/edit.js';
import { BytesInput } from '../../src/edit/input.js';
import { parseMode } from '../../src/edit/mode.js';
import { putInput, putTree } from '../../src/edit/put.js';
import { regularFile } from '../../src/edit/regular.js';
import { removeTree, rmdir, unlink } from '../../src/edit/remove.js';
import { rename } from '../../src/edit/rename.js';
import { cloneOver } from '../../src/edit/share.js';
import { punchFile, truncateFile, writeFile } from '../../src/edit/write.js';
import { removeXattr, setXattr } from '../../src/edit/xattr.js';
import { S_IF } from '../../src/format/dinode.js';
import { openDirectory } from '../../src/mkfs/populate/directory.js';
import { run } from '../support/oracle.js';

export type Operation =
  | { op: 'mkdir'; path: string; mode?: number }
  | { op: 'create'; path: string }
  | { op: 'put'; path: string; bytes: Uint8Array; mode?: number }
  | { op: 'tree'; path: string; from: string }
  | { op: 'unlink' | 'rmdir' | 'remove'; path: string }
  | { op: 'rename' | 'link'; path: string; to: string }
  | { op: 'symlink'; path: string; target: string }
  | { op: 'mknod'; path: string; type: 'p' | 'b' | 'c'; major: number; minor: number; mode?: number }
  | { op: 'chmod'; path: string; mode: string; recursive: boolean }
  | { op: 'chown'; path: string; uid: number; gid: number; how: 'file' | 'link' | 'tree' }
  | { op: 'times'; path: string; atime: number; mtime: number; link: boolean }
  | { op: 'setfattr'; path: string; name: string; value: Uint8Array }
  | { op: 'removefattr'; path: string; name: string }
  | { op: 'write'; path: string; at: number; bytes: Uint8Array }
  | { op: 'truncate'; path: string; size: number }
  | { op: 'punch'; path: string; from: number; to: number }
  | { op: 'clone'; path: string; to: string };

const TYPES = { p: S_IF.FIFO, b: S_IF.BLK, c: S_IF.CHR } as const;

const sameFile = (): Error => Object.assign(new Error('the same file'), { code: 'EINVAL' });

/** Does it here. Paths begin with '/'. */
export async function applyOurs(edit: Edit, o: Operation): Promise<void> {
  switch (o.op) {
    case 'mkdir':
      return mkdir(edit, o.path, { mode: o.mode });
    case 'create':
      createAt(edit, edit.slot(o.path), { mode: S_IF.REG | 0o666 });
      return;
    case 'put':
      return putInput(edit, o.path, new BytesInput(o.bytes), { mode: o.mode });
    case 'tree': {
      const source = await openDirectory(o.from, {});
      putTree(edit, source, 0, o.path);
      return source.close();
    }
    case 'unlink':
      return unlink(edit, o.path);
    case 'rmdir':
      return rmdir(edit, o.path);
    case 'remove':
      return removeTree(edit, o.path);
    case 'rename':
      return rename(edit, o.path, o.to);
    case 'link':
      return link(edit, o.path, o.to);
    case 'symlink':
      return symlink(edit, o.target, o.path);
    case 'mknod': {
      const rdev = o.type === 'p' ? 0 : o.major * 2 ** 18 + o.minor;
      return mknod(edit, o.path, { type: TYPES[o.type], rdev, mode: o.mode });
    }
    case 'chmod':
      return chmod(edit, o.path, parseMode(o.mode, 0o022)!, { recursive: o.recursive });
    case 'chown':
      return chown(edit, o.path, o.uid, o.gid, {
        recursive: o.how === 'tree',
        noDereference: o.how === 'link',
      });
    case 'times':
      return touch(edit, o.path, {
        atime: { sec: o.atime, nsec: 0 },
        mtime: { sec: o.mtime, nsec: 0 },
        noCreate: true,
        noDereference: o.link,
      });
    case 'setfattr':
      return setXattr(edit, o.path, pathBytes(o.name), o.value, { noDereference: true });
    case 'removefattr':
      return removeXattr(edit, o.path, pathBytes(o.name), { noDereference: true });
    case 'write':
      return writeFile(edit, regularFile(edit, o.path).ino, BigInt(o.at), new BytesInput(o.bytes));
    case 'truncate':
      return truncateFile(edit, regularFile(edit, o.path).ino, BigInt(o.size));
    case 'punch':
      return punchFile(edit, regularFile(edit, o.path).ino, BigInt(o.from), BigInt(o.to));
    case 'clone':
      if (regularFile(edit, o.path).ino === regularFile(edit, o.to).ino) throw sameFile();
      return cloneOver(edit, regularFile(edit, o.path).ino, regularFile(edit, o.to).ino);
  }
}

/** The same by Linux, below a mount point. Errors are those of the system calls, or of the tools. */
export function applyLinux(root: string, o: Operation): void {
  const path = join(root, o.path);
  switch (o.op) {
    case 'mkdir':
      mkdirSync(path, 0o777);
      // As mkdir -m does it; the setgid bit a directory inherits stays.
      if (o.mode !== undefined) chmodSync(path, o.mode | (lstatSync(path).mode & 0o2000));
      return;
    case 'create':
      return closeSync(openSync(path, 'wx', 0o666));
    case 'put':
      return putLinux(path, o.bytes, o.mode);
    case 'tree':
      run('cp', ['-a', '-T', o.from, path]);
      return;
    case 'unlink':
      return unlinkSync(path);
    case 'rmdir':
      return rmdirSync(path);
    case 'remove':
      run('rm', ['-r', path]);
      return;
    case 'rename':
      return renameLinux(path, join(root, o.to));
    case 'link':
      return linkSync(path, join(root, o.to));
    case 'symlink':
      return symlinkSync(o.target, path);
    case 'mknod': {
      const numbers = o.type === 'p' ? [] : [`${o.major}`, `${o.minor}`];
      const mode = o.mode === undefined ? [] : ['-m', o.mode.toString(8)];
      run('mknod', [...mode, path, o.type, ...numbers]);
      return;
    }
    case 'chmod':
      run('chmod', [...(o.recursive ? ['-R'] : []), '--', o.mode, path]);
      return;
    case 'chown':
      if (o.how === 'file') return chownSync(path, o.uid, o.gid);
      if (o.how === 'link') return lchownSync(path, o.uid, o.gid);
      run('chown', ['-R', `${o.uid}:${o.gid}`, path]);
      return;
    case 'times':
      return o.link ? lutimesSync(path, o.atime, o.mtime) : utimesSync(path, o.atime, o.mtime);
    case 'setfattr':
      run('setfattr', ['-h', '-n', o.name, ...asOption(o.value), path]);
      return;
    case 'removefattr':
      run('setfattr', ['-h', '-x', o.name, path]);
      return;
    case 'write':
      return withFile(path, (fd) => {
        writeSync(fd, o.bytes, 0, o.bytes.length, o.at);
      });
    case 'truncate':
      return withFile(path, (fd) => ftruncateSync(fd, o.size));
    case 'punch':
      run('xfs_io', ['-c', `fpunch ${o.from} ${o.to - o.from}`, path]);
      return;
    case 'clone':
      // A FIFO would be read for ever.
      if (!statSync(path).isFile() || !statSync(join(root, o.to)).isFile())
        throw Object.assign(new Error('no regular file'), { code: 'EINVAL' });
      if (statSync(path).ino === statSync(join(root, o.to)).ino) throw sameFile();
      run('cp', ['--reflink=always', path, join(root, o.to)]);
  }
}

/** A value for setfattr; 0s with nothing behind it sets nothing. */
const asOption = (value: Uint8Array): string[] =>
  value.length === 0 ? [] : ['-v', `0s${Buffer.from(value).toString('base64')}`];

/** Of two names of one file the second stays, as with mv. */
function renameLinux(from: string, to: string): void {
  const there = lstatSync(to, { throwIfNoEntry: false });
  if (there !== undefined && from !== to && there.ino === lstatSync(from).ino) return unlinkSync(from);
  renameSync(from, to);
}

function withFile(path: string, work: (fd: number) => void): void {
  const fd = openSync(path, 'r+');
  try {
    work(fd);
  } finally {
    closeSync(fd);
  }
}

/** A file new or replaced as a whole: written beside its place, and renamed. */
function putLinux(path: string, bytes: Uint8Array, mode: number | undefined): void {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) {
    writeFileSync(path, bytes, { flag: 'wx', mode: 0o666 });
    if (mode !== undefined) chmodSync(path, mode);
    return;
  }
  // What is put beside its place in an append-only directory could not be moved there.
  if (dirname(path).endsWith('/append')) throw Object.assign(new Error('append-only'), { code: 'EPERM' });
  const beside = join(path, '..', '.beside');
  writeFileSync(beside, bytes, { flag: 'wx', mode: 0o666 });
  try {
    if (mode !== undefined) chmodSync(beside, mode);
    renameSync(beside, path);
  } catch (error) {
    unlinkSync(beside);
    throw error;
  }
}

/** The code of an error of either side, or the reason in a tool's message. */
export function codeOf(error: unknown): string {
  const { code, message } = error as { code?: string; message: string };
  if (code !== undefined) return code;
  const known: [RegExp, string][] = [
    [/No such file or directory/, 'ENOENT'],
    [/File exists/, 'EEXIST'],
    [/Not a directory/, 'ENOTDIR'],
    [/Is a directory/, 'EISDIR'],
    [/Operation not permitted/, 'EPERM'],
    [/Operation not supported/, 'EOPNOTSUPP'],
    [/Invalid argument|Bad file descriptor/, 'EINVAL'],
    [/No data available|No such attribute/, 'ENODATA'],
    [/Too many levels/, 'ELOOP'],
    [/Permission denied/, 'EACCES'],
    [/No space left/, 'ENOSPC'],
  ];
  return known.find(([pattern]) => pattern.test(message))?.[1] ?? `? ${message}`;
}
