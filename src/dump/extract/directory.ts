/**
 * A tree into a directory of this machine. Nothing is written through a symbolic link: directories are made or
 * found to be real ones, files are made anew.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  ftruncateSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { S_IF } from '../../format/dinode.js';
import { ImageError, reason } from '../../image/source.js';
import { FileReader } from '../../volume/file.js';
import { readExtents } from '../../volume/fork.js';
import type { Inode } from '../../volume/inode.js';
import { readSymlink } from '../../volume/symlink.js';
import type { Volume } from '../../volume/volume.js';
import { type ExtractedFile, type Start, walkFiles } from './walk.js';

const PIECE = 2 ** 20;

export interface ExtractOptions {
  /** Give files their owners; needs root. Default: where the process is root. */
  readonly owners?: boolean;
  /** Set extended attributes, through setfattr. */
  readonly xattrs?: boolean;
  /** Overwrite files that are there. */
  readonly overwrite?: boolean;
  /** Told of every file, before it is made. */
  readonly progress?: () => void;
}

/** A file that cannot be made: it is left out, the rest goes on. */
export type Complaint = (path: Uint8Array, why: string) => void;

/**
 * Extracts `start` and all below it into the directory `folder`, which is made where it is missing. Throws ImageError
 * where it cannot be.
 */
export function extractDirectory(
  volume: Volume,
  start: Start,
  folder: string,
  options: ExtractOptions,
  complain: Complaint,
): void {
  const writer = new DirectoryWriter(volume, Buffer.from(folder), options, complain);
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw new ImageError(`${folder}: cannot be made: ${reason(error)}`);
  }
  walkFiles(volume, start, (file) => {
    options.progress?.();
    return writer.add(file);
  });
  writer.finish();
}

interface Late {
  readonly path: Buffer;
  readonly mode: number;
  readonly atime: number;
  readonly mtime: number;
}

class DirectoryWriter {
  readonly #volume: Volume;
  readonly #root: Buffer;
  readonly #options: ExtractOptions;
  readonly #complain: Complaint;
  readonly #owners: boolean;
  readonly #piece = new Uint8Array(PIECE);
  readonly #directories: Late[] = [];
  readonly #late: Late[] = [];
  readonly #attrs: Buffer[] = [];
  /** Files with shared blocks by where these are: another with the same is a clone. */
  readonly #clones = new Map<string, Buffer>();

  constructor(volume: Volume, root: Buffer, options: ExtractOptions, complain: Complaint) {
    this.#volume = volume;
    this.#root = root;
    this.#options = options;
    this.#complain = complain;
    this.#owners = options.owners ?? process.getuid?.() === 0;
  }

