/**
 * Replaying the log: what committed transactions changed is put in place, as Linux does at mount
 * (xfs_log_recover.c and the recovery half of each item).
 *
 * Two passes. The first collects the buffers that were cancelled: their blocks were freed, and what was
 * logged of them before must not be written over their next owner. The second replays the transactions in
 * the order they committed. An item whose block is as new as the transaction or newer is left out, by the LSN
 * the block carries: blocks reach the disk in their own time, some of them before the crash.
 *
 * Intents without a done-item are only collected here: finishing them takes transactions.
 */
import { AG_SECTOR } from '../format/ag.js';
import { sealCrc } from '../format/checksum.js';
import { type Geometry, isAgRange } from '../format/geometry.js';
import { compareLsn, type Lsn } from '../format/log.js';
import { BLF, BLFT, BUF_LOG_FORMAT, blftOf, LI } from '../format/logitems.js';
import { SUPERBLOCK } from '../format/superblock.js';
import { OverlaySource } from '../image/overlay.js';
import { openVolume } from '../volume/volume.js';
import { committedTransactions, LogDecoder, type LogTransaction } from './decode.js';
import { LogError } from './error.js';
import { bufBlkno, bufBytes, bufFlags, inodeIno } from './items.js';
import { LogItem } from './logitem.js';
import { BufferReplay, type GuardedBlock } from './recoverbuffer.js';
import { replayIcreate } from './recovericreate.js';
import { InodeReplay } from './recoverinode.js';
import { PieceReplay } from './recoverpieces.js';
import { RecoverySet } from './recoverset.js';
import type { LogState } from './scan.js';
import { IntentTracker, type OpenIntent } from './status.js';

/** Told before each transaction is replayed: how many blocks of the log are done, and of how many. */
export type RedoProgress = (done: number, total: number) => void;

export interface RedoResult {
  /** Everything the replay changes; nothing of it is in the image yet. */
  readonly set: RecoverySet;
  /** Blocks to be guarded before `set` is applied: see recoverguard.ts. */
  readonly fragile: readonly GuardedBlock[];
  /** Intents without a done-item, oldest first. */
  readonly openIntents: readonly OpenIntent[];
  readonly transactions: number;
  /** Items replayed, and those left out: what they describe was newer, or freed, or is of a quota. */
  readonly replayed: number;
  readonly newer: number;
  readonly cancelled: number;
  readonly quota: number;
}

/** Buffers that were freed, by place and length, and how many cancellations of each are still ahead. */
export class CancelTable {
  readonly #counts = new Map<number, number>();

  /** Place and length, both in 512-byte units, as one number: a buffer has at most 64 KiB. */
  static #key(blkno: number, blocks: number): number {
    return blkno * 65536 + blocks;
  }

  add(blkno: number, blocks: number): void {
    const key = CancelTable.#key(blkno, blocks);
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  has(blkno: number, blocks: number): boolean {
    return this.#counts.size > 0 && this.#counts.has(CancelTable.#key(blkno, blocks));
  }

  /** A cancellation has been passed: what is logged after the last of them counts again. */
  pass(blkno: number, blocks: number): void {
    const key = CancelTable.#key(blkno, blocks);
    const count = this.#counts.get(key);
    if (count === undefined) return;
    if (count === 1) this.#counts.delete(key);
    else this.#counts.set(key, count - 1);
  }
}

const bufBlocks = (item: LogItem): number => item.u16(BUF_LOG_FORMAT.at.len);

const AG_HEADERS: Readonly<Record<number, number>> = {
  [BLFT.SB]: AG_SECTOR.sb,
  [BLFT.AGF]: AG_SECTOR.agf,
  [BLFT.AGI]: AG_SECTOR.agi,
  [BLFT.AGFL]: AG_SECTOR.agfl,
};

/**
 * Why what an item says it holds cannot stand where it says: every AG begins with its headers, the rest is blocks. What
 * has no type can be any of these: repair logs sectors like that.
 */
function placeFault(g: Geometry, item: LogItem): string | undefined {
  const blkno = bufBlkno(item);
  const type = blftOf(bufFlags(item));
  const sector = AG_HEADERS[type];
  const offset = blkno * 512;
  const right =
    sector === undefined
      ? offset % (type === BLFT.UNKNOWN ? g.sectsize : g.blocksize) === 0
      : offset % (g.agblocks * g.blocksize) === sector * g.sectsize;
  return right ? undefined : `a buffer at block ${blkno}, where nothing of its type stands`;
}

/** The filesystem as the superblock says that was just replayed: it can have grown. */
function regrown(set: RecoverySet, before: Geometry, bad: (reason: string) => LogError): Geometry {
  const sector = new Uint8Array(before.sectsize);
  set.read(0, sector);
  sealCrc(sector, SUPERBLOCK.at.crc);
  const sealed = new OverlaySource(set);
  sealed.write(0, sector);
  let g: Geometry;
  try {
    ({ g } = openVolume(sealed));
  } catch (error) {
    throw bad(`it leaves a superblock that cannot be used: ${(error as Error).message}`);
  }
  if (g.agcount < before.agcount) throw bad(`it takes ${before.agcount - g.agcount} AGs away`);
  return g;
}

