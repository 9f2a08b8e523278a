/** A filesystem's whole tree as this program reads it, in the shape in which test support describes Linux's. */
import assert from 'node:assert/strict';
import { fileType } from '../../src/format/mode.js';
import { attrValue, findAttr, walkAttrs } from '../../src/volume/attr.js';
import { FileReader } from '../../src/volume/file.js';
import { type Inode, readInode } from '../../src/volume/inode.js';
import { walkTree } from '../../src/volume/path.js';
import { readSymlink } from '../../src/volume/symlink.js';
import type { Volume } from '../../src/volume/volume.js';
import { ContentHash, type Tree, type TreeNode } from '../support/tree.js';

export const latin1 = (b: Uint8Array): string => Buffer.from(b).toString('latin1');
export const nanoseconds = ({ sec, nsec }: { sec: number; nsec: number }): bigint =>
  BigInt(sec) * 1_000_000_000n + BigInt(nsec);

/** One file as this program reads it, in the shape in which the test support describes what Linux shows. */
export function describeInode(volume: Volume, inode: Inode): TreeNode {
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

export function contentHash(volume: Volume, inode: Inode): string {
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

export function readTree(volume: Volume): Tree {
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
export function withoutSystem(tree: Tree): Tree {
  for (const { xattrs } of tree.values())
    for (const name of xattrs.keys()) if (name.startsWith('system.')) xattrs.delete(name);
  return tree;
}
