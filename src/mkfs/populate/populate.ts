/**
 * Fills an empty filesystem in one pass from its front to its back: a directory, then the files in it, then
 * the directories in it. Nothing goes through a log: the AG btrees are built last, from what was noted on
 * the way.
 */
import { createHash } from 'node:crypto';
import { type NewAttr, planAttrs, shortFormAttrSize, shortFormAttrs, writeAttrs } from '../../build/attr.js';
import { planDir, shortFormDir, writeDir } from '../../build/dir.js';
import { buildFork, ExtentColumns, type ForkTarget, type TreeSpace } from '../../build/fork.js';
import { symlinkBlocks, writeSymlink } from '../../build/symlink.js';
import { crc32c, sealCrc } from '../../format/checksum.js';
import {
  DIFLAG,
  DIFLAG2,
  DINODE,
  dinodeFlags2,
  FORK_FORMAT,
  S_IF,
  type Timespec,
} from '../../format/dinode.js';
import { ftypeOfMode } from '../../format/dir.js';
import { agnoOfFsblock, fsblockOffset, type Geometry } from '../../format/geometry.js';
import { setU64, viewOf } from '../../format/structure.js';
import { SUPERBLOCK } from '../../format/superblock.js';
import type { Source } from '../../image/source.js';
import { bytesOf } from '../../volume/volume.js';
import { storedAttr } from './attrs.js';
import { blockTag } from './blockindex.js';
import { type KnownFile, SharedRuns, WrittenBlocks } from './dedupe.js';
import { type EmptyImage, readEmptyImage } from './empty.js';
import { type AgTotals, finishAg } from './finish.js';
import { attrOffset, DEVICE_FORK, encodeForks, type Fork, forkRooms } from './forks.js';
import { InodeTable } from './inodes.js';
import { Output } from './output.js';
import type { Space } from './space.js';
import { type SourceTree, SPARSE, sourceError, type TreeSource } from './tree.js';

export interface PopulateOptions {
  /** Equal blocks, or equal files, become shared. */
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

/** Bytes of a file read in one piece. */
const PIECE = 2 ** 20;

/**
 * Fills the image of an empty filesystem. Until all is written its superblock says "in progress", which no
 * kernel mounts. Throws MkfsError: no room, a file that cannot be read or held.
 */
export function populate(image: Source, source: TreeSource, options: PopulateOptions = {}): PopulateStats {
  const empty = readEmptyImage(image);
  if (options.dedupe !== undefined && !empty.g.features.reflink)
    throw sourceError('--dedupe needs a filesystem with reflink (-m reflink=1)');
  return new Populate(image, empty, source, options).run();
}

class Populate {
  readonly #image: Source;
  readonly #empty: EmptyImage;
  readonly #g: Geometry;
  readonly #source: TreeSource;
  readonly #tree: SourceTree;
  readonly #options: PopulateOptions;
  readonly #output: Output;
  readonly #space: Space;
  readonly #inodes: InodeTable;
  /** Inode of each row that is a file of its own; 0: none yet. */
  readonly #ino: Float64Array;
  readonly #nlink: Uint32Array;
  /** Inodes still to be given out. */
  #left = 0;
  readonly #piece: Uint8Array;
  readonly #zeros: Uint8Array;
  readonly #extents = new ExtentColumns();
  readonly #attrExtents = new ExtentColumns();
  /** The inode at hand. */
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #blockIndex: WrittenBlocks | undefined;
  readonly #knownFiles: Map<string, KnownFile> | undefined;
  /** Sizes that more than one file has: only those can be equal. */
  readonly #sizes: Map<number, number> | undefined;
  readonly #shared: SharedRuns[];
  readonly #reflinked = new Set<number>();
  /** Whether the file at hand shares blocks. */
  #shares = false;
  #dataBlocks = 0;
  #sharedBlocks = 0;
  /** Files written so far, the root among them, and in all. */
  #written = 0;
  #files = 1;
  readonly #generation: number;