/**
 * Replays the log into memory. Throws LogError where any of it cannot be believed; the image has not been
 * touched then, nor is it before `set.apply`. A clean log gives an empty set.
 */
export function redoLog(state: LogState, progress?: RedoProgress): RedoResult {
  const { device, tail, head } = state;
  const past = (block: number): number => (block + device.blocks - tail.block) % device.blocks;
  const total = past(head.block) || device.blocks;
  let { g } = device;
  const set = new RecoverySet(device.source);
  const cancels = new CancelTable();
  const counts = { transactions: 0, replayed: 0, newer: 0, cancelled: 0, quota: 0 };
  const pass = (options: { cancelsOnly: boolean }): Iterable<LogTransaction> =>
    committedTransactions(state, {
      transient: true,
      readBefore: !options.cancelsOnly,
      decoder: new LogDecoder(options),
    });

  const item = new LogItem();
  for (const { items } of pass({ cancelsOnly: true }))
    for (let i = 0; i < items.length; i++) {
      if (items.type(i) !== LI.BUF) continue;
      items.load(i, item);
      if ((bufFlags(item) & BLF.CANCEL) !== 0) cancels.add(bufBlkno(item), bufBlocks(item));
    }

  const tracker = new IntentTracker();
  const buffers = new BufferReplay(set, g);
  const inodes = new InodeReplay(set, g, buffers);
  const pieces = new PieceReplay(set, g);
  let current: Lsn | undefined;
  for (const transaction of pass({ cancelsOnly: false })) {
    counts.transactions++;
    progress?.(past(transaction.commitLsn.block), total);
    if (current === undefined || compareLsn(current, transaction.lsn) !== 0) {
      // Transactions of one LSN are replayed as one: only then do blocks carry it.
      buffers.settle();
      current = transaction.lsn;
    }
    tracker.add(transaction);
    replay(transaction, current);
  }
  buffers.finish();
  pieces.settle();
  return { set, fragile: buffers.fragile(), openIntents: tracker.open, ...counts };

  /** One transaction: whole buffers first, then inodes, then the unlinked pointers inside inode buffers. */
  function replay({ items }: LogTransaction, lsn: Lsn): void {
    const pointers: number[] = [];
    const cancelled: number[] = [];
    const bad = (reason: string): LogError => new LogError(lsn, reason);
    for (let i = 0; i < items.length; i++) {
      switch (items.type(i)) {
        case LI.BUF: {
          items.load(i, item);
          const flags = bufFlags(item);
          if ((flags & BLF.CANCEL) !== 0) cancelled.push(i);
          else if ((flags & BLF.INODE_BUF) !== 0) pointers.push(i);
          else replayBuffer(item, lsn, bad);
          break;
        }
        case LI.ICREATE:
          items.load(i, item);
          if (replayIcreate(item, g, set, isCancelled, isInside, bad)) counts.replayed++;
          else counts.cancelled++;
          break;
        case LI.DQUOT:
          counts.quota++;
          break;
      }
    }
    for (let i = 0; i < items.length; i++) {
      if (items.type(i) !== LI.INODE) continue;
      items.load(i, item);
      pieces.addInode(inodeIno(item));
      counts[inodes.replay(item, lsn, isCancelled, bad)]++;
    }
    for (const i of pointers) replayBuffer(items.at(i), lsn, bad);
    for (const i of cancelled) {
      items.load(i, item);
      cancels.pass(bufBlkno(item), bufBlocks(item));
    }
  }

  function isCancelled(blkno: number, blocks: number): boolean {
    return cancels.has(blkno, blocks);
  }

  function isInside(agno: number, agbno: number, blocks: number): boolean {
    return isAgRange(g, agno, agbno, blocks);
  }

  function replayBuffer(item: LogItem, lsn: Lsn, bad: (reason: string) => LogError): void {
    if ((bufFlags(item) & (BLF.UDQUOT_BUF | BLF.PDQUOT_BUF | BLF.GDQUOT_BUF)) !== 0) {
      counts.quota++;
      return;
    }
    const blkno = bufBlkno(item);
    if (isCancelled(blkno, bufBlocks(item))) {
      counts.cancelled++;
      return;
    }
    if (blkno < 0 || blkno * 512 + bufBytes(item) > device.source.size || bufBytes(item) === 0)
      throw bad(`a buffer of ${bufBytes(item)} bytes at block ${blkno}, outside the image`);
    const misplaced = placeFault(g, item);
    if (misplaced !== undefined) throw bad(misplaced);
    if (buffers.replay(item, lsn, bad)) {
      counts.replayed++;
      if (blkno === 0) {
        g = regrown(set, g, bad);
        inodes.g = g;
      }
      pieces.addBuffer(blkno * 512, bufBytes(item), blftOf(bufFlags(item)), lsn);
    } else counts.newer++;
  }
}
