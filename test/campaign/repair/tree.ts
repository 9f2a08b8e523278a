/**
 * What a damaged and repaired image still shows of the healthy one, path by path. Most of it is as it was: only
 * inodes with a changed page among their blocks are read again.
 */

import { blockOffset, fsblockOffset, inodeOffset } from '../../../src/format/geometry.js';
import type { Source } from '../../../src/image/source.js';
import { walkDir } from '../../../src/volume/dir.js';
import { walkExtents, walkForkBlocks } from '../../../src/volume/fork.js';
import { readInode } from '../../../src/volume/inode.js';
import { openVolume, type Volume } from '../../../src/volume/volume.js';
import type { Tree, TreeNode } from '../../support/tree.js';
import { contentHash, describeInode, latin1 } from '../../volume/readtree.js';

/** Bytes of a page: the grain in which changes are followed. */
export const PAGE = 4096;

/** What must survive of a file: all but its number, blocks, link count and time of change. */
export function shown(node: TreeNode): string {
  const { type, mode, uid, gid, size, mtime, atime, btime, device, target, content } = node;
  const dir = type === 'dir';
  const xattrs = [...node.xattrs].filter(([name]) => !name.startsWith('system.')).sort();
  const times = dir ? [btime] : [mtime, atime, btime];
  const all = [type, mode, uid, gid, dir ? 0 : `${size}`, times.join(), device, target, content, xattrs];
  return JSON.stringify(all);
}

interface Known {
  readonly text: string;
  readonly isDir: boolean;
  readonly children: readonly (readonly [name: string, ino: number])[];
}

function read(volume: Volume, ino: number): Known {
  try {
    const inode = readInode(volume, ino);
    const node = describeInode(volume, inode);
    if (node.type === 'file') node.content = contentHash(volume, inode);
    const children: [string, number][] = [];
    if (inode.isDir)
      walkDir(
        volume,
        inode,
        (block, from, to, child) => {
          children.push([latin1(block.subarray(from, to)), child]);
        },
        { report: () => {} },
      );
    return { text: shown(node), isDir: inode.isDir, children };
  } catch (error) {
    return { text: `unreadable: ${(error as Error).message}`, isDir: false, children: [] };
  }
}

/** Pages in which an inode and all its blocks stand. */
function pagesOf(volume: Volume, ino: number): Set<number> {
  const { g } = volume;
  const pages = new Set<number>();
  const add = (offset: number, length: number): void => {
    for (let p = Math.floor(offset / PAGE); p * PAGE < offset + length; p++) pages.add(p);
  };
  const inode = readInode(volume, ino);
  add(inodeOffset(g, ino), g.inodesize);
  for (const fork of ['data', 'attr'] as const) {
    if (fork === 'attr' && !inode.hasAttrFork) continue;
    walkExtents(volume, inode, fork, (_offset, fsblock, blocks) => {
      add(fsblockOffset(g, fsblock), blocks * g.blocksize);
    });
    walkForkBlocks(volume, inode, fork, (agno, agbno) => add(blockOffset(g, agno, agbno), g.blocksize));
  }
  return pages;
}

export class BaseTree {
  readonly #geometry: string;
  readonly #known = new Map<number, Known>();
  /** Inodes by the pages they stand in. */
  readonly #inos = new Map<number, number[]>();
  /** The healthy image's paths. */
  readonly paths: ReadonlyMap<string, string>;

  constructor(volume: Volume) {
    this.#geometry = JSON.stringify(volume.g);
    this.paths = this.#walk(volume.g.rootino, (ino) => {
      let known = this.#known.get(ino);
      if (known !== undefined) return known;
      known = read(volume, ino);
      this.#known.set(ino, known);
      for (const page of pagesOf(volume, ino)) {
        const list = this.#inos.get(page);
        if (list === undefined) this.#inos.set(page, [ino]);
        else list.push(ino);
      }
      return known;
    });
  }

  /** All paths an image shows in which `dirty` pages differ from the healthy one. */
  of(source: Source, dirty: Iterable<number>): Map<string, string> {
    const volume = openVolume(source);
    const all = JSON.stringify(volume.g) !== this.#geometry;
    const again = new Map<number, Known | undefined>();
    for (const page of dirty) for (const ino of this.#inos.get(page) ?? []) again.set(ino, undefined);
    return this.#walk(volume.g.rootino, (ino) => {
      if (!all && !again.has(ino)) {
        const known = this.#known.get(ino);
        if (known !== undefined) return known;
      }
      let now = again.get(ino);
      if (now === undefined) {
        now = read(volume, ino);
        again.set(ino, now);
      }
      return now;
    });
  }

  #walk(root: number, get: (ino: number) => Known): Map<string, string> {
    const out = new Map<string, string>();
    const dirs = new Set<number>();
    const visit = (path: string, ino: number): void => {
      const known = get(ino);
      out.set(path, known.text);
      if (!known.isDir || dirs.has(ino)) return;
      dirs.add(ino);
      for (const [name, child] of known.children) visit(path === '' ? name : `${path}/${name}`, child);
    };
    visit('', root);
    return out;
  }

  /** The healthy paths an image does not show as they were. */
  lost(now: ReadonlyMap<string, string>): string[] {
    const out: string[] = [];
    for (const [path, text] of this.paths) if (now.get(path) !== text) out.push(path);
    return out;
  }
}

/** Linux's description in the same words. */
export function shownByLinux(tree: Tree): Map<string, string> {
  return new Map([...tree].map(([path, node]) => [path, shown(node)]));
}
