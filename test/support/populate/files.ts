import { chmodSync, chownSync, closeSync, ftruncateSync, openSync } from 'node:fs';
import type { Site } from './site.js';

/** Regular files: sizes, holes, many extents, preallocation, offsets past 4 GiB, ownership, times. */
export function fillFiles(site: Site): void {
  const { blocksize: block } = site;
  const dir = site.mkdir('files');
  const lines: string[] = [];

  site.note('file:empty', site.file(`${dir}/empty`));
  site.note('file:tiny', site.file(`${dir}/tiny`, [[0, site.bytes(7)]]));
  site.note('file:block', site.file(`${dir}/block`, [[0, site.bytes(block)]]));
  site.note('file:odd', site.file(`${dir}/odd`, [[0, site.bytes(3 * block + 17)]]));
  site.note('file:big', site.file(`${dir}/big`, [[0, site.bytes(1 << 20)]]));

  const holes = [[0, site.bytes(block)] as const, [7 * block, site.bytes(2 * block)] as const];
  site.note('file:hole-middle', site.file(`${dir}/hole-middle`, holes));
  site.note('file:hole-start', site.file(`${dir}/hole-start`, [[10 * block, site.bytes(100)]]));
  site.note(
    'file:hole-end',
    truncate(site, site.file(`${dir}/hole-end`, [[0, site.bytes(100)]]), 50 * block),
  );
  site.note('file:all-hole', truncate(site, site.file(`${dir}/all-hole`), 1 << 20));

  const chunks = (count: number) =>
    Array.from({ length: count }, (_, i) => [2 * i * block, site.bytes(block)] as const);
  site.note('file:extents300', site.file(`${dir}/extents300`, chunks(320)));

  // Preallocate and punch: thousands of extents without writing their blocks.
  const many = Math.min(
    { tiny: 400, small: 3_000, full: 12_000 }[site.scale],
    Math.floor((24 << 20) / block),
  );
  lines.push(`open -f ${dir}/extents3000`, `falloc 0 ${2 * many * block}`);
  for (let i = 0; i < many; i++) lines.push(`fpunch ${(2 * i + 1) * block} ${block}`);
  for (let i = 0; i < many; i += 37) lines.push(`pwrite -q -S ${1 + (i % 255)} ${2 * i * block} ${block}`);
  lines.push('close');
  site.note('file:extents3000', `${dir}/extents3000`);

  const make = (name: string, ...commands: string[]) => {
    lines.push(`open -f ${dir}/${name}`, ...commands, 'close');
    site.note(`file:${name}`, `${dir}/${name}`);
  };
  make('unwritten', `falloc 0 ${100 * block}`);
  make(
    'unwritten-mixed',
    `falloc 0 ${100 * block}`,
    `pwrite -q -S 0x41 ${10 * block} ${5 * block}`,
    `pwrite -q -S 0x42 ${40 * block + 3} ${9 * block}`,
    `fpunch ${70 * block} ${8 * block}`,
  );
  make('past-eof', `pwrite -q -S 0x43 0 ${2 * block + 1}`, `falloc -k 0 ${40 * block}`);
  make('zeroed', `pwrite -q -S 0x44 0 ${30 * block}`, 'fsync', `fzero ${4 * block} ${11 * block}`);
  make('collapsed', `pwrite -q -S 0x45 0 ${30 * block}`, 'fsync', `fcollapse ${4 * block} ${3 * block}`);
  make('inserted', `pwrite -q -S 0x46 0 ${30 * block}`, 'fsync', `finsert ${4 * block} ${64 * block}`);
  make('huge5g', 'pwrite -q -S 0x47 0 5', 'pwrite -q -S 0x48 5368709133 9000', 'truncate 6442450945');
  make('huge1t', 'pwrite -q -S 0x49 1099511627776 100', `falloc 2199023255552 ${8 * block}`);
  if (site.scale === 'full') make('far', 'pwrite -q -S 0x4a 4611686018427387904 10');
  site.xfsio(lines);

  fillOwnership(site);
  fillTimes(site);
}

