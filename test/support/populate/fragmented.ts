import { truncateSync, unlinkSync } from 'node:fs';
import { addNames } from './names.js';
import type { Attr, Site } from './site.js';

/**
 * Shapes that need broken-up free space: directories and attribute forks too scattered for an extent list
 * (btree format), and sparse inode chunks. All space is preallocated
 * to one file, which then gets small holes; what is made meanwhile has to live in those.
 */
export function fillFragmented(site: Site): void {
  const dir = site.mkdir('fragmented');
  // These come before the space is broken up, or their inodes (and so their blocks) would shun the holes.
  const scattered = site.mkdir(`${dir}/dir`);
  const owner = site.file(`${dir}/attrs`);
  site.mkdir(`${dir}/inodes`);
  const fillers = breakUp(site, dir);

  const names = Math.max(600, Math.ceil((30 * site.blocksize) / 212));
  addNames(site, scattered, names, (i) => `${i}-`.padEnd(200, 'scattered'));
  site.note('dir:btree', scattered);

  const attrs: Attr[] = [];
  const size = Math.min(65_536, Math.floor(site.blocksize * 0.9));
  for (let i = 0; i < 60; i++) attrs.push({ path: owner, name: `user.r${i}`, value: site.bytes(size) });
  site.setAttrs(attrs);
  site.note('attr:btree', owner);

  makeInodes(site, `${dir}/inodes`, site.scale === 'tiny' ? 100 : 300);
  site.xfsio(['open .', 'syncfs', 'close']);
  for (const filler of fillers) {
    // A file's blocks are freed some time after unlink, but at once by truncate.
    truncateSync(site.path(filler));
    unlinkSync(site.path(filler));
  }
}

/** Make empty files, as many of `count` as can be: a filesystem without sparse inodes soon has no chunk. */
function makeInodes(site: Site, dir: string, count: number): void {
  try {
    for (let i = 0; i < count; i++) site.file(`${dir}/${i}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
}

/** Leave no free space but small holes. Returns the files that hold the rest. */
function breakUp(site: Site, dir: string): string[] {
  const [filler, second] = [`${dir}/filler`, `${dir}/filler2`];
  const extents = fill(site, filler);
  // What preallocation may not touch is kept back for metadata, but stays one piece in which inode chunks
  // would be made. Once there are holes enough to stand in for it, it can be taken too.
  const kept = freeExtents(site);
  punch(site, filler, extents);
  const lines = [`open -f ${second}`];
  let offset = 0;
  for (const count of kept) {
    lines.push(`falloc ${offset * site.blocksize} ${count * site.blocksize}`);
    offset += count;
  }
  site.xfsio([...lines, 'fsync', 'close'], true);
  return [filler, second];
}

/** Lengths of the larger free extents, in blocks. */
function freeExtents(site: Site): number[] {
  const units = site.blocksize / 512;
  const said = site.xfsio(['open -r .', 'syncfs', 'fsmap', 'close']);
  return [...said.matchAll(/\[(\d+)\.\.(\d+)\]: free space/g)]
    .map(([, first, last]) => (Number(last) - Number(first) + 1) / units)
    .filter((count) => count > 32);
}

interface FillerExtent {
  /** In filesystem blocks; `start` is the block in its AG. */
  offset: number;
  start: number;
  count: number;
}

/** Preallocate everything that is free, in ever smaller pieces. */
function fill(site: Site, filler: string): FillerExtent[] {
  const { blocksize: block } = site;
  const free = Number(/f_bavail = (\d+)/.exec(site.xfsio(['open .', 'statfs', 'close']))![1]);
  const lines = [`open -f ${filler}`];
  let offset = 0;
  for (let piece = free; piece >= 64; piece = Math.floor(piece / 2)) {
    // A piece that does not fit fails as a whole; two tries, because halves can both fit.
    for (let attempt = 0; attempt < 2; attempt++) {
      lines.push(`falloc ${offset * block} ${piece * block}`);
      offset += piece;
    }
  }
  lines.push('fsync', 'bmap -vp', 'close');
  const said = site.xfsio(lines, true);
  const units = block / 512;
  const extent = /^\s*\d+: \[(\d+)\.\.\d+\]:\s+\d+\.\.\d+\s+\d+ \((\d+)\.\.\d+\)\s+(\d+)/gm;
  return [...said.matchAll(extent)].map(([, at, start, count]) => ({
    offset: Number(at) / units,
    start: Number(start) / units,
    count: Number(count) / units,
  }));
}

/**
 * In each large extent: at its start holes of one directory block with one block between them, from there
 * on holes the size of an inode chunk that straddle a chunk's alignment. Only half a chunk fits into those,
 * yet Linux sees a free extent long enough to try (it wants alignment - 1 blocks more than the half chunk).
 */
function punch(site: Site, filler: string, extents: readonly FillerExtent[]): void {
  const { blocksize: block } = site;
  const half = Math.max(1, Math.floor(16_384 / block));
  const single = Math.ceil(4096 / block);
  const lines = [`open ${filler}`];
  for (const { offset, start, count } of extents) {
    if (count < 2000) continue;
    let at = 0;
    for (; at < 1000; at += single + 1) lines.push(`fpunch ${(offset + at) * block} ${single * block}`);
    at += 4 * half - ((start + at) % (4 * half)) + half;
    for (; at + 2 * half < count; at += 4 * half) {
      lines.push(`fpunch ${(offset + at) * block} ${2 * half * block}`);
    }
  }
  lines.push('fsync', 'close');
  site.xfsio(lines);
}