  constructor(image: Source, empty: EmptyImage, source: TreeSource, options: PopulateOptions) {
    this.#image = image;
    this.#empty = empty;
    this.#g = empty.g;
    this.#source = source;
    this.#tree = source.tree;
    this.#options = options;
    this.#output = new Output(image);
    this.#space = empty.space;
    this.#inodes = new InodeTable(empty.g, empty.space, this.#output);
    for (const c of empty.chunks) this.#inodes.adopt(c.first, c.count, c.used);
    const n = this.#tree.count;
    this.#ino = new Float64Array(n);
    this.#nlink = new Uint32Array(n);
    this.#piece = new Uint8Array(Math.max(PIECE, empty.g.blocksize));
    this.#zeros = new Uint8Array(empty.g.blocksize);
    this.#bytes = new Uint8Array(empty.g.inodesize);
    this.#view = viewOf(this.#bytes);
    this.#blockIndex = options.dedupe === 'block' ? new WrittenBlocks(empty.g, this.#output) : undefined;
    if (options.dedupe === 'file') {
      this.#knownFiles = new Map();
      this.#sizes = this.#sizesSeenTwice();
    }
    this.#shared = empty.ags.map(() => new SharedRuns());
    this.#generation = crc32c(empty.g.metaUuidBytes);
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
    for (const ino of this.#reflinked) this.#inodes.patch(ino, setReflink);
    this.#finish();
    return {
      paths: tree.count - 1,
      inodes: this.#ino.reduce((n, ino) => n + (ino > 0 ? 1 : 0), 0),
      dataBlocks: this.#dataBlocks,
      sharedBlocks: this.#sharedBlocks,
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
    const attrs = this.#attrs(dir);
    const rooms = forkRooms(this.#g, attrsSize(attrs), false);
    const plan = planDir(this.#g, entries, parent, rooms.local);
    const list = this.#extents;
    list.clear();
    if (plan.form === 'short') {
      const bytes = shortFormDir(this.#g, entries, parent);
      this.#finishInode(dir, attrs, { format: FORK_FORMAT.LOCAL, bytes, extents: 0 }, plan.size, true);
    } else {
      for (const run of plan.blocks) this.#takeBlocks(list, run.offset, run.count);
      writeDir(this.#g, ino, parent, entries, plan, this.#target(list));
      this.#finishInode(dir, attrs, list, plan.size, true);
    }
    for (const row of fresh) this.#writeFile(row);
  }

  #writeFile(row: number): void {
    const tree = this.#tree;
    const file = tree.file(row);
    const attrs = this.#attrs(file);
    const list = this.#extents;
    list.clear();
    switch (tree.type(file)) {
      case S_IF.REG:
        this.#writeContents(file, row, list);
        this.#finishInode(file, attrs, list, tree.size[file], false);
        return;
      case S_IF.LNK: {
        const text = tree.target(file);
        const { local } = forkRooms(this.#g, attrsSize(attrs), false);
        if (text.length <= local) {
          const fork = { format: FORK_FORMAT.LOCAL, bytes: text, extents: 0 };
          this.#finishInode(file, attrs, fork, text.length, false);
          return;
        }
        this.#takeBlocks(list, 0, symlinkBlocks(text.length, this.#g.blocksize));
        writeSymlink(this.#g, this.#ino[file], text, list, this.#target(list));
        this.#finishInode(file, attrs, list, text.length, false);
        return;
      }
      default: {
        const bytes = new Uint8Array(DEVICE_FORK);
        viewOf(bytes).setUint32(0, tree.rdev[file]);
        this.#finishInode(file, attrs, { format: FORK_FORMAT.DEV, bytes, extents: 0 }, 0, false);
      }
    }
  }

  /** Maps `count` blocks at file block `offset`, in as few pieces as there are. */
  #takeBlocks(list: ExtentColumns, offset: number, count: number): void {
    for (let done = 0; done < count; ) {
      const piece = this.#space.take(count - done);
      list.add(offset + done, piece.fsblock, piece.blocks);
      done += piece.blocks;
    }
  }

  /** Reads a regular file and writes what of it is not a hole. */
  #writeContents(file: number, row: number, list: ExtentColumns): void {
    const tree = this.#tree;
    const size = tree.size[file];
    this.#shares = false;
    if (size === 0) return;
    const { blocksize } = this.#g;
    const source = this.#source;
    source.open(file, row);
    try {
      const key = this.#sizes?.has(size) ? this.#hashFile(size) : undefined;
      const known = key === undefined ? undefined : this.#knownFiles?.get(key);
      if (known !== undefined) {
        this.#shareFile(file, known, list);
        return;
      }
      const whole = tree.sparse[file] === SPARSE.NO && this.#blockIndex === undefined;
      const blocks = Math.ceil(size / blocksize);
      if (whole) {
        this.#takeBlocks(list, 0, blocks);
        this.#dataBlocks += blocks;
      }
      for (let at = 0; at < size; ) {
        const data = source.nextData(at);
        if (data === undefined) break;
        const from = Math.max(at, Math.floor(data[0] / blocksize) * blocksize);
        const to = Math.min(Math.ceil(data[1] / blocksize) * blocksize, blocks * blocksize);
        for (at = from; at < to; at += this.#piece.length) {
          const length = Math.min(this.#piece.length, to - at);
          // A file in one piece is read to where it is written from.
          const direct = whole && list.count === 1;
          const piece = direct
            ? this.#output.room(fsblockOffset(this.#g, list.fsblock[0]) + at, length)
            : this.#piece.subarray(0, length);
          const got = source.read(at, size - at < length ? piece.subarray(0, size - at) : piece);
          piece.fill(0, got);
          if (direct) continue;
          if (whole) this.#emit(list, at / blocksize, piece);
          else this.#writePiece(file, list, at, size, piece);
        }
        at = to;
      }
      if (key !== undefined) this.#remember(key, file, list);
    } finally {
      source.shut();
    }
  }

  /** Writes whole blocks over what the list maps there. */
  #emit(list: ExtentColumns, fileBlock: number, bytes: Uint8Array): void {
    const { blocksize } = this.#g;
    for (let done = 0; done < bytes.length; ) {
      const at = fileBlock + done / blocksize;
      const from = list.find(at);
      if (from === undefined) throw new RangeError(`file block ${at} is not mapped`);
      let n = blocksize;
      while (done + n < bytes.length && list.find(at + n / blocksize) === from + n / blocksize)
        n += blocksize;
      this.#output.write(fsblockOffset(this.#g, from), bytes.subarray(done, done + n));
      done += n;
    }
  }

  /** Blocks of zeros become holes where the file is sparse; blocks that are known are shared. */
  #writePiece(file: number, list: ExtentColumns, at: number, size: number, piece: Uint8Array): void {
    const { blocksize } = this.#g;
    const sparse = this.#tree.sparse[file] === SPARSE.UNKNOWN;
    const index = this.#blockIndex;
    let run = 0;
    const tags: number[] = [];
    const flush = (end: number): void => {
      if (run === 0) return;
      const from = end - run * blocksize;
      this.#writeRun(file, list, (at + from) / blocksize, piece.subarray(from, end), size - at - from, tags);
      run = 0;
      tags.length = 0;
    };
    for (let i = 0; i < piece.length; i += blocksize) {
      const block = piece.subarray(i, i + blocksize);
      if (sparse && Buffer.compare(block, this.#zeros) === 0) {
        flush(i);
        continue;
      }
      if (index !== undefined) {
        const tag = blockTag(block, Math.min(blocksize, size - at - i));
        const found = index.find(tag, block);
        if (found !== undefined) {
          flush(i);
          this.#share(file, found.ino, found.fsblock, 1);
          list.add((at + i) / blocksize, found.fsblock, 1);
          continue;
        }
        tags.push(tag);
      }
      run++;
    }
    flush(piece.length);
  }

  /** Writes blocks at file block `fileBlock`, right behind the file's last extent where that is free. */
  #writeRun(
    file: number,
    list: ExtentColumns,
    fileBlock: number,
    bytes: Uint8Array,
    left: number,
    tags: readonly number[],
  ): void {
    const { blocksize } = this.#g;
    const count = bytes.length / blocksize;
    const hold = Math.max(count, Math.ceil(left / blocksize));
    this.#dataBlocks += count;
    for (let done = 0; done < count; ) {
      const last = list.count - 1;
      const next = last < 0 ? undefined : list.fsblock[last] + list.blocks[last];
      const piece =
        (next === undefined ? undefined : this.#space.takeAt(next, count - done)) ??
        this.#space.take(count - done, hold);
      list.add(fileBlock + done, piece.fsblock, piece.blocks);
      this.#output.write(
        fsblockOffset(this.#g, piece.fsblock),
        bytes.subarray(done * blocksize, (done + piece.blocks) * blocksize),
      );
      for (let i = 0; i < piece.blocks && this.#blockIndex !== undefined; i++)
        this.#blockIndex.add(tags[done + i], piece.fsblock + i, this.#ino[file]);
      done += piece.blocks;
    }
  }

  #share(file: number, owner: number, fsblock: number, blocks: number): void {
    const { agblklog } = this.#g;
    this.#shared[agnoOfFsblock(this.#g, fsblock)].add(fsblock % 2 ** agblklog, blocks);
    this.#sharedBlocks += blocks;
    this.#shares = true;
    if (owner !== this.#ino[file]) this.#reflinked.add(owner);
  }

  #shareFile(file: number, known: KnownFile, list: ExtentColumns): void {
    const e = known.extents;
    for (let i = 0; i < e.length; i += 3) {
      list.add(e[i], e[i + 1], e[i + 2]);
      this.#share(file, known.ino, e[i + 1], e[i + 2]);
    }
  }

  #remember(key: string, file: number, list: ExtentColumns): void {
    const extents = new Float64Array(list.count * 3);
    for (let i = 0; i < list.count; i++)
      extents.set([list.offset[i], list.fsblock[i], list.blocks[i]], i * 3);
    this.#knownFiles?.set(key, { ino: this.#ino[file], extents });
  }

  #sizesSeenTwice(): Map<number, number> {
    const tree = this.#tree;
    const seen = new Map<number, number>();
    for (let i = 1; i < tree.count; i++)
      if (tree.type(i) === S_IF.REG && tree.link[i] < 0 && tree.size[i] > 0)
        seen.set(tree.size[i], (seen.get(tree.size[i]) ?? 0) + 1);
    for (const [size, count] of seen) if (count === 1) seen.delete(size);
    return seen;
  }

  /** SHA-256 of the contents of the file that is open, and its size. */
  #hashFile(size: number): string {
    const hash = createHash('sha256');
    for (let at = 0; at < size; at += this.#piece.length) {
      const piece = this.#piece.subarray(0, Math.min(this.#piece.length, size - at));
      piece.fill(0, this.#source.read(at, piece));
      hash.update(piece);
    }
    return `${size}:${hash.digest('base64')}`;
  }

  #attrs(file: number): readonly NewAttr[] {
    const all = this.#tree.xattrs.get(file);
    if (all === undefined) return [];
    const out: NewAttr[] = [];
    for (const x of all) {
      const stored = storedAttr(x, all, () => this.#tree.showPath(file));
      if (stored !== undefined) out.push(stored);
    }
    return out;
  }

  /** Where the blocks of a fork are, by their place in it. */
  #target(list: ExtentColumns): ForkTarget {
    return {
      daddr: (fileBlock) => fsblockOffset(this.#g, list.find(fileBlock) as number) / 512,
      emit: (fileBlock, bytes) => this.#emit(list, fileBlock, bytes),
    };
  }

  /** Where the blocks of a fork's bmbt come from. */
  #treeSpace(ino: number, flags: number): TreeSpace {
    return {
      take: (count) => {
        const out = new Float64Array(count);
        for (let done = 0; done < count; ) {
          const piece = this.#space.take(count - done);
          this.#space.own(piece.fsblock, piece.blocks, ino, 0, flags | 1);
          for (let i = 0; i < piece.blocks; i++) out[done++] = piece.fsblock + i;
        }
        return out;
      },
      emit: (fsblock, bytes) => this.#output.write(fsblockOffset(this.#g, fsblock), bytes),
    };
  }

  #own(ino: number, list: ExtentColumns, flags: number): void {
    for (let i = 0; i < list.count; i++)
      this.#space.own(list.fsblock[i], list.blocks[i], ino, list.offset[i], flags);
  }

  /** Lays out attributes, writes the inode. `data` is a fork as it stands in the inode, or its extents. */
  #finishInode(
    file: number,
    attrs: readonly NewAttr[],
    data: Fork | ExtentColumns,
    size: number,
    alone: boolean,
  ): void {
    this.#options.progress?.(++this.#written, this.#files);
    const g = this.#g;
    const tree = this.#tree;
    const ino = this.#ino[file];
    const mapped = data instanceof ExtentColumns;
    const isDevice = !mapped && data.format === FORK_FORMAT.DEV;
    let nblocks = 0;
    let attr: (Fork & { readonly treeBlocks?: number }) | undefined;
    let attrAt = 0;
    const all = g.inodesize - DINODE.size;
    if (attrs.length > 0) {
      const attrBytes = attrsSize(attrs);
      const rooms = forkRooms(g, attrBytes, isDevice);
      attrAt = attrOffset(g, rooms, attrBytes, mapped ? 0 : data.bytes.length, isDevice);
      if (rooms.attrsInside) attr = { format: FORK_FORMAT.LOCAL, bytes: shortFormAttrs(attrs), extents: 0 };
      else {
        const list = this.#attrExtents;
        list.clear();
        const plan = planAttrs(g, attrs);
        this.#takeBlocks(list, 0, plan.blocks);
        writeAttrs(g, ino, plan, this.#target(list));
        this.#own(ino, list, 2);
        const fork = buildFork(g, ino, list, all - attrAt, this.#treeSpace(ino, 2));
        nblocks += plan.blocks + fork.treeBlocks;
        attr = fork;
      }
    }
    let fork: Fork;
    if (mapped) {
      this.#own(ino, data, 0);
      const built = buildFork(g, ino, data, attr === undefined ? all : attrAt, this.#treeSpace(ino, 0));
      nblocks += data.total + built.treeBlocks;
      fork = built;
    } else fork = data;
    const isDir = tree.isDir(file);
    const { inherited } = this.#empty;
    const mtime = { sec: tree.mtime[file], nsec: tree.mtimeNsec[file] };
    const stamp = this.#options.time ?? mtime;
    let flags2 = inherited.flags2;
    if (this.#shares && tree.type(file) === S_IF.REG) flags2 |= DIFLAG2.REFLINK;
    encodeForks(
      g,
      this.#bytes,
      this.#view,
      {
        ino,
        format: fork.format,
        mode: tree.mode[file],
        nlink: this.#nlink[file],
        uid: tree.uid[file],
        gid: tree.gid[file],
        projid: inherited.projid,
        size,
        nblocks,
        flags: isDir ? inherited.dirFlags : inherited.fileFlags,
        flags2: isDir || tree.type(file) === S_IF.REG ? flags2 : flags2 & ~DIFLAG2.COWEXTSIZE & ~DIFLAG2.DAX,
        extsize:
          isDir || (tree.type(file) === S_IF.REG && inherited.fileFlags & DIFLAG.EXTSIZE)
            ? inherited.extsize
            : 0,
        cowextsize: isDir || tree.type(file) === S_IF.REG ? inherited.cowextsize : 0,
        generation: (this.#generation ^ Math.imul(ino, 0x9e37_79b1)) >>> 0,
        changeCount: 1,
        atime: { sec: tree.atime[file], nsec: tree.atimeNsec[file] },
        mtime,
        ctime: stamp,
        crtime: stamp,
      },
      fork,
      attrAt,
      attr,
    );
    this.#shares = false;
    this.#inodes.put(ino, this.#bytes, alone);
  }

  /** AG trees and headers, then the counters. */
  #finish(): void {
    const { g, ags } = { g: this.#g, ags: this.#empty.ags };
    const totals: AgTotals = { inodes: 0, freeInodes: 0, freeBlocks: 0 };
    const sum = { ...totals };
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
      const shared = this.#shared[ag.agno].records();
      const own = { roots: ag.roots, freelist: ag.freelist, chunks: records, shared };
      const t = finishAg(g, this.#space.ags[ag.agno], own, this.#output);
      sum.inodes += t.inodes;
      sum.freeInodes += t.freeInodes;
      sum.freeBlocks += t.freeBlocks;
    }
    this.#output.flush();
    this.#image.sync();
    const sector = bytesOf(this.#empty.superblock);
    const v = viewOf(sector);
    setU64(v, SUPERBLOCK.at.icount, sum.inodes);
    setU64(v, SUPERBLOCK.at.ifree, sum.freeInodes);
    setU64(v, SUPERBLOCK.at.fdblocks, sum.freeBlocks);
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

/** Bytes of the short form: 0 without attributes, undefined where they have none. */
const attrsSize = (attrs: readonly NewAttr[]): number | undefined =>
  attrs.length === 0 ? 0 : shortFormAttrSize(attrs);

function setReflink(inode: Uint8Array): void {
  const v = viewOf(inode);
  v.setUint32(DINODE.at.flags2 + 4, dinodeFlags2(v, 0) | DIFLAG2.REFLINK);
  sealCrc(inode, DINODE.at.crc);
}
