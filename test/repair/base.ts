import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { openSource } from '../../src/image/open.js';
import { examine } from '../../src/repair/examine.js';
import type { Finding } from '../../src/repair/finding.js';
import { openVolume } from '../../src/volume/volume.js';
import { withMount } from '../support/mount.js';
import { copyImage, run, tmpdir } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { bmapAll, btdump, type Extent, print } from '../support/xfsdb.js';

/**
 * An image with files of every standing towards sharing, made by Linux:
 *   /victim, /same   10 blocks each, never shared; /other 6 blocks; /tiny 1 block
 *   /base, /clone    8 blocks shared by two
 *   /a, /b, /c       5 blocks shared by three
 *   /flagged         12 blocks of its own and the flag on (it shares 3 more with /lender)
 *   /dir             a directory in block form
 *   /attr            a block of its own and an attribute fork in a leaf block
 *   /many            80 extents of a block each, in btree format
 */
export interface Base {
  readonly image: string;
  readonly ino: Map<string, number>;
  readonly extents: Map<string, Extent[]>;
  /** Under which names a file's bytes were written: its own, and of files it took blocks from. */
  readonly writtenAs: Map<string, string[]>;
  /** The block of /attr's attribute fork. */
  readonly attrBlock: number;
  readonly agblocks: number;
  /** A block of AG 0's free list. */
  readonly listed: number;
  /** First block of the log, as fsblock. */
  readonly logstart: number;
  /** Starts of AG 0's rmap records, in order; none without the feature. */
  readonly rmapStarts: number[];
}

const FILES: readonly (readonly [string, number])[] = [
  ['victim', 10],
  ['same', 10],
  ['other', 6],
  ['tiny', 1],
  ['base', 8],
  ['a', 5],
  ['flagged', 12],
  ['between', 2],
  ['lender', 3],
  ['attr', 1],
];
const CLONES: readonly (readonly [string, string])[] = [
  ['base', 'clone'],
  ['a', 'b'],
  ['a', 'c'],
];

export function makeBase(rmapbt: boolean): Base {
  const image = join(tmpdir(), 'base.img');
  mkfs(image, {
    size: 64 << 20,
    tiny: true,
    args: ['-d', 'agcount=4', '-m', `rmapbt=${rmapbt ? 1 : 0},reflink=1`],
  });
  const ino = new Map<string, number>();
  withMount(image, (root) => {
    for (const [name, blocks] of FILES) {
      const fd = openSync(join(root, name), 'w');
      writeSync(fd, Buffer.alloc(blocks * 4096, `|${name}`));
      closeSync(fd);
      // Each file laid out before the next begins: one extent each.
      run('sync', ['-f', join(root, name)]);
    }
    for (const [from, to] of CLONES)
      copyFileSync(join(root, from), join(root, to), constants.COPYFILE_FICLONE_FORCE);
    const script = `open ${join(root, 'flagged')}\nreflink -q ${join(root, 'lender')} 0 ${12 * 4096} ${3 * 4096}\n`;
    run('xfs_io', [], { input: script });
    mkdirSync(join(root, 'dir'));
    for (let i = 0; i < 40; i++) closeSync(openSync(join(root, 'dir', `a-name-of-some-length-${i}`), 'w'));
    makeMany(root);
    const value = 'v'.repeat(2000);
    run('setfattr', ['-n', 'user.big', '-v', value, join(root, 'attr')]);
    for (const name of [...FILES.map(([n]) => n), ...CLONES.map(([, n]) => n), 'dir', 'many'])
      ino.set(name, statSync(join(root, name)).ino);
  });
  const byIno = bmapAll(image, [...ino.values()]);
  const extents = new Map([...ino].map(([name, n]) => [name, byIno.get(n)!]));
  const number = (where: string, field: string): number =>
    Number(print(image, [where, `p ${field}`]).get(field));
  const logstart = number('sb 0', 'logstart');
  const agblocks = number('sb 0', 'agblocks');
  const listed = number('agfl 0', `bno[${number('agf 0', 'flfirst')}]`);
  const bmx = print(image, [`inode ${ino.get('attr')}`, 'p a.bmx[0]']).get('a.bmx[0]') ?? '';
  const attrBlock = Number(/\[\d+,(\d+),/.exec(bmx.replace(/^.*?\] /, ''))?.[1]);
  const rmapStarts = rmapbt ? btdump(image, 'rmapbt', 0).rows.map((row) => Number(row[0])) : [];
  const writtenAs = new Map([...ino.keys()].map((name) => [name, [name]]));
  for (const [from, to] of CLONES) writtenAs.set(to, [from]);
  writtenAs.set('flagged', ['flagged', 'lender']);
  return { image, ino, extents, writtenAs, attrBlock, agblocks, listed, logstart, rmapStarts };
}

