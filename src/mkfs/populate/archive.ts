/** The bytes of an archive by their position: a file's, or those of a stream that is kept in a file without a name. */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { TAR_BLOCK } from '../../format/tar.js';
import { reason } from '../../image/source.js';
import { sourceError } from './tree.js';

export class Archive {
  readonly name: string;
  readonly size: number;
  readonly #fd: number;
  readonly #base: number;
  readonly #window = Buffer.alloc(2 ** 16);
  #windowAt = 0;
  #windowSize = 0;

  private constructor(fd: number, name: string, base: number, size: number) {
    this.#fd = fd;
    this.name = name;
    this.#base = base;
    this.size = size;
  }

  /** A stream that cannot be read twice is spooled beside `image`. */
  static open(fd: number, name: string, image: string): Archive {
    const stat = fstatSync(fd);
    if (stat.isFile()) return new Archive(fd, name, 0, stat.size);
    const folder = mkdtempSync(join(dirname(image), '.xfsimg-'));
    const path = join(folder, 'stream');
    const spool = openSync(path, 'wx+');
    // Without its name the file goes away with the last that has it open.
    rmSync(folder, { recursive: true });
    const piece = Buffer.alloc(2 ** 20);
    let size = 0;
    for (;;) {
      const n = readPiece(fd, piece, name);
      if (n === 0) break;
      for (let done = 0; done < n; ) done += writeSync(spool, piece, done, n - done, size + done);
      size += n;
    }
    ftruncateSync(spool, size);
    closeSync(fd);
    return new Archive(spool, name, 0, size);
  }

  /** Fills `into`; throws where the archive ends before. */
  read(at: number, into: Uint8Array): void {
    let done = 0;
    if (into.length <= TAR_BLOCK * 2) {
      if (at < this.#windowAt || at + into.length > this.#windowAt + this.#windowSize) {
        this.#windowAt = at;
        this.#windowSize = readSync(this.#fd, this.#window, 0, this.#window.length, this.#base + at);
      }
      if (at + into.length <= this.#windowAt + this.#windowSize) {
        into.set(this.#window.subarray(at - this.#windowAt, at - this.#windowAt + into.length));
        return;
      }
    }
    while (done < into.length) {
      const n = readSync(this.#fd, into, done, into.length - done, this.#base + at + done);
      if (n === 0) throw sourceError(`${this.name}: truncated: it ends at byte ${at + done}`);
      done += n;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function readPiece(fd: number, piece: Buffer, name: string): number {
  for (;;) {
    try {
      return readSync(fd, piece, 0, piece.length, null);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EOF') return 0;
      // A terminal or pipe in non-blocking mode: wait a little and ask again.
      if (code !== 'EAGAIN') throw sourceError(`${name}: cannot be read: ${reason(error)}`);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
}
