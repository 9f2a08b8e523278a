/**
 * Makes an empty filesystem.
 *
 * Everything is checked and laid out before the first byte is written. What is written first is a superblock
 * marked "in progress", which no kernel mounts; the mark is taken off last, once all else is on stable
 * storage, so that a mkfs that was killed leaves nothing that looks whole.
 */
import { createHash, randomUUID } from 'node:crypto';
import { type Stats, statSync, unlinkSync } from 'node:fs';
import { encodeAgf, encodeAgfl, encodeAgi } from '../build/ag.js';
import { btreeShape, bulkLoad } from '../build/btree.js';
import { encodeFreeInode, encodeInode } from '../build/inode.js';
import { writeAllocRecord, writeInodeRecord, writeRmapRecord } from '../build/records.js';
import { AG_SECTOR } from '../format/ag.js';
import { type AgBtreeName, BTREES } from '../format/btree.js';
import { sealCrc } from '../format/checksum.js';
import { DIFLAG, DIFLAG2, FORK_FORMAT, S_IF, type Timespec } from '../format/dinode.js';
import { MAX_EXTENT_BLOCKS } from '../format/extent.js';
import { blockOffset, type Geometry, geometryOf, inodeOffset, inoOf } from '../format/geometry.js';
import { getU64, viewOf } from '../format/structure.js';
import { SUPERBLOCK, XFS_SB_MAGIC } from '../format/superblock.js';
import { imageInUse } from '../image/inuse.js';
import { openSource } from '../image/open.js';
import { FileSource, ImageError, type Source } from '../image/source.js';
import { unmountRecord } from '../journal/emptylog.js';
import { badOption, MkfsError } from './error.js';
import { type Layout, planLayout } from './layout.js';
import type { OptionValues } from './options.js';
import { DEFAULT_FEATURES, PROFILES } from './profiles.js';
import { geometryReport } from './report.js';
import { existingContents } from './sniff.js';
import {
  type EmptyAg,
  emptyAg,
  firstInodes,
  freeBlocks,
  longestFree,
  rootChunkAgbno,
  SPECIAL_INODES,
} from './spaces.js';
import { type Counters, encodeSuperblock } from './superblock.js';

export interface MkfsOptions extends OptionValues {
  /** Name of a feature set (profiles.ts): what is not asked for by name follows it. */
  readonly profile?: string;
  /** Overwrite a filesystem or partition table that is there. */
  readonly force?: boolean;
  /** Check and lay out only. */
  readonly dryRun?: boolean;
  /** Keep the old contents of blocks the new filesystem does not use (-K); default false. */
  readonly keep?: boolean;
  /** UUID and times follow from the options alone. */
  readonly reproducible?: boolean;
  /** Byte at which the filesystem begins in the image. */
  readonly offset?: number;
  /** Partition it goes into, from 1. */
  readonly partition?: number;
  /** Time of the first inodes; default SOURCE_DATE_EPOCH, else now, or 1970 if reproducible. */
  readonly time?: Timespec;
}

export interface MkfsResult {
  readonly geometry: Geometry;
  /** Ten lines in mkfs.xfs's form. */
  readonly report: string;
  readonly warnings: readonly string[];
}

/** Bytes at either end of the image that are cleared of what others might recognise. */
const WIPED = 128 * 1024;
const ZERO_CHUNK = 2 ** 20;

/**
 * Makes the filesystem in the file or block device at `path`. A file that does not exist is created where
 * `size` or `dataSize` is given.
 *
 * @throws MkfsError: an option that cannot be, something there already, in use, an image that cannot be
 *   opened or written. Nothing has been written then, except after an I/O error.
 */