/** Blocks of two files allocated in turn: no two neighbours of one file lie side by side. */
function makeMany(root: string): void {
  const block = 4096;
  const lines = ['open -f -d many', 'open -f -d between-many'];
  writeFileSync(join(root, 'source'), Buffer.alloc(block, '|many'));
  for (let i = 0; i < 80; i++)
    for (const file of [0, 1]) lines.push(`file ${file}`, `pwrite -q -i source ${i * block} ${block}`);
  run('xfs_io', [], { cwd: root, input: `${lines.join('\n')}\n` });
  unlinkSync(join(root, 'source'));
  unlinkSync(join(root, 'between-many'));
}

/** Whose bytes each file shows: its own, 'zeros' in part, or those of another; 'gone' where it has no name left. */
export function contents(base: Base, image: string): Map<string, string> {
  const out = new Map<string, string>();
  withMount(
    image,
    (root) => {
      for (const name of base.ino.keys()) {
        if (name === 'dir') continue;
        const path = join(root, name);
        if (!existsSync(path)) {
          out.set(name, 'gone');
          continue;
        }
        const bytes = readFileSync(path);
        const owners = new Set<string>();
        for (let at = 0; at < bytes.length; at += 4096) {
          const block = bytes.subarray(at, at + 4096);
          owners.add(block.every((b) => b === 0) ? 'zeros' : block.toString('latin1').split('|')[1]);
        }
        out.set(name, [...owners].sort().join(' '));
      }
    },
    { options: 'ro' },
  );
  return out;
}

/** Whether a file is there and shows nothing but its own bytes and zeros. */
export const isOwn = (base: Base, name: string, shown: string): boolean => {
  const own = base.writtenAs.get(name)!;
  return shown.split(' ').every((part) => part === 'zeros' || own.includes(part));
};

/** A copy of the base with `commands` run on it by xfs_db in expert mode. */
export function forge(base: Base, commands: readonly string[]): string {
  const image = copyImage(base.image, join(tmpdir(), 'forged.img'));
  run('xfs_db', ['-x', image], { input: `${commands.join('\n')}\n` });
  return image;
}

/** xfs_db's way to write one field of a file's extent `index`. */
export const setExtent = (
  base: Base,
  file: string,
  field: 'startblock' | 'blockcount' | 'startoff' | 'extentflag',
  value: number,
  index = 0,
): string[] => [`inode ${base.ino.get(file)}`, `write -d u3.bmx[${index}].${field} ${value}`];

/** The same for a record of /many's bmbt. */
export const setMany = (base: Base, index: number, startblock: number): string[] => [
  `inode ${base.ino.get('many')}`,
  'addr u3.bmbt.ptrs[1]',
  `write -d recs[${index + 1}].startblock ${startblock}`,
];

export const setReflink = (base: Base, file: string, on: boolean): string[] => [
  `inode ${base.ino.get(file)}`,
  `write -d v3.reflink ${on ? 1 : 0}`,
];

/** First block of a file's extent. */
export const blockOf = (base: Base, file: string, index = 0): number =>
  base.extents.get(file)![index].startblock;

/** All damage found in an image, and the notes apart. */
export function findings(image: string): { damage: Finding[]; notes: Finding[] } {
  const volume = openVolume(openSource(image));
  try {
    const all = examine(volume).findings;
    // Paths are found on demand: ask while the image is open.
    const plain = all.map((f) => ({ ...f, path: f.path }));
    return {
      damage: plain.filter((f) => f.severity === 'damage'),
      notes: plain.filter((f) => f.severity === 'note'),
    };
  } finally {
    volume.close();
  }
}

/** 'code path' of each finding, sorted: what a test compares. */
export const verdicts = (list: readonly Finding[]): string[] =>
  list.map((f) => (f.path === undefined ? f.code : `${f.code} ${f.path}`)).sort();
