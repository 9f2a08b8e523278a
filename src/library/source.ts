/** Images by what programs have at hand: a path, bytes in memory, anything with size and read. */
import { type OpenOptions, openSource, windowOf } from '../image/open.js';
import { ImageError, MemorySource, type Source } from '../image/source.js';

/**
 * Where an image's bytes live, with as much as is needed for reading. All calls are synchronous: a walk of a
 * filesystem is a chain of dependent reads.
 */
export interface Disk {
  /** Bytes of the image. */
  readonly size: number;
  /** Fills `into` from byte `offset`. Throws where it cannot. */
  read(offset: number, into: Uint8Array): void;
  /** Needed for edits and repairs. */
  write?(offset: number, from: Uint8Array): void;
  /** Waits until everything written is on stable storage. Where there is none, writes are. */
  sync?(): void;
  close?(): void;
}

/** A Disk as the rest of the program wants one. */
class DiskSource implements Source {
  readonly #disk: Disk;
  constructor(disk: Disk) {
    this.#disk = disk;
  }
  get size(): number {
    return this.#disk.size;
  }
  read(offset: number, into: Uint8Array): void {
    this.#disk.read(offset, into);
  }
  write(offset: number, from: Uint8Array): void {
    if (this.#disk.write === undefined) throw new ImageError('image: opened for reading only');
    this.#disk.write(offset, from);
  }
  sync(): void {
    this.#disk.sync?.();
  }
  close(): void {
    this.#disk.close?.();
  }
}

/**
 * The source of an image: a path, the bytes themselves, or a Disk. `options` as on the command line. Throws
 * ImageError.
 */
export function sourceOf(image: string | Uint8Array | Disk, options: OpenOptions): Source {
  if (typeof image === 'string') return openSource(image, options);
  const source = image instanceof Uint8Array ? new MemorySource(image) : new DiskSource(image);
  return windowOf(source, 'image', options);
}
