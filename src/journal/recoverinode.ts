/**
 * Replay of inode items: the logged core, in the writer's byte order, over the inode on disk, then the forks
 * that were logged; where asked for, the owner in the blocks of a fork's btree.
 */
import { BMDR_BLOCK, BTREES, LONG_BLOCK, maxNodeRecords, maxRootRecords, ptrAt } from '../format/btree.js';
import {
  attrForkAt,
  attrForkSize,
  DINODE,
  DINODE_SIZE,
  dataForkSize,
  dinodeMode,
  FORK_FORMAT,
  XFS_DINODE_MAGIC,
} from '../format/dinode.js';
import {
  fsblockOffset,
  type Geometry,
  INODES_PER_CHUNK,
  inodeOffset,
  isFsRange,
  isInoInRange,
} from '../format/geometry.js';
import { compareLsnAt, type Lsn, writeLsn } from '../format/log.js';
import {
  BLFT,
  ILOG,
  ILOG_AFORK,
  ILOG_DFORK,
  INODE_LOG_FORMAT,
  inodeLogFormat,
  logDinodeIsBigtime,
  swapDinode,
} from '../format/logitems.js';
import { getU64, setU64, viewOf } from '../format/structure.js';
import { Inode, verifyCore } from '../volume/inode.js';
import type { LogError } from './error.js';
import { i64Of, inodeFields, inodeIno, inodeRdev } from './items.js';
import type { LogItem } from './logitem.js';
import type { BufferReplay } from './recoverbuffer.js';
import type { RecoverySet } from './recoverset.js';

const AT = DINODE.at;
/** Of both layouts of the format structure. */
const SIZE_AT = INODE_LOG_FORMAT.at;
/** Blocks of one fork's btree that an owner change will go through: more than any fork here has. */
const MAX_OWNER_BLOCKS = 2 ** 22;

type Bad = (reason: string) => LogError;

export class InodeReplay {
  readonly #set: RecoverySet;
  /** Changes when the filesystem grows. */
  g: Geometry;
  readonly #buffers: BufferReplay;
  readonly #disk: Uint8Array;
  readonly #view: DataView;

  constructor(set: RecoverySet, g: Geometry, buffers: BufferReplay) {
    this.#set = set;
    this.g = g;
    this.#buffers = buffers;
    this.#disk = new Uint8Array(g.inodesize);
    this.#view = viewOf(this.#disk);
  }

  /** Replays an item; says what became of it. */
  replay(
    item: LogItem,
    lsn: Lsn,
    isCancelled: (blkno: number, blocks: number) => boolean,
    bad: Bad,
  ): 'replayed' | 'newer' | 'cancelled' {
    const layout = inodeLogFormat(item.length(0));
    const ino = inodeIno(item);
    const blkno = i64Of(item.data, item.start(0) + layout.at.blkno, item.littleEndian);
    const blocks = item.i32(layout.at.len);
    if (isCancelled(blkno, blocks)) return 'cancelled';
    const boffset = item.i32(layout.at.boffset);
    const offset = blkno * 512 + boffset;
    const { blocksize, inodesize } = this.g;
    const buffer = blocks * 512;
    if (
      !isInoInRange(this.g, ino) ||
      offset !== inodeOffset(this.g, ino) ||
      boffset + inodesize > buffer ||
      buffer % blocksize !== 0 ||
      buffer > INODES_PER_CHUNK * Math.max(inodesize, blocksize) ||
      offset >= this.#set.size
    )
      throw bad(`inode ${ino} at block ${blkno}, byte ${boffset}: not its place`);
    const disk = this.#view;
    this.#set.read(offset, this.#disk);
    if (disk.getUint16(AT.magic) !== XFS_DINODE_MAGIC)
      throw bad(`inode ${ino}: there is no inode at block ${blkno}, byte ${boffset}`);
    const fields = inodeFields(item);
    const stamped = disk.getUint32(AT.lsn) !== 0 || disk.getUint32(AT.lsn + 4) !== 0;
    const none = disk.getUint32(AT.lsn) === 0xffff_ffff && disk.getUint32(AT.lsn + 4) === 0xffff_ffff;
    // Several checkpoints can have one LSN: an equal one does not mean that this change is in it.
    const newer = stamped && !none && compareLsnAt(disk, AT.lsn, lsn) > 0;
    if (!newer) {
      this.#core(item, ino, lsn, bad);
      if ((fields & ILOG.DEV) !== 0) disk.setUint32(DINODE_SIZE, inodeRdev(item));
      this.#fork(item, 'data', ino, bad);
      this.#fork(item, 'attr', ino, bad);
      this.#set.write(offset, this.#disk);
      this.#set.inode(offset);
    }
    if ((fields & (ILOG.DOWNER | ILOG.AOWNER)) !== 0 && dinodeMode(disk, 0) !== 0) {
      if ((fields & ILOG.DOWNER) !== 0) this.#changeOwner('data', ino, bad);
      if ((fields & ILOG.AOWNER) !== 0) this.#changeOwner('attr', ino, bad);
    }
    return newer ? 'newer' : 'replayed';
  }