export async function mkfs(path: string, options: MkfsOptions): Promise<MkfsResult> {
  const values = await validated(options);
  const base = chooseProfile(options.profile);
  const target = examine(path, values, options);
  const layout = planLayout(values, base, target.bytes);
  checkHints(values, layout);
  const time = chooseTime(options);
  const label = Buffer.from(values.label ?? '');
  const uuid = chooseUuid(values, layout, label, options.reproducible === true);
  const filesystem = new NewFilesystem(layout, uuid, label, values, time);
  const result: MkfsResult = {
    geometry: filesystem.g,
    report: geometryReport(filesystem.g, path),
    warnings: layout.warnings,
  };
  try {
    if (target.exists && !options.force) refuseOverwrite(path, options);
    if (options.dryRun) return result;
    const source = prepare(path, target, layout, options);
    try {
      filesystem.write(source);
    } catch (error) {
      if (!target.exists) unlinkSync(path);
      throw error;
    } finally {
      source.close();
    }
  } catch (error) {
    if (error instanceof ImageError) throw new MkfsError('image', error.message);
    throw error;
  }
  return result;
}

async function validated(options: MkfsOptions): Promise<OptionValues> {
  const { profile, force, dryRun, keep, reproducible, offset, partition, time, ...values } = options;
  // zod is loaded when a filesystem is made, not with the library.
  const { validateOptions } = await import('./schema.js');
  return validateOptions(values);
}

function chooseProfile(name: string | undefined): typeof DEFAULT_FEATURES {
  if (name === undefined) return DEFAULT_FEATURES;
  const profile = Object.hasOwn(PROFILES, name) ? PROFILES[name] : undefined;
  if (profile === undefined)
    throw badOption(`--profile ${name}: known are ${Object.keys(PROFILES).join(', ')}`);
  return profile;
}

interface Target {
  readonly exists: boolean;
  readonly isFile: boolean;
  /** Bytes the filesystem may use; undefined where -d size alone decides. */
  readonly bytes: number | undefined;
}

function examine(path: string, values: OptionValues, options: MkfsOptions): Target {
  const windowed = options.offset !== undefined || options.partition !== undefined;
  if (windowed && values.size !== undefined)
    throw badOption('--size: the image has its size, --offset and --partition choose a part of it');
  let stat: Stats;
  try {
    stat = statSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      throw new MkfsError('image', `${path}: ${(error as Error).message}`);
    if (windowed || (values.size === undefined && values.dataSize === undefined))
      throw new MkfsError('image', `${path}: does not exist; --size or -d size= creates it`);
    return { exists: false, isFile: true, bytes: values.size };
  }
  if (!stat.isFile() && !stat.isBlockDevice())
    throw new MkfsError('image', `${path}: neither a file nor a block device`);
  // Even -f does not write below a mounted filesystem's feet.
  const inUse = imageInUse(path);
  if (inUse !== undefined && !options.dryRun) throw new MkfsError('in-use', `${path}: ${inUse}`);
  if (stat.isFile() && values.size !== undefined) return { exists: true, isFile: true, bytes: values.size };
  if (values.size !== undefined)
    throw badOption(`--size: ${path} is a block device; -d size= uses a part of it`);
  let bytes: number;
  try {
    const source = openSource(path, options);
    bytes = source.size;
    source.close();
  } catch (error) {
    throw new MkfsError('image', (error as Error).message);
  }
  if (bytes === 0 && !windowed && stat.isFile()) {
    if (values.dataSize === undefined)
      throw new MkfsError('image', `${path}: is empty; --size or -d size= gives it a size`);
    return { exists: true, isFile: true, bytes: undefined };
  }
  return { exists: true, isFile: stat.isFile(), bytes };
}

function refuseOverwrite(path: string, options: MkfsOptions): void {
  const source = openSource(path, options);
  try {
    const found = existingContents(source);
    if (found !== undefined) throw new MkfsError('exists', `${path}: contains ${found}; -f overwrites it`);
  } finally {
    source.close();
  }
}

