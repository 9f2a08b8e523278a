/** Replay of buffer items: logged chunks over the block, then LSN and checksum by what the block is. */

import { ATTR3_RMT_HDR, XFS_ATTR3_RMT_MAGIC } from '../format/attr.js';
import { sealCrc } from '../format/checksum.js';
import { DINODE, XFS_DINODE_MAGIC } from '../format/dinode.js';
import type { Geometry } from '../format/geometry.js';
import { identityOf } from '../format/identity.js';
import { compareLsn, type Lsn, readLsn, writeLsn } from '../format/log.js';
import { BLF, BLFT, blftOf } from '../format/logitems.js';
import { viewOf } from '../format/structure.js';
import { SUPERBLOCK } from '../format/superblock.js';
import type { LogItem } from './decode.js';
import type { LogError } from './error.js';
import { BufChunks, bufBlkno, bufBytes, bufFlags } from './items.js';
import { type RecoverySet, SECTOR } from './recoverset.js';

/** A buffer that was replayed. Blocks get the LSN when no more is replayed at it: see `settle`. */
interface Touched {
  readonly offset: number;
  readonly length: number;
  /** BLFT of its last item. */
  type: number;
  lsn: Lsn | undefined;
}

/** What a replay does to one block. */
interface History {
  readonly offset: number;
  readonly length: number;
  type: number;
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
  /** Replayed since the last `settle`, by place and length. */
  readonly #touched = new Map<number, Touched>();
  readonly #histories = new Map<number, History>();
  readonly #head = new Uint8Array(SECTOR);
  readonly #headView = viewOf(this.#head);
  readonly #scratch = new Uint8Array(65536);
  readonly #chunks = new BufChunks();
  readonly #pointer = new Uint8Array(4);
  /** Inodes whose checksum is to be computed, by byte offset. */
  readonly #inodes = new Set<number>();

  constructor(set: RecoverySet, g: Geometry) {
    this.#set = set;
    this.#g = g;
  }

  /** Replays an item. Returns false where the block is as new or newer. */
  replay(item: LogItem, lsn: Lsn, bad: (reason: string) => LogError): boolean {
    const offset = bufBlkno(item) * 512;
    const length = bufBytes(item);
    this.#set.read(offset, this.#head);
    const held = this.#lsnOf(this.#headView);
    if (held !== undefined && compareLsn(held, lsn) >= 0) {
      if (length > SECTOR) this.#historyOf(offset, length).newer = true;
      return false;
    }
    if ((bufFlags(item) & BLF.INODE_BUF) !== 0) {
      this.#replayPointers(item, offset, length, bad);
      return true;
    }
    const type = blftOf(bufFlags(item));
    const chunks = this.#chunks;
    for (chunks.start(item); chunks.next(); ) {
      const { offset: at, length: count } = chunks;
      this.#set.put(offset + at, chunks.memory, chunks.at, count);
      if (type === BLFT.DINO) this.#addInodes(offset, at, count);
    }
    if (type === BLFT.DINO) return true;
    const key = offset + length / SECTOR - 1;
    const known = this.#touched.get(key);
    if (known === undefined) this.#touched.set(key, { offset, length, type, lsn });
    else {
      known.type = type;
      known.lsn = lsn;
    }
    return true;
  }

