/** Everything this program reads of a tree must be what Linux shows of the same image. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { describeFault } from '../../src/format/fault.js';
import { openSource } from '../../src/image/open.js';
import { listingName, lookup, readDir } from '../../src/volume/dir.js';
import { type Inode, readInode } from '../../src/volume/inode.js';
import { PathMap, resolvePath, walkTree } from '../../src/volume/path.js';
import { openVolume } from '../../src/volume/volume.js';
import { populated } from '../support/cache.js';
import { withMount } from '../support/mount.js';
import { copyImage, oracle, tmpdir } from '../support/oracle.js';
import type { MkfsOptions, PopulateOptions } from '../support/populate.js';
import { describeTree, type Tree, type TreeNode } from '../support/tree.js';
import { readTree, withoutSystem } from './readtree.js';

const needed = oracle('mount', 'mkfs.xfs', 'xfs_io', 'xfs_db', 'setfattr', 'getfattr');

/** Differences of two trees, a line each: easier to read than what a deep comparison of thousands prints. */
function differences(ours: Tree, linux: Tree): string[] {
  const out: string[] = [];
  for (const [path, theirs] of linux) {
    const own = ours.get(path);
    if (own === undefined) out.push(`${path}: not found`);
    else
      for (const key of Object.keys({ ...theirs, ...own }) as (keyof TreeNode)[]) {
        try {
          assert.deepEqual(own[key], theirs[key]);
        } catch {
          out.push(`${path}: ${key} is ${String(own[key])}, Linux shows ${String(theirs[key])}`);
        }
      }
  }
  for (const path of ours.keys()) if (!linux.has(path)) out.push(`${path}: not there`);
  return out;
}

const CASES: { name: string; mkfs: MkfsOptions; populate?: PopulateOptions }[] = [
  { name: '4 KiB blocks', mkfs: { args: [] }, populate: { scale: 'full' } },
  {
    name: '1 KiB blocks, 4 KiB directory blocks',
    mkfs: { args: ['-b', 'size=1024', '-n', 'size=4096'] },
    populate: { scale: 'full' },
  },
  { name: '16 KiB blocks', mkfs: { args: ['-b', 'size=16384'] } },
  {
    name: '4 KiB blocks, 64 KiB directory blocks',
    mkfs: { args: ['-n', 'size=65536'] },
    populate: { scale: 'full' },
  },
  { name: '1 KiB blocks, 64 KiB directory blocks', mkfs: { args: ['-b', 'size=1024', '-n', 'size=65536'] } },
  { name: '8 KiB directory blocks, 2 KiB inodes', mkfs: { args: ['-n', 'size=8192', '-i', 'size=2048'] } },
  { name: '4 KiB sectors, rmapbt', mkfs: { args: ['-s', 'size=4096', '-m', 'rmapbt=1'] } },
  {
    name: 'no feature that can be left out',
    mkfs: {
      args: ['-m', 'finobt=0,reflink=0,bigtime=0,inobtcount=0', '-i', 'sparse=0,nrext64=0'],
    },
  },
];

describe('what is read is what Linux shows', needed, () => {
  for (const { name, ...options } of CASES) {
    test(name, () => {
      const { image } = populated(options);
      const linux = withMount(copyImage(image, join(tmpdir(), 'copy')), (root) => describeTree(root), {
        options: 'ro',
      });
      assert.ok(linux.size > 1000);
      const volume = openVolume(openSource(image));
      try {
        assert.deepEqual(differences(readTree(volume), withoutSystem(linux)).slice(0, 20), []);
        assert.deepEqual(volume.faults.map(describeFault), []);
      } finally {
        volume.close();
      }
    });
  }

  test('every name is found by its hash, and no other', () => {
    const { image, notes } = populated(CASES[1]);
    const volume = openVolume(openSource(image));
    try {
      const root = readInode(volume, volume.g.rootino);
      let names = 0;
      const check = (directory: Inode): void => {
        const listing = readDir(volume, directory, { dots: true });
        for (let i = 0; i < listing.count; i++) {
          const found = lookup(volume, directory, listingName(listing, i));
          assert.deepEqual(found, {
            ino: listing.ino[i],
            ftype: listing.ftype[i],
            address: listing.address[i],
          });
          names++;
        }
        assert.equal(lookup(volume, directory, Buffer.from('no such name')), undefined);
        assert.equal(lookup(volume, directory, Buffer.alloc(0)), undefined);
        assert.equal(lookup(volume, directory, Buffer.alloc(256, 'n')), undefined);
      };
      check(root);
      walkTree(volume, root, ({ ino, ftype }) => {
        if (ftype === 2) check(readInode(volume, ino));
      });
      assert.ok(names > 20_000);
      for (const path of notes.values()) resolvePath(volume, path, { follow: false });
    } finally {
      volume.close();
    }
  });

  test('paths of inodes lead back to them', () => {
    const { image } = populated(CASES[1]);
    const volume = openVolume(openSource(image));
    try {
      const map = new PathMap(volume);
      const inodes = new Set<number>();
      walkTree(volume, readInode(volume, volume.g.rootino), ({ ino }) => {
        inodes.add(ino);
      });
      assert.equal(map.size, inodes.size);
      for (const ino of inodes) {
        const path = map.get(ino);
        assert.ok(path);
        assert.equal(resolvePath(volume, path, { follow: false }).ino, ino);
      }
      assert.deepEqual(map.get(volume.g.rootino), Uint8Array.of(0x2f));
      assert.equal(map.get(1), undefined);
    } finally {
      volume.close();
    }
  });
});