/** Opens for writing and clears away what was there: a file whole, unless asked to keep it. */
function prepare(path: string, target: Target, layout: Layout, options: MkfsOptions): Source {
  const windowed = options.offset !== undefined || options.partition !== undefined;
  if (!target.exists || (target.isFile && !windowed)) {
    const file = FileSource.open(path, target.exists ? 'r+' : 'wx+');
    try {
      const blank = !options.keep || file.size === 0;
      if (blank) file.truncate(0);
      file.truncate(Math.max(target.bytes ?? 0, layout.dblocks * layout.blocksize));
      if (!blank) wipe(file, layout);
      return file;
    } catch (error) {
      file.close();
      throw error;
    }
  }
  const source = openSource(path, { ...options, write: true });
  try {
    wipe(source, layout);
  } catch (error) {
    source.close();
    throw error;
  }
  return source;
}

/** Clears both ends, the log, and the superblock copies of an XFS filesystem that was there. */
function wipe(source: Source, layout: Layout): void {
  const sector = new Uint8Array(512);
  source.read(0, sector);
  const v = viewOf(sector);
  const A = SUPERBLOCK.at;
  const stride = v.getUint32(A.agblocks) * v.getUint32(A.blocksize);
  if (v.getUint32(A.magicnum) === XFS_SB_MAGIC && stride >= 2 ** 16 && getU64(v, A.dblocks) > 0) {
    const count = Math.min(v.getUint32(A.agcount), Math.ceil(source.size / stride));
    for (let i = 1; i < count && i * stride + layout.sectsize <= source.size; i++)
      zero(source, i * stride, layout.sectsize);
  }
  zero(source, 0, Math.min(WIPED, source.size));
  const end = Math.max(0, source.size - WIPED);
  zero(source, end, source.size - end);
  zero(
    source,
    (layout.logAg * layout.agblocks + layout.logAgbno) * layout.blocksize,
    layout.logblocks * layout.blocksize,
  );
}

/** Writes zeros where there are none, so that holes stay holes. */
function zero(source: Source, offset: number, length: number): void {
  const chunk = Buffer.alloc(Math.min(ZERO_CHUNK, length));
  const zeros = Buffer.alloc(chunk.length);
  for (let done = 0; done < length; done += chunk.length) {
    const part = chunk.subarray(0, Math.min(chunk.length, length - done));
    source.read(offset + done, part);
    if (part.compare(zeros, 0, part.length) !== 0)
      source.write(offset + done, zeros.subarray(0, part.length));
  }
}

/** Extent size hints that new files inherit: whole blocks, at most half an AG. */
function checkHints(o: OptionValues, l: Layout): void {
  const most = Math.min(MAX_EXTENT_BLOCKS, Math.floor(l.agblocks / 2));
  for (const [flag, value] of [
    ['-d extszinherit', o.extentSizeInherit],
    ['-d cowextsize', o.cowExtentSize],
  ] as const)
    if (value !== undefined && value > most)
      throw badOption(`${flag}=${value}: must be from 0 to ${most} blocks`);
}

function chooseTime(options: MkfsOptions): Timespec {
  if (options.time !== undefined) return options.time;
  const epoch = process.env.SOURCE_DATE_EPOCH;
  if (epoch !== undefined && epoch !== '') {
    const sec = Number(epoch);
    if (!/^-?\d+$/.test(epoch) || !Number.isSafeInteger(sec))
      throw badOption(`SOURCE_DATE_EPOCH=${epoch}: must be seconds since 1970`);
    return { sec, nsec: 0 };
  }
  if (options.reproducible) return { sec: 0, nsec: 0 };
  const now = Date.now();
  return { sec: Math.floor(now / 1000), nsec: (now % 1000) * 1_000_000 };
}

function chooseUuid(o: OptionValues, layout: Layout, label: Uint8Array, reproducible: boolean): string {
  if (o.uuid !== undefined) return o.uuid.toLowerCase();
  if (!reproducible) return randomUUID();
  const { warnings: _, ...shape } = layout;
  const hash = createHash('sha256').update(JSON.stringify(shape)).update(label).digest();
  // Version 8 (made by the application's own rule), variant 1.
  hash[6] = (hash[6] & 0x0f) | 0x80;
  hash[8] = (hash[8] & 0x3f) | 0x80;
  const hex = hash.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join(
    '-',
  );
}

