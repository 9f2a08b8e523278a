/**
 * Log records one at a time: headers checked, data under its checksum, the first word of every block put
 * back. `walkRecords` goes from one block to another as Linux's recovery does and stops with a
 * BadRecordError at the first record it would not take.
 */
import { crc32c } from '../format/checksum.js';
import {
  BBSIZE,
  formatLsn,
  headerBlocks,
  LOG_EXTENDED_HEADER,
  LOG_RECORD_CRC_SIZE,
  LOG_RECORD_CRC_SIZE_I386,
  LOG_RECORD_HEADER,
  type Lsn,
  readLsn,
  XLOG_CYCLE_SLOTS,
  XLOG_FMT,
  XLOG_HEADER_CYCLE_SIZE,
  XLOG_HEADER_MAGIC,
  XLOG_MAX_RECORD_SIZE,
  XLOG_VERSION,
} from '../format/log.js';
import { formatUuid, viewOf } from '../format/structure.js';
import { type LogDevice, LogReader } from './device.js';
import { LogError } from './error.js';

const AT = LOG_RECORD_HEADER.at;

/** A record header's fields; `block` is where it stands, whatever its own lsn says. */
export interface RecordHeader {
  readonly block: number;
  readonly lsn: Lsn;
  readonly tailLsn: Lsn;
  readonly cycle: number;
  readonly version: number;
  /** Bytes of data behind the header sectors. */
  readonly len: number;
  readonly ops: number;
  /** Bytes of the log buffer it was written from: decides how many header sectors there are. */
  readonly size: number;
  readonly fmt: number;
  readonly crc: number;
  readonly prevBlock: number;
}

export interface LogRecord extends RecordHeader {
  /** Header sectors. */
  readonly headerBlocks: number;
  /** All header sectors, and the data as it stands on disk: first words are cycle numbers until unpacked. */
  readonly headers: Uint8Array;
  readonly data: Uint8Array;
  /** Number of the reader's chunk the data lies in. */
  readonly chunk: number;
}

/** A record that cannot be taken, and the block it begins at. */
export class BadRecordError extends Error {
  readonly block: number;
  readonly reason: string;
  /** Linux gives up here whatever follows: no question of a torn write. */
  readonly fatal: boolean;
  constructor(block: number, reason: string, fatal = false) {
    super(`log record at block ${block}: ${reason}`);
    this.name = 'BadRecordError';
    this.block = block;
    this.reason = reason;
    this.fatal = fatal;
  }
}

/** Reads the fields of the header sector in `v`; nothing is checked. */
export function readHeader(v: DataView, block: number): RecordHeader {
  return {
    block,
    lsn: readLsn(v, AT.lsn),
    tailLsn: readLsn(v, AT.tail_lsn),
    cycle: v.getUint32(AT.cycle),
    version: v.getUint32(AT.version),
    len: v.getUint32(AT.len),
    ops: v.getUint32(AT.num_logops),
    size: v.getUint32(AT.size),
    fmt: v.getUint32(AT.fmt),
    crc: v.getUint32(AT.crc, true),
    prevBlock: v.getInt32(AT.prev_block),
  };
}

/** What keeps a header from being believed, data of at most `bufferSize` bytes allowed, or undefined. */
function headerFault(v: DataView, bufferSize: number): string | undefined {
  const magic = v.getUint32(AT.magicno);
  if (magic !== XLOG_HEADER_MAGIC) return `no record header (magic is 0x${magic.toString(16)})`;
  const version = v.getUint32(AT.version);
  if (version === 0 || (version & ~XLOG_VERSION.ALL) !== 0) return `record version is ${version}`;
  const len = v.getInt32(AT.len);
  if (len <= 0 || len > bufferSize) return `record length is ${len}, expected 1 to ${bufferSize}`;
  return undefined;
}

/** The checksum a record should carry: its header, the extended headers in use, the data as on disk. */
export function recordCrc(headers: Uint8Array, data: Uint8Array, headerSize = LOG_RECORD_CRC_SIZE): number {
  const head = headers.slice(0, headerSize);
  head.fill(0, AT.crc, AT.crc + 4);
  let crc = crc32c(head);
  const extended = Math.ceil(data.length / XLOG_HEADER_CYCLE_SIZE);
  for (let i = 1; i < extended; i++)
    crc = crc32c(headers.subarray(i * BBSIZE, i * BBSIZE + LOG_EXTENDED_HEADER.size), crc);
  return crc32c(data, crc);
}

/** Whether a record's checksum is right, as 64-bit machines or as i386 computed it. */
export const recordCrcHolds = (record: LogRecord): boolean =>
  record.crc === recordCrc(record.headers, record.data) ||
  record.crc === recordCrc(record.headers, record.data, LOG_RECORD_CRC_SIZE_I386);

