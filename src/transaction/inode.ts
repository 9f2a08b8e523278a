/**
 * An inode that can be changed. It stands in the buffer of its cluster; every change goes through
 * `Transaction.editInode` first. There is one object per inode as long as anybody holds it.
 */
import {
  DINODE,
  DINODE_SIZE,
  DINODE64,
  dinodeIsNrext64,
  type Timespec,
  writeTimestamp,
} from '../format/dinode.js';
import { ILOG } from '../format/logitems.js';
import { setU64 } from '../format/structure.js';
import type { ForkName } from '../volume/fork.js';
import { Inode } from '../volume/inode.js';
import type { ForkMap } from './bmap.js';
import type { Buffer } from './buffers.js';

const AT = DINODE.at;

export class LiveInode extends Inode {
  readonly buffer: Buffer;
  /** What has to be logged of it with the next checkpoint (ILOG). */
  logFields = 0;
  /** Extents of the forks, in memory once somebody needs them. */
  data: ForkMap | undefined;
  attr: ForkMap | undefined;

  constructor(ino: number, buffer: Buffer, base: number, inodesize: number) {
    super(ino, buffer.view, base, inodesize);
    this.buffer = buffer;
  }

  /** The inode's bytes. */
  get bytes(): Uint8Array {
    return this.buffer.bytes.subarray(this.base, this.base + this.inodesize);
  }

  /** Forgets what was derived from its bytes: they were put back. */
  forget(): void {
    this.data = undefined;
    this.attr = undefined;
  }

  setMode(mode: number): void {
    this.view.setUint16(this.base + AT.mode, mode);
  }
  setOwner(uid: number, gid: number): void {
    this.view.setUint32(this.base + AT.uid, uid);
    this.view.setUint32(this.base + AT.gid, gid);
  }
  setProjid(projid: number): void {
    this.view.setUint16(this.base + AT.projid_lo, projid & 0xffff);
    this.view.setUint16(this.base + AT.projid_hi, projid >>> 16);
  }
  setNlink(nlink: number): void {
    this.view.setUint32(this.base + AT.nlinkv2, nlink);
  }
  /** A bigint where the size may pass 2^53. */
  setSize(bytes: number | bigint): void {
    this.view.setBigUint64(this.base + AT.size, BigInt(bytes));
  }
  setNblocks(blocks: number): void {
    setU64(this.view, this.base + AT.nblocks, blocks);
  }
  setFlags(flags: number): void {
    this.view.setUint16(this.base + AT.flags, flags);
  }
  setFlags2(flags2: number): void {
    setU64(this.view, this.base + AT.flags2, flags2);
  }
  setExtsize(blocks: number): void {
    this.view.setUint32(this.base + AT.extsize, blocks);
  }
  setCowextsize(blocks: number): void {
    this.view.setUint32(this.base + AT.cowextsize, blocks);
  }
  setGeneration(generation: number): void {
    this.view.setUint32(this.base + AT.gen, generation);
  }
  setFormat(fork: ForkName, format: number): void {
    this.view.setUint8(this.base + (fork === 'data' ? AT.format : AT.aformat), format);
  }
  /** In units of 8 bytes; 0: no attribute fork. */
  setForkoff(forkoff: number): void {
    this.view.setUint8(this.base + AT.forkoff, forkoff);
  }
  setExtentCount(fork: ForkName, count: number): void {
    const { view, base } = this;
    if (dinodeIsNrext64(view, base)) {
      if (fork === 'data') setU64(view, base + DINODE64.at.nextents, count);
      else view.setUint32(base + DINODE64.at.naextents, count);
    } else if (fork === 'data') view.setUint32(base + AT.nextents, count);
    else view.setUint16(base + AT.naextents, count);
  }
  /** Device number in Linux's 32-bit coding. */
  setRdev(rdev: number): void {
    this.view.setUint32(this.base + DINODE_SIZE, rdev);
  }
  setTime(which: 'atime' | 'mtime' | 'ctime' | 'crtime', time: Timespec): void {
    writeTimestamp(this.view, this.base + AT[which], time, this.isBigtime);
  }
  get isBigtime(): boolean {
    return (this.flags2 & 8) !== 0;
  }
  get changeCount(): number {
    return (
      this.view.getUint32(this.base + AT.change_count) * 2 ** 32 +
      this.view.getUint32(this.base + AT.change_count + 4)
    );
  }
  bumpChangeCount(): void {
    const at = this.base + AT.change_count;
    const low = (this.view.getUint32(at + 4) + 1) >>> 0;
    this.view.setUint32(at + 4, low);
    if (low === 0) this.view.setUint32(at, (this.view.getUint32(at) + 1) >>> 0);
  }
  setNextUnlinked(agino: number): void {
    this.view.setUint32(this.base + AT.next_unlinked, agino);
  }
}

/** Bits of ILOG that say "this fork's contents", by fork. */
export const FORK_LOG = {
  data: { local: ILOG.DDATA, extents: ILOG.DEXT, root: ILOG.DBROOT },
  attr: { local: ILOG.ADATA, extents: ILOG.AEXT, root: ILOG.ABROOT },
} as const;
