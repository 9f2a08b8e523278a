/** Everything this program reads of a tree must be what Linux shows of the same image. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { describeFault } from '../../src/format/fault.js';
import { fileType } from '../../src/format/mode.js';
import { openSource } from '../../src/image/open.js';
import { attrValue, findAttr, walkAttrs } from '../../src/volume/attr.js';
import { listingName, lookup, readDir } from '../../src/volume/dir.js';
import { FileReader } from '../../src/volume/file.js';
import { type Inode, readInode } from '../../src/volume/inode.js';
import { PathMap, resolvePath, walkTree } from '../../src/volume/path.js';
import { readSymlink } from '../../src/volume/symlink.js';
import { openVolume, type Volume } from '../../src/volume/volume.js';
import { populated } from '../support/cache.js';
import { withMount } from '../support/mount.js';
import { copyImage, oracle, tmpdir } from '../support/oracle.js';
import type { MkfsOptions, PopulateOptions } from '../support/populate.js';
import { ContentHash, describeTree, type Tree, type TreeNode } from '../support/tree.js';

const needed = oracle('mount', 'mkfs.xfs', 'xfs_io', 'xfs_db', 'setfattr', 'getfattr');

const latin1 = (b: Uint8Array): string => Buffer.from(b).toString('latin1');
const nanoseconds = ({ sec, nsec }: { sec: number; nsec: number }): bigint =>
  BigInt(sec) * 1_000_000_000n + BigInt(nsec);

/** One file as this program reads it, in the shape in which the test support describes what Linux shows. */
function describeInode(volume: Volume, inode: Inode): TreeNode {
  const type = fileType(inode.mode);
  assert.notEqual(type, 'unknown');
  const node: TreeNode = {
    type: type as TreeNode['type'],
    ino: inode.ino,
    mode: inode.mode & 0o7777,
    nlink: inode.nlink,
    uid: inode.uid,
    gid: inode.gid,
    size: inode.exactSize,
    blocks: (inode.nblocks * volume.g.blocksize) / 512,
    atime: nanoseconds(inode.atime),
    mtime: nanoseconds(inode.mtime),
    ctime: nanoseconds(inode.ctime),
    btime: nanoseconds(inode.crtime),
    xattrs: new Map(),
  };
  if (type === 'block' || type === 'char') node.device = [inode.rdev.major, inode.rdev.minor];
  if (type === 'symlink') node.target = latin1(readSymlink(volume, inode));
  walkAttrs(volume, inode, (attribute) => {
    if (attribute.namespace === 'parent') return;
    assert.ok(attribute.namespace);
    const value = attrValue(volume, inode, attribute);
    node.xattrs.set(`${attribute.namespace}.${latin1(attribute.name)}`, Buffer.from(value).toString('hex'));
    // The way by hash leads to the same attribute.
    const found = findAttr(volume, inode, attribute.namespace, attribute.name);
    assert.deepEqual(found && attrValue(volume, inode, found), value);
  });
  return node;
}

function contentHash(volume: Volume, inode: Inode): string {
  const reader = new FileReader(volume, inode);
  const hash = new ContentHash(inode.exactSize);
  const piece = new Uint8Array(1 << 16);
  for (const { offset, length, zeros } of reader.segments()) {
    if (zeros) continue;
    for (let done = 0; done < length; done += piece.length) {
      const part = piece.subarray(0, Math.min(piece.length, length - done));
      assert.equal(reader.read(offset + done, part), part.length);
      hash.update(offset + done, part);
    }
  }
  return hash.digest();
}

function readTree(volume: Volume): Tree {
  const tree: Tree = new Map();
  const hashes = new Map<number, string>();
  const root = readInode(volume, volume.g.rootino);
  tree.set('', describeInode(volume, root));
  walkTree(volume, root, ({ path, ino }) => {
    const inode = readInode(volume, ino);
    const node = describeInode(volume, inode);
    if (node.type === 'file') {
      node.content = hashes.get(ino) ?? contentHash(volume, inode);
      hashes.set(ino, node.content);
    }
    tree.set(latin1(path), node);
  });
  return tree;
}

/** Linux shows an ACL a second time in its own coding. */
function withoutSystem(tree: Tree): Tree {
  for (const { xattrs } of tree.values())
    for (const name of xattrs.keys()) if (name.startsWith('system.')) xattrs.delete(name);
  return tree;
}

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