  #core(item: LogItem, ino: number, lsn: Lsn, bad: Bad): void {
    const { data: logged, memory, littleEndian: le } = item;
    const core = item.start(1);
    if (logged.getUint16(core + AT.magic, le) !== XFS_DINODE_MAGIC)
      throw bad(`inode ${ino}: its log item does not hold an inode`);
    const disk = this.#view;
    const next = disk.getUint32(AT.next_unlinked);
    swapDinode(memory, this.#disk, 0, le, logDinodeIsBigtime(logged, core, le), core);
    // These are logged in other ways, or not at all.
    disk.setUint32(AT.next_unlinked, next);
    writeLsn(disk, AT.lsn, lsn);
    this.#disk.fill(0, AT.pad2, AT.pad2 + 12);
    verifyCore(this.g, new Inode(ino, disk, 0, this.g.inodesize), (field, value, expected) => {
      throw bad(`inode ${ino}: ${field} is ${value}, expected ${expected}`);
    });
  }

  #fork(item: LogItem, fork: 'data' | 'attr', ino: number, bad: Bad): void {
    const data = fork === 'data';
    const logged = inodeFields(item);
    const fields = logged & (data ? ILOG_DFORK : ILOG_AFORK);
    if (fields === 0) return;
    // Behind the format structure and the core; the attribute fork behind the data fork where that is logged.
    const number = data || (logged & ILOG_DFORK) === 0 ? 2 : 3;
    if (number >= item.count) return;
    const { inodesize } = this.g;
    const at = data ? DINODE_SIZE : attrForkAt(this.#view, 0);
    const size = data ? dataForkSize(this.#view, 0, inodesize) : attrForkSize(this.#view, 0, inodesize);
    const root = data ? ILOG.DBROOT : ILOG.ABROOT;
    if ((fields & (fields - 1)) !== 0)
      throw bad(
        `inode ${ino}: fields 0x${inodeFields(item).toString(16)} name two forms of its ${fork} fork`,
      );
    if (fields === root) this.#root(item.region(number)!, at, size, fork, ino, bad);
    else {
      const length = item.u16(data ? SIZE_AT.dsize : SIZE_AT.asize);
      const held = item.length(number);
      if (length > size || length > held)
        throw bad(`inode ${ino}: ${length} bytes logged of a ${fork} fork of ${size}`);
      // Padding up to the next 4 bytes is logged and, where it fits, copied with the rest.
      const from = item.start(number);
      for (let i = 0, count = Math.min(held, size); i < count; i++)
        this.#disk[at + i] = item.memory[from + i];
    }
  }

  /** A btree's root as memory has it, a whole block's header and keys and pointers packed, to the short form. */
  #root(region: Uint8Array, at: number, size: number, fork: string, ino: number, bad: Bad): void {
    const from = viewOf(region);
    const room = Math.floor((region.length - LONG_BLOCK.size) / 16);
    const max = maxRootRecords(size);
    const level = room < 0 ? 0 : from.getUint16(LONG_BLOCK.at.level);
    const numrecs = room < 0 ? 0 : from.getUint16(LONG_BLOCK.at.numrecs);
    if (level === 0 || numrecs > room || numrecs > max)
      throw bad(`inode ${ino}: a btree root of ${numrecs} records at level ${level} in its ${fork} fork`);
    this.#view.setUint16(at + BMDR_BLOCK.at.level, level);
    this.#view.setUint16(at + BMDR_BLOCK.at.numrecs, numrecs);
    const keys = LONG_BLOCK.size;
    const ptrs = keys + room * 8;
    this.#disk.set(region.subarray(keys, keys + numrecs * 8), at + BMDR_BLOCK.size);
    this.#disk.set(region.subarray(ptrs, ptrs + numrecs * 8), at + BMDR_BLOCK.size + max * 8);
  }

