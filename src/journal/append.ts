/**
 * Writing the log: checkpoints (transactions, as Linux has written them since it collects them in memory)
 * are laid out as operations in records and the records appended at the head.
 *
 * Layout and order are those of xfs_log.c: each record is a header sector (more of them where records are
 * longer than 32 KiB), then operations; it is padded to the log's stripe unit, every 512-byte block of it
 * begins with the cycle number, blocks past the physical end of the log go to its start with the next cycle
 * number. Records go out in order, so a cut anywhere leaves whole records and at most one torn one.
 */
import {
  BBSIZE,
  headerBlocks,
  LOG_CLIENT,
  LOG_EXTENDED_HEADER,
  LOG_OP,
  LOG_OP_HEADER,
  LOG_OP_HEADER_SIZE,
  LOG_RECORD_CRC_SIZE,
  LOG_RECORD_HEADER,
  type Lsn,
  nextCycle,
  TRANSACTION_HEADER,
  TRANSACTION_HEADER_SIZE,
  UNMOUNT_RECORD,
  writeLsn,
  XFS_TRANS_CHECKPOINT,
  XFS_TRANS_HEADER_MAGIC,
  XLOG_CYCLE_SLOTS,
  XLOG_FMT,
  XLOG_HEADER_MAGIC,
  XLOG_MAX_ICLOGS,
  XLOG_MAX_RECORD_SIZE,
  XLOG_UNMOUNT_MAGIC,
  XLOG_VERSION,
} from '../format/log.js';
import { viewOf } from '../format/structure.js';
import type { LogDevice } from './device.js';
import { recordCrc } from './record.js';
import type { LogState } from './scan.js';

const H = LOG_RECORD_HEADER.at;
/** Bytes of records put together before they are written in one go. */
const STAGING = 1 << 20;
/** Regions up to this long are not split over records. */
const WHOLE = 256;
/** Smallest piece of a region worth starting at a record's end. */
const MIN_PIECE = 64;

/**
 * Appends to the log of an image. Nothing here waits for stable storage: the caller syncs the source before
 * it relies on what was appended.
 */
export class LogWriter {
  readonly device: LogDevice;
  /** Bytes of the largest record, its header sectors included (h_size). */
  readonly recordSize: number;
  /** Records are padded to multiples of this many bytes. */
  readonly roundoff: number;
  readonly #headerBytes: number;
  /** Most bytes of operations in one record. */
  readonly #room: number;
  /** Where the next record goes. */
  #cycle: number;
  #block: number;
  #previous: number;
  #tail: Lsn;
  #tid: number;
  /** LSN of the record the last checkpoint begins in. */
  #start: Lsn;

  readonly #staging: Uint8Array;
  readonly #view: DataView;
  /** Bytes of complete records in the staging buffer, and the log block they begin at. */
  #staged = 0;
  #stagedBlock: number;
  /** Bytes of operations in the record being filled, and how many of them began in it. */
  #fill = 0;
  #ops = 0;

  /** `state`: the log as scanned. Records from its tail on must not have another size than ours. */
  constructor(state: LogState) {
    const { device } = state;
    const { logsunit } = device.g;
    this.device = device;
    this.roundoff = logsunit > 1 ? logsunit : BBSIZE;
    // Recovery takes the number of header sectors from the first record it reads and holds all others to it.
    const size = !state.clean && state.last !== undefined ? state.last.size : device.bufferSize;
    this.recordSize = Math.min(Math.max(size, 32 * 1024, this.roundoff), XLOG_MAX_RECORD_SIZE);
    this.#headerBytes = headerBlocks(XLOG_VERSION.V2, this.recordSize) * BBSIZE;
    this.#room = Math.floor(this.recordSize / this.roundoff) * this.roundoff - this.#headerBytes;
    this.#cycle = state.head.cycle;
    this.#block = state.head.block;
    this.#stagedBlock = this.#block;
    this.#previous = state.last?.block ?? -1;
    this.#tail = state.tail;
    this.#start = state.head;
    this.#tid = ((state.head.cycle * 0x9e37_79b1 + state.head.block) ^ 0x5846_5321) >>> 0;
    this.#staging = new Uint8Array(STAGING + this.recordSize + this.roundoff);
    this.#view = viewOf(this.#staging);
  }

