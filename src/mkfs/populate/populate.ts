/**
 * Fills an empty filesystem in one pass from its front to its back: a directory, then the files in it, then
 * the directories in it. Nothing goes through a log: the AG btrees are built last, from what was noted on
 * the way.
 */
import type { NewAttr } from '../../build/attr.js';
import { planDir, shortFormDir, writeDir } from '../../build/dir.js';
import { ExtentColumns } from '../../build/fork.js';
import { symlinkBlocks, writeSymlink } from '../../build/symlink.js';
import { sealCrc } from '../../format/checksum.js';
import { DIFLAG2, DINODE, dinodeFlags2, FORK_FORMAT, S_IF, type Timespec } from '../../format/dinode.js';
import { ftypeOfMode } from '../../format/dir.js';
import type { Geometry } from '../../format/geometry.js';
import { setU64, viewOf } from '../../format/structure.js';
import { SUPERBLOCK } from '../../format/superblock.js';
import type { Source } from '../../image/source.js';
import { bytesOf } from '../../volume/volume.js';
import { Contents } from './contents.js';
import { type EmptyImage, readEmptyImage } from './empty.js';
import { finishAg } from './finish.js';
import { ForkBlocks } from './forkblocks.js';
import { DEVICE_FORK, type Fork, forkRooms } from './forks.js';
import { InodeTable } from './inodes.js';
import { attrsSize, InodeWriter } from './inodewriter.js';
import { Output } from './output.js';
import type { SourceTree, TreeSource } from './tree.js';

export interface PopulateOptions {
  /** Equal blocks, or equal files, become shared: the filesystem must have reflink. */
  readonly dedupe?: 'block' | 'file';
  /** Change and creation time of all; default each file's modification time. */
  readonly time?: Timespec;
  /** Told of every file written, of `total` in all. */
  readonly progress?: (done: number, total: number) => void;
}

export interface PopulateStats {
  /** Names, the root left out. */
  readonly paths: number;
  readonly inodes: number;
  /** Blocks of files that were written, and those that were shared instead. */
  readonly dataBlocks: number;
  readonly sharedBlocks: number;
  readonly blocksize: number;
}

/**
 * Fills the image of an empty filesystem. Until all is written its superblock says "in progress", which no
 * kernel mounts. Throws MkfsError: no room, a file that cannot be read or held.
 */
export function populate(image: Source, source: TreeSource, options: PopulateOptions = {}): PopulateStats {
  return new Populate(image, readEmptyImage(image), source, options).run();
}

class Populate {
  readonly #image: Source;
  readonly #empty: EmptyImage;
  readonly #g: Geometry;
  readonly #tree: SourceTree;
  readonly #progress: PopulateOptions['progress'];
  readonly #output: Output;
  readonly #blocks: ForkBlocks;
  readonly #inodes: InodeTable;
  readonly #contents: Contents;
  readonly #writer: InodeWriter;
  /** Inode of each row that is a file of its own; 0: none yet. */
  readonly #ino: Float64Array;
  readonly #nlink: Uint32Array;
  /** Inodes still to be given out. */
  #left = 0;
  /** Files written so far, the root among them, and in all. */
  #written = 0;
  #files = 1;
  readonly #extents = new ExtentColumns();

  constructor(image: Source, empty: EmptyImage, source: TreeSource, options: PopulateOptions) {
    const { g } = empty;
    this.#image = image;
    this.#empty = empty;
    this.#g = g;
    this.#tree = source.tree;
    this.#progress = options.progress;
    this.#output = new Output(image);
    this.#blocks = new ForkBlocks(g, empty.space, this.#output);
    this.#inodes = new InodeTable(g, empty.space, this.#output);
    for (const c of empty.chunks) this.#inodes.adopt(c.first, c.count, c.used);
    this.#contents = new Contents(this.#blocks, source, options.dedupe);
    this.#writer = new InodeWriter(this.#blocks, this.#tree, this.#inodes, empty.inherited, options.time);
    this.#ino = new Float64Array(this.#tree.count);
    this.#nlink = new Uint32Array(this.#tree.count);
  }