/** Everything that is written, computed before it is. */
class NewFilesystem {
  readonly g: Geometry;
  readonly #layout: Layout;
  readonly #options: OptionValues;
  readonly #time: Timespec;
  readonly #ags: EmptyAg[];
  readonly #primary: Uint8Array;
  readonly #copy: Uint8Array;
  readonly #copyWithRoot: Uint8Array;

  constructor(layout: Layout, uuid: string, label: Uint8Array, options: OptionValues, time: Timespec) {
    this.#layout = layout;
    this.#options = options;
    this.#time = time;
    const { dblocks, agcount, headBlocks, logblocks } = layout;
    const untouched: Counters = {
      icount: 0,
      ifree: 0,
      fdblocks: dblocks - agcount * headBlocks - logblocks,
    };
    this.#copy = encodeSuperblock(layout, uuid, label, untouched, {}, true);
    const g = geometryOf(this.#copy);
    this.#ags = Array.from({ length: agcount }, (_, agno) => emptyAg(g, layout, agno));
    const root = inoOf(g, 0, rootChunkAgbno(g, layout) * g.inopblock);
    this.#copyWithRoot = encodeSuperblock(layout, uuid, label, untouched, { root }, true);
    const counters: Counters = {
      icount: firstInodes(g),
      ifree: firstInodes(g) - SPECIAL_INODES,
      fdblocks: this.#ags.reduce((n, ag) => n + freeBlocks(ag) + ag.freelist.length, 0),
    };
    const inodes = { root, rtBitmap: root + 1, rtSummary: root + 2 };
    this.#primary = encodeSuperblock(layout, uuid, label, counters, inodes, true);
    for (const sector of [this.#copy, this.#copyWithRoot, this.#primary]) sealCrc(sector, SUPERBLOCK.at.crc);
    this.g = geometryOf(this.#primary);
  }

  /** The log behind its first record, and all free blocks, are left as they are: zeros, or not looked at. */
  write(source: Source): void {
    const { g } = this;
    for (const ag of this.#ags) source.write(blockOffset(g, ag.agno, 0), this.#agHead(ag));
    source.write(inodeOffset(g, g.rootino), this.#firstInodes());
    const log = this.#layout;
    source.write(
      blockOffset(g, log.logAg, log.logAgbno),
      unmountRecord({ uuid: g.metaUuidBytes, sunit: log.logsunit }),
    );
    source.sync();
    this.#primary[SUPERBLOCK.at.inprogress] = 0;
    sealCrc(this.#primary, SUPERBLOCK.at.crc);
    source.write(0, this.#primary);
    source.sync();
  }

  #superblockOf(agno: number): Uint8Array {
    if (agno === 0) return this.#primary;
    const { agcount } = this.g;
    // Two of the copies name the root directory, should the primary be lost.
    const middle = agcount > 2 ? Math.floor((agcount - 1) / 2) : -1;
    return agno === agcount - 1 || agno === middle ? this.#copyWithRoot : this.#copy;
  }

  /** Headers and btree roots of an AG, in one piece. */
  #agHead(ag: EmptyAg): Uint8Array {
    const { g } = this;
    const { agno, trees, freelist } = ag;
    const head = new Uint8Array(this.#layout.headBlocks * g.blocksize);
    const count = ag.chunks.reduce((n, c) => n + c.count, 0);
    const freecount = ag.chunks.reduce((n, c) => n + c.freecount, 0);
    head.set(this.#superblockOf(agno), AG_SECTOR.sb * g.sectsize);
    head.set(
      encodeAgf(g, { agno, trees, freelist, freeblks: freeBlocks(ag), longest: longestFree(ag) }),
      AG_SECTOR.agf * g.sectsize,
    );
    head.set(
      encodeAgi(g, { agno, trees, count, freecount, newino: ag.chunks[0]?.startino }),
      AG_SECTOR.agi * g.sectsize,
    );
    head.set(encodeAgfl(g, { agno, freelist }), AG_SECTOR.agfl * g.sectsize);

    const root = (
      name: AgBtreeName,
      records: number,
      writeRecord: (i: number, view: DataView, at: number) => void,
    ): void => {
      const tree = trees[name];
      if (tree === undefined) return;
      const kind = BTREES[name];
      bulkLoad({
        kind,
        blocksize: g.blocksize,
        count: records,
        writeRecord,
        shape: btreeShape(kind, g.blocksize, records),
        block: () => tree.root,
        daddr: (agbno) => blockOffset(g, agno, agbno) / 512,
        owner: agno,
        uuid: g.metaUuidBytes,
        emit: (agbno, bytes) => head.set(bytes, agbno * g.blocksize),
      });
    };
    const free = ag.free;
    root('bnobt', free.length, (i, v, at) => writeAllocRecord(v, at, free[i].agbno, free[i].blocks));
    const bySize = [...free].sort((a, b) => a.blocks - b.blocks || a.agbno - b.agbno);
    root('cntbt', free.length, (i, v, at) => writeAllocRecord(v, at, bySize[i].agbno, bySize[i].blocks));
    const inodes = (i: number, v: DataView, at: number): void =>
      writeInodeRecord(v, at, ag.chunks[i], g.features.sparseInodes);
    root('inobt', ag.chunks.length, inodes);
    root('finobt', ag.chunks.length, inodes);
    root('rmapbt', ag.rmaps.length, (i, v, at) => writeRmapRecord(v, at, ag.rmaps[i]));
    root('refcountbt', 0, () => {});
    return head;
  }

  /** The first inodes: an empty root directory, the realtime bitmap and summary, the rest free. */
  #firstInodes(): Uint8Array {
    const { g } = this;
    const { rootino, inodesize } = g;
    const bytes = new Uint8Array(firstInodes(g) * inodesize);
    const inode = (i: number): Uint8Array => bytes.subarray(i * inodesize, (i + 1) * inodesize);
    const o = this.#options;
    let inherited = 0;
    if (g.features.bigtime) inherited |= DIFLAG2.BIGTIME;
    if (g.features.nrext64) inherited |= DIFLAG2.NREXT64;
    let flags = 0;
    let flags2 = inherited;
    if (o.rtInherit) flags |= DIFLAG.RTINHERIT;
    if (o.projInherit !== undefined) flags |= DIFLAG.PROJINHERIT;
    if (o.extentSizeInherit) flags |= DIFLAG.EXTSZINHERIT;
    if (o.cowExtentSize) flags2 |= DIFLAG2.COWEXTSIZE;
    if (o.daxInherit) flags2 |= DIFLAG2.DAX;
    const common = {
      changeCount: 2,
      atime: { sec: 0, nsec: 0 },
      mtime: this.#time,
      ctime: this.#time,
      crtime: this.#time,
    };
    // A directory without entries in its short form: two counts and the parent, which is itself.
    const directory = new Uint8Array(6);
    viewOf(directory).setUint32(2, rootino);
    encodeInode(
      g,
      inode(0),
      {
        ...common,
        ino: rootino,
        mode: S_IF.DIR | 0o755,
        nlink: 2,
        projid: o.projInherit,
        format: FORK_FORMAT.LOCAL,
        size: directory.length,
        extsize: o.extentSizeInherit,
        cowextsize: o.cowExtentSize,
        flags,
        flags2,
      },
      directory,
    );
    for (let i = 1; i < SPECIAL_INODES; i++)
      encodeInode(g, inode(i), {
        ...common,
        ino: rootino + i,
        mode: S_IF.REG,
        nlink: 1,
        format: FORK_FORMAT.EXTENTS,
        size: 0,
        flags: i === 1 ? DIFLAG.NEWRTBM : 0,
        flags2: inherited,
      });
    for (let i = SPECIAL_INODES; i < firstInodes(g); i++) encodeFreeInode(g, inode(i), rootino + i);
    return bytes;
  }
}
