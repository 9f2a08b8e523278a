/** mkfs with contents: from a source's name to a filled image. */
import { createHash } from 'node:crypto';
import { closeSync, existsSync, fstatSync, openSync, readSync, statSync, unlinkSync } from 'node:fs';
import { isTarHeader, TAR_BLOCK } from '../../format/tar.js';
import { GPT_BYTES } from '../../image/gpt.js';
import { openSource } from '../../image/open.js';
import { reason } from '../../image/source.js';
import { badOption, MkfsError } from '../error.js';
import {
  chooseProfile,
  chooseTime,
  hashedUuid,
  type MkfsOptions,
  type MkfsResult,
  mkfs,
  valuesOf,
} from '../mkfs.js';
import { openDirectory } from './directory.js';
import { type PopulateOptions, type PopulateStats, populate } from './populate.js';
import { openProto } from './proto.js';
import { applyRules, type Rules } from './rules.js';
import { smallestSize } from './size.js';
import { openTar } from './tar.js';
import type { SourceTree, TreeSource } from './tree.js';

export interface MakeOptions {
  /** Directory, tar archive ("-": one on stdin), or protofile. */
  readonly source: string;
  readonly rules?: Rules;
  readonly dedupe?: PopulateOptions['dedupe'];
  /** The size follows from the source, with this part of it free: 0.1 is 10 %. */
  readonly auto?: number;
  /** Leave what there is of an image that could not be filled. */
  readonly keepPartial?: boolean;
  readonly progress?: PopulateOptions['progress'];
  /** Runs what takes long, and may end it in its middle by an error of its own. */
  readonly stretch?: <T>(work: () => T) => T;
}

export interface MakeResult extends MkfsResult {
  readonly stats: PopulateStats;
}

/** Times a size found by counting may be raised where the files do not quite fit it. */
const ATTEMPTS = 8;

/** Makes and fills an image. Throws MkfsError; a file made by it is gone then, unless it is to be kept. */
export async function makeFilled(
  path: string,
  mkfsOptions: MkfsOptions,
  make: MakeOptions,
): Promise<MakeResult> {
  const epoch = process.env.SOURCE_DATE_EPOCH;
  const reproducible = mkfsOptions.reproducible === true || (epoch !== undefined && epoch !== '');
  const rules: Rules = {
    ...make.rules,
    clamp: epoch === undefined || epoch === '' ? undefined : chooseTime(mkfsOptions).sec,
    dropAtime: reproducible,
  };
  const source = await openAny(path, make.source, rules);
  try {
    applyRules(source.tree, rules);
    const filled = await fill(path, mkfsOptions, make, source, reproducible);
    return { ...filled, warnings: [...filled.warnings, ...source.warnings] };
  } finally {
    source.close();
  }
}

/** The same for a source that is open. */
export async function fill(
  path: string,
  mkfsOptions: MkfsOptions,
  make: Omit<MakeOptions, 'source' | 'rules'>,
  source: TreeSource,
  reproducible: boolean,
): Promise<MakeResult> {
  let options: MkfsOptions = mkfsOptions;
  if (reproducible || make.auto !== undefined || make.dedupe !== undefined) source.measure?.();
  if (reproducible && options.uuid === undefined)
    options = { ...options, uuid: treeUuid(source.tree, options) };
  const populateOptions: PopulateOptions = {
    dedupe: make.dedupe,
    progress: make.progress,
    time: reproducible && process.env.SOURCE_DATE_EPOCH === undefined ? undefined : chooseTime(options),
  };
  const values = await valuesOf(options);
  const profile = chooseProfile(options.profile);
  if (make.dedupe !== undefined && !(values.reflink ?? profile.reflink))
    throw badOption('--dedupe needs a filesystem with reflink (-m reflink=1)');
  if (make.auto === undefined) return once(path, options, populateOptions, make, source);
  if (options.size !== undefined || options.dataSize !== undefined)
    throw badOption('--size auto: another size is given too');
  const around = options.table === undefined ? 0 : GPT_BYTES;
  let saved = 0;
  if (make.dedupe !== undefined) {
    // How much is shared is only known once it has been.
    const size = smallestSize(source, values, profile, make.auto, 0) + around;
    saved = (await once(path, { ...options, size }, populateOptions, make, source)).stats.sharedBlocks;
    options = { ...options, force: true };
  }
  let size = smallestSize(source, values, profile, make.auto, saved) + around;
  for (let attempt = 1; ; attempt++) {
    try {
      return await once(path, { ...options, size }, populateOptions, make, source);
    } catch (error) {
      if (!(error instanceof MkfsError) || error.kind !== 'space' || attempt === ATTEMPTS) throw error;
      size += Math.max(2 ** 20, Math.ceil(size / 200 / 2 ** 20) * 2 ** 20);
      options = { ...options, force: options.force || existsSync(path) };
    }
  }
}

