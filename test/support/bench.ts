import {
  closeSync,
  constants,
  copyFileSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { crash, logEnds, withMount } from './mount.js';
import { openSite } from './populate/site.js';
import { type MkfsOptions, mkfs } from './populate.js';

export interface ManyInodesOptions {
  /** Inodes to make in all; default 300,000. */
  inodes?: number;
  /** How many of them are clones sharing their one block with others; default 60,000. */
  clones?: number;
  /** How many directories they are spread over; default 300. */
  dirs?: number;
  mkfs?: MkfsOptions;
}

/**
 * A filesystem of many small files: one block of data each, some of them clones in groups of fifty.
 * By default 4 GiB with rmapbt. Returns the image path.
 */
export function manyInodes(image: string, options: ManyInodesOptions = {}): string {
  const { inodes = 300_000, clones = 60_000, dirs = 300 } = options;
  mkfs(image, { size: 4 * 2 ** 30, args: ['-m', 'rmapbt=1'], ...options.mkfs });
  return withMount(image, (root) => {
    const perDir = Math.ceil((inodes - dirs) / dirs);
    const cloneEvery = clones > 0 ? (inodes - dirs) / clones : Number.POSITIVE_INFINITY;
    const data = Buffer.alloc(100, 'data of a small file ');
    let origin = '';
    let nextClone = cloneEvery;
    let copies = 0;
    let made = dirs;
    for (let dir = 0; dir < dirs; dir++) {
      const folder = join(root, `d${dir}`);
      mkdirSync(folder);
      for (let i = 0; i < perDir && made < inodes; i++, made++) {
        const path = `${folder}/file-${i}`;
        if (origin && made - dirs >= nextClone) {
          copyFileSync(origin, path, constants.COPYFILE_FICLONE_FORCE);
          nextClone += cloneEvery;
          if (++copies % 50 === 0) origin = '';
          continue;
        }
        const fd = openSync(path, 'w', 0o644);
        writeSync(fd, data);
        closeSync(fd);
        origin ||= path;
      }
    }
    return image;
  });
}

export interface DeepRefcountOptions {
  /** Refcount records wanted in the first AG that can hold them; default 45,000. */
  records?: number;
  mkfs?: MkfsOptions;
}

/**
 * A filesystem with one AG whose refcount btree has many records: of one long file, every other block is
 * shared with a second file, so that no two records can merge. Returns the image path.
 */
export function deepRefcount(image: string, options: DeepRefcountOptions = {}): string {
  const { records = 45_000 } = options;
  mkfs(image, {
    size: 2 ** 30,
    args: ['-b', 'size=1024', '-m', 'rmapbt=1', '-d', 'agcount=2'],
    ...options.mkfs,
  });
  return withMount(image, (root) => {
    const site = openSite(root, 1, 'full');
    const { blocksize: block } = site;
    site.file('comb', [[0, site.bytes(2 * records * block)]]);
    const lines = ['open comb', 'fsync', 'close', 'open -f clone'];
    for (let i = 0; i < records; i++) lines.push(`reflink -q comb ${2 * i * block} ${i * block} ${block}`);
    site.xfsio([...lines, 'close']);
    return image;
  });
}

/**
 * A filesystem of 2 GiB with a log of 64 MiB that has wrapped, crashed at a moment when as much of it is to be
 * replayed as Linux lets come together (it writes metadata back from three quarters on). The work is what
 * unpacking, building and cleaning up does: directories, small files, attributes, renames, clones, unlinks.
 * Returns the image path.
 */
export function fullLog(image: string, options: { mkfs?: MkfsOptions } = {}): string {
  mkfs(image, { size: 2 * 2 ** 30, args: ['-m', 'rmapbt=1', '-l', 'size=64m'], ...options.mkfs });
  const blocks = (64 * 2 ** 20) / 512;
  // Every so often Linux writes all metadata back, and the log would have to be filled within that time.
  const interval = '/proc/sys/fs/xfs/xfssyncd_centisecs';
  const before = readFileSync(interval, 'utf8');
  writeFileSync(interval, '720000');
  try {
    fillLog();
  } finally {
    writeFileSync(interval, before);
  }
  return image;

  function fillLog(): void {
    withMount(image, (root) => {
      const data = Buffer.alloc(4096, 'data of a small file ');
      const target = 'somewhere/'.repeat(100);
      const inUse = (): number => {
        const { head, cycle, tail, tailCycle } = logEnds(root);
        return (cycle - tailCycle) * blocks + head - tail;
      };
      for (let dir = 0; ; dir++) {
        const folder = join(root, `directory-${dir}`);
        mkdirSync(folder);
        for (let i = 0; i < 100; i++) {
          const path = `${folder}/file-${i}-${'n'.repeat(i % 60)}`;
          const fd = openSync(path, 'w', 0o644);
          writeSync(fd, data, 0, 500 + ((i * 37) % 3000));
          closeSync(fd);
          symlinkSync(target, `${folder}/link-${i}`);
          if (i % 5 === 4) renameSync(path, `${folder}/renamed-${i}`);
          if (i % 10 === 9)
            copyFileSync(`${folder}/renamed-4`, `${folder}/clone-${i}`, constants.COPYFILE_FICLONE_FORCE);
        }
        const old = join(root, `directory-${dir - 4}`);
        if (dir % 3 === 2 && dir > 4) rmSync(old, { recursive: true });
        if (dir % 3 === 1) {
          const fd = openSync(`${folder}/renamed-4`, 'r+');
          fsyncSync(fd);
          closeSync(fd);
        }
        if (inUse() >= 0.7 * blocks) break;
      }
      crash(root, { flushlog: true });
    });
  }
}
