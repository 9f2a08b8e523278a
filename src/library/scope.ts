/** Edits as one scope: what `image.edit(work)` gives to `work`. */

import { type ChownOptions, chmod, chown, type TouchOptions, touch } from '../edit/attributes.js';
import { clone } from '../edit/clone.js';
import { link, type MkdirOptions, mkdir, symlink } from '../edit/create.js';
import { type Edit, type Path, pathBytes } from '../edit/edit.js';
import { EditError } from '../edit/error.js';
import { BytesInput } from '../edit/input.js';
import { parseMode } from '../edit/mode.js';
import { type PutOptions, putInput } from '../edit/put.js';
import { checkEnd, regularFile } from '../edit/regular.js';
import { removeTree, rmdir, unlink } from '../edit/remove.js';
import { rename } from '../edit/rename.js';
import { punchFile, truncateFile, writeFile } from '../edit/write.js';
import { removeXattr, setXattr, type XattrOptions } from '../edit/xattr.js';
import { textToBytes } from '../format/text.js';

const bytesOf = (data: string | Uint8Array): Uint8Array =>
  typeof data === 'string' ? textToBytes(data) : data;

/**
 * Operations on one image. Each is atomic by itself, does what root's call would do on Linux, and throws
 * before it changes anything: PathError, EditError (with a `code` as Node's), NoSpaceError. Paths are strings
 * or bytes and begin at the root; sizes and positions are bytes, bigint where they pass 2^53.
 */
export class EditScope {
  readonly #edit: Edit;
  constructor(edit: Edit) {
    this.#edit = edit;
  }

  /** Makes a directory; `parents`: those missing on the way too, and no error where it is there. */
  mkdir(path: Path, options?: MkdirOptions): void {
    mkdir(this.#edit, path, options);
  }

  /** A file with these contents, in place of the file that is there. A string is written as UTF-8. */
  put(path: Path, data: string | Uint8Array, options?: PutOptions): void {
    putInput(this.#edit, path, new BytesInput(bytesOf(data)), options);
  }

  /** Writes into a file from byte `at` on. Blocks it shares are copied first, never overwritten. */
  write(path: Path, data: string | Uint8Array, at: number | bigint = 0): void {
    const bytes = bytesOf(data);
    const file = regularFile(this.#edit, path);
    const from = BigInt(at);
    checkEnd(path, from + BigInt(bytes.length));
    writeFile(this.#edit, file.ino, from, new BytesInput(bytes));
  }

  /** Puts data behind the end of a file. */
  append(path: Path, data: string | Uint8Array): void {
    const bytes = bytesOf(data);
    const file = regularFile(this.#edit, path, true);
    const from = file.exactSize;
    checkEnd(path, from + BigInt(bytes.length));
    writeFile(this.#edit, file.ino, from, new BytesInput(bytes));
  }

  truncate(path: Path, size: number | bigint): void {
    const file = regularFile(this.#edit, path);
    checkEnd(path, BigInt(size));
    truncateFile(this.#edit, file.ino, BigInt(size));
  }

  /** Makes bytes [from, to) zeros and gives the blocks among them back. */
  punch(path: Path, from: number | bigint, to: number | bigint): void {
    const file = regularFile(this.#edit, path);
    punchFile(this.#edit, file.ino, BigInt(from), BigInt(to));
  }

  /** A copy of a file or tree that shares all its data. */
  clone(from: Path, to: Path): void {
    clone(this.#edit, from, to);
  }

  /** Moves, in place of what is there where Linux's rename would. */
  rename(from: Path, to: Path): void {
    rename(this.#edit, from, to);
  }

  link(target: Path, path: Path): void {
    link(this.#edit, target, path);
  }

  symlink(target: Path, path: Path): void {
    symlink(this.#edit, target, path);
  }

  /** Removes a file's name, or with `recursive` whatever stands there and below. */
  rm(path: Path, options: { readonly recursive?: boolean } = {}): void {
    if (options.recursive === true) removeTree(this.#edit, path);
    else unlink(this.#edit, path);
  }

  rmdir(path: Path): void {
    rmdir(this.#edit, path);
  }

  /** `mode`: a number, or text such as 'u+x' or '0644'. */
  chmod(path: Path, mode: number | string, options?: { readonly recursive?: boolean }): void {
    const text = typeof mode === 'number' ? `0${(mode & 0o7777).toString(8)}` : mode;
    const change = parseMode(text, this.#edit.umask);
    if (change === undefined) throw new EditError('EINVAL', pathBytes(path), `'${mode}' is no mode`);
    chmod(this.#edit, path, change, options);
  }

  /** undefined leaves one of them as it is. */
  chown(path: Path, uid: number | undefined, gid: number | undefined, options?: ChownOptions): void {
    chown(this.#edit, path, uid, gid, options);
  }

  /** Sets times; makes an empty file where there is none. */
  touch(path: Path, options?: TouchOptions): void {
    const now = this.#edit.now();
    touch(this.#edit, path, options ?? { atime: now, mtime: now });
  }

  /** `name` with its namespace: user.x, trusted.x, security.x, system.posix_acl_access. */
  setXattr(path: Path, name: string, value: string | Uint8Array, options?: XattrOptions): void {
    setXattr(this.#edit, path, textToBytes(name), bytesOf(value), options);
  }

  removeXattr(path: Path, name: string, options?: XattrOptions): void {
    removeXattr(this.#edit, path, textToBytes(name), options);
  }

  /** Whether anything stands at a path, links not followed. */
  exists(path: Path): boolean {
    try {
      this.#edit.resolve(path, { follow: false });
      return true;
    } catch (error) {
      if ((error as { code?: string }).code === 'ENOENT') return false;
      throw error;
    }
  }

  /** Whether a path leads to a directory. */
  isDirectory(path: Path): boolean {
    return this.exists(path) && this.#edit.resolve(path).isDir;
  }
}
