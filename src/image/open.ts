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

/**
 * The part of a source that holds the filesystem. `name`: the image, for messages. Throws ImageError: no such
 * partition, offset past the end.
 */
export function windowOf(source: Source, name: string, options: OpenOptions): Source {
  const { partition, offset = 0 } = options;
  if (partition !== undefined) {
    if (options.offset !== undefined) throw new ImageError('--offset and --partition exclude each other');
    const p = findPartition(source, partition);
    return new WindowSource(source, p.start, Math.min(p.size, source.size - p.start));
  }
  if (offset === 0) return source;
  if (offset >= source.size)
    throw new ImageError(`${name}: --offset ${offset} lies past the end (${source.size} bytes)`);
  return new WindowSource(source, offset, source.size - offset);
}

/** Opens an image. Throws ImageError: missing, not readable, and what windowOf throws. */
export function openSource(path: string, options: OpenOptions = {}): Source {
  const file = FileSource.open(path, options.write ? 'r+' : 'r');
  try {
    return windowOf(file, path, options);
  } catch (error) {
    file.close();
    throw error;
  }
}
