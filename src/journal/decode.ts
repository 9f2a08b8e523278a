/**
 * From records to transactions. Operations of several transactions can be mixed in a record, a region can be
 * split over records, a transaction over many; a transaction counts from its commit operation on, in the
 * order of those. What never sees its commit is dropped, as recovery does.
 *
 *     for (const transaction of committedTransactions(scanLog(source, g)))
 *       for (const item of transaction.items) ...
 *
 * Regions are views into the chunks the log was read in; nothing is copied but regions split over records.
 */
import {
  LOG_CLIENT,
  LOG_OP,
  LOG_OP_HEADER,
  LOG_OP_HEADER_SIZE,
  type Lsn,
  TRANSACTION_HEADER_SIZE,
  XFS_TRANS_HEADER_MAGIC,
  XLOG_FMT,
} from '../format/log.js';
import {
  BLF,
  BUF_LOG_FORMAT,
  BUF_LOG_FORMAT_HEAD,
  LI,
  LI_NAME,
  LOG_ITEM,
  MAX_REGIONS,
} from '../format/logitems.js';
import { viewOf } from '../format/structure.js';
import { LogReader } from './device.js';
import { LogError } from './error.js';
import { itemFault } from './items.js';
import { BadRecordError, checkRecord, type LogRecord, unpackRecord, walkRecords } from './record.js';
import type { LogState } from './scan.js';

const OP = LOG_OP_HEADER.at;
/** Most bytes of regions that uncommitted transactions may hold: twice what Linux lets one grow to. */
const MAX_OPEN_BYTES = 128 * 2 ** 20;
/** And the most regions: a 64 MiB transaction of nothing but inode cores has half as many. */
const MAX_OPEN_REGIONS = 2 ** 20;
/** Once a transaction is this many records old its regions are copied, so that the chunks can go. */
const COMPACT_RECORDS = 512;

/**
 * A log item: what one transaction says of one buffer, inode, intent... Its regions, the format structure
 * first, are places in one piece of memory: the record they were logged in or, where they came in several
 * records, memory of the item's own. Nothing is made per region.
 */
export class LogItem {
  /** One of LI, unless the log is corrupt. */
  readonly type: number;
  /** Regions the item says it has. */
  readonly size: number;
  /** Byte order of the format structure and of logged inode cores. */
  readonly littleEndian: boolean;
  /** What the regions lie in. */
  memory: Uint8Array = NO_MEMORY;
  data: DataView = NO_DATA;
  /** Regions there are. */
  count = 0;
  /** Start and length of each region, two numbers a region, from `#first` on; shared by a transaction's items. */
  #spans: Spans;
  #first: number;
  /** Bytes of its own memory in use; -1 while its regions lie in a record. */
  #own = -1;

  constructor(type: number, size: number, littleEndian: boolean, spans: Spans = new Spans()) {
    this.type = type;
    this.size = size;
    this.littleEndian = littleEndian;
    this.#spans = spans;
    this.#first = spans.used;
  }

  /** Where region `i` begins in `memory`, and its length. */
  start(i: number): number {
    return this.#spans.at[this.#first + 2 * i];
  }
  length(i: number): number {
    return this.#spans.at[this.#first + 2 * i + 1];
  }

  /** Region `i`; undefined where there is none. */
  region(i: number): Uint8Array | undefined {
    return i < this.count ? this.memory.subarray(this.start(i), this.start(i) + this.length(i)) : undefined;
  }

  get regions(): Uint8Array[] {
    return Array.from({ length: this.count }, (_, i) => this.region(i)!);
  }