  /** LSN of the next record: of the next checkpoint, too. */
  get head(): Lsn {
    return { cycle: this.#cycle, block: this.#block };
  }

  /** The oldest record recovery would begin at. Moving it forward frees the log's space behind it. */
  get tail(): Lsn {
    return this.#tail;
  }

  set tail(lsn: Lsn) {
    this.#tail = lsn;
  }

  /** Bytes that can be appended before the head would run into the tail. */
  get free(): number {
    const used =
      this.#cycle === this.#tail.cycle
        ? this.#block - this.#tail.block
        : this.#block + this.device.blocks - this.#tail.block;
    return (this.device.blocks - used) * BBSIZE;
  }

  /** Upper bound of the log space a checkpoint of so many regions with so many bytes takes. */
  space(regions: number, bytes: number): number {
    const ops = bytes + (regions + 4) * (LOG_OP_HEADER_SIZE + 3);
    // Pieces that are not split leave up to WHOLE bytes of a record unused.
    const records = Math.ceil(ops / (this.#room - WHOLE - 2 * LOG_OP_HEADER_SIZE)) + 1;
    return ops + records * (this.#headerBytes + this.roundoff + WHOLE + 2 * LOG_OP_HEADER_SIZE);
  }

  /**
   * Appends one checkpoint: its regions in order, the format structure of each item first. Regions are
   * padded to 4 bytes. `items`: their number, as th_num_items counts them (regions). Returns the LSN of the
   * record it begins in: the LSN of everything in it.
   *
   * The caller has made sure that `space` fits into `free`.
   */
  checkpoint(regions: readonly Uint8Array[]): Lsn {
    const start = this.head;
    const tid = this.#transaction(regions);
    this.#op(tid, LOG_CLIENT.TRANSACTION, LOG_OP.COMMIT, undefined);
    this.#endRecord();
    this.#flush();
    return start;
  }

  /**
   * Appends two checkpoints of which a cut leaves both or neither: their commits are in one record. They are
   * replayed one after the other. To the `space` of both another record is to be added. Returns the LSN of the
   * second.
   */
  checkpointPair(first: readonly Uint8Array[], second: readonly Uint8Array[]): Lsn {
    const tids = [this.#transaction(first), this.#transaction(second)];
    const lsn = this.#start;
    if (this.#fill > 0) this.#endRecord();
    for (const tid of tids) this.#op(tid, LOG_CLIENT.TRANSACTION, LOG_OP.COMMIT, undefined);
    this.#endRecord();
    this.#flush();
    return lsn;
  }

  /** A checkpoint without its commit. Returns its id. */
  #transaction(regions: readonly Uint8Array[]): number {
    this.#tid = (this.#tid + 0x0101_0101) >>> 0;
    const tid = this.#tid;
    this.#op(tid, LOG_CLIENT.TRANSACTION, LOG_OP.START, undefined);
    this.#start = this.head;
    const header = new Uint8Array(TRANSACTION_HEADER_SIZE);
    TRANSACTION_HEADER.encode(
      viewOf(header),
      0,
      {
        magic: XFS_TRANS_HEADER_MAGIC,
        type: XFS_TRANS_CHECKPOINT,
        tid: tid | 0,
        num_items: regions.length,
      },
      true,
    );
    this.#op(tid, LOG_CLIENT.TRANSACTION, 0, header);
    for (const region of regions) this.#op(tid, LOG_CLIENT.TRANSACTION, 0, region);
    return tid;
  }

  /** Appends the record that says the log holds nothing to replay. All metadata must be in place by then. */
  unmount(): Lsn {
    const start = this.head;
    this.#tail = start;
    const magic = new Uint8Array(UNMOUNT_RECORD.size);
    viewOf(magic).setUint16(UNMOUNT_RECORD.at.magic, XLOG_UNMOUNT_MAGIC, true);
    this.#op(++this.#tid >>> 0, LOG_CLIENT.LOG, LOG_OP.UNMOUNT, magic);
    this.#endRecord();
    this.#flush();
    this.#tail = this.head;
    return start;
  }

  /**
   * Stamps the blocks ahead of the head, as far as writes could have been in flight there before a crash,
   * with the cycle before: a later search for the head must not take leftovers of a torn write for records.
   * Does nothing where there are none.
   */
  clearStale(): void {
    const { device } = this;
    const reach = Math.min(Math.floor(this.free / BBSIZE), (XLOG_MAX_ICLOGS * XLOG_MAX_RECORD_SIZE) / BBSIZE);
    let last = -1;
    for (let i = 0; i < reach; i++) {
      const block = this.#block + i;
      const wraps = block >= device.blocks;
      if (device.cycle(wraps ? block - device.blocks : block) >= this.#cycle + (wraps ? 1 : 0)) last = i;
    }
    if (last < 0) return;
    const before = Math.min(reach, device.blocks - this.#block);
    this.#writeEmptyRecords(this.#block, before, this.#cycle - 1);
    if (reach > before) this.#writeEmptyRecords(0, reach - before, this.#cycle);
  }

  /** `count` blocks that each look like a header sector of `cycle` and nothing behind it. */
  #writeEmptyRecords(from: number, count: number, cycle: number): void {
    const bytes = new Uint8Array(count * BBSIZE);
    const v = viewOf(bytes);
    for (let i = 0; i < count; i++) {
      const at = i * BBSIZE;
      v.setUint32(at + H.magicno, XLOG_HEADER_MAGIC);
      v.setUint32(at + H.cycle, cycle);
      v.setUint32(at + H.version, XLOG_VERSION.V2);
      writeLsn(v, at + H.lsn, { cycle, block: from + i });
      writeLsn(v, at + H.tail_lsn, this.#tail);
      v.setUint32(at + H.fmt, XLOG_FMT.LINUX_LE);
      bytes.set(this.device.uuid, at + H.fs_uuid);
    }
    this.device.source.write(this.device.start + from * BBSIZE, bytes);
  }

  /** Adds an operation, in pieces where the record does not hold all of it. */
  #op(tid: number, client: number, flags: number, data: Uint8Array | undefined): void {
    const length = data?.length ?? 0;
    const padded = (length + 3) & ~3;
    let done = 0;
    let pieceFlags = flags;
    do {
      const left = padded - done;
      let room = this.#room - this.#fill - LOG_OP_HEADER_SIZE;
      if (room < Math.min(left, left <= WHOLE ? left : MIN_PIECE) || room < 0) {
        this.#endRecord();
        room = this.#room - LOG_OP_HEADER_SIZE;
      }
      const take = Math.min(left, room & ~3);
      if (take < left) pieceFlags |= LOG_OP.CONTINUE;
      else if ((pieceFlags & LOG_OP.WAS_CONT) !== 0) pieceFlags |= LOG_OP.END;
      const at = this.#staged + this.#headerBytes + this.#fill;
      const v = this.#view;
      v.setUint32(at + LOG_OP_HEADER.at.tid, tid);
      v.setUint32(at + LOG_OP_HEADER.at.len, take);
      v.setUint8(at + LOG_OP_HEADER.at.clientid, client);
      v.setUint8(at + LOG_OP_HEADER.at.flags, pieceFlags);
      v.setUint16(at + LOG_OP_HEADER.at.res2, 0);
      if (data !== undefined && take > 0)
        this.#staging.set(data.subarray(done, Math.min(done + take, length)), at + LOG_OP_HEADER_SIZE);
      this.#fill += LOG_OP_HEADER_SIZE + take;
      this.#ops++;
      done += take;
      pieceFlags = LOG_OP.WAS_CONT;
    } while (done < padded);
  }

  /** Completes the record being filled: header, padding, cycle numbers, checksum. */
  #endRecord(): void {
    const { device } = this;
    const total = Math.ceil((this.#headerBytes + this.#fill) / this.roundoff) * this.roundoff;
    const length = total - this.#headerBytes;
    const headers = this.#headerBytes / BBSIZE;
    const base = this.#staged;
    const v = this.#view;
    v.setUint32(base + H.magicno, XLOG_HEADER_MAGIC);
    v.setUint32(base + H.cycle, this.#cycle);
    v.setUint32(base + H.version, XLOG_VERSION.V2);
    v.setUint32(base + H.len, length);
    writeLsn(v, base + H.lsn, this.head);
    writeLsn(v, base + H.tail_lsn, this.#tail);
    v.setInt32(base + H.prev_block, this.#previous);
    v.setUint32(base + H.num_logops, this.#ops);
    v.setUint32(base + H.fmt, XLOG_FMT.LINUX_LE);
    this.#staging.set(device.uuid, base + H.fs_uuid);
    v.setUint32(base + H.size, this.recordSize);

    const data = base + this.#headerBytes;
    for (let i = 0; i < length / BBSIZE; i++) {
      const header = Math.floor(i / XLOG_CYCLE_SLOTS);
      const slot = (i % XLOG_CYCLE_SLOTS) * 4;
      const at =
        header === 0
          ? base + H.cycle_data + slot
          : base + header * BBSIZE + LOG_EXTENDED_HEADER.at.cycle_data + slot;
      v.setUint32(at, v.getUint32(data + i * BBSIZE));
      v.setUint32(data + i * BBSIZE, this.#cycle);
    }
    for (let i = 1; i < headers; i++)
      v.setUint32(base + i * BBSIZE + LOG_EXTENDED_HEADER.at.cycle, this.#cycle);

    const blocks = total / BBSIZE;
    const next = nextCycle(this.#cycle);
    const beyond = this.#block + blocks - device.blocks;
    for (let i = blocks - Math.max(0, beyond); i < blocks; i++) v.setUint32(base + i * BBSIZE, next);
    v.setUint32(base + H.crc, 0, true);
    const sum = recordCrc(
      this.#staging.subarray(base, data),
      this.#staging.subarray(data, data + length),
      LOG_RECORD_CRC_SIZE,
    );
    v.setUint32(base + H.crc, sum, true);

    this.#previous = this.#block;
    this.#block += blocks;
    if (this.#block >= device.blocks) {
      this.#block -= device.blocks;
      this.#cycle = next;
    }
    this.#staged += total;
    this.#fill = 0;
    this.#ops = 0;
    if (this.#staged >= STAGING) this.#flush();
  }

  /** Writes the complete records out. */
  #flush(): void {
    const { source, start, blocks } = this.device;
    const bytes = this.#staging.subarray(0, this.#staged);
    const before = Math.min(this.#staged, (blocks - this.#stagedBlock) * BBSIZE);
    source.write(start + this.#stagedBlock * BBSIZE, bytes.subarray(0, before));
    if (before < bytes.length) source.write(start, bytes.subarray(before));
    bytes.fill(0);
    this.#staged = 0;
    this.#stagedBlock = this.#block;
  }
}
