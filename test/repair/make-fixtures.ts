/**
 * Makes the images of fixtures/shared-healthy and fixtures/duplicate-* anew, through mkfs.xfs, a loop mount and
 * xfs_db: `node --import tsx test/repair/make-fixtures.ts` as root.
 */
import { constants, copyFileSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packImage } from '../support/fixture.js';
import { withMount } from '../support/mount.js';
import { copyImage, run, tmpdir } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { bmap } from '../support/xfsdb.js';

const root = fileURLToPath(new URL('../../fixtures/', import.meta.url));

function build(rmapbt: boolean): { image: string; ino: Map<string, number> } {
  const image = mkfs(join(tmpdir(), 'image'), {
    size: 300 << 20,
    args: [
      '-m',
      `rmapbt=${rmapbt ? 1 : 0},reflink=1,uuid=5ca1ab1e-0000-4000-8000-00000000000${rmapbt ? 1 : 0}`,
    ],
  });
  const ino = new Map<string, number>();
  withMount(image, (mnt) => {
    const text = (name: string, blocks: number): void => {
      const line = `${name}: every line of this file says whose it is.\n`;
      writeFileSync(
        join(mnt, name),
        line.repeat(Math.ceil((blocks * 4096) / line.length)).slice(0, blocks * 4096),
      );
      run('sync', ['-f', join(mnt, name)]);
    };
    mkdirSync(join(mnt, 'home'));
    mkdirSync(join(mnt, 'vm'));
    text('home/diary.txt', 8);
    text('home/letters.txt', 5);
    text('vm/golden.img', 32);
    for (const name of ['web', 'mail', 'db'])
      copyFileSync(join(mnt, 'vm/golden.img'), join(mnt, `vm/${name}.img`), constants.COPYFILE_FICLONE_FORCE);
    for (const name of ['home/diary.txt', 'home/letters.txt', 'vm/golden.img', 'vm/db.img'])
      ino.set(name, statSync(join(mnt, name)).ino);
  });
  return { image, ino };
}

function pack(image: string, name: string): void {
  const folder = join(root, name);
  mkdirSync(folder, { recursive: true });
  process.stdout.write(`${name}: ${packImage(image, join(folder, 'image.gz'))} bytes\n`);
}

function write(image: string, ino: number, ...commands: string[]): string {
  const copy = copyImage(image, join(tmpdir(), 'forged'));
  run('xfs_db', ['-x', copy], { input: [`inode ${ino}`, ...commands, ''].join('\n') });
  return copy;
}

const { image, ino } = build(true);
const block = (name: string): number => bmap(image, ino.get(name)!)[0].startblock;
pack(image, 'shared-healthy');
pack(
  write(image, ino.get('home/letters.txt')!, `write -d u3.bmx[0].startblock ${block('home/diary.txt')}`),
  'duplicate-unflagged',
);
pack(
  write(image, ino.get('home/letters.txt')!, `write -d u3.bmx[0].startblock ${block('vm/golden.img')}`),
  'duplicate-onto-shared',
);
pack(write(image, ino.get('vm/db.img')!, 'write -d v3.reflink 0'), 'duplicate-flag-lost');

const plain = build(false);
const victim = bmap(plain.image, plain.ino.get('home/diary.txt')!)[0].startblock;
pack(
  write(plain.image, plain.ino.get('home/letters.txt')!, `write -d u3.bmx[0].startblock ${victim}`),
  'duplicate-no-rmapbt',
);
