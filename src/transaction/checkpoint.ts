/**
 * What committed transactions changed, between memory, log and disk.
 *
 * A commit only collects: its buffers, inodes and intents join those of earlier transactions. `flush` writes
 * all of it to the log as one checkpoint, so a block changed a hundred times is logged once, and an intent
 * whose done-item came meanwhile is not logged at all. `writeBack` then puts the blocks in place, sealed
 * with the LSN of their checkpoint, and moves the tail. Nothing is put in place that the log does not hold:
 * write-back runs right behind a flush, when nothing newer is collected.
 */
import { DINODE } from '../format/dinode.js';
import type { Geometry } from '../format/geometry.js';
import { identityOf } from '../format/identity.js';
import { BBSIZE, compareLsn, type Lsn, writeLsn } from '../format/log.js';
import { BLF_CHUNK, BLFT } from '../format/logitems.js';
import type { Source } from '../image/source.js';
import type { LogWriter } from '../journal/append.js';
import { type Buffer, type BufferCache, markChunks, seal, sealForLog } from './buffers.js';
import type { LiveInode } from './inode.js';
import { bufferItem, cancelItem, type Intent, inodeItem } from './items.js';

/** Log bytes an item takes besides its contents, roughly: for deciding when to flush. */
const ITEM_OVERHEAD = 256;
/** Adjacent dirty buffers are written in one go up to this many bytes. */
const WRITE_RUN = 1 << 20;

/**
 * Whether a buffer is logged whole once more, and all that the log holds of it cancelled: one that Linux checks
 * each time recovery has brought it from one checkpoint to the next. Torn while it was put in place, it would be
 * half of one state and half of a later one, and the mount would be refused.
 */
const isLoggedAnew = (buffer: Buffer): boolean =>
  buffer.firstLsn !== undefined &&
  !buffer.stale &&
  !buffer.isInodes &&
  buffer.pieces === undefined &&
  buffer.length > BBSIZE &&
  identityOf(buffer.view, 0)?.checkedWhole === true;

export class Checkpoints {
  readonly #source: Source;
  readonly #g: Geometry;
  readonly #log: LogWriter;
  readonly #cache: BufferCache;
  /** Collected since the last flush. */
  readonly #buffers = new Set<Buffer>();
  readonly #inodes = new Set<LiveInode>();
  readonly #intents = new Set<Intent>();
  #dones: Intent[] = [];
  #icreates: Uint8Array[] = [];
  #bytes = 0;
  /** In the log, and not in place. */
  readonly #pending = new Set<Buffer>();
  /** In the log, and without a done-item there. */
  readonly #open = new Set<Intent>();
  /** The tail the newest record names. */
  #tail: Lsn;
  /** Flush at this many bytes; at most a small part of the log, so that there is always room for one more. */
  readonly limit: number;
  /** Called after a flush: what was freed by then may be used again. */
  onFlush: () => void = () => {};
  /** Counters, for tests and verbose output. */
  readonly counts = { commits: 0, checkpoints: 0, writeBacks: 0 };

  constructor(source: Source, g: Geometry, log: LogWriter, cache: BufferCache) {
    this.#source = source;
    this.#g = g;
    this.#log = log;
    this.#cache = cache;
    this.#tail = log.tail;
    this.limit = Math.floor((log.device.blocks * BBSIZE) / 8);
  }

  get isEmpty(): boolean {
    return (
      this.#buffers.size === 0 &&
      this.#inodes.size === 0 &&
      this.#intents.size === 0 &&
      this.#dones.length === 0 &&
      this.#icreates.length === 0
    );
  }

  /** Everything is in the log and in place, and no intent is open. */
  get isSettled(): boolean {
    return this.isEmpty && this.#pending.size === 0 && this.#open.size === 0;
  }

  get isFull(): boolean {
    return this.#bytes >= this.limit;
  }

  addBuffer(buffer: Buffer, changedChunks: number): void {
    if (!buffer.inLog) {
      buffer.inLog = true;
      this.#buffers.add(buffer);
      this.#bytes += ITEM_OVERHEAD;
      if (isLoggedAnew(buffer)) this.#bytes += ITEM_OVERHEAD + buffer.length;
      if (buffer.pieces !== undefined) this.#bytes += buffer.pieces.length * ITEM_OVERHEAD + buffer.length;
    }
    if (buffer.pieces === undefined) this.#bytes += changedChunks * BLF_CHUNK;
  }

  /** A buffer that is to be written back with this checkpoint without being logged. */
  addOrdered(buffer: Buffer): void {
    buffer.ordered = true;
    this.#pending.add(buffer);
  }