  /**
   * Notes that a block was changed without a log item of its own: it gets its checksum and keeps its LSN.
   */
  touch(offset: number, length: number, type: number): void {
    const key = offset + length / SECTOR - 1;
    if (!this.#touched.has(key)) this.#touched.set(key, { offset, length, type, lsn: undefined });
  }

  /** Stamps what was replayed since the last call with its LSN and checksum. */
  settle(): void {
    for (const touched of this.#touched.values()) this.#seal(touched);
    this.#touched.clear();
    for (const offset of this.#inodes) this.#sealInode(offset);
    this.#inodes.clear();
  }

  /**
   * Blocks that Linux would not replay again if only some of their sectors were written: it reads and checks
   * those it takes for newer than an item, and checks each state it writes, where several follow.
   */
  fragile(): GuardedBlock[] {
    const out: GuardedBlock[] = [];
    for (const h of this.#histories.values())
      if (h.length > SECTOR && h.states > 0 && (h.newer || (h.checkedWhole && h.states > 1))) out.push(h);
    return out;
  }

  #historyOf(offset: number, length: number): History {
    const key = offset + length / SECTOR - 1;
    let history = this.#histories.get(key);
    if (history === undefined) {
      history = { offset, length, type: 0, states: 0, checkedWhole: false, newer: false };
      this.#histories.set(key, history);
    }
    return history;
  }

  /** The LSN a block carries: undefined for one without, or of another filesystem, or a kind told to have none. */
  #lsnOf(v: DataView): Lsn | undefined {
    const identity = identityOf(v, 0);
    if (identity === undefined) return undefined;
    const { metaUuidBytes, features } = this.#g;
    const uuidAt = identity.type === BLFT.SB && features.metaUuid ? SUPERBLOCK.at.meta_uuid : identity.uuid;
    for (let i = 0; i < 16; i++) if (v.getUint8(uuidAt + i) !== metaUuidBytes[i]) return undefined;
    const lsn = readLsn(v, identity.lsn);
    if (lsn.cycle === 0 && lsn.block === 0) return undefined;
    if (lsn.cycle === NO_LSN && lsn.block === NO_LSN) return undefined;
    return lsn;
  }

  #addInodes(offset: number, at: number, count: number): void {
    const { inodesize } = this.#g;
    const first = at - (at % inodesize);
    for (let base = first; base < at + count; base += inodesize) this.#inodes.add(offset + base);
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
        this.#inodes.add(offset + base);
      }
    }
  }

  #sealInode(offset: number): void {
    const inode = this.#scratch.subarray(0, this.#g.inodesize);
    this.#set.read(offset, inode);
    if (viewOf(inode).getUint16(DINODE.at.magic) !== XFS_DINODE_MAGIC) return;
    sealCrc(inode, DINODE.at.crc);
    this.#set.put(offset + DINODE.at.crc, inode, DINODE.at.crc, 4);
    this.#set.head(offset);
  }

  #seal({ offset, length, type, lsn }: Touched): void {
    const block = this.#scratch.subarray(0, length);
    this.#set.read(offset, block);
    const v = viewOf(block);
    if (type === BLFT.ATTR_RMT) {
      this.#sealRemote(offset, block, v);
      return;
    }
    const identity = identityOf(v, 0);
    // A block that is not what its item says is left as logged.
    if (identity === undefined || identity.type !== type) return;
    if (lsn !== undefined) writeLsn(v, identity.lsn, lsn);
    sealCrc(block, identity.crc);
    this.#put(offset, block, identity.lsn, 8);
    this.#put(offset, block, identity.crc, 4);
    this.#set.head(offset);
    const history = this.#historyOf(offset, length);
    history.type = type;
    history.states++;
    history.checkedWhole = identity.checkedWhole;
  }

  /** Each filesystem block of a remote value has a header, and no LSN that could count. */
  #sealRemote(offset: number, block: Uint8Array, v: DataView): void {
    const { blocksize } = this.#g;
    for (let at = 0; at + blocksize <= block.length; at += blocksize) {
      if (v.getUint32(at + ATTR3_RMT_HDR.at.magic) !== XFS_ATTR3_RMT_MAGIC) continue;
      sealCrc(block.subarray(at, at + blocksize), ATTR3_RMT_HDR.at.crc);
      this.#put(offset + at, block.subarray(at), ATTR3_RMT_HDR.at.crc, 4);
    }
  }

  #put(offset: number, block: Uint8Array, at: number, count: number): void {
    this.#set.put(offset + at, block, at, count);
  }
}