async function once(
  path: string,
  options: MkfsOptions,
  populateOptions: PopulateOptions,
  make: Pick<MakeOptions, 'keepPartial' | 'stretch'>,
  source: TreeSource,
): Promise<MakeResult> {
  const isNew = !existsSync(path);
  const result = await mkfs(path, options);
  try {
    const partition = options.table === undefined ? options.partition : 1;
    const image = openSource(path, { offset: options.offset, partition, write: true });
    try {
      const work = (): PopulateStats => populate(image, source, populateOptions);
      return { ...result, stats: make.stretch === undefined ? work() : make.stretch(work) };
    } catch (error) {
      // Half filled it is no filesystem, and is not to be taken for one.
      if (!(error instanceof MkfsError)) image.write(0, new Uint8Array(result.geometry.sectsize));
      throw error;
    } finally {
      image.close();
    }
  } catch (error) {
    if (isNew && !make.keepPartial) unlinkSync(path);
    throw error;
  }
}

async function openAny(image: string, name: string, rules: Rules): Promise<TreeSource> {
  if (name === '-') return openTar(0, 'standard input', image, rules);
  const missing = (error: unknown): MkfsError => new MkfsError('image', `${name}: ${reason(error)}`);
  let isDirectory: boolean;
  try {
    isDirectory = statSync(name).isDirectory();
  } catch (error) {
    throw missing(error);
  }
  if (isDirectory) return openDirectory(name, rules, image);
  let fd: number;
  try {
    fd = openSync(name, 'r');
  } catch (error) {
    throw missing(error);
  }
  if (!fstatSync(fd).isFile()) return openTar(fd, name, image, rules);
  const head = Buffer.alloc(TAR_BLOCK);
  const n = readSync(fd, head, 0, TAR_BLOCK, 0);
  const packed = PACKED.find(([magic]) =>
    head.subarray(0, magic.length).equals(Buffer.from(magic, 'latin1')),
  );
  if (packed !== undefined) {
    closeSync(fd);
    throw new MkfsError('image', `${name}: is packed: ${packed[1]} -dc ${name} | xfsimg mkfs ... -p -`);
  }
  if ((n === TAR_BLOCK && isTarHeader(head)) || (n > 0 && head.subarray(0, n).every((b) => b === 0)))
    return openTar(fd, name, image, rules);
  closeSync(fd);
  return openProto(name, rules);
}

const PACKED: readonly (readonly [string, string])[] = [
  ['\x1f\x8b', 'gzip'],
  ['\x28\xb5\x2f\xfd', 'zstd'],
  ['\xfd7zXZ\0', 'xz'],
  ['BZh', 'bzip2'],
];

/** A UUID that follows from names and metadata: another tree, another filesystem. */
function treeUuid(tree: SourceTree, options: MkfsOptions): string {
  const hash = createHash('sha256');
  const { order, first } = tree.children();
  const row = new Float64Array(8);
  const bytes = Buffer.from(row.buffer);
  hash.update(options.label ?? '');
  // By paths, not by rows: those are in the order files were met in.
  const stack = [0];
  for (let i = stack.pop(); i !== undefined; i = stack.pop()) {
    row.set([
      tree.mode[i],
      tree.uid[i],
      tree.gid[i],
      tree.size[i],
      tree.mtime[i],
      tree.mtimeNsec[i],
      tree.rdev[i],
      tree.nameLength[i],
    ]);
    hash.update(bytes).update(tree.name(i));
    for (let k = first[i]; k < first[i + 1]; k++) stack.push(order[k]);
  }
  return hashedUuid(hash.digest());
}