  /** The format structure. */
  get view(): DataView {
    return viewOf(this.region(0)!);
  }
  /** Numbers of the format structure. The item has passed itemFault, or is known to be long enough. */
  u16(at: number): number {
    return this.data.getUint16(this.#spans.at[this.#first] + at, this.littleEndian);
  }
  u32(at: number): number {
    return this.data.getUint32(this.#spans.at[this.#first] + at, this.littleEndian);
  }
  i32(at: number): number {
    return this.data.getInt32(this.#spans.at[this.#first] + at, this.littleEndian);
  }

  /** Adds a region. To be called for the newest item of those that share their spans. */
  add(memory: Uint8Array, data: DataView, at: number, length: number): void {
    if (this.count === 0) {
      this.memory = memory;
      this.data = data;
    } else if (this.memory !== memory) {
      const to = this.#room(length);
      this.memory.set(memory.subarray(at, at + length), to);
      this.#spans.push(to, length);
      this.count++;
      return;
    }
    this.#spans.push(at, length);
    this.count++;
  }

  /** Makes the last region longer: its beginning was in a record before. */
  extend(more: Uint8Array): void {
    const to = this.#room(more.length);
    this.memory.set(more, to);
    this.#spans.at[this.#first + 2 * this.count - 1] += more.length;
  }

  /** Copies the regions into memory of the item's own, with `spare` bytes of room behind them. */
  keep(spare = 0): void {
    if (this.#own >= 0) return;
    let bytes = 0;
    for (let i = 0; i < this.count; i++) bytes += this.length(i);
    const own = new Uint8Array(bytes + spare);
    const spans = this.#spans.at;
    let to = 0;
    for (let i = 0, at = this.#first; i < this.count; i++, at += 2) {
      own.set(this.memory.subarray(spans[at], spans[at] + spans[at + 1]), to);
      spans[at] = to;
      to += spans[at + 1];
    }
    this.#own = bytes;
    this.memory = own;
    this.data = viewOf(own);
  }

  /** Takes `length` bytes at the end of the item's own memory. Returns where. */
  #room(length: number): number {
    this.keep(length);
    const at = this.#own;
    if (at + length > this.memory.length) {
      const larger = new Uint8Array(2 * (at + length));
      larger.set(this.memory);
      this.memory = larger;
      this.data = viewOf(larger);
    }
    this.#own = at + length;
    return at;
  }

  /** An item of these regions; `size`: how many it says it has. */
  static of(
    type: number,
    littleEndian: boolean,
    regions: readonly Uint8Array[],
    size = regions.length,
  ): LogItem {
    const item = new LogItem(type, size, littleEndian);
    for (const region of regions) item.add(region, viewOf(region), 0, region.length);
    return item;
  }
}

/** Pairs of numbers, as many as come. */
class Spans {
  at = new Int32Array(16);
  used = 0;

  push(start: number, length: number): void {
    if (this.used + 2 > this.at.length) {
      const larger = new Int32Array(2 * this.at.length);
      larger.set(this.at);
      this.at = larger;
    }
    this.at[this.used++] = start;
    this.at[this.used++] = length;
  }
}
const NO_MEMORY = new Uint8Array(0);
const NO_DATA = viewOf(NO_MEMORY);

export interface LogTransaction {
  readonly tid: number;
  /** LSN of the record it starts in: the one its buffers and inodes are stamped with. */
  readonly lsn: Lsn;
  /** LSN of the record its commit operation is in. */
  readonly commitLsn: Lsn;
  readonly littleEndian: boolean;
  readonly items: readonly LogItem[];
  /** Bytes of all regions. */
  readonly bytes: number;
}

/** Whether a format structure is that of a cancelled buffer, or so short that it cannot be told yet. */
function isCancel(view: DataView, at: number, length: number, littleEndian: boolean): boolean {
  if (view.getUint16(at + LOG_ITEM.at.type, littleEndian) !== LI.BUF) return false;
  if (length < BUF_LOG_FORMAT_HEAD) return true;
  return (view.getUint16(at + BUF_LOG_FORMAT.at.flags, littleEndian) & BLF.CANCEL) !== 0;
}

/** A transaction that has started and not yet committed. */
class OpenTransaction {
  readonly tid: number;
  readonly lsn: Lsn;
  readonly littleEndian: boolean;
  readonly items: LogItem[] = [];
  /** The first of the reader's chunks its regions lie in. */
  chunk: number;
  /** The transaction header is in: what follows are items. */
  started = false;
  bytes = 0;
  regions = 0;
  readonly spans = new Spans();
  /** The item regions are added to; undefined before the first and while one is passed over. */
  item: LogItem | undefined;
  /** Regions the item still lacks. */
  left = 0;
  /** Records since it started or was last compacted, and items that have memory of their own since. */
  age = 0;
  compacted = 0;

  constructor(tid: number, lsn: Lsn, littleEndian: boolean, chunk: number) {
    this.tid = tid;
    this.lsn = lsn;
    this.littleEndian = littleEndian;
    this.chunk = chunk;
  }

  /** Copies the regions; nothing before `chunk` is needed then. */
  compact(chunk: number): void {
    for (let i = this.compacted; i < this.items.length; i++) this.items[i].keep();
    this.compacted = this.items.length;
    this.age = 0;
    this.chunk = chunk;
  }
}

export class LogDecoder {
  readonly #open = new Map<number, OpenTransaction>();
  #openBytes = 0;
  #openRegions = 0;
  readonly #cancelsOnly: boolean;

  /** `cancelsOnly`: buffer items that cancel are all that is asked for; others are passed over, unchecked. */
  constructor(options: { cancelsOnly?: boolean } = {}) {
    this.#cancelsOnly = options.cancelsOnly ?? false;
  }

  /** Transactions that have started and not committed. */
  get openTransactions(): number {
    return this.#open.size;
  }

  /** The oldest of the reader's chunks that an open transaction needs. */
  get oldestChunk(): number {
    let oldest = Number.POSITIVE_INFINITY;
    for (const open of this.#open.values()) oldest = Math.min(oldest, open.chunk);
    return oldest;
  }

  /**
   * Takes one unpacked record and adds to `out` what commits in it. Throws LogError at the first operation
   * that recovery would not take; what it added before stands.
   */
  decode(record: LogRecord, out: LogTransaction[]): void {
    const { data } = record;
    const view = viewOf(data);
    const littleEndian = record.fmt === XLOG_FMT.LINUX_LE;
    const where = { cycle: record.cycle, block: record.block };
    const bad = (reason: string): LogError => new LogError(where, reason);
    let at = 0;
    for (let left = record.ops; at < data.length && left > 0; left--) {
      if (at + LOG_OP_HEADER_SIZE > data.length) throw bad('an operation header runs past the record');
      const tid = view.getUint32(at + OP.tid);
      const length = view.getUint32(at + OP.len);
      const client = view.getUint8(at + OP.clientid);
      const opFlags = view.getUint8(at + OP.flags);
      at += LOG_OP_HEADER_SIZE;
      if (client !== LOG_CLIENT.TRANSACTION && client !== LOG_CLIENT.LOG)
        throw bad(`an operation's client is 0x${client.toString(16)}, expected 0x69 or 0xaa`);
      if (at + length > data.length)
        throw bad(`an operation of ${length} bytes runs past the record (${data.length} bytes)`);
      const open = this.#open.get(tid);
      if (open === undefined) {
        // Anything but a start is the rest of a transaction that began before the tail.
        if ((opFlags & LOG_OP.START) !== 0)
          this.#open.set(tid, new OpenTransaction(tid, record.lsn, littleEndian, record.chunk));
        at += length;
        continue;
      }
      let flags = opFlags & ~LOG_OP.END;
      if ((flags & LOG_OP.WAS_CONT) !== 0) flags &= ~LOG_OP.CONTINUE;
      if (flags === 0 || flags === LOG_OP.CONTINUE) this.#add(open, data, view, at, length, bad);
      else if (flags === LOG_OP.WAS_CONT) this.#append(open, data, at, length, bad);
      else if (flags === LOG_OP.COMMIT) {
        this.#forget(open);
        for (const item of open.items) {
          const fault = itemFault(item);
          if (fault !== undefined) throw bad(fault);
        }
        out.push({
          tid,
          lsn: open.lsn,
          commitLsn: record.lsn,
          littleEndian: open.littleEndian,
          items: open.items,
          bytes: open.bytes,
        });
      } else if (flags === LOG_OP.UNMOUNT) this.#forget(open);
      else throw bad(`an operation's flags are 0x${opFlags.toString(16)}`);
      at += length;
    }
    for (const open of this.#open.values()) if (++open.age > COMPACT_RECORDS) open.compact(record.chunk);
  }

  #forget(open: OpenTransaction): void {
    this.#open.delete(open.tid);
    this.#openBytes -= open.bytes;
    this.#openRegions -= open.regions;
  }

  #grow(open: OpenTransaction, length: number, bad: (reason: string) => LogError): void {
    open.bytes += length;
    this.#openBytes += length;
    if (this.#openBytes > MAX_OPEN_BYTES)
      throw bad(`uncommitted transactions hold more than ${MAX_OPEN_BYTES / 2 ** 20} MiB`);
  }

  /** A new region, or the first part of one. */
  #add(
    open: OpenTransaction,
    data: Uint8Array,
    view: DataView,
    at: number,
    length: number,
    bad: (reason: string) => LogError,
  ): void {
    if (length === 0) return;
    if (!open.started) {
      if (length < 4 || view.getUint32(at, open.littleEndian) !== XFS_TRANS_HEADER_MAGIC)
        throw bad('a transaction begins without its header');
      if (length > TRANSACTION_HEADER_SIZE)
        throw bad(`a transaction header of ${length} bytes, expected ${TRANSACTION_HEADER_SIZE}`);
      // A shorter one goes on in the next record.
      open.started = length === TRANSACTION_HEADER_SIZE;
      return;
    }
    if (open.left === 0) {
      if (length < LOG_ITEM.size) throw bad(`a log item of ${length} bytes`);
      const type = view.getUint16(at + LOG_ITEM.at.type, open.littleEndian);
      const size = view.getUint16(at + LOG_ITEM.at.size, open.littleEndian);
      if (size === 0 || size > MAX_REGIONS)
        throw bad(`a log item of ${size} regions, expected 1 to ${MAX_REGIONS}`);
      open.left = size;
      open.item = undefined;
      if (!this.#cancelsOnly || isCancel(view, at, length, open.littleEndian)) {
        open.item = new LogItem(type, size, open.littleEndian, open.spans);
        open.items.push(open.item);
      }
    }
    open.left--;
    open.item?.add(data, view, at, length);
    open.regions++;
    if (++this.#openRegions > MAX_OPEN_REGIONS)
      throw bad(`uncommitted transactions hold more than ${MAX_OPEN_REGIONS} regions`);
    this.#grow(open, length, bad);
  }

  /** More of the region that did not fit the record before. */
  #append(
    open: OpenTransaction,
    data: Uint8Array,
    at: number,
    length: number,
    bad: (reason: string) => LogError,
  ): void {
    if (!open.started) {
      if (length > TRANSACTION_HEADER_SIZE)
        throw bad(`a transaction header of ${length} bytes, expected ${TRANSACTION_HEADER_SIZE}`);
      open.started = true;
      return;
    }
    if (open.regions === 0) throw bad('the rest of a region whose beginning is missing');
    open.item?.extend(data.subarray(at, at + length));
    this.#grow(open, length, bad);
  }
}

/** The unpacked records from `from` to `to`, checked as recovery checks them. Throws LogError. */
export function* checkedRecords(
  state: LogState,
  from: number,
  to: number,
  reader: LogReader = new LogReader(state.device),
): Generator<LogRecord> {
  const { device } = state;
  try {
    let fmt: number | undefined;
    for (const record of walkRecords(device, from, to, reader)) {
      checkRecord(device, record);
      fmt ??= record.fmt;
      if (record.fmt !== fmt)
        throw new LogError(record.lsn, `log format is ${record.fmt}, that of the records before is ${fmt}`);
      unpackRecord(record);
      yield record;
    }
  } catch (error) {
    if (error instanceof BadRecordError) throw new LogError(device.lsnOf(error.block), error.reason);
    throw error;
  }
}

export interface DecodeOptions {
  /** Each transaction's regions hold only until the next is asked for: their memory is used again. */
  readonly transient?: boolean;
  /** To ask afterwards what was left open. */
  readonly decoder?: LogDecoder;
  /** Called before each record is decoded. */
  readonly onRecord?: (record: LogRecord) => void;
}

/**
 * The transactions a recovery replays, in commit order. Throws LogError where the log cannot be replayed
 * from there on; what was yielded before stands whole. A clean log yields nothing.
 */
export function* committedTransactions(
  state: LogState,
  options: DecodeOptions = {},
): Generator<LogTransaction> {
  if (state.clean) return;
  const reader = new LogReader(state.device);
  const decoder = options.decoder ?? new LogDecoder();
  for (const record of checkedRecords(state, state.tail.block, state.head.block, reader)) {
    options.onRecord?.(record);
    const committed: LogTransaction[] = [];
    try {
      decoder.decode(record, committed);
    } catch (error) {
      yield* committed;
      throw error;
    }
    for (const transaction of committed) yield transaction;
    if (options.transient) reader.release(Math.min(decoder.oldestChunk, record.chunk));
  }
}

/** Name of an item's type, lower case; the number in hex where there is none. */
export function itemName(type: number): string {
  return ITEM_NAMES.get(type) ?? `0x${type.toString(16)}`;
}
const ITEM_NAMES = new Map(Object.entries(LI_NAME).map(([type, name]) => [Number(type), name.toLowerCase()]));
