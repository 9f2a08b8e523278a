import assert from 'node:assert/strict';
import { closeSync, existsSync, mkdirSync, openSync, symlinkSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { extractDirectory } from '../../src/dump/extract/directory.js';
import { extractTar } from '../../src/dump/extract/tar.js';
import { openSource } from '../../src/image/open.js';
import { makeFilled } from '../../src/mkfs/populate/make.js';
import { readInode } from '../../src/volume/inode.js';
import { openVolume, type Volume } from '../../src/volume/volume.js';
import { withMount } from '../support/mount.js';
import { oracle, run, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs, populate } from '../support/populate.js';
import { assertSameTrees, holesOf } from '../support/sametree.js';
import { describeTree, type Tree } from '../support/tree.js';

const MIB = 2 ** 20;

function withVolume<T>(image: string, fn: (volume: Volume) => T): T {
  const volume = openVolume(openSource(image));
  try {
    return fn(volume);
  } finally {
    volume.close();
    assert.deepEqual(volume.faults, []);
  }
}

function toTar(image: string, archive: string): string[] {
  const fd = openSync(archive, 'w');
  const skipped: string[] = [];
  withVolume(image, (volume) =>
    extractTar(
      volume,
      { inode: readInode(volume, volume.g.rootino) },
      (bytes) => void writeSync(fd, bytes),
      (path) => skipped.push(Buffer.from(path).toString('latin1')),
    ),
  );
  closeSync(fd);
  return skipped;
}

const withoutSockets = (tree: Tree): Tree => new Map([...tree].filter(([, node]) => node.type !== 'socket'));

test(
  'every shape of file comes out',
  oracle('mount', 'xfs_repair', 'xfs_io', 'tar', 'setfattr'),
  async (t) => {
    const folder = tmpdir();
    const image = mkfs(join(folder, 'image'), { size: 1024 * MIB, args: ['-m', 'reflink=1'] });
    populate(image);
    const expected = withMount(image, (root) => describeTree(root), { options: 'ro,norecovery' });
    const archive = join(folder, 'a.tar');
    assert.deepEqual(toTar(image, archive), ['special/socket']);

    await t.test('GNU tar reads the archive', () => {
      const target = mkfs(join(folder, 'target'), { size: 1024 * MIB });
      withMount(target, (root) => {
        run('tar', [
          '--xattrs',
          '--xattrs-include=*',
          '--acls',
          '--numeric-owner',
          '-C',
          root,
          '-xpf',
          archive,
        ]);
        assertSameTrees(describeTree(root), withoutSockets(expected));
        assert.equal(holesOf(root, 'files/all-hole'), 'Whence\tResult\nHOLE\t0\n');
      });
    });

    await t.test('archive, image, archive: the same bytes', async () => {
      const again = join(folder, 'again');
      await makeFilled(again, { size: 1024 * MIB }, { source: archive });
      xfsRepairClean(again);
      const second = join(folder, 'b.tar');
      toTar(again, second);
      withMount(
        again,
        (root) => assertSameTrees(describeTree(root), withoutSockets(expected), { atime: true }),
        {
          options: 'ro,norecovery',
        },
      );
      const third = join(folder, 'c.tar');
      const thrice = join(folder, 'thrice');
      await makeFilled(thrice, { size: 1024 * MIB }, { source: second });
      toTar(thrice, third);
      run('cmp', [second, third]);
    });

    await t.test('a directory', () => {
      const target = mkfs(join(folder, 'directory'), { size: 1024 * MIB, args: ['-m', 'reflink=1'] });
      withMount(target, (root) => {
        const complaints: string[] = [];
        withVolume(image, (volume) =>
          extractDirectory(
            volume,
            { inode: readInode(volume, volume.g.rootino) },
            join(root, 'out'),
            {},
            (path, why) => complaints.push(`${Buffer.from(path).toString('latin1')} ${why}`),
          ),
        );
        assert.equal(complaints.length, 1, complaints.join('\n'));
        assert.match(complaints[0], /socket/);
        // Node sets times as doubles: microseconds are kept.
        const found = describeTree(join(root, 'out'));
        const want = withoutSockets(expected);
        for (const tree of [found, want])
          for (const path of [...tree.keys()]) if (path.startsWith('times/')) tree.delete(path);
        for (const [path, n] of found) {
          const other = want.get(path)?.mtime ?? 0n;
          const off = n.mtime - other;
          if (off > -2000n && off < 2000n) n.mtime = other;
        }
        assertSameTrees(found, want);
        assert.equal(holesOf(join(root, 'out'), 'files/all-hole'), 'Whence\tResult\nHOLE\t0\n');
      });
    });
  },
);

test('nothing is written through a symbolic link that is there', async () => {
  const folder = tmpdir();
  const source = join(folder, 'source');
  mkdirSync(join(source, 'd'), { recursive: true });
  writeFileSync(join(source, 'd', 'f'), 'contents');
  const image = join(folder, 'image');
  await makeFilled(image, { size: 64 * MIB }, { source });
  const out = join(folder, 'out');
  const elsewhere = join(folder, 'elsewhere');
  mkdirSync(out);
  mkdirSync(elsewhere);
  symlinkSync(elsewhere, join(out, 'd'));
  const complaints: string[] = [];
  withVolume(image, (volume) =>
    extractDirectory(volume, { inode: readInode(volume, volume.g.rootino) }, out, {}, (_path, why) =>
      complaints.push(why),
    ),
  );
  assert.ok(complaints.length > 0);
  assert.equal(existsSync(join(elsewhere, 'f')), false);
});
