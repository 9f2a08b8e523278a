/** Replay of buffer items: logged chunks over the block, then LSN and checksum by what the block is. */

import { sameUuidAt } from '../format/ag.js';
import { ATTR3_RMT_HDR, XFS_ATTR3_RMT_MAGIC } from '../format/attr.js';
import { sealCrc } from '../format/checksum.js';
import { DINODE } from '../format/dinode.js';
import type { Geometry } from '../format/geometry.js';
import { type BlockIdentity, identityOf } from '../format/identity.js';
import { type Lsn, writeLsn } from '../format/log.js';
import { BLF, BLFT, blftOf } from '../format/logitems.js';
import { getU64, viewOf } from '../format/structure.js';
import { SUPERBLOCK } from '../format/superblock.js';
import { LogError } from './error.js';
import { BufChunks, bufBlkno, bufBytes, bufFlags } from './items.js';
import type { LogItem } from './logitem.js';
import type { RecoverySet } from './recoverset.js';
import { SECTOR } from './writerun.js';

/** A buffer that was replayed, and what the replay did to it. */
interface Block {
  readonly offset: number;
  readonly length: number;
  /** BLFT of its last item; -1 before the first. */
  type: number;
  /** It is to get an LSN, or nothing but a new checksum, when no more is replayed at this one: see `settle`. */
  pending: boolean;
  lsn: Lsn | undefined;
  /** How many states it went through. */
  states: number;
  checkedWhole: boolean;
  /** Some item was older than the block. */
  newer: boolean;
}

/** A block, and what stands in it (BLFT). */
export interface GuardedBlock {
  readonly offset: number;
  readonly length: number;
  readonly type: number;
}

const NO_LSN = 0xffff_ffff;

export class BufferReplay {
  readonly #set: RecoverySet;
  readonly #g: Geometry;
  readonly #blocks = new Map<number, Block>();
  /** Those touched since the last `settle`. */
  #pending: Block[] = [];
  readonly #scratch = new Uint8Array(65536);
  readonly #stamp = viewOf(new Uint8Array(8));
  readonly #stampBytes = new Uint8Array(this.#stamp.buffer);
  readonly #chunks = new BufChunks();
  readonly #pointer = new Uint8Array(4);

  constructor(set: RecoverySet, g: Geometry) {
    this.#set = set;
    this.#g = g;
  }

  /** Replays an item. Returns false where the block is as new or newer. */
  replay(item: LogItem, lsn: Lsn, bad: (reason: string) => LogError): boolean {
    const offset = bufBlkno(item) * 512;
    const length = bufBytes(item);
    this.#set.locate(offset);
    if (this.#isNewer(this.#set.view, this.#set.at, lsn)) {
      if (length > SECTOR) this.#blockOf(offset, length).newer = true;
      return false;
    }
    if ((bufFlags(item) & BLF.INODE_BUF) !== 0) {
      this.#replayPointers(item, offset, length, bad);
      return true;
    }
    const type = blftOf(bufFlags(item));
    const inodes = type === BLFT.DINO;
    if (!inodes) this.#set.noInodes(offset, length);
    const chunks = this.#chunks;
    for (chunks.start(item); chunks.next(); ) {
      this.#set.put(offset + chunks.offset, chunks.memory, chunks.at, chunks.length);
      if (inodes) this.#addInodes(offset, chunks.offset, chunks.length);
    }
    if (inodes) return true;
    const block = this.#touch(offset, length);
    block.type = type;
    block.lsn = lsn;
    return true;
  }

  /**
   * Notes that a block was changed without a log item of its own: it gets its checksum and keeps its LSN.
   */
  touch(offset: number, length: number, type: number): void {
    const block = this.#blockOf(offset, length);
    if (block.pending) return;
    this.#touch(offset, length).type = type;
    block.lsn = undefined;
  }

