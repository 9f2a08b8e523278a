/** From what the command line says (path, --offset, --partition) to the source that holds the filesystem. */
import { findPartition } from './partition.js';
import { FileSource, ImageError, type Source, WindowSource } from './source.js';

export interface OpenOptions {
  readonly write?: boolean;
  /** Byte at which the filesystem begins. */
  readonly offset?: number;
  /** Partition that holds it, from 1. */
  readonly partition?: number;
}

/** Opens an image. Throws ImageError: missing, not readable, no such partition, offset past the end. */
export function openSource(path: string, options: OpenOptions = {}): Source {
  const file = FileSource.open(path, options.write ? 'r+' : 'r');
  try {
    if (options.partition !== undefined) {
      if (options.offset !== undefined) throw new ImageError('--offset and --partition exclude each other');
      const p = findPartition(file, options.partition);
      return new WindowSource(file, p.start, Math.min(p.size, file.size - p.start));
    }
    if (options.offset !== undefined && options.offset !== 0) {
      if (options.offset >= file.size)
        throw new ImageError(`${path}: --offset ${options.offset} lies past the end (${file.size} bytes)`);
      return new WindowSource(file, options.offset, file.size - options.offset);
    }
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}
