/**
 * What is written into a file: bytes of a known length, read when they are needed. The length is known before
 * anything is changed, so that an image without room for it refuses it whole; a pipe is therefore read to its
 * end first, into memory or, where it is long, into a temporary file.
 */
import { closeSync, fstatSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ImageError, reason } from '../image/source.js';

export interface Input {
  readonly size: number;
  /** Fills `into` from byte `at`. Throws ImageError where the input has become shorter. */
  read(at: number, into: Uint8Array): void;
  close(): void;
}

/** Longest pipe kept in memory. */
const MEMORY = 64 * 2 ** 20;

export class BytesInput implements Input {
  readonly #bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }
  get size(): number {
    return this.#bytes.length;
  }
  read(at: number, into: Uint8Array): void {
    into.set(this.#bytes.subarray(at, at + into.length));
  }
  close(): void {}
}

/** Nothing but zeros, as many as are asked for. */
export class ZeroInput implements Input {
  readonly size = Number.POSITIVE_INFINITY;
  read(_at: number, into: Uint8Array): void {
    into.fill(0);
  }
  close(): void {}
}

/** A regular file, from byte `start` on. */
export class FileInput implements Input {
  readonly #fd: number;
  readonly #start: number;
  readonly #name: string;
  readonly size: number;
  readonly #owned: boolean;

  constructor(fd: number, name: string, options: { start?: number; size?: number; owned?: boolean } = {}) {
    this.#fd = fd;
    this.#name = name;
    this.#start = options.start ?? 0;
    this.size = options.size ?? Math.max(0, fstatSync(fd).size - this.#start);
    this.#owned = options.owned ?? false;
  }

  read(at: number, into: Uint8Array): void {
    for (let done = 0; done < into.length; ) {
      const n = readSync(this.#fd, into, done, into.length - done, this.#start + at + done);
      if (n === 0) throw new ImageError(`${this.#name}: shorter than it was: it ends at byte ${at + done}`);
      done += n;
    }
  }

  close(): void {
    if (this.#owned) closeSync(this.#fd);
  }
}

/** Opens a file of the host. Throws ImageError. */
export function openInput(path: string): Input {
  try {
    return new FileInput(openSync(path, 'r'), path, { owned: true });
  } catch (error) {
    throw new ImageError(`${path}: cannot open: ${reason(error)}`);
  }
}

/** Where a descriptor's offset stands is not for Node to say: a redirected file is read from its start. */
export function readStdin(): Input {
  const fd = 0;
  const stat = fstatSync(fd);
  if (stat.isFile()) return new FileInput(fd, 'standard input');
  return spool(fd);
}

/** Reads a pipe to its end. */
function spool(fd: number): Input {
  const pieces: Uint8Array[] = [];
  let size = 0;
  let file: { fd: number; folder: string } | undefined;
  const put = (piece: Uint8Array): void => {
    for (let done = 0; done < piece.length; ) done += writeSync(file!.fd, piece, done);
  };
  try {
    for (let piece: Uint8Array; ; size += piece.length) {
      piece = readPiece(fd);
      if (piece.length === 0) break;
      if (file === undefined && size + piece.length > MEMORY) {
        const folder = mkdtempSync(join(tmpdir(), 'xfsimg-'));
        file = { fd: openSync(join(folder, 'input'), 'w+'), folder };
        for (const before of pieces.splice(0)) put(before);
      }
      if (file === undefined) pieces.push(piece);
      else put(piece);
    }
  } catch (error) {
    throw new ImageError(`standard input: ${reason(error)}`);
  } finally {
    // The name goes at once: what is open stays as long as somebody reads it.
    if (file !== undefined) rmSync(file.folder, { recursive: true, force: true });
  }
  if (file !== undefined) return new FileInput(file.fd, 'standard input', { size, owned: true });
  return new BytesInput(Buffer.concat(pieces));
}

function readPiece(fd: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(2 ** 20);
  for (;;)
    try {
      return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, null));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EOF') return bytes.subarray(0, 0);
      // A pipe somebody set to non-blocking: wait for more.
      if (code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
}