function fillOwnership(site: Site): void {
  const dir = site.mkdir('owners');
  const modes = [0o0000, 0o0400, 0o0777, 0o1644, 0o2755, 0o4755, 0o6711, 0o7777];
  for (const mode of modes) {
    const path = site.file(`${dir}/mode-${mode.toString(8)}`);
    chmodSync(site.path(path), mode);
  }
  for (const [uid, gid] of [
    [12345, 54321],
    [65534, 65535],
    [65536, 2 ** 31],
    [2 ** 32 - 2, 2 ** 32 - 2],
  ]) {
    chownSync(site.path(site.file(`${dir}/uid-${uid}`)), uid, gid);
  }
  site.mkdir(`${dir}/sticky`);
  chmodSync(site.path(`${dir}/sticky`), 0o1777);
  site.mkdir(`${dir}/setgid`);
  chmodSync(site.path(`${dir}/setgid`), 0o2755);
  site.note('file:setuid', `${dir}/mode-4755`);
}

function fillTimes(site: Site): void {
  const dir = site.mkdir('times');
  // 1901 (Linux drops the nanoseconds of the very first second), just before and after 1970, 2038 and its
  // neighbours, the year 2400 (bigtime ends in 2486).
  const seconds = [-2147483648, -2147483647, -1, 0, 1, 2147483647, 2147483648, 4294967296, 13569465600];
  const lines = seconds.flatMap((second, index) => [
    `open -f ${dir}/t${index}`,
    `utimes ${second} ${index * 111_111_111} ${second} ${999_999_999 - index}`,
    'close',
  ]);
  site.xfsio(lines);
  site.note('time:1901', `${dir}/t1`);
  site.note('time:2400', `${dir}/t${seconds.length - 1}`);
}

/** Inode flags and hints. Comes last: immutable files take no further change. */
export function fillFlags(site: Site): void {
  const { blocksize: block } = site;
  const dir = site.mkdir('flags');
  const lines: string[] = [];
  const file = (name: string, ...commands: string[]) => {
    lines.push(`open -f ${dir}/${name}`, ...commands, 'close');
    site.note(`flag:${name}`, `${dir}/${name}`);
  };
  const folder = (name: string, ...commands: string[]) => {
    site.mkdir(`${dir}/${name}`);
    lines.push(`open -r ${dir}/${name}`, ...commands, 'close');
    site.note(`flag:${name}`, `${dir}/${name}`);
  };
  const data = `pwrite -q -S 0x61 0 ${3 * block}`;
  file('nodump', data, 'chattr +d');
  file('noatime', data, 'chattr +A');
  file('sync', data, 'chattr +s');
  file('nodefrag', data, 'chattr +f');
  file('extsize', `extsize ${16 * block}`, data, `pwrite -q -S 0x62 ${100 * block} ${block}`);
  file('projid', data, 'chproj 4711');
  file('projid-high', data, 'chproj 4294967294');
  folder('extsize-dir', `extsize ${8 * block}`);
  folder('projid-dir', 'chproj 99', 'chattr +P');
  folder('nosymlinks-dir', 'chattr +n');
  folder('filestream-dir', 'chattr +S');
  if (site.reflink) {
    file('cowextsize', `cowextsize ${32 * block}`, data);
    folder('cowextsize-dir', `cowextsize ${32 * block}`);
  }
  site.xfsio(lines);
  lines.length = 0;
  file('extsize-dir/child', data);
  file('projid-dir/child', data);
  if (site.reflink) file('cowextsize-dir/child', data);
  file('append', data, 'chattr +a');
  file('immutable', data, 'chattr +i');
  file('both', data, 'chattr +ia');
  site.xfsio(lines);
}

function truncate(site: Site, relative: string, size: number): string {
  const fd = openSync(site.path(relative), 'r+');
  try {
    ftruncateSync(fd, size);
  } finally {
    closeSync(fd);
  }
  return relative;
}
