import { symlinkSync, unlinkSync } from 'node:fs';
import { addNames } from './names.js';
import type { Attr, Site } from './site.js';

/**
 * Shapes that need broken-up free space: directories and attribute forks too scattered for an extent list
 * (btree format), remote symlinks in several extents, and sparse inode chunks. All space is preallocated
 * to one file, which then gets small holes; what is made meanwhile has to live in those.
 */
export function fillFragmented(site: Site): void {
  const dir = site.mkdir('fragmented');
  const filler = `${dir}/filler`;
  const extents = fill(site, filler);
  punch(site, filler, extents);

  const scattered = site.mkdir(`${dir}/dir`);
  const names = Math.max(600, Math.ceil((30 * site.blocksize) / 212));
  addNames(site, scattered, names, (i) => `${i}-`.padEnd(200, 'scattered'));
  site.note('dir:btree', scattered);

  const attrs: Attr[] = [];
  const owner = site.file(`${dir}/attrs`);
  const size = Math.min(65_536, Math.floor(site.blocksize * 0.95));
  for (let i = 0; i < 60; i++) attrs.push({ path: owner, name: `user.r${i}`, value: site.bytes(size) });
  site.setAttrs(attrs);
  site.note('attr:btree', owner);

  site.mkdir(`${dir}/symlinks`);
  for (let i = 0; i < 10; i++) {
    symlinkSync(`${i}`.padEnd(1023, 'x'), site.path(`${dir}/symlinks/${i}`));
  }
  site.note('symlink:fragmented', `${dir}/symlinks/0`);
  site.mkdir(`${dir}/inodes`);
  for (let i = 0; i < 300; i++) site.file(`${dir}/inodes/${i}`);
  site.xfsio(['open .', 'syncfs', 'close']);
  unlinkSync(site.path(filler));
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
 * In each large extent: first holes just big and aligned enough for half an inode chunk, then single blocks
 * with one block between them.
 */
function punch(site: Site, filler: string, extents: readonly FillerExtent[]): void {
  const { blocksize: block } = site;
  const half = Math.max(1, Math.floor(16_384 / block));
  const lines = [`open ${filler}`];
  const singles = site.scale === 'full' ? 2000 : 1000;
  for (const { offset, start, count } of extents) {
    if (count < 20 * half + 2 * singles) continue;
    let at = (4 * half - (start % (4 * half))) % (4 * half);
    for (let i = 0; i < 8; i++, at += 2 * half) lines.push(`fpunch ${(offset + at) * block} ${half * block}`);
    for (let i = 0; i < singles; i++, at += 2) lines.push(`fpunch ${(offset + at) * block} ${block}`);
  }
  lines.push('fsync', 'close');
  site.xfsio(lines);
}
