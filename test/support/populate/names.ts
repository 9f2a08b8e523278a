import { closeSync, linkSync, openSync, unlinkSync } from 'node:fs';
import type { Site } from './site.js';

/** Directories of every form, directories full of gaps, awkward names, names that hash alike. */
export function fillDirectories(site: Site): void {
  const sizes = { tiny: [4, 40, 200, 560], small: [4, 40, 200, 3000], full: [4, 40, 200, 3000, 20000] }[
    site.scale
  ];
  for (const size of sizes) {
    const dir = site.mkdir(`dirs/d${size}`);
    addNames(site, dir, size, (i) => `${i.toString(36)}.${'name'.repeat(i % 4)}`);
    site.note(`dir:${size}`, dir);
  }

  const gaps = site.mkdir('dirs/gaps');
  const gapNames = addNames(
    site,
    gaps,
    site.scale === 'tiny' ? 150 : 1200,
    (i) => `gap${i}${'-'.repeat(i % 23)}`,
  );
  for (const name of gapNames) if (site.random() < 0.7) unlinkSync(site.path(`${gaps}/${name}`));
  site.note('dir:gaps', gaps);

  const shrunk = site.mkdir('dirs/shrunk');
  const shrunkNames = addNames(site, shrunk, 400, (i) => `shrunk${i}`);
  for (const name of shrunkNames.slice(3)) unlinkSync(site.path(`${shrunk}/${name}`));
  site.note('dir:shrunk', shrunk);

  site.mkdir('dirs/empty');
  site.note('dir:empty', 'dirs/empty');
  const long = site.mkdir('dirs/long');
  addNames(site, long, 30, (i) => `${i}`.padEnd(255, 'n'));
  site.note('dir:long', long);
  let deep = 'dirs/deep';
  for (let i = 0; i < 25; i++) deep += `/${i}`;
  site.mkdir(deep);
  site.note('dir:deep', deep);
  fillAwkwardNames(site);
  fillCollisions(site);
}

/**
 * Give a directory `count` names. New inodes are few (one in fifty): the rest are hard links, because it is
 * the directory that is wanted here. Returns the names.
 */
export function addNames(site: Site, dir: string, count: number, nameOf: (i: number) => string): string[] {
  const names: string[] = [];
  let target = '';
  for (let i = 0; i < count; i++) {
    const name = nameOf(i);
    const path = site.path(`${dir}/${name}`);
    if (i % 50 === 0) {
      closeSync(openSync(path, 'w', 0o644));
      target = path;
    } else {
      linkSync(target, path);
    }
    names.push(name);
  }
  return names;
}

function fillAwkwardNames(site: Site): void {
  const dir = site.mkdir('dirs/awkward');
  const names = [
    ' ',
    ' leading',
    'trailing ',
    'new\nline',
    'tab\there',
    'quote"quote',
    "apostrophe'",
    'back\\slash',
    '-rf',
    '...',
    '*?[a]',
    '$(echo no)',
    '\x01\x1b[31mred',
    '\x7f',
    'grün',
    '日本語',
  ].map((name) => Buffer.from(name));
  names.push(Buffer.from([0xff, 0xfe, 0x80]), Buffer.from('latin-\xe9', 'latin1'), Buffer.alloc(255, 0xe9));
  for (const name of names) closeSync(openSync(site.pathBytes(dir, name), 'w', 0o644));
  site.note('dir:awkward', dir);
}

function fillCollisions(site: Site): void {
  const dir = site.mkdir('dirs/collisions');
  // Few enough for one leaf: xfs_repair 6.1 calls it corrupt when a hash runs on into a second one.
  for (const name of collidingNames(100)) {
    closeSync(openSync(site.pathBytes(dir, name), 'w', 0o644));
  }
  site.note('dir:collisions', dir);
}

/**
 * Up to 512 names with one and the same directory hash. The hash takes four bytes at a time, each shifted
 * seven bits past the next, so bit 0 of the third byte and bit 7 of the fourth fall together: flipping both
 * changes nothing.
 */
export function collidingNames(count: number): Buffer[] {
  return Array.from({ length: count }, (_, i) => {
    const name = Buffer.alloc(36);
    for (let group = 0; group < 9; group++) {
      const flip = (i >> group) & 1;
      name.set([0x63, 0x6f, flip ? 0x60 : 0x61, flip ? 0xf8 : 0x78], group * 4);
    }
    return name;
  });
}
