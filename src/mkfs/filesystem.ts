/**
 * The bytes of an empty filesystem.
 *
 * What is written first is a superblock marked "in progress", which no kernel mounts; the mark is taken off
 * last, once all else is on stable storage, so that a mkfs that was killed leaves nothing that looks whole.
 */
import { encodeAgf, encodeAgfl, encodeAgi } from '../build/ag.js';
import { btreeShape, bulkLoad } from '../build/btree.js';
import { encodeFreeInode, encodeInode } from '../build/inode.js';
import { writeAllocRecord, writeInodeRecord, writeRmapRecord } from '../build/records.js';
import { AG_SECTOR } from '../format/ag.js';
import { type AgBtreeName, BTREES } from '../format/btree.js';
import { sealCrc } from '../format/checksum.js';
import { DIFLAG, DIFLAG2, FORK_FORMAT, S_IF, type Timespec } from '../format/dinode.js';
import { blockOffset, type Geometry, geometryOf, inodeOffset, inoOf } from '../format/geometry.js';
import { viewOf } from '../format/structure.js';
import { SUPERBLOCK } from '../format/superblock.js';
import type { Source } from '../image/source.js';
import { unmountRecord } from '../journal/emptylog.js';
import type { Layout } from './layout.js';
import type { OptionValues } from './options.js';
import {
  type EmptyAg,
  emptyAg,
  firstInodes,
  freeBlocks,
  longestFree,
  rootChunkAgbno,
  SPECIAL_INODES,
} from './spaces.js';
import { type Counters, encodeSuperblock } from './superblock.js';

/** Everything that is written, computed before it is. */
export class NewFilesystem {
  readonly g: Geometry;
  readonly #layout: Layout;
  readonly #options: OptionValues;
  readonly #time: Timespec;
  readonly #ags: EmptyAg[];
  readonly #primary: Uint8Array;
  readonly #copy: Uint8Array;
  readonly #copyWithRoot: Uint8Array;

