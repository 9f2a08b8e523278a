/** Directory blocks whose filesystem blocks lie in several extents. */
import assert from 'node:assert/strict';
import { linkSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FileSource } from '../../src/image/source.js';
import { recoverLog } from '../../src/transaction/recovery/recover.js';
import { fragment } from '../support/fragment.js';
import { crash, withMount } from '../support/mount.js';
import { copyImage, oracle, run, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { bmap } from '../support/xfsdb.js';
import { Links, listing } from './links.js';
import { makeFiles, openEngine } from './workout.js';

const needs = oracle('mount', 'mkfs.xfs', 'xfs_repair', 'xfs_db', 'xfs_io', 'xfs_spaceman');

const shapes = [
  { name: '8 blocks of 1 KiB', args: ['-b', 'size=1024', '-n', 'size=8k', '-m', 'rmapbt=1'], steps: 600 },
  { name: '16 blocks of 4 KiB', args: ['-n', 'size=64k', '-m', 'rmapbt=0'], steps: 2000 },
];

/** A filesystem without room for a directory block side by side: files f0.., and an empty directory d. */
function prepare(image: string, args: readonly string[]): { dir: number; files: number[] } {
  mkfs(image, { size: 40 << 20, args, tiny: true });
  const files = [...makeFiles(image, 3).values()];
  const dir = withMount(image, (root) => {
    mkdirSync(join(root, 'd'));
    fragment(root);
    return statSync(join(root, 'd')).ino;
  });
  return { dir, files };
}

const sorted = (m: Map<string, number>): [string, number][] => [...m].sort((a, b) => (a[0] < b[0] ? -1 : 1));
const extentsOf = (image: string, ino: number): number => bmap(image, ino).length;

for (const { name, args, steps } of shapes) {
  const base = join(tmpdir(), 'base');
  let made: { dir: number; files: number[] } | undefined;
  /** A copy of what both tests begin with. */
  const begin = (image: string): { dir: number; files: number[] } => {
    made ??= prepare(base, args);
    copyImage(base, image);
    return made;
  };

  test(`pieces: what Linux logged of them is replayed: ${name}`, needs, () => {
    const image = join(tmpdir(), 'image');
    const { dir } = begin(image);
    const link = (root: string, from: number, to: number): void => {
      for (let i = from; i < to; i++)
        linkSync(join(root, 'f0'), join(root, 'd', `a name of some length ${i}`));
    };
    const changes: ((root: string) => void)[] = [
      // All blocks new; changes of blocks that are in place; blocks and their directory gone.
      (root) => link(root, 0, 400),
      (root) => {
        link(root, 400, 700);
        for (let i = 0; i < 400; i += 3) rmSync(join(root, 'd', `a name of some length ${i}`));
      },
      (root) => {
        for (const n of listing(root).keys()) if (!n.endsWith('7')) rmSync(join(root, 'd', n));
      },
    ];
    for (const change of changes) {
      const expected = withMount(image, (root) => {
        change(root);
        const names = listing(root);
        crash(root, { flushlog: true });
        return names;
      });
      const source = FileSource.open(image, 'r+');
      const { clean } = recoverLog(source);
      source.close();
      assert.equal(clean, false);
      xfsRepairClean(image);
      assert.deepEqual(sorted(withMount(image, listing)), sorted(expected));
      if (change === changes[0]) assert.ok(extentsOf(image, dir) > 4);
    }
  });

  test(`pieces: a directory of them is changed, crashed and recovered: ${name}`, needs, () => {
    const image = join(tmpdir(), 'image');
    const { dir, files } = begin(image);
    let known: Links | undefined;
    const work = (end: 'flush' | 'close', todo: (links: Links) => void): void => {
      const source = FileSource.open(image, 'r+');
      const links = new Links(openEngine(source), dir, files, steps);
      for (const [n, ino] of known?.model ?? []) links.model.set(n, ino);
      links.names.push(...(known?.names ?? []));
      todo(links);
      links.engine[end]();
      source.close();
      known = links;
      const copy = copyImage(image, `${image}.ours`);
      const ours = FileSource.open(copy, 'r+');
      recoverLog(ours);
      ours.close();
      xfsRepairClean(copy);
      assert.deepEqual(sorted(withMount(image, listing)), sorted(links.model), 'by Linux');
      assert.deepEqual(sorted(withMount(copy, listing)), sorted(links.model), 'by us');
      xfsRepairClean(image);
    };
    work('flush', (links) => links.work(steps, 9));
    assert.ok(extentsOf(image, dir) > 20);
    work('close', (links) => links.work(300, 4));
    work('flush', (links) => links.work(steps >> 1, 2));
    // In place, and on top of that in the log.
    work('flush', (links) => {
      links.work(100, 6);
      links.engine.settle();
      links.work(100, 6);
    });
    work('flush', (links) => {
      while (links.names.length > 0) links.remove();
    });
    withMount(image, (root) => run('rmdir', [join(root, 'd')]));
    xfsRepairClean(image);
  });
}
