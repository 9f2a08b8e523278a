import assert from 'node:assert/strict';
import { join } from 'node:path';
import { run } from './oracle.js';
import { describeTree, type Tree, type TreeNode } from './tree.js';

export interface SameTreeOptions {
  /** Compare access times too. Default false: reading a source may change them. */
  atime?: boolean;
  /** Directories' link counts differ where a part was left out. Default true. */
  nlink?: boolean;
}

/** What of a file must survive a copy: not its inode number, blocks, change and birth time. */
function comparable(node: TreeNode, options: SameTreeOptions): Record<string, unknown> {
  const { mode, uid, gid, size, mtime, atime, type, device, target, content, nlink } = node;
  return {
    type,
    mode: mode.toString(8),
    owner: `${uid}:${gid}`,
    size: type === 'dir' ? 0n : size,
    mtime,
    atime: options.atime ? atime : undefined,
    nlink: options.nlink === false ? undefined : nlink,
    device,
    target,
    content,
    xattrs: Object.fromEntries([...node.xattrs].sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

/** Holds two trees against each other: names, types, metadata, contents, attributes, hard links. */
export function assertSameTrees(found: Tree, expected: Tree, options: SameTreeOptions = {}): void {
  assert.deepEqual([...found.keys()].sort(), [...expected.keys()].sort());
  for (const [path, node] of expected)
    assert.deepEqual(
      comparable(found.get(path) as TreeNode, options),
      comparable(node, options),
      `differs: ${JSON.stringify(path)}`,
    );
  assert.deepEqual(linkGroups(found), linkGroups(expected));
}

export function assertSameTree(found: string, expected: string, options: SameTreeOptions = {}): void {
  assertSameTrees(describeTree(found), describeTree(expected), options);
}

/** Names that are one file, by their first. */
function linkGroups(tree: Tree): string[][] {
  const groups = new Map<number, string[]>();
  for (const [path, node] of tree)
    if (node.nlink > 1 && node.type !== 'dir') groups.set(node.ino, [...(groups.get(node.ino) ?? []), path]);
  return [...groups.values()].map((group) => group.sort()).sort((a, b) => (a[0] < b[0] ? -1 : 1));
}

/** Where data and holes begin, as SEEK_HOLE and SEEK_DATA say. */
export function holesOf(folder: string, path: string): string {
  return run('xfs_io', ['-r', '-c', 'seek -a -r 0', join(folder, path)]).stdout;
}