  #touch(offset: number, length: number): Block {
    const block = this.#blockOf(offset, length);
    if (!block.pending) {
      block.pending = true;
      this.#pending.push(block);
    }
    return block;
  }

  /** Stamps what was replayed since the last call with its LSN, and computes its checksums. */
  settle(): void {
    for (const block of this.#pending) this.#settle(block);
    this.#pending = [];
  }

  #settle(block: Block): void {
    block.pending = false;
    if (block.type === BLFT.ATTR_RMT) {
      this.#sealRemote(block);
      return;
    }
    this.#set.locate(block.offset);
    const identity = identityOf(this.#set.view, this.#set.at);
    // A block that is not what its item says is left as logged.
    if (identity?.type !== block.type) return;
    if (block.lsn !== undefined) {
      this.#checkPlace(block, identity, block.lsn);
      writeLsn(this.#stamp, 0, block.lsn);
      this.#set.put(block.offset + identity.lsn, this.#stampBytes, 0, 8);
    }
    this.#set.head(block.offset, block.length);
    block.states++;
    block.checkedWhole = identity.checkedWhole;
    // What of it is not logged was read a moment ago, and need not be read from the image again.
    const bytes = this.#read(block);
    sealCrc(bytes, identity.crc);
    this.#put(block.offset, bytes, identity.crc, 4);
  }

  /** Linux refuses to write a block that is of another filesystem, or says that it belongs elsewhere. */
  #checkPlace({ offset }: Block, { bno, uuid }: BlockIdentity, lsn: Lsn): void {
    const { view: v, at } = this.#set;
    if (bno === undefined) return;
    const place = getU64(v, at + bno);
    if (place * SECTOR !== offset)
      throw new LogError(lsn, `a block for ${offset / SECTOR} that belongs at block ${place}`);
    if (!sameUuidAt(this.#g, v, at + uuid))
      throw new LogError(lsn, `a block for ${offset / SECTOR} of another filesystem`);
  }

  /** Computes the checksums that are left, those of inodes: to be called once, after the last item. */
  finish(): void {
    this.settle();
    this.#set.sealInodes(this.#g.inodesize);
  }

  /**
   * Blocks that Linux would not replay again if only some of their sectors were written: it reads and checks
   * those it takes for newer than an item, and checks each state it writes, where several follow.
   */
  fragile(): GuardedBlock[] {
    const out: GuardedBlock[] = [];
    for (const b of this.#blocks.values())
      if (b.length > SECTOR && b.states > 0 && (b.newer || (b.checkedWhole && b.states > 1))) out.push(b);
    return out;
  }

  #blockOf(offset: number, length: number): Block {
    const key = offset + length / SECTOR - 1;
    let block = this.#blocks.get(key);
    if (block === undefined) {
      const none = { type: -1, pending: false, lsn: undefined };
      block = { offset, length, ...none, states: 0, checkedWhole: false, newer: false };
      this.#blocks.set(key, block);
    }
    return block;
  }

  /**
   * Whether the block at `at` is as new as an LSN: not where it carries none, or is of another filesystem, or of a
   * kind told to have none.
   */
  #isNewer(v: DataView, at: number, than: Lsn): boolean {
    const identity = identityOf(v, at);
    if (identity === undefined) return false;
    const { features } = this.#g;
    const meta = identity.type === BLFT.SB && features.metaUuid;
    const uuidAt = at + (meta ? SUPERBLOCK.at.meta_uuid : identity.uuid);
    if (!sameUuidAt(this.#g, v, uuidAt)) return false;
    const cycle = v.getUint32(at + identity.lsn);
    const block = v.getUint32(at + identity.lsn + 4);
    if ((cycle === 0 && block === 0) || (cycle === NO_LSN && block === NO_LSN)) return false;
    return cycle !== than.cycle ? cycle > than.cycle : block >= than.block;
  }

  #addInodes(offset: number, at: number, count: number): void {
    const { inodesize } = this.#g;
    const first = at - (at % inodesize);
    for (let base = first; base < at + count; base += inodesize) this.#set.inode(offset + base);
  }

  /** Of inode buffers only the pointers of the unlinked lists count: inodes are logged by items of their own. */
  #replayPointers(item: LogItem, offset: number, length: number, bad: (reason: string) => LogError): void {
    const { inodesize } = this.#g;
    const field = DINODE.at.next_unlinked;
    const chunks = this.#chunks;
    for (chunks.start(item); chunks.next(); ) {
      const { offset: at, length: count } = chunks;
      const from = Math.max(0, Math.ceil((at - field) / inodesize));
      for (let base = from * inodesize; base < length && base + field < at + count; base += inodesize) {
        const inside = chunks.at + base + field - at;
        this.#pointer.set(chunks.memory.subarray(inside, inside + 4));
        if (this.#pointer.every((b) => b === 0))
          throw bad(`an inode buffer at block ${offset / 512} with a next_unlinked pointer of 0`);
        this.#set.write(offset + base + field, this.#pointer);
        this.#set.inode(offset + base);
      }
    }
  }

  #read({ offset, length }: Block): Uint8Array {
    const bytes = this.#scratch.subarray(0, length);
    this.#set.read(offset, bytes);
    return bytes;
  }

  /** Each filesystem block of a remote value has a header, and no LSN that could count. */
  #sealRemote(block: Block): void {
    const { blocksize } = this.#g;
    const bytes = this.#read(block);
    const v = viewOf(bytes);
    for (let at = 0; at + blocksize <= bytes.length; at += blocksize) {
      if (v.getUint32(at + ATTR3_RMT_HDR.at.magic) !== XFS_ATTR3_RMT_MAGIC) continue;
      sealCrc(bytes.subarray(at, at + blocksize), ATTR3_RMT_HDR.at.crc);
      this.#put(block.offset + at, bytes.subarray(at), ATTR3_RMT_HDR.at.crc, 4);
    }
  }

  #put(offset: number, block: Uint8Array, at: number, count: number): void {
    this.#set.put(offset + at, block, at, count);
  }
}