  /** Makes the inode in hand the owner of all blocks of a fork's btree, after two files swapped extents. */
  #changeOwner(fork: 'data' | 'attr', ino: number, bad: Bad): void {
    const g = this.g;
    const v = this.#view;
    const data = fork === 'data';
    if ((data ? v.getUint8(AT.format) : v.getInt8(AT.aformat)) !== FORK_FORMAT.BTREE) return;
    const at = data ? DINODE_SIZE : attrForkAt(v, 0);
    const size = data ? dataForkSize(v, 0, g.inodesize) : attrForkSize(v, 0, g.inodesize);
    const max = maxRootRecords(size);
    const rootLevel = v.getUint16(at + BMDR_BLOCK.at.level);
    const rootRecs = v.getUint16(at + BMDR_BLOCK.at.numrecs);
    if (rootRecs > max || rootLevel === 0 || rootLevel > 10)
      throw bad(
        `inode ${ino}: a btree root of ${rootRecs} records at level ${rootLevel} in its ${fork} fork`,
      );
    let level: number[] = [];
    for (let i = 0; i < rootRecs; i++) level.push(getU64(v, at + BMDR_BLOCK.size + max * 8 + i * 8));
    const block = new Uint8Array(g.blocksize);
    const b = viewOf(block);
    const kind = BTREES.bmbt;
    let seen = 0;
    for (let depth = rootLevel - 1; depth >= 0; depth--) {
      const below: number[] = [];
      for (const fsblock of level) {
        if (fsblock === 0 || !isFsRange(g, fsblock, 1) || ++seen > MAX_OWNER_BLOCKS)
          throw bad(`inode ${ino}: its ${fork} fork's btree points to block ${fsblock}`);
        const offset = fsblockOffset(g, fsblock);
        this.#set.read(offset, block);
        if (b.getUint32(LONG_BLOCK.at.magic) !== kind.magic || b.getUint16(LONG_BLOCK.at.level) !== depth)
          throw bad(`inode ${ino}: block ${fsblock} is none of its ${fork} fork's btree`);
        if (getU64(b, LONG_BLOCK.at.owner) !== ino) {
          setU64(b, LONG_BLOCK.at.owner, ino);
          this.#set.write(
            offset + LONG_BLOCK.at.owner,
            block.subarray(LONG_BLOCK.at.owner, LONG_BLOCK.at.owner + 8),
          );
          this.#buffers.touch(offset, g.blocksize, BLFT.BTREE);
        }
        if (depth === 0) continue;
        const count = Math.min(b.getUint16(LONG_BLOCK.at.numrecs), maxNodeRecords(kind, g.blocksize));
        for (let i = 0; i < count; i++) below.push(getU64(b, ptrAt(kind, g.blocksize, i)));
      }
      level = below;
    }
  }
}
