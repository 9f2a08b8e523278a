import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openSource } from '../../src/image/open.js';
import { copyFilesystem } from '../../src/mkfs/copy.js';
import { openVolume } from '../../src/volume/volume.js';
import { withMount } from '../support/mount.js';
import { oracle, run, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs, populate } from '../support/populate.js';
import { assertSameTrees } from '../support/sametree.js';
import { describeTree } from '../support/tree.js';

test('a copy has the same files in less space', oracle('mount', 'xfs_repair', 'xfs_db'), async (t) => {
  const folder = tmpdir();
  for (const [name, args] of [
    ['defaults', ['-m', 'reflink=1,rmapbt=1', '-L', 'label']],
    ['1 KiB blocks', ['-b', 'size=1024']],
  ] as const)
    await t.test(name, async () => {
      const image = mkfs(join(folder, 'image'), { size: 1024 * 2 ** 20, args });
      populate(image);
      const expected = withMount(image, (root) => describeTree(root), { options: 'ro,norecovery' });
      const copy = join(folder, 'copy');
      const volume = openVolume(openSource(image));
      const { stats } = await copyFilesystem(volume, copy, { force: true }, { auto: 0.05, dedupe: 'block' });
      volume.close();
      assert.ok(stats.sharedBlocks > 0 || name !== 'defaults');
      assert.ok(statSync(copy).size < statSync(image).size / 2, `${statSync(copy).size}`);
      xfsRepairClean(copy);
      withMount(copy, (root) => assertSameTrees(describeTree(root), expected, { atime: true }), {
        options: 'ro,norecovery',
      });
      const identity = (path: string): string =>
        run('xfs_db', ['-r', '-c', 'sb 0', '-c', 'p uuid fname blocksize features_ro_compat', path]).stdout;
      assert.equal(identity(copy), identity(image));
    });
});
