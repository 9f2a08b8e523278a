/** Images from metadumps: all metadata in its place, contents of files left as holes. */
import { closeSync, existsSync, openSync, readSync, unlinkSync } from 'node:fs';
import { sealCrc } from '../format/checksum.js';
import { throwFault } from '../format/fault.js';
import {
  METABLOCK,
  METABLOCK_ENTRIES,
  METADUMP_INFO,
  METADUMP_SECTOR,
  XFS_MD_MAGIC_V1,
  XFS_MD_MAGIC_V2,
} from '../format/metadump.js';
import { getU64, viewOf } from '../format/structure.js';
import { SUPERBLOCK, verifySuperblock, XFS_SB_MAGIC } from '../format/superblock.js';
import { imageInUse } from '../image/inuse.js';
import { FileSource, ImageError, reason } from '../image/source.js';
import { MkfsError } from './error.js';

export interface RestoreResult {
  /** Sectors of 512 bytes written. */
  readonly sectors: number;
  /** What the dump says of itself. */
  readonly obfuscated: boolean;
  readonly dirtyLog: boolean;
}

/**
 * Writes the image of the dump at `dump` ("-": standard input) to the file at `path`. A file that was not
 * there before is gone again where that fails.
 *
 * @throws MkfsError in one line: no metadump, truncated, sectors outside the filesystem
 */
export function restoreMetadump(dump: string, path: string, force: boolean): RestoreResult {
  const isNew = !existsSync(path);
  if (!isNew) {
    const inUse = imageInUse(path);
    if (inUse !== undefined) throw new MkfsError('in-use', `${path}: ${inUse}`);
    if (!force) throw new MkfsError('exists', `${path}: exists; -f overwrites it`);
  }
  const reader = new DumpReader(dump);
  try {
    const first = reader.record();
    const { sector, bytes } = firstSuperblock(reader, first);
    let target: FileSource | undefined;
    try {
      target = FileSource.open(path, isNew ? 'wx+' : 'r+');
      target.truncate(0);
      target.truncate(bytes);
      const result = restore(reader, first, target, bytes);
      // Marked unfinished until all is there.
      target.sync();
      target.write(0, sector);
      target.sync();
      target.close();
      return result;
    } catch (error) {
      target?.close();
      if (isNew && existsSync(path)) unlinkSync(path);
      throw error instanceof ImageError ? new MkfsError('image', error.message) : error;
    }
  } finally {
    reader.close();
  }
}

interface MetaRecord {
  readonly count: number;
  readonly info: number;
  readonly index: DataView;
  readonly sectors: Uint8Array;
}

function restore(reader: DumpReader, first: MetaRecord, target: FileSource, bytes: number): RestoreResult {
  let sectors = 0;
  let record = first;
  for (;;) {
    for (let i = 0; i < record.count; i++) {
      const daddr = getU64(record.index, METABLOCK.size + i * 8);
      if ((daddr + 1) * METADUMP_SECTOR > bytes)
        throw reader.bad(`sector ${daddr} lies outside the filesystem of ${bytes / METADUMP_SECTOR} sectors`);
      // Sectors that follow each other go out together.
      let n = 1;
      while (i + n < record.count && getU64(record.index, METABLOCK.size + (i + n) * 8) === daddr + n) n++;
      n = Math.min(n, Math.floor(bytes / METADUMP_SECTOR) - daddr);
      const part = record.sectors.slice(i * METADUMP_SECTOR, (i + n) * METADUMP_SECTOR);
      if (daddr === 0) viewOf(part).setUint8(SUPERBLOCK.at.inprogress, 1);
      target.write(daddr * METADUMP_SECTOR, part);
      sectors += n;
      i += n - 1;
    }
    if (record.count < METABLOCK_ENTRIES) break;
    record = reader.record();
  }
  return {
    sectors,
    obfuscated: (first.info & METADUMP_INFO.OBFUSCATED) !== 0,
    dirtyLog: (first.info & METADUMP_INFO.DIRTYLOG) !== 0,
  };
}

/** The dump begins with the primary superblock, which says how large the image is. */
function firstSuperblock(reader: DumpReader, first: MetaRecord): { sector: Uint8Array; bytes: number } {
  if (first.count === 0 || getU64(first.index, METABLOCK.size) !== 0)
    throw reader.bad('it does not begin with the superblock');
  const v = viewOf(first.sectors);
  if (v.getUint32(0) !== XFS_SB_MAGIC) throw reader.bad('its first sector is no superblock');
  const sectsize = v.getUint16(SUPERBLOCK.at.sectsize);
  if (
    sectsize < METADUMP_SECTOR ||
    sectsize % METADUMP_SECTOR !== 0 ||
    sectsize > first.count * METADUMP_SECTOR
  )
    throw reader.bad(`its superblock has sectors of ${sectsize} bytes`);
  const sector = first.sectors.slice(0, sectsize);
  viewOf(sector).setUint8(SUPERBLOCK.at.inprogress, 0);
  if (v.getUint8(SUPERBLOCK.at.inprogress) !== 0) sealCrc(sector, SUPERBLOCK.at.crc);
  try {
    verifySuperblock(sector, { agno: 0, agbno: 0 }, throwFault);
  } catch (error) {
    throw reader.bad((error as Error).message);
  }
  const bytes = getU64(v, SUPERBLOCK.at.dblocks) * v.getUint32(SUPERBLOCK.at.blocksize);
  if (!Number.isSafeInteger(bytes) || bytes > 2 ** 60) throw reader.bad(`a filesystem of ${bytes} bytes`);
  return { sector, bytes };
}

class DumpReader {
  readonly #name: string;
  readonly #fd: number;
  #at = 0;

  constructor(path: string) {
    this.#name = path === '-' ? 'standard input' : path;
    try {
      this.#fd = path === '-' ? 0 : openSync(path, 'r');
    } catch (error) {
      throw new MkfsError('source', `${path}: ${reason(error)}`);
    }
  }

  record(): MetaRecord {
    const index = this.#read(METADUMP_SECTOR);
    const v = viewOf(index);
    const magic = v.getUint32(METABLOCK.at.magic);
    if (magic === XFS_MD_MAGIC_V2)
      throw this.bad('it is of version 2: xfs_metadump -v 1 makes one this program reads');
    if (magic !== XFS_MD_MAGIC_V1) throw this.bad('it is no metadump, or damaged (magic)');
    const count = v.getUint16(METABLOCK.at.count);
    if (count > METABLOCK_ENTRIES)
      throw this.bad(`a record of ${count} sectors; it has room for ${METABLOCK_ENTRIES}`);
    if (v.getUint8(METABLOCK.at.blocklog) !== 9)
      throw this.bad(`sectors of 2^${v.getUint8(METABLOCK.at.blocklog)} bytes; they have 2^9`);
    return {
      count,
      info: v.getUint8(METABLOCK.at.info),
      index: v,
      sectors: this.#read(count * METADUMP_SECTOR),
    };
  }

  #read(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      let n: number;
      try {
        n = readSync(this.#fd, bytes, done, length - done, null);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'EAGAIN') {
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
          continue;
        }
        if (code !== 'EOF') throw this.bad(reason(error));
        n = 0;
      }
      if (n === 0) throw this.bad('truncated');
      done += n;
    }
    this.#at += length;
    return bytes;
  }

  bad(why: string): MkfsError {
    return new MkfsError('source', `${this.#name}: byte ${this.#at}: ${why}`);
  }

  close(): void {
    if (this.#fd !== 0) closeSync(this.#fd);
  }
}