  constructor(layout: Layout, uuid: string, label: Uint8Array, options: OptionValues, time: Timespec) {
    this.#layout = layout;
    this.#options = options;
    this.#time = time;
    const { dblocks, agcount, headBlocks, logblocks } = layout;
    const untouched: Counters = {
      icount: 0,
      ifree: 0,
      fdblocks: dblocks - agcount * headBlocks - logblocks,
    };
    this.#copy = encodeSuperblock(layout, uuid, label, untouched, {}, true);
    const g = geometryOf(this.#copy);
    this.#ags = Array.from({ length: agcount }, (_, agno) => emptyAg(g, layout, agno));
    const root = inoOf(g, 0, rootChunkAgbno(g, layout) * g.inopblock);
    this.#copyWithRoot = encodeSuperblock(layout, uuid, label, untouched, { root }, true);
    const counters: Counters = {
      icount: firstInodes(g),
      ifree: firstInodes(g) - SPECIAL_INODES,
      fdblocks: this.#ags.reduce((n, ag) => n + freeBlocks(ag) + ag.freelist.length, 0),
    };
    const inodes = { root, rtBitmap: root + 1, rtSummary: root + 2 };
    this.#primary = encodeSuperblock(layout, uuid, label, counters, inodes, true);
    for (const sector of [this.#copy, this.#copyWithRoot, this.#primary]) sealCrc(sector, SUPERBLOCK.at.crc);
    this.g = geometryOf(this.#primary);
  }

  /** The log behind its first record, and all free blocks, are left as they are: zeros, or not looked at. */
  write(source: Source): void {
    const { g } = this;
    for (const ag of this.#ags) source.write(blockOffset(g, ag.agno, 0), this.#agHead(ag));
    source.write(inodeOffset(g, g.rootino), this.#firstInodes());
    const log = this.#layout;
    source.write(
      blockOffset(g, log.logAg, log.logAgbno),
      unmountRecord({ uuid: g.metaUuidBytes, sunit: log.logsunit }),
    );
    source.sync();
    this.#primary[SUPERBLOCK.at.inprogress] = 0;
    sealCrc(this.#primary, SUPERBLOCK.at.crc);
    source.write(0, this.#primary);
    source.sync();
  }

  #superblockOf(agno: number): Uint8Array {
    if (agno === 0) return this.#primary;
    const { agcount } = this.g;
    // Two of the copies name the root directory, should the primary be lost.
    const middle = agcount > 2 ? Math.floor((agcount - 1) / 2) : -1;
    return agno === agcount - 1 || agno === middle ? this.#copyWithRoot : this.#copy;
  }

  /** Headers and btree roots of an AG, in one piece. */
  #agHead(ag: EmptyAg): Uint8Array {
    const { g } = this;
    const { agno, trees, freelist } = ag;
    const head = new Uint8Array(this.#layout.headBlocks * g.blocksize);
    const count = ag.chunks.reduce((n, c) => n + c.count, 0);
    const freecount = ag.chunks.reduce((n, c) => n + c.freecount, 0);
    head.set(this.#superblockOf(agno), AG_SECTOR.sb * g.sectsize);
    head.set(
      encodeAgf(g, { agno, trees, freelist, freeblks: freeBlocks(ag), longest: longestFree(ag) }),
      AG_SECTOR.agf * g.sectsize,
    );
    head.set(
      encodeAgi(g, { agno, trees, count, freecount, newino: ag.chunks[0]?.startino }),
      AG_SECTOR.agi * g.sectsize,
    );
    head.set(encodeAgfl(g, { agno, freelist }), AG_SECTOR.agfl * g.sectsize);

    const root = (
      name: AgBtreeName,
      records: number,
      writeRecord: (i: number, view: DataView, at: number) => void,
    ): void => {
      const tree = trees[name];
      if (tree === undefined) return;
      const kind = BTREES[name];
      bulkLoad({
        kind,
        blocksize: g.blocksize,
        count: records,
        writeRecord,
        shape: btreeShape(kind, g.blocksize, records),
        block: () => tree.root,
        daddr: (agbno) => blockOffset(g, agno, agbno) / 512,
        owner: agno,
        uuid: g.metaUuidBytes,
        emit: (agbno, bytes) => head.set(bytes, agbno * g.blocksize),
      });
    };
    const free = ag.free;
    root('bnobt', free.length, (i, v, at) => writeAllocRecord(v, at, free[i].agbno, free[i].blocks));
    const bySize = [...free].sort((a, b) => a.blocks - b.blocks || a.agbno - b.agbno);
    root('cntbt', free.length, (i, v, at) => writeAllocRecord(v, at, bySize[i].agbno, bySize[i].blocks));
    const inodes = (i: number, v: DataView, at: number): void =>
      writeInodeRecord(v, at, ag.chunks[i], g.features.sparseInodes);
    root('inobt', ag.chunks.length, inodes);
    root('finobt', ag.chunks.length, inodes);
    root('rmapbt', ag.rmaps.length, (i, v, at) => writeRmapRecord(v, at, ag.rmaps[i]));
    root('refcountbt', 0, () => {});
    return head;
  }

  /** The first inodes: an empty root directory, the realtime bitmap and summary, the rest free. */
  #firstInodes(): Uint8Array {
    const { g } = this;
    const { rootino, inodesize } = g;
    const bytes = new Uint8Array(firstInodes(g) * inodesize);
    const inode = (i: number): Uint8Array => bytes.subarray(i * inodesize, (i + 1) * inodesize);
    const o = this.#options;
    let inherited = 0;
    if (g.features.bigtime) inherited |= DIFLAG2.BIGTIME;
    if (g.features.nrext64) inherited |= DIFLAG2.NREXT64;
    let flags = 0;
    let flags2 = inherited;
    if (o.rtInherit) flags |= DIFLAG.RTINHERIT;
    if (o.projInherit !== undefined) flags |= DIFLAG.PROJINHERIT;
    if (o.extentSizeInherit) flags |= DIFLAG.EXTSZINHERIT;
    if (o.cowExtentSize) flags2 |= DIFLAG2.COWEXTSIZE;
    if (o.daxInherit) flags2 |= DIFLAG2.DAX;
    const common = {
      changeCount: 2,
      atime: { sec: 0, nsec: 0 },
      mtime: this.#time,
      ctime: this.#time,
      crtime: this.#time,
    };
    // A directory without entries in its short form: two counts and the parent, which is itself.
    const directory = new Uint8Array(6);
    viewOf(directory).setUint32(2, rootino);
    encodeInode(
      g,
      inode(0),
      {
        ...common,
        ino: rootino,
        mode: S_IF.DIR | 0o755,
        nlink: 2,
        projid: o.projInherit,
        format: FORK_FORMAT.LOCAL,
        size: directory.length,
        extsize: o.extentSizeInherit,
        cowextsize: o.cowExtentSize,
        flags,
        flags2,
      },
      directory,
    );
    for (let i = 1; i < SPECIAL_INODES; i++)
      encodeInode(g, inode(i), {
        ...common,
        ino: rootino + i,
        mode: S_IF.REG,
        nlink: 1,
        format: FORK_FORMAT.EXTENTS,
        size: 0,
        flags: i === 1 ? DIFLAG.NEWRTBM : 0,
        flags2: inherited,
      });
    for (let i = SPECIAL_INODES; i < firstInodes(g); i++) encodeFreeInode(g, inode(i), rootino + i);
    return bytes;
  }
}
