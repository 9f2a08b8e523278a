/** A file's inode: attributes laid out, both forks built, the core filled in. */
import { type NewAttr, planAttrs, shortFormAttrSize, shortFormAttrs, writeAttrs } from '../../build/attr.js';
import { buildFork, ExtentColumns } from '../../build/fork.js';
import { crc32c } from '../../format/checksum.js';
import { DIFLAG, DIFLAG2, DINODE, FORK_FORMAT, S_IF, type Timespec } from '../../format/dinode.js';
import type { Geometry } from '../../format/geometry.js';
import { viewOf } from '../../format/structure.js';
import { storedAttr } from './attrs.js';
import type { Inherited } from './empty.js';
import { type ForkBlocks, OWNED } from './forkblocks.js';
import { attrOffset, encodeForks, type Fork, forkRooms } from './forks.js';
import type { InodeTable } from './inodes.js';
import type { SourceTree } from './tree.js';

/** What of an inode its row does not tell. */
export interface NewFile {
  readonly ino: number;
  readonly nlink: number;
  readonly attrs: readonly NewAttr[];
  /** The data fork as it stands in the inode, or what it maps. */
  readonly data: Fork | ExtentColumns;
  readonly size: number;
  /** Shares blocks. */
  readonly reflink: boolean;
  /** Its neighbours are not about to follow. */
  readonly alone: boolean;
}

export class InodeWriter {
  readonly #g: Geometry;
  readonly #tree: SourceTree;
  readonly #blocks: ForkBlocks;
  readonly #inodes: InodeTable;
  readonly #inherited: Inherited;
  readonly #time: Timespec | undefined;
  readonly #generation: number;
  readonly #attrExtents = new ExtentColumns();
  /** The inode at hand. */
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  /** @param time change and creation time of all; default each file's modification time */
  constructor(
    blocks: ForkBlocks,
    tree: SourceTree,
    inodes: InodeTable,
    inherited: Inherited,
    time: Timespec | undefined,
  ) {
    const { g } = blocks;
    this.#g = g;
    this.#blocks = blocks;
    this.#tree = tree;
    this.#inodes = inodes;
    this.#inherited = inherited;
    this.#time = time;
    this.#generation = crc32c(g.metaUuidBytes);
    this.#bytes = new Uint8Array(g.inodesize);
    this.#view = viewOf(this.#bytes);
  }

  /** A row's attributes as they are stored. */
  attrs(row: number): readonly NewAttr[] {
    const all = this.#tree.xattrs.get(row);
    if (all === undefined) return [];
    const out: NewAttr[] = [];
    for (const x of all) {
      const stored = storedAttr(x, all, () => this.#tree.showPath(row));
      if (stored !== undefined) out.push(stored);
    }
    return out;
  }

  /** Lays out attributes, writes the inode of row `row`. */
  write(row: number, file: NewFile): void {
    const g = this.#g;
    const tree = this.#tree;
    const { ino, attrs, data } = file;
    const mapped = data instanceof ExtentColumns;
    const isDevice = !mapped && data.format === FORK_FORMAT.DEV;
    const all = g.inodesize - DINODE.size;
    let nblocks = 0;
    let attr: Fork | undefined;
    let attrAt = 0;
    if (attrs.length > 0) {
      const attrBytes = attrsSize(attrs);
      const rooms = forkRooms(g, attrBytes, isDevice);
      attrAt = attrOffset(g, rooms, attrBytes, mapped ? 0 : data.bytes.length, isDevice);
      if (rooms.attrsInside) attr = { format: FORK_FORMAT.LOCAL, bytes: shortFormAttrs(attrs), extents: 0 };
      else {
        const built = this.#attrFork(ino, attrs, all - attrAt);
        nblocks += built.blocks;
        attr = built.fork;
      }
    }
    let fork: Fork;
    if (mapped) {
      this.#blocks.own(ino, data, 0);
      const room = attr === undefined ? all : attrAt;
      const built = buildFork(g, ino, data, room, this.#blocks.treeSpace(ino, 0));
      nblocks += data.total + built.treeBlocks;
      fork = built;
    } else fork = data;
    const type = tree.type(row);
    const isDir = type === S_IF.DIR;
    const isRegular = type === S_IF.REG;
    const inherited = this.#inherited;
    const mtime = { sec: tree.mtime[row], nsec: tree.mtimeNsec[row] };
    const stamp = this.#time ?? mtime;
    let { flags2 } = inherited;
    if (!isDir && !isRegular) flags2 &= ~DIFLAG2.COWEXTSIZE & ~DIFLAG2.DAX;
    if (file.reflink) flags2 |= DIFLAG2.REFLINK;
    const hasExtsize = isDir || (isRegular && (inherited.fileFlags & DIFLAG.EXTSIZE) !== 0);
    encodeForks(
      g,
      this.#bytes,
      this.#view,
      {
        ino,
        format: fork.format,
        mode: tree.mode[row],
        nlink: file.nlink,
        uid: tree.uid[row],
        gid: tree.gid[row],
        projid: inherited.projid,
        size: file.size,
        nblocks,
        flags: isDir ? inherited.dirFlags : inherited.fileFlags,
        flags2,
        extsize: hasExtsize ? inherited.extsize : 0,
        cowextsize: isDir || isRegular ? inherited.cowextsize : 0,
        generation: (this.#generation ^ Math.imul(ino, 0x9e37_79b1)) >>> 0,
        changeCount: 1,
        atime: { sec: tree.atime[row], nsec: tree.atimeNsec[row] },
        mtime,
        ctime: stamp,
        crtime: stamp,
      },
      fork,
      attrAt,
      attr,
    );
    this.#inodes.put(ino, this.#bytes, file.alone);
  }

  /** Attributes that do not stand in the inode, and all the blocks they take. */
  #attrFork(ino: number, attrs: readonly NewAttr[], room: number): { fork: Fork; blocks: number } {
    const list = this.#attrExtents;
    list.clear();
    const plan = planAttrs(this.#g, attrs);
    this.#blocks.take(list, 0, plan.blocks);
    writeAttrs(this.#g, ino, plan, this.#blocks.target(list));
    this.#blocks.own(ino, list, OWNED.ATTR);
    const fork = buildFork(this.#g, ino, list, room, this.#blocks.treeSpace(ino, OWNED.ATTR));
    return { fork, blocks: plan.blocks + fork.treeBlocks };
  }
}

/** Bytes of the short form: 0 without attributes, undefined where they have none. */
export const attrsSize = (attrs: readonly NewAttr[]): number | undefined =>
  attrs.length === 0 ? 0 : shortFormAttrSize(attrs);