  /** Takes a cancelled buffer out of the checkpoint: its place is logged anew under another type. */
  removeBuffer(buffer: Buffer): void {
    buffer.inLog = false;
    this.#buffers.delete(buffer);
  }

  addInode(inode: LiveInode, fields: number): void {
    inode.logFields |= fields;
    if (!this.#inodes.has(inode)) {
      this.#inodes.add(inode);
      this.#bytes += inode.inodesize + ITEM_OVERHEAD;
    }
  }

  addIcreate(region: Uint8Array): void {
    this.#icreates.push(region);
    this.#bytes += ITEM_OVERHEAD;
  }

  addIntent(intent: Intent): void {
    this.#intents.add(intent);
    this.#bytes += intent.region.length + ITEM_OVERHEAD;
  }

  /** An intent found in the log by recovery, still to be finished. */
  adoptIntent(intent: Intent): void {
    this.#open.add(intent);
  }

  /** The intent is finished: where the log has not seen it, it never will. */
  finishIntent(intent: Intent): void {
    if (this.#intents.delete(intent)) return;
    this.#dones.push(intent);
    this.#bytes += intent.done.length + ITEM_OVERHEAD;
  }

  /** Whether an open intent keeps the tail so far back that it should be logged again. */
  isOld(intent: Intent): boolean {
    return intent.lsn !== undefined && this.#log.free < (this.#log.device.blocks * BBSIZE) / 2;
  }

  /** Writes what was collected to the log as one checkpoint and waits for it to be on stable storage. */
  flush(): void {
    if (this.isEmpty) return;
    const regions: Uint8Array[] = [];
    const cancels: Uint8Array[] = [];
    let lsn = this.#log.head;
    for (const region of this.#icreates) regions.push(region);
    for (const buffer of this.#buffers) {
      if (isLoggedAnew(buffer)) {
        cancels.push(cancelItem(buffer));
        markChunks(buffer.dirty, 0, buffer.length / BLF_CHUNK);
        // Nothing logged before counts any more.
        buffer.firstLsn = undefined;
      }
      if (buffer.pieces !== undefined && !buffer.stale) sealForLog(this.#g, buffer, lsn);
      bufferItem(buffer, regions);
    }
    for (const inode of this.#inodes) {
      if (inode.buffer.stale) continue;
      inodeItem(this.#g, inode, regions);
    }
    for (const intent of this.#intents) regions.push(intent.region);
    for (const intent of this.#dones) regions.push(intent.done);
    if (regions.length > 0) {
      let bytes = 0;
      for (const region of regions) bytes += region.length;
      for (const region of cancels) bytes += region.length;
      // An empty log begins with what is written now.
      this.#log.tail = this.#oldest(lsn);
      const count = regions.length + cancels.length;
      if (this.#log.space(count, bytes) + this.#log.recordSize > this.#log.free)
        throw new Error('a transaction does not fit into the log');
      lsn = cancels.length > 0 ? this.#log.checkpointPair(cancels, regions) : this.#log.checkpoint(regions);
      this.#source.sync();
      this.#tail = this.#log.tail;
      this.counts.checkpoints++;
    }
    for (const buffer of this.#buffers) {
      buffer.inLog = false;
      buffer.dirty.fill(0);
      if (buffer.stale) {
        buffer.firstLsn = undefined;
        this.#pending.delete(buffer);
        this.#cache.drop(buffer);
        continue;
      }
      buffer.lsn = lsn;
      buffer.firstLsn ??= lsn;
      this.#pending.add(buffer);
    }
    for (const inode of this.#inodes) {
      inode.logFields = 0;
      const { buffer } = inode;
      if (buffer.stale) continue;
      writeLsn(buffer.view, inode.base + DINODE.at.lsn, lsn);
      buffer.firstLsn ??= lsn;
      this.#pending.add(buffer);
    }
    for (const buffer of this.#pending) buffer.firstLsn ??= lsn; // ordered ones
    for (const intent of this.#intents) {
      intent.lsn = lsn;
      this.#open.add(intent);
    }
    for (const intent of this.#dones) this.#open.delete(intent);
    this.#buffers.clear();
    this.#inodes.clear();
    this.#intents.clear();
    this.#dones = [];
    this.#icreates = [];
    this.#bytes = 0;
    this.onFlush();
    if (this.#log.free < (this.#log.device.blocks * BBSIZE) / 2) this.writeBack();
  }

  /** Puts every block the log holds in place, waits for that, and moves the tail. Collected changes must be empty. */
  writeBack(): void {
    if (!this.isEmpty) throw new Error('write-back with changes that are not in the log');
    if (this.#pending.size > 0) {
      this.#advance();
      const order = [...this.#pending].sort((a, b) => a.offset - b.offset);
      for (const buffer of order) seal(this.#g, buffer);
      this.#writeTails(order);
      this.#writeHeads(order);
      this.#source.sync();
      for (const buffer of order) {
        buffer.firstLsn = undefined;
        buffer.ordered = false;
      }
      this.#pending.clear();
      this.counts.writeBacks++;
    }
    this.#log.tail = this.#oldest(this.#log.head);
  }

  /**
   * Lets the log begin where the oldest of what is to be put in place was logged, if something older (an intent
   * that is finished by now) held its tail back. Recovery reads and checks blocks that are newer than an item,
   * and would refuse one of them that is torn.
   */
  #advance(): void {
    const oldest = this.#oldest(this.#log.head);
    if (compareLsn(this.#tail, oldest) >= 0) return;
    // A checkpoint must hold something: the beginning of the superblock, as it is.
    const superblock = this.#cache.get(0, this.#g.sectsize, BLFT.SB);
    const regions: Uint8Array[] = [];
    superblock.dirty[0] = 1;
    bufferItem(superblock, regions);
    superblock.dirty[0] = 0;
    this.#log.tail = oldest;
    this.#log.checkpoint(regions);
    this.#source.sync();
    this.#tail = oldest;
  }

  /** Bytes that carry an LSN together: a block, or each inode of a cluster. */
  #unit(buffer: Buffer): number {
    return buffer.isInodes ? this.#g.inodesize : buffer.length;
  }

  /**
   * Writes what lies behind the first sector of blocks of several sectors. Recovery does not replay a block
   * that has its LSN already, and refuses one that is torn then: so the sector with the LSN goes last.
   */
  #writeTails(order: readonly Buffer[]): void {
    for (const buffer of order) {
      if (buffer.pieces !== undefined) {
        this.#writePieces(buffer);
        continue;
      }
      const unit = this.#unit(buffer);
      for (let at = 0; unit > BBSIZE && at < buffer.length; at += unit)
        this.#source.write(buffer.offset + at + BBSIZE, buffer.bytes.subarray(at + BBSIZE, at + unit));
    }
  }

  /** All but the first sector of a block in pieces. */
  #writePieces(buffer: Buffer): void {
    let at = 0;
    for (const piece of buffer.places) {
      const skip = at === 0 ? BBSIZE : 0;
      if (piece.length > skip)
        this.#source.write(piece.offset + skip, buffer.bytes.subarray(at + skip, at + piece.length));
      at += piece.length;
    }
  }

  /** Writes first sectors, and whole what has only one. Adjacent clusters of inodes go in one write. */
  #writeHeads(order: readonly Buffer[]): void {
    let run: Buffer[] = [];
    let bytes = 0;
    const end = (): void => {
      if (run.length > 0) this.#writeRun(run, bytes);
      run = [];
      bytes = 0;
    };
    for (const buffer of order) {
      const unit = this.#unit(buffer);
      if (unit > BBSIZE) {
        end();
        for (let at = 0; at < buffer.length; at += unit)
          this.#source.write(buffer.offset + at, buffer.bytes.subarray(at, at + BBSIZE));
        continue;
      }
      const last = run[run.length - 1];
      if (last !== undefined && (last.offset + last.length !== buffer.offset || bytes >= WRITE_RUN)) end();
      run.push(buffer);
      bytes += buffer.length;
    }
    end();
  }

  #writeRun(run: readonly Buffer[], bytes: number): void {
    if (run.length === 1) {
      this.#source.write(run[0].offset, run[0].bytes);
      return;
    }
    const all = new Uint8Array(bytes);
    let at = 0;
    for (const buffer of run) {
      all.set(buffer.bytes, at);
      at += buffer.length;
    }
    this.#source.write(run[0].offset, all);
  }

  /** The oldest LSN something still waits for; `otherwise` where nothing does. */
  #oldest(otherwise: Lsn): Lsn {
    let oldest = otherwise;
    for (const buffer of this.#pending)
      if (buffer.firstLsn !== undefined && compareLsn(buffer.firstLsn, oldest) < 0) oldest = buffer.firstLsn;
    for (const intent of this.#open)
      if (intent.lsn !== undefined && compareLsn(intent.lsn, oldest) < 0) oldest = intent.lsn;
    return oldest;
  }
}
