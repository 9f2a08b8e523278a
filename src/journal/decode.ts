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
import { ItemList, LogItem } from './logitem.js';
import { BadRecordError, checkRecord, type LogRecord, unpackRecord, walkRecords } from './record.js';
import type { LogState } from './scan.js';

const OP = LOG_OP_HEADER.at;
/** Most bytes of regions that uncommitted transactions may hold: twice what Linux lets one grow to. */
const MAX_OPEN_BYTES = 128 * 2 ** 20;
/** And the most regions: a 64 MiB transaction of nothing but inode cores has half as many. */
const MAX_OPEN_REGIONS = 2 ** 20;
/** Once a transaction is this many records old its regions are copied, so that the chunks can go. */
const COMPACT_RECORDS = 512;
/** Lists kept to be filled again. */
const MAX_LISTS = 16;

export interface LogTransaction {
  readonly tid: number;
  /** LSN of the record it starts in: the one its buffers and inodes are stamped with. */
  readonly lsn: Lsn;
  /** LSN of the record its commit operation is in. */
  readonly commitLsn: Lsn;
  readonly littleEndian: boolean;
  readonly items: ItemList;
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
  readonly items: ItemList;
  /** The first of the reader's chunks its regions lie in. */
  chunk: number;
  /** The transaction header is in: what follows are items. */
  started = false;
  bytes = 0;
  regions = 0;
  /** Regions that come are of an item that is passed over. */
  passing = false;
  /** Regions the item still lacks. */
  left = 0;
  /** Records since it started or was last compacted. */
  age = 0;

  constructor(tid: number, lsn: Lsn, items: ItemList, chunk: number) {
    this.tid = tid;
    this.lsn = lsn;
    this.littleEndian = items.littleEndian;
    this.chunk = chunk;
    this.items = items;
  }

  /** Copies the regions; nothing before `chunk` is needed then. */
  compact(chunk: number): void {
    this.items.compact();
    this.age = 0;
    this.chunk = chunk;
  }
}

export class LogDecoder {
  readonly #open = new Map<number, OpenTransaction>();
  #openBytes = 0;
  #openRegions = 0;
  readonly #cancelsOnly: boolean;
  readonly #item = new LogItem();
  readonly #lists: ItemList[] = [];
  /** The transaction of the last operation: the next is most likely of the same. */
  #last: OpenTransaction | undefined;

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
      const open = this.#last?.tid === tid ? this.#last : this.#open.get(tid);
      this.#last = open;
      if (open === undefined) {
        // Anything but a start is the rest of a transaction that began before the tail.
        if ((opFlags & LOG_OP.START) !== 0)
          this.#open.set(tid, new OpenTransaction(tid, record.lsn, this.#list(littleEndian), record.chunk));
        at += length;
        continue;
      }
      let flags = opFlags & ~LOG_OP.END;
      if ((flags & LOG_OP.WAS_CONT) !== 0) flags &= ~LOG_OP.CONTINUE;
      if (flags === 0 || flags === LOG_OP.CONTINUE) this.#add(open, data, view, at, length, bad);
      else if (flags === LOG_OP.WAS_CONT) this.#append(open, data, at, length, bad);
      else if (flags === LOG_OP.COMMIT) {
        this.#forget(open);
        for (let i = 0; i < open.items.length; i++) {
          open.items.load(i, this.#item);
          const fault = itemFault(this.#item);
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

  /** The items of a transaction that has been dealt with are no longer looked at: their memory is used again. */
  recycle(items: ItemList): void {
    if (this.#lists.length < MAX_LISTS) this.#lists.push(items);
  }

  #list(littleEndian: boolean): ItemList {
    const list = this.#lists.pop() ?? new ItemList(littleEndian);
    list.reset(littleEndian);
    return list;
  }

  #forget(open: OpenTransaction): void {
    this.#open.delete(open.tid);
    this.#last = undefined;
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
      open.passing = this.#cancelsOnly && !isCancel(view, at, length, open.littleEndian);
      if (!open.passing) open.items.begin(type, size);
    }
    open.left--;
    if (!open.passing) open.items.add(data, view, at, length);
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
    if (!open.passing) open.items.extend(data.subarray(at, at + length));
    this.#grow(open, length, bad);
  }
}

/**
 * The unpacked records from `from` to `to`, checked as recovery checks them. Throws LogError. `readBefore`: they have
 * been, and their checksums held.
 */
export function* checkedRecords(
  state: LogState,
  from: number,
  to: number,
  reader: LogReader = new LogReader(state.device),
  readBefore = false,
): Generator<LogRecord> {
  const { device } = state;
  try {
    let fmt: number | undefined;
    for (const record of walkRecords(device, from, to, reader)) {
      checkRecord(device, record, readBefore);
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
  /** All of them have been read before: their checksums are not computed again. */
  readonly readBefore?: boolean;
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
  const { tail, head } = state;
  for (const record of checkedRecords(state, tail.block, head.block, reader, options.readBefore)) {
    options.onRecord?.(record);
    const committed: LogTransaction[] = [];
    try {
      decoder.decode(record, committed);
    } catch (error) {
      yield* committed;
      throw error;
    }
    for (const transaction of committed) {
      yield transaction;
      if (options.transient) decoder.recycle(transaction.items);
    }
    if (options.transient) reader.release(Math.min(decoder.oldestChunk, record.chunk));
  }
}

/** Name of an item's type, lower case; the number in hex where there is none. */
export function itemName(type: number): string {
  return ITEM_NAMES.get(type) ?? `0x${type.toString(16)}`;
}
const ITEM_NAMES = new Map(Object.entries(LI_NAME).map(([type, name]) => [Number(type), name.toLowerCase()]));
