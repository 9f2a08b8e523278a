import { closeSync, existsSync, openSync, readSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { crcHolds } from '../../src/format/checksum.js';
import { DINODE } from '../../src/format/dinode.js';
import { type Geometry, geometryOf, inodeOffset } from '../../src/format/geometry.js';
import { type MkfsResult, mkfs } from '../../src/mkfs/mkfs.js';
import { type GroupTexts, parseOptions } from '../../src/mkfs/options.js';
import { blank, run, tmpdir } from '../support/oracle.js';
import type { Case } from './cases.js';

export const UUID = '0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0';

/** Above this a file needs a filesystem with 64-bit file sizes; ext4 stops at 16 TiB. */
const LARGE = 15 * 2 ** 40;

/** A scratch folder that can hold a sparse file of `size` bytes, or undefined. */
export function folderFor(size: number): string | undefined {
  if (size <= LARGE) return tmpdir('xfsimg-mkfs-');
  if (!existsSync('/dev/shm')) return undefined;
  const root = process.env.TMPDIR;
  process.env.TMPDIR = '/dev/shm';
  try {
    return tmpdir('xfsimg-mkfs-');
  } finally {
    if (root === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = root;
  }
}

/** Arguments as the two programs take them, rmapbt named because the defaults differ. */
function words(one: Case): string[] {
  const args = one.args === '' ? [] : one.args.split(' ');
  return /rmapbt=/.test(one.args) ? args : [...args, '-m', 'rmapbt=1'];
}

/** Makes `path` with mkfs.xfs, with the UUID of these tests. */
export function makeWithOracle(path: string, one: Case): void {
  blank(path, one.size);
  // The variables let mkfs.xfs make small filesystems.
  const env = { TEST_DIR: '/', TEST_DEV: path, QA_CHECK_FS: '1' };
  run('mkfs.xfs', ['-q', '-f', ...words(one), '-m', `uuid=${UUID}`, path], { env });
}

/** The same options for the library. */
export function optionsOf(args: readonly string[]): ReturnType<typeof parseOptions> {
  const groups: Record<string, string[]> = {};
  let label: string | undefined;
  for (let i = 0; i < args.length; i += 2) {
    if (args[i] === '-L') label = args[i + 1];
    else {
      const letter = args[i].slice(1);
      groups[letter] = [...(groups[letter] ?? []), args[i + 1]];
    }
  }
  return parseOptions(groups as GroupTexts, { label });
}

/** Makes `path` with the library. */
export function makeOurs(path: string, one: Case, more: { uuid?: string } = {}): Promise<MkfsResult> {
  return mkfs(path, { ...optionsOf(words(one)), size: one.size, force: true, ...more });
}

/** Byte ranges of a file that are no holes, [start, end) each, from xfs_io. */
function dataRanges(path: string): [number, number][] {
  const size = statSync(path).size;
  const { stdout } = run('xfs_io', ['-r', '-c', 'seek -a -r 0', path]);
  const ranges: [number, number][] = [];
  for (const [, kind, text] of stdout.matchAll(/^(DATA|HOLE)\s+(\d+)/gm)) {
    const at = Number(text);
    if (kind === 'DATA') ranges.push([at, size]);
    else if (ranges.length > 0 && ranges[ranges.length - 1][1] === size) ranges[ranges.length - 1][1] = at;
  }
  return ranges;
}

/** Offsets of the bytes in which two files differ (at most `limit`), holes skipped where both have them. */
export function differences(a: string, b: string, limit = 10_000): number[] {
  const out: number[] = [];
  if (statSync(a).size !== statSync(b).size) return [Math.min(statSync(a).size, statSync(b).size)];
  const ranges = [...dataRanges(a), ...dataRanges(b)].sort((x, y) => x[0] - y[0]);
  const fa = openSync(a, 'r');
  const fb = openSync(b, 'r');
  const ba = Buffer.alloc(2 ** 20);
  const bb = Buffer.alloc(2 ** 20);
  try {
    let done = 0;
    for (const [start, end] of ranges) {
      for (let at = Math.max(start, done); at < end && out.length < limit; ) {
        const length = Math.min(ba.length, end - at);
        const na = readSync(fa, ba, 0, length, at);
        const nb = readSync(fb, bb, 0, length, at);
        if (na !== nb || na === 0) throw new Error(`short read at ${at}: ${na} and ${nb} bytes`);
        if (ba.compare(bb, 0, na, 0, na) !== 0)
          for (let i = 0; i < na && out.length < limit; i++) if (ba[i] !== bb[i]) out.push(at + i);
        at += na;
      }
      done = Math.max(done, end);
    }
  } finally {
    closeSync(fa);
    closeSync(fb);
  }
  return out;
}

/** Fields of the first three inodes that hold the time of their making, or a checksum over it. */
const TIME_FIELDS = [
  ['mtime', 8],
  ['ctime', 8],
  ['crtime', 8],
  ['crc', 4],
] as const;

function readAt(path: string, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const fd = openSync(path, 'r');
  try {
    if (readSync(fd, bytes, 0, length, offset) !== length) throw new Error(`short read of ${path}`);
  } finally {
    closeSync(fd);
  }
  return bytes;
}

/**
 * What differs between the image of mkfs.xfs and ours besides the times of the first three inodes: [] where
 * nothing does. Checksums of those inodes are computed anew.
 */
export function unexplained(oracle: string, ours: string): string[] {
  const g: Geometry = geometryOf(readAt(oracle, 0, 512));
  const allowed: [number, number][] = [];
  const out: string[] = [];
  for (let i = 0; i < 3; i++) {
    const at = inodeOffset(g, g.rootino + i);
    for (const [field, length] of TIME_FIELDS)
      allowed.push([at + DINODE.at[field], at + DINODE.at[field] + length]);
    if (!crcHolds(readAt(ours, at, g.inodesize), DINODE.at.crc)) out.push(`inode ${g.rootino + i}: crc`);
  }
  for (const offset of differences(oracle, ours)) {
    if (allowed.some(([from, to]) => offset >= from && offset < to)) continue;
    const agno = Math.floor(offset / (g.agblocks * g.blocksize));
    const inAg = offset - agno * g.agblocks * g.blocksize;
    out.push(
      `byte ${offset}: AG ${agno} block ${Math.floor(inAg / g.blocksize)} sector ${Math.floor(inAg / g.sectsize)} byte ${inAg % g.sectsize}`,
    );
    if (out.length >= 20) break;
  }
  return out;
}

/** `xfs_repair -n` finds nothing; a filesystem of one AG is checked too. Throws with its output. */
export function repairClean(image: string): void {
  run('xfs_repair', ['-n', '-f', '-o', 'force_geometry', image]);
}

/** Removes the images of a case as soon as it is done: large ones would add up. */
export function discard(...paths: string[]): void {
  for (const path of paths) rmSync(path, { force: true });
  if (paths.length > 0) rmSync(join(dirname(paths[0])), { recursive: true, force: true });
}