/** Puts the first word of every block of the data back, in place. To be done once. */
export function unpackRecord(record: LogRecord): void {
  const { headers, data } = record;
  for (let i = 0, at = 0; at < data.length; i++, at += BBSIZE) {
    const sector = Math.floor(i / XLOG_CYCLE_SLOTS) * BBSIZE;
    const slots = sector + (sector === 0 ? AT.cycle_data : LOG_EXTENDED_HEADER.at.cycle_data);
    const from = slots + (i % XLOG_CYCLE_SLOTS) * 4;
    data[at] = headers[from];
    data[at + 1] = headers[from + 1];
    data[at + 2] = headers[from + 2];
    data[at + 3] = headers[from + 3];
  }
}

/**
 * The buffer size to go by from a record on. mkfs writes a record as long as the stripe unit but always says
 * 32 KiB (xfsprogs up to 6.9); Linux takes the stripe unit where it looks like that.
 */
function bufferSizeFrom(device: LogDevice, header: RecordHeader): number {
  const mkfs = header.len > header.size && header.len <= device.bufferSize && header.ops === 1;
  return mkfs ? device.bufferSize : header.size;
}

/**
 * The records from block `from` to block `to`, around the physical end where `to` is not after `from`. The
 * first record's buffer size decides the number of header sectors of them all, as in Linux. Checksums are not
 * looked at. A record stays valid until its chunk is released. Throws BadRecordError; ImageError where the
 * image ends.
 */
export function* walkRecords(
  device: LogDevice,
  from: number,
  to: number,
  reader: LogReader = new LogReader(device),
): Generator<LogRecord> {
  const { blocks } = device;
  if (from >= blocks) throw new BadRecordError(from, `past the end of the log (${blocks} blocks)`, true);
  const first = readHeader(device.block(from), from);
  const bufferSize = bufferSizeFrom(device, first);
  const fault = headerFault(device.block(from), bufferSize | 0);
  if (fault !== undefined) throw new BadRecordError(from, fault);
  if (bufferSize > XLOG_MAX_RECORD_SIZE)
    throw new BadRecordError(from, `log buffer size is ${bufferSize}, expected at most 262144`, true);
  const hblocks = headerBlocks(first.version, bufferSize);

  let block = from;
  let wrapping = from > to;
  while (wrapping || block < to) {
    const limit = wrapping ? block + blocks : blocks;
    if (block + hblocks > limit) throw new BadRecordError(block, 'the header runs past the end of the log');
    const headers = reader.readWrapped(block, hblocks);
    const v = viewOf(headers);
    const wrong = headerFault(v, bufferSize);
    if (wrong !== undefined) throw new BadRecordError(block, wrong);
    const header = readHeader(v, block);
    if (Math.ceil(header.len / XLOG_HEADER_CYCLE_SIZE) > hblocks)
      throw new BadRecordError(block, `${header.len} bytes of data need more than ${hblocks} header sectors`);
    const dataBlocks = Math.ceil(header.len / BBSIZE);
    if (!wrapping && block + hblocks + dataBlocks > blocks)
      throw new BadRecordError(block, `${header.len} bytes of data run past the end of the log`);
    const data = reader.readWrapped(block + hblocks, dataBlocks).subarray(0, header.len);
    yield { ...header, headerBlocks: hblocks, headers, data, chunk: reader.sequence };
    block += hblocks + dataBlocks;
    if (wrapping && block >= blocks) {
      block -= blocks;
      wrapping = false;
    }
  }
}

/** Checks what recovery asks of a record before it looks at the data. Throws LogError. */
export function checkRecord(device: LogDevice, record: LogRecord, readBefore = false): void {
  const where = { cycle: record.cycle, block: record.block };
  if (!readBefore && !recordCrcHolds(record))
    throw new LogError(where, 'the checksum of the record is wrong');
  if (record.fmt !== XLOG_FMT.LINUX_LE && record.fmt !== XLOG_FMT.LINUX_BE)
    throw new LogError(where, `log format is ${record.fmt}, expected 1 (little-endian) or 2 (big-endian)`);
  // Linux does not ask, and would stamp what it replays with whatever stands there.
  if (record.lsn.block !== record.block || record.lsn.cycle !== record.cycle)
    throw new LogError(where, `the record says it is LSN ${formatLsn(record.lsn)}`);
  // Zeros will do where there is nothing to replay, but not here.
  if (!sameUuid(device, record.headers, false))
    throw new LogError(
      where,
      `record of another filesystem (UUID ${formatUuid(viewOf(record.headers), AT.fs_uuid)})`,
    );
}

/**
 * Whether the header sector at the start of `b` carries this filesystem's UUID, or `zeros`: Linux takes such a
 * record, for IRIX wrote no UUID (xfs_log_recover.c), and `xfsimg uuid` writes one in between.
 */
export function sameUuid(device: LogDevice, b: Uint8Array, zeros = true): boolean {
  let same = true;
  let nil = zeros;
  for (let i = 0; i < 16; i++) {
    const byte = b[AT.fs_uuid + i];
    same &&= byte === device.uuid[i];
    nil &&= byte === 0;
  }
  return same || nil;
}
