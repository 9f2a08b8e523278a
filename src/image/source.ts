/**
 * Where bytes live. Everything above reads and writes through this one small interface, so an image can be a
 * file, a block device, a Buffer, a partition of another image or an overlay over any of them.
 *
 * All calls are synchronous: a filesystem walk is a chain of dependent reads, and a promise per block would
 * cost more than the read.
 */
import {
  closeSync,
  fdatasync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';

export interface Source {
  /** Bytes of the image. */
  readonly size: number;
  /** Fills `into` from byte `offset`. Throws ImageError where the image is shorter. */
  read(offset: number, into: Uint8Array): void;
  /** Throws ImageError on a source opened for reading. */
  write(offset: number, from: Uint8Array): void;
  /** Waits until everything written is on stable storage. */
  sync(): void;
  /** Has what was written so far brought to stable storage beside what follows, so that `sync` has less to wait for. */
  startSync?(): void;
  close(): void;
}

/** An image that cannot be read or written as asked: missing, short, read-only, an I/O error. */
export class ImageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ImageError';
  }
}

const pastEnd = (name: string, offset: number, length: number, size: number): ImageError =>
  new ImageError(
    `${name}: bytes ${offset} to ${offset + length} lie past the end (${size} bytes): truncated image?`,
  );

/** A file or block device. */
export class FileSource implements Source {
  readonly path: string;
  readonly fd: number;
  readonly writable: boolean;
  #size: number;
  /** The file opened once more, for `startSync`, and its calls that are under way. */
  #behind = -1;
  #underWay = 0;

  private constructor(path: string, fd: number, size: number, writable: boolean) {
    this.path = path;
    this.fd = fd;
    this.#size = size;
    this.writable = writable;
  }

  /** Opens `path`; throws ImageError where that fails. */
  static open(path: string, mode: 'r' | 'r+' | 'w+' | 'wx+' = 'r'): FileSource {
    let fd: number;
    try {
      fd = openSync(path, mode);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EISDIR')
        throw new ImageError(`${path}: is a directory, not an image`);
      throw new ImageError(`${path}: cannot open: ${reason(error)}`);
    }
    try {
      const stat = fstatSync(fd);
      if (stat.isDirectory()) throw new ImageError(`${path}: is a directory, not an image`);
      const size = stat.isBlockDevice() ? deviceSize(fd) : stat.size;
      return new FileSource(path, fd, size, mode !== 'r');
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** A file that is open already, for reading: another thread's. Closing it is the opener's business. */
  static adopt(path: string, fd: number, size: number): FileSource {
    return new FileSource(path, fd, size, false);
  }

  get size(): number {
    return this.#size;
  }

  read(offset: number, into: Uint8Array): void {
    if (offset < 0 || offset + into.length > this.#size)
      throw pastEnd(this.path, offset, into.length, this.#size);
    let done = 0;
    while (done < into.length) {
      let n: number;
      try {
        n = readSync(this.fd, into, done, into.length - done, offset + done);
      } catch (error) {
        throw new ImageError(`${this.path}: read at byte ${offset + done} failed: ${reason(error)}`);
      }
      if (n === 0) throw pastEnd(this.path, offset, into.length, this.#size);
      done += n;
    }
  }

  write(offset: number, from: Uint8Array): void {
    if (!this.writable) throw new ImageError(`${this.path}: opened for reading only`);
    let done = 0;
    while (done < from.length) {
      try {
        done += writeSync(this.fd, from, done, from.length - done, offset + done);
      } catch (error) {
        throw new ImageError(`${this.path}: write at byte ${offset + done} failed: ${reason(error)}`);
      }
    }
    if (offset + from.length > this.#size) this.#size = offset + from.length;
  }

  /** Grows (sparse) or shrinks a regular file. */
  truncate(size: number): void {
    try {
      ftruncateSync(this.fd, size);
    } catch (error) {
      throw new ImageError(`${this.path}: cannot set the size to ${size}: ${reason(error)}`);
    }
    this.#size = size;
  }

  sync(): void {
    try {
      fsyncSync(this.fd);
    } catch (error) {
      throw new ImageError(`${this.path}: fsync failed: ${reason(error)}`);
    }
  }

  /** An error is told once to each who has the file open: by a descriptor of its own `sync` still sees it. */
  startSync(): void {
    try {
      if (this.#behind < 0) this.#behind = openSync(this.path, 'r');
    } catch {
      return;
    }
    const fd = this.#behind;
    this.#underWay++;
    fdatasync(fd, () => {
      if (--this.#underWay === 0 && this.#behind < 0) closeSync(fd);
    });
  }

  close(): void {
    closeSync(this.fd);
    if (this.#underWay === 0 && this.#behind >= 0) closeSync(this.#behind);
    this.#behind = -1;
  }
}

/** Bytes held in memory: tests, fixtures, small images. */
export class MemorySource implements Source {
  readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
  get size(): number {
    return this.bytes.length;
  }
  read(offset: number, into: Uint8Array): void {
    if (offset < 0 || offset + into.length > this.bytes.length)
      throw pastEnd('image', offset, into.length, this.bytes.length);
    into.set(this.bytes.subarray(offset, offset + into.length));
  }
  write(offset: number, from: Uint8Array): void {
    if (offset < 0 || offset + from.length > this.bytes.length)
      throw pastEnd('image', offset, from.length, this.bytes.length);
    this.bytes.set(from, offset);
  }
  sync(): void {}
  close(): void {}
}

/** A stretch of another source: a partition, or what follows `--offset`. */
export class WindowSource implements Source {
  readonly inner: Source;
  readonly start: number;
  readonly size: number;
  constructor(inner: Source, start: number, size: number) {
    if (start < 0 || size < 0 || start + size > inner.size)
      throw new ImageError(
        `bytes ${start} to ${start + size} lie past the end of the image (${inner.size} bytes)`,
      );
    this.inner = inner;
    this.start = start;
    this.size = size;
  }
  #check(offset: number, length: number): void {
    if (offset < 0 || offset + length > this.size) throw pastEnd('image', offset, length, this.size);
  }
  read(offset: number, into: Uint8Array): void {
    this.#check(offset, into.length);
    this.inner.read(this.start + offset, into);
  }
  write(offset: number, from: Uint8Array): void {
    this.#check(offset, from.length);
    this.inner.write(this.start + offset, from);
  }
  sync(): void {
    this.inner.sync();
  }
  startSync(): void {
    this.inner.startSync?.();
  }
  close(): void {
    this.inner.close();
  }
}

/** What the system says, without the code before it and the call and path behind it. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined || !error.message.startsWith(`${code}: `)) return error.message;
  return error.message.slice(code.length + 2).replace(/, \w+(?: '.*')?$/s, '');
}

/** Size of a block device by bisection: there is no portable call, and stat says 0. */
function deviceSize(fd: number): number {
  const probe = new Uint8Array(1);
  const readable = (at: number): boolean => {
    try {
      return readSync(fd, probe, 0, 1, at) === 1;
    } catch {
      return false;
    }
  };
  if (!readable(0)) return 0;
  let good = 0;
  let step = 2 ** 20;
  while (readable(good + step) && step < 2 ** 60) {
    good += step;
    step *= 2;
  }
  let bad = good + step;
  while (bad - good > 1) {
    const middle = good + Math.floor((bad - good) / 2);
    if (readable(middle)) good = middle;
    else bad = middle;
  }
  return good + 1;
}