  run(): PopulateStats {
    const tree = this.#tree;
    for (let i = 1; i < tree.count; i++) {
      const file = tree.file(i);
      if (file === i) this.#left++;
      this.#nlink[file]++;
    }
    this.#files = this.#left + 1;
    this.#setInProgress(1);
    const { order, first } = tree.children();
    this.#ino[0] = this.#g.rootino;
    const stack = [0];
    for (let dir = stack.pop(); dir !== undefined; dir = stack.pop()) {
      const from = first[dir];
      const to = first[dir + 1];
      this.#fillDirectory(dir, order.subarray(from, to));
      for (let k = to - 1; k >= from; k--) if (tree.isDir(order[k])) stack.push(order[k]);
    }
    this.#inodes.flush();
    this.#output.flush();
    for (const ino of this.#contents.lenders) this.#inodes.patch(ino, setReflink);
    this.#finish();
    return {
      paths: tree.count - 1,
      inodes: this.#files,
      dataBlocks: this.#contents.written,
      sharedBlocks: this.#contents.shared,
      blocksize: this.#g.blocksize,
    };
  }

  /** A directory's own blocks and inode, then the files in it that have not been written under another name. */
  #fillDirectory(dir: number, names: Int32Array): void {
    const tree = this.#tree;
    const n = names.length;
    const fresh: number[] = [];
    const entries = {
      count: n,
      pool: tree.pool,
      start: new Uint32Array(n),
      length: new Uint8Array(n),
      ino: new Float64Array(n),
      ftype: new Uint8Array(n),
    };
    let subdirs = 0;
    for (let k = 0; k < n; k++) {
      const row = names[k];
      const file = tree.file(row);
      if (this.#ino[file] === 0) {
        this.#ino[file] = this.#inodes.take(n - k, this.#left--);
        if (!tree.isDir(file)) fresh.push(row);
      }
      if (tree.isDir(file)) subdirs++;
      entries.start[k] = tree.nameStart[row];
      entries.length[k] = tree.nameLength[row];
      entries.ino[k] = this.#ino[file];
      entries.ftype[k] = ftypeOfMode(tree.mode[file]);
    }
    this.#nlink[dir] = subdirs + 2;
    const ino = this.#ino[dir];
    const parent = dir === 0 ? ino : this.#ino[tree.parent[dir]];
    const attrs = this.#writer.attrs(dir);
    const plan = planDir(this.#g, entries, parent, forkRooms(this.#g, attrsSize(attrs), false).local);
    if (plan.form === 'short')
      this.#writeInode(dir, attrs, inside(shortFormDir(this.#g, entries, parent)), plan.size);
    else {
      const list = this.#extents;
      list.clear();
      for (const run of plan.blocks) this.#blocks.take(list, run.offset, run.count);
      writeDir(this.#g, ino, parent, entries, plan, this.#blocks.target(list));
      this.#writeInode(dir, attrs, list, plan.size);
    }
    for (const row of fresh) this.#writeFile(row);
  }

  #writeFile(row: number): void {
    const tree = this.#tree;
    const file = tree.file(row);
    const attrs = this.#writer.attrs(file);
    const list = this.#extents;
    list.clear();
    switch (tree.type(file)) {
      case S_IF.REG: {
        const shares = tree.size[file] !== 0 && this.#contents.write(file, row, this.#ino[file], list);
        this.#writeInode(file, attrs, list, tree.size[file], shares);
        return;
      }
      case S_IF.LNK: {
        const text = tree.target(file);
        if (text.length <= forkRooms(this.#g, attrsSize(attrs), false).local) {
          this.#writeInode(file, attrs, inside(text), text.length);
          return;
        }
        this.#blocks.take(list, 0, symlinkBlocks(text.length, this.#g.blocksize));
        writeSymlink(this.#g, this.#ino[file], text, list, this.#blocks.target(list));
        this.#writeInode(file, attrs, list, text.length);
        return;
      }
      default: {
        const bytes = new Uint8Array(DEVICE_FORK);
        viewOf(bytes).setUint32(0, tree.rdev[file]);
        this.#writeInode(file, attrs, { format: FORK_FORMAT.DEV, bytes, extents: 0 }, 0);
      }
    }
  }

  #writeInode(
    file: number,
    attrs: readonly NewAttr[],
    data: Fork | ExtentColumns,
    size: number,
    reflink = false,
  ): void {
    this.#progress?.(++this.#written, this.#files);
    this.#writer.write(file, {
      ino: this.#ino[file],
      nlink: this.#nlink[file],
      attrs,
      data,
      size,
      reflink,
      alone: this.#tree.isDir(file),
    });
  }

  /** AG trees and headers, then the counters. */
  #finish(): void {
    const { ags, space, superblock } = this.#empty;
    let inodes = 0;
    let freeInodes = 0;
    let freeBlocks = 0;
    const chunks = ags.map(() => [] as { agino: number; used: number }[]);
    for (const c of this.#inodes.chunks()) chunks[c.agno].push(c);
    for (const ag of ags) {
      const records = chunks[ag.agno]
        .sort((a, b) => a.agino - b.agino)
        .map(({ agino, used }) => ({
          startino: agino,
          holemask: 0,
          count: 64,
          freecount: 64 - used,
          freeHigh: used <= 32 ? 0xffff_ffff : used === 64 ? 0 : (0xffff_ffff << (used - 32)) >>> 0,
          freeLow: used >= 32 ? 0 : (0xffff_ffff << used) >>> 0,
        }));
      const shared = this.#contents.sharedRuns[ag.agno].records();
      const own = { roots: ag.roots, freelist: ag.freelist, chunks: records, shared };
      const totals = finishAg(this.#g, space.ags[ag.agno], own, this.#output);
      inodes += totals.inodes;
      freeInodes += totals.freeInodes;
      freeBlocks += totals.freeBlocks;
    }
    this.#output.flush();
    this.#image.sync();
    setU64(superblock, SUPERBLOCK.at.icount, inodes);
    setU64(superblock, SUPERBLOCK.at.ifree, freeInodes);
    setU64(superblock, SUPERBLOCK.at.fdblocks, freeBlocks);
    this.#setInProgress(0);
    this.#image.sync();
  }

  #setInProgress(value: number): void {
    const sector = bytesOf(this.#empty.superblock);
    viewOf(sector).setUint8(SUPERBLOCK.at.inprogress, value);
    sealCrc(sector, SUPERBLOCK.at.crc);
    this.#image.write(0, sector);
  }
}

/** A fork that stands in its inode as it is. */
const inside = (bytes: Uint8Array): Fork => ({ format: FORK_FORMAT.LOCAL, bytes, extents: 0 });

function setReflink(inode: Uint8Array): void {
  const v = viewOf(inode);
  v.setUint32(DINODE.at.flags2 + 4, dinodeFlags2(v, 0) | DIFLAG2.REFLINK);
  sealCrc(inode, DINODE.at.crc);
}
