/**
 * Makes an empty filesystem.
 *
 * Everything is checked and laid out before the first byte is written, and before old contents are cleared.
 */
import { createHash, randomUUID } from 'node:crypto';
import { type Stats, statSync, unlinkSync } from 'node:fs';
import type { Timespec } from '../format/dinode.js';
import { MAX_EXTENT_BLOCKS } from '../format/extent.js';
import type { Geometry } from '../format/geometry.js';
import { getU64, viewOf } from '../format/structure.js';
import { SUPERBLOCK, XFS_SB_MAGIC } from '../format/superblock.js';
import {
  GPT_BYTES,
  GPT_NAME_LENGTH,
  type GptPlan,
  PARTITION_TYPES,
  planGpt,
  writeGpt,
} from '../image/gpt.js';
import { imageInUse } from '../image/inuse.js';
import { openSource } from '../image/open.js';
import { FileSource, ImageError, type Source, WindowSource } from '../image/source.js';
import { badOption, MkfsError } from './error.js';
import { NewFilesystem } from './filesystem.js';
import { type Layout, planLayout } from './layout.js';
import type { OptionValues } from './options.js';
import { DEFAULT_FEATURES, PROFILES } from './profiles.js';
import { geometryReport } from './report.js';
import { existingContents } from './sniff.js';

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
  /** A new partition table with one partition, the filesystem's; sizes are then those of the whole image. */
  readonly table?: TableOptions;
  /** Time of the first inodes; default SOURCE_DATE_EPOCH, else now, or 1970 if reproducible. */
  readonly time?: Timespec;
}

export interface TableOptions {
  /** GUID as text, or a name of PARTITION_TYPES; default linux. */
  readonly type?: string;
  /** Name of the partition; default the filesystem's label. */
  readonly label?: string;
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
  const values = await valuesOf(options);
  const base = chooseProfile(options.profile);
  const target = examine(path, values, options);
  const table = options.table && { plan: planTable(values, target), ...checkTable(options.table) };
  const layout = planLayout(values, base, table?.plan.size ?? target.bytes);
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
    const whole = prepare(path, target, layout, options, table?.plan);
    const source = table === undefined ? whole : new WindowSource(whole, table.plan.start, table.plan.size);
    try {
      if (table !== undefined)
        writeGpt(whole, table.plan, {
          disk: derivedUuid(uuid, 'disk'),
          partition: derivedUuid(uuid, 'partition'),
          type: table.type,
          name: table.label ?? values.label ?? '',
        });
      filesystem.write(source);
    } catch (error) {
      // What was made here goes with the mkfs that failed.
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

/** The plain options among all, checked. Throws MkfsError. */
export async function valuesOf(options: MkfsOptions): Promise<OptionValues> {
  const { profile, force, dryRun, keep, reproducible, offset, partition, table, time, ...values } = options;
  // zod is loaded when a filesystem is made, not with the library.
  const { validateOptions } = await import('./schema.js');
  return validateOptions(values);
}

export function chooseProfile(name: string | undefined): typeof DEFAULT_FEATURES {
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
function prepare(
  path: string,
  target: Target,
  layout: Layout,
  options: MkfsOptions,
  table: GptPlan | undefined,
): Source {
  const windowed = options.offset !== undefined || options.partition !== undefined;
  if (!target.exists || (target.isFile && !windowed)) {
    const file = FileSource.open(path, target.exists ? 'r+' : 'wx+');
    try {
      const blank = !options.keep || file.size === 0;
      if (blank) file.truncate(0);
      file.truncate(Math.max(table?.bytes ?? target.bytes ?? 0, layout.dblocks * layout.blocksize));
      if (!blank) wipe(table === undefined ? file : new WindowSource(file, table.start, table.size), layout);
      return file;
    } catch (error) {
      file.close();
      if (!target.exists) unlinkSync(path);
      throw error;
    }
  }
  const source = openSource(path, { ...options, write: true });
  try {
    wipe(table === undefined ? source : new WindowSource(source, table.start, table.size), layout);
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

/** Time of what is made: as asked for, SOURCE_DATE_EPOCH, now. Throws MkfsError. */
export function chooseTime(options: MkfsOptions): Timespec {
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

/** Where the partition of a new table goes. Throws MkfsError. */
function planTable(values: OptionValues, target: Target): GptPlan {
  try {
    return planGpt(target.bytes ?? (values.dataSize ?? 0) + GPT_BYTES);
  } catch (error) {
    throw badOption(`--partition-table: ${(error as Error).message}`);
  }
}

function checkTable(o: TableOptions): { readonly type: string; readonly label: string | undefined } {
  const named = o.type ?? 'linux';
  const type = Object.hasOwn(PARTITION_TYPES, named) ? PARTITION_TYPES[named] : named.toLowerCase();
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(type) || /^[0-]+$/.test(type))
    throw badOption(
      `--partition-type ${named}: must be a GUID or one of ${Object.keys(PARTITION_TYPES).join(', ')}`,
    );
  if (o.label !== undefined && (o.label.length > GPT_NAME_LENGTH || o.label.includes('\0')))
    throw badOption(`--partition-label: must be at most ${GPT_NAME_LENGTH} characters`);
  return { type, label: o.label };
}

/** A GUID that follows from the filesystem's, for another thing. */
const derivedUuid = (uuid: string, of: string): string =>
  hashedUuid(createHash('sha256').update(`${uuid} ${of}`).digest());

function chooseUuid(o: OptionValues, layout: Layout, label: Uint8Array, reproducible: boolean): string {
  if (o.uuid !== undefined) return o.uuid.toLowerCase();
  if (!reproducible) return randomUUID();
  const { warnings: _, ...shape } = layout;
  return hashedUuid(createHash('sha256').update(JSON.stringify(shape)).update(label).digest());
}

/** A UUID of the first 16 bytes of a hash. */
export function hashedUuid(hash: Buffer): string {
  // Version 8 (made by the application's own rule), variant 1.
  hash[6] = (hash[6] & 0x0f) | 0x80;
  hash[8] = (hash[8] & 0x3f) | 0x80;
  return hash.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