  /** False where nothing can go below it. */
  add(file: ExtractedFile): boolean {
    const { inode } = file;
    const path =
      file.path.length === 0 ? this.#root : Buffer.concat([this.#root, Buffer.from('/'), file.path]);
    try {
      if (file.linkTo !== undefined) {
        this.#makeRoom(path);
        linkSync(Buffer.concat([this.#root, Buffer.from('/'), file.linkTo]), path);
        return true;
      }
      if (!this.#make(path, inode)) return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === undefined) throw error;
      const isThere = code === 'EEXIST' && this.#options.overwrite !== true && !inode.isDir;
      this.#complain(file.path, isThere ? 'is there already: --overwrite replaces it' : reason(error));
      return false;
    }
    const time = (t: { sec: number; nsec: number }): number => t.sec + t.nsec / 1e9;
    const late = { path, mode: inode.mode & 0o7777, atime: time(inode.atime), mtime: time(inode.mtime) };
    if (this.#owners) lchownSync(path, inode.uid, inode.gid);
    if (this.#options.xattrs !== false && file.xattrs.length > 0) this.#noteAttrs(path, file.xattrs);
    if (inode.isDir) this.#directories.push(late);
    else if (inode.type === S_IF.LNK) lutimesSync(path, late.atime, late.mtime);
    else if (file.xattrs.length > 0) this.#late.push(late);
    else this.#setTimes(late);
    return true;
  }

  #make(path: Buffer, inode: Inode): boolean {
    switch (inode.type) {
      case S_IF.DIR:
        if (path === this.#root) return true;
        try {
          mkdirSync(path, { mode: 0o700 });
        } catch (error) {
          // A symbolic link to a directory is not one.
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !lstatSync(path).isDirectory())
            throw error;
        }
        return true;
      case S_IF.LNK:
        this.#makeRoom(path);
        symlinkSync(Buffer.from(readSymlink(this.#volume, inode)), path);
        return true;
      case S_IF.REG:
        this.#makeRoom(path);
        this.#write(path, inode);
        return true;
      case S_IF.SOCK:
        this.#complain(path.subarray(this.#root.length + 1), 'is a socket, which only its program can make');
        return false;
      default:
        this.#makeRoom(path);
        this.#makeNode(path, inode);
        return true;
    }
  }

  #makeRoom(path: Buffer): void {
    if (!this.#options.overwrite) return;
    try {
      unlinkSync(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }

  #makeNode(path: Buffer, inode: Inode): void {
    const { major, minor } = inode.rdev;
    const kind =
      inode.type === S_IF.FIFO ? ['p'] : [inode.type === S_IF.CHR ? 'c' : 'b', `${major}`, `${minor}`];
    // A shell passes on names of any bytes; spawn's arguments are text.
    const quoted = Buffer.concat([
      Buffer.from("exec mknod -- '", 'latin1'),
      Buffer.from(path.toString('latin1').replaceAll("'", "'\\''"), 'latin1'),
      Buffer.from(`' ${kind.join(' ')}\n`, 'latin1'),
    ]);
    const { status, stderr, error } = spawnSync('/bin/sh', { input: quoted, encoding: 'utf8' });
    if (error !== undefined) throw error;
    if (status !== 0) throw Object.assign(new Error(stderr.trim().split('\n')[0]), { code: 'MKNOD' });
  }

  #write(path: Buffer, inode: Inode): void {
    const reader = new FileReader(this.#volume, inode);
    const key = inode.isReflink && reader.size > 0 ? this.#cloneKey(inode) : undefined;
    const twin = key === undefined ? undefined : this.#clones.get(key);
    if (twin !== undefined) {
      copyFileSync(twin, path, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
      return;
    }
    const fd = openSync(path, 'wx', 0o600);
    try {
      ftruncateSync(fd, reader.size);
      for (const { offset, length, zeros } of reader.segments()) {
        if (zeros) continue;
        for (let done = 0; done < length; ) {
          const piece = this.#piece.subarray(0, Math.min(PIECE, length - done));
          reader.read(offset + done, piece);
          for (let out = 0; out < piece.length; )
            out += writeSync(fd, piece, out, piece.length - out, offset + done + out);
          done += piece.length;
        }
      }
      fchmodSync(fd, 0o600);
    } finally {
      closeSync(fd);
    }
    if (key !== undefined) this.#clones.set(key, path);
  }

  #cloneKey(inode: Inode): string {
    const e = readExtents(this.#volume, inode, 'data');
    const parts: number[] = [inode.size];
    for (let i = 0; i < e.count; i++) parts.push(e.offset[i], e.fsblock[i], e.blocks[i], e.unwritten[i]);
    return parts.join(',');
  }

  #noteAttrs(path: Buffer, xattrs: ExtractedFile['xattrs']): void {
    const escaped = (b: Uint8Array, also: string): string =>
      Buffer.from(b)
        .toString('latin1')
        .replace(
          also === '' ? /[\\\n\r]/g : /[\\\n\r=]/g,
          (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`,
        );
    this.#attrs.push(Buffer.from(`# file: ${escaped(path, '')}\n`, 'latin1'));
    for (const [name, value] of xattrs)
      this.#attrs.push(
        Buffer.from(`${escaped(name, '=')}=0x${Buffer.from(value).toString('hex')}\n`, 'latin1'),
      );
    this.#attrs.push(Buffer.from('\n'));
  }

  #setTimes({ path, mode, atime, mtime }: Late): void {
    chmodSync(path, mode);
    utimesSync(path, atime, mtime);
  }

  /** What contents would have changed: attributes, then directories' modes and times, deepest first. */
  finish(): void {
    if (this.#attrs.length > 0) {
      const { status, stderr, error } = spawnSync('setfattr', ['-h', '--restore=-'], {
        input: Buffer.concat(this.#attrs),
        encoding: 'utf8',
      });
      const why = error === undefined ? stderr.trim().split('\n')[0] : error.message;
      if (error !== undefined || status !== 0)
        this.#complain(new Uint8Array(0), `extended attributes are not all set: ${why}`);
    }
    for (const late of this.#late) this.#setTimes(late);
    for (const late of this.#directories.reverse()) this.#setTimes(late);
  }
}
