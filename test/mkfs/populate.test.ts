import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openSource } from '../../src/image/open.js';
import { type MkfsOptions, mkfs } from '../../src/mkfs/mkfs.js';
import { openDirectory } from '../../src/mkfs/populate/directory.js';
import { type PopulateOptions, type PopulateStats, populate } from '../../src/mkfs/populate/populate.js';
import { mount, unmount, withMount } from '../support/mount.js';
import { oracle, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { populate as fill, mkfs as mkfsXfs } from '../support/populate.js';
import { assertSameTrees } from '../support/sametree.js';
import { describeTree, type Tree } from '../support/tree.js';

const MIB = 2 ** 20;

async function build(
  folder: string,
  image: string,
  options: MkfsOptions,
  populateOptions: PopulateOptions = {},
): Promise<PopulateStats> {
  const source = await openDirectory(folder, {});
  await mkfs(image, { force: true, ...options });
  const target = openSource(image, { write: true });
  try {
    return populate(target, source, populateOptions);
  } finally {
    target.close();
    source.close();
  }
}

const CONFIGURATIONS: [string, MkfsOptions][] = [
  ['defaults', {}],
  ['1 KiB blocks', { blockSize: 1024 }],
  ['4 KiB sectors, inodes of 1 KiB', { sectorSize: 4096, inodeSize: 1024 }],
  ['no rmapbt, finobt, reflink, sparse inodes', { rmapbt: 0, finobt: 0, reflink: 0, sparseInodes: 0 }],
  ['64 KiB directory blocks, nrext64', { dirBlockSize: 65536, nrext64: 1 }],
  ['1 KiB blocks, 8 KiB directory blocks, 9 AGs', { blockSize: 1024, dirBlockSize: 8192, agCount: 9 }],
  ['stripe', { stripeUnit: 65536, stripeWidth: 4 }],
  ['16 KiB blocks', { blockSize: 16384 }],
  ['no bigtime, no inobtcount', { bigtime: 0, inobtcount: 0 }],
];

test(
  'a directory with every shape of file',
  oracle('mount', 'xfs_repair', 'xfs_io', 'getfattr'),
  async (t) => {
    const folder = tmpdir();
    const origin = mkfsXfs(join(folder, 'origin'), { size: 1024 * MIB, args: ['-m', 'reflink=1'] });
    fill(origin);
    const source = mount(origin, { options: 'ro,norecovery' });
    try {
      const expected: Tree = describeTree(source);
      for (const [name, options] of CONFIGURATIONS.slice(0, 9))
        await t.test(name, async () => {
          const image = join(folder, name.replaceAll(' ', '-'));
          const size = (options.blockSize ?? 4096) > 4096 ? 4096 : 1024;
          const stats = await build(source, image, { dataSize: size * MIB, ...options });
          assert.equal(stats.paths, expected.size - 1);
          xfsRepairClean(image);
          const mountable = (options.blockSize ?? 4096) <= 4096;
          if (!mountable) return;
          withMount(
            image,
            (root) => {
              const found = describeTree(root);
              const want = new Map(expected);
              // Times past 2038 need bigtime.
              if (options.bigtime === 0)
                for (const tree of [found, want])
                  for (const path of [...tree.keys()]) if (path.startsWith('times/')) tree.delete(path);
              assertSameTrees(found, want, { atime: true });
            },
            { options: 'ro,norecovery' },
          );
        });
    } finally {
      unmount(source);
    }
  },
);
