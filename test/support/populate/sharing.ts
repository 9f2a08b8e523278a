import { closeSync, constants, copyFileSync, openSync, truncateSync, unlinkSync, writeSync } from 'node:fs';
import type { Site } from './site.js';

/** Shared extents: clones, clones of clones, partial and inner clones, clones partly overwritten. */
export function fillSharing(site: Site): void {
  if (!site.reflink) return;
  const { blocksize: block } = site;
  const dir = site.mkdir('shared');
  const at = (name: string) => `${dir}/${name}`;
  const note = (name: string) => {
    site.note(`shared:${name}`, at(name));
    return at(name);
  };
  const base = site.file(note('base'), [[0, site.bytes(200 * block + 123)]]);
  for (let i = 0; i < 5; i++) clone(site, base, note(`clone${i}`));
  clone(site, at('clone0'), note('clone-of-clone'));
  clone(site, at('clone-of-clone'), note('clone-of-clone-of-clone'));

  const sparse = [0, 4, 9, 30, 31, 70].map((at) => [at * block, site.bytes(block)] as const);
  clone(site, site.file(note('sparse'), sparse), note('sparse-clone'));

  // The flag stays set where sharing has ended.
  site.file(at('gone'), [[0, site.bytes(20 * block)]]);
  clone(site, at('gone'), note('survivor'));
  unlinkSync(site.path(at('gone')));

  const popular = site.file(note('popular'), [[0, site.bytes(block)]]);
  site.mkdir(at('popular-clones'));
  for (let i = 0; i < (site.scale === 'tiny' ? 12 : 200); i++)
    clone(site, popular, at(`popular-clones/${i}`));

  // Copy-on-write once the clones are on disk: their start, their middle, single bytes.
  const overwritten = clone(site, base, note('overwritten'));
  const scattered = clone(site, base, note('scattered'));
  const truncated = clone(site, base, note('truncated'));
  overwrite(site, overwritten, [
    [0, 3 * block],
    [50 * block + 7, 20 * block],
  ]);
  overwrite(
    site,
    scattered,
    Array.from({ length: 40 }, (_, i) => [i * 5 * block + 1, 1]),
  );
  truncateSync(site.path(truncated), 77 * block + 5);

  const lines: string[] = [];
  const edit = (name: string, ...commands: string[]) => {
    lines.push(`open -f ${note(name)}`, ...commands, 'close');
  };
  const range = (from: string, source: number, target: number, blocks: number) =>
    `reflink -q ${from} ${source * block} ${target * block} ${blocks * block}`;
  edit('ranges', range(base, 10, 0, 5), range(base, 100, 40, 30), range(at('sparse'), 0, 90, 20));
  edit(
    'self',
    `pwrite -q -S 0x73 0 ${10 * block}`,
    'fsync',
    range(at('self'), 0, 20, 10),
    range(at('self'), 2, 50, 4),
  );
  edit('tail', `reflink -q ${base} ${200 * block} 0 123`);
  edit('punched', `reflink -q ${base}`, `fpunch ${10 * block} ${50 * block}`);
  edit('unshared', `reflink -q ${base}`, `funshare ${20 * block} ${30 * block}`);
  edit('deduped', `pwrite -q -S 0x74 0 ${8 * block}`, 'fsync');
  edit('dedupe-source', `pwrite -q -S 0x74 0 ${8 * block}`, 'fsync');
  edit('deduped', `dedupe -q ${at('dedupe-source')} 0 0 ${8 * block}`);
  edit(
    'cowhint',
    `cowextsize ${64 * block}`,
    `reflink -q ${base}`,
    `pwrite -q -S 0x75 ${30 * block} ${block}`,
    `pwrite -q -S 0x76 ${90 * block} ${block}`,
  );
  edit('prealloc', `falloc 0 ${30 * block}`, `pwrite -q -S 0x77 ${3 * block} ${4 * block}`, 'fsync');
  edit('prealloc-clone', `reflink -q ${at('prealloc')}`);

  fillRefcountTree(site, lines, at);
  fillRandomClones(site, lines, at);
  site.xfsio(lines);
}

/** Every other block of one file shared singly: one refcount record each, no two of which can merge. */
function fillRefcountTree(site: Site, lines: string[], at: (name: string) => string): void {
  const { blocksize: block } = site;
  const records = Math.min({ tiny: 200, small: 400, full: 6000 }[site.scale], Math.floor((24 << 20) / block));
  site.file(at('comb'), [[0, site.bytes(2 * records * block)]]);
  lines.push(`open -f ${at('comb-clone')}`);
  for (let i = 0; i < records; i++)
    lines.push(`reflink -q ${at('comb')} ${2 * i * block} ${i * block} ${block}`);
  lines.push('close');
  site.note('shared:comb', at('comb'));
  site.note('shared:comb-clone', at('comb-clone'));
}

/** Files that take pieces of each other at random offsets and overwrite some of them. */
function fillRandomClones(site: Site, lines: string[], at: (name: string) => string): void {
  const { blocksize: block } = site;
  const files = Array.from({ length: 8 }, (_, i) => at(`random${i}`));
  for (const file of files) site.file(file, [[0, site.bytes(100 * block)]]);
  for (let round = 0; round < (site.scale === 'full' ? 400 : 80); round++) {
    const target = site.randomInt(files.length);
    const source = (target + 1 + site.randomInt(files.length - 1)) % files.length;
    const count = 1 + site.randomInt(30);
    const [from, to] = [site.randomInt(70), site.randomInt(70)];
    lines.push(`open ${files[target]}`);
    if (round % 4 === 3) lines.push(`pwrite -q -S ${1 + (round % 255)} ${to * block + 5} ${count * block}`);
    else lines.push(`reflink -q ${files[source]} ${from * block} ${to * block} ${count * block}`);
    lines.push('close');
  }
}

export function clone(site: Site, from: string, to: string): string {
  copyFileSync(site.path(from), site.path(to), constants.COPYFILE_FICLONE_FORCE);
  return to;
}

function overwrite(site: Site, relative: string, ranges: readonly (readonly number[])[]): void {
  const fd = openSync(site.path(relative), 'r+');
  try {
    for (const [offset, length] of ranges) writeSync(fd, site.bytes(length), 0, length, offset);
  } finally {
    closeSync(fd);
  }
}
