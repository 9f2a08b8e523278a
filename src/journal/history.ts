/**
 * Everything a log still holds, not only what waits to be replayed: records behind the tail stay readable
 * until the head comes around again. For looking, not for recovery.
 */
import {
  BBSIZE,
  headerBlocks,
  XLOG_FMT,
  XLOG_HEADER_CYCLE_SIZE,
  XLOG_MAX_RECORD_SIZE,
} from '../format/log.js';
import { LogDecoder, type LogTransaction } from './decode.js';
import { LogReader } from './device.js';
import { LogError } from './error.js';
import { type LogRecord, readHeader, recordCrcHolds, sameUuid, unpackRecord } from './record.js';
import type { LogState } from './scan.js';

/**
 * All records found, oldest first, wherever they stand; those that were partly overwritten are left out,
 * and so are the empty headers Linux clears stale blocks with. Records that carry no checksum (mkfs) pass.
 */
export function* allRecords(
  state: LogState,
  reader: LogReader = new LogReader(state.device),
): Generator<LogRecord> {
  const { device } = state;
  const { blocks } = device;
  for (let done = 0; done < blocks; ) {
    const block = (state.head.block + done) % blocks;
    const record = device.isHeader(block) ? recordAt(state, reader, block) : undefined;
    if (record === undefined) {
      done++;
      continue;
    }
    yield record;
    done += record.headerBlocks + Math.ceil(record.len / BBSIZE);
  }
}

function recordAt(state: LogState, reader: LogReader, block: number): LogRecord | undefined {
  const { device } = state;
  const sector = device.block(block);
  const header = readHeader(sector, block);
  if (
    header.len === 0 ||
    header.len > XLOG_MAX_RECORD_SIZE ||
    !sameUuid(device, new Uint8Array(sector.buffer))
  )
    return undefined;
  const mkfs = header.len > header.size && header.len <= device.bufferSize && header.ops === 1;
  const hblocks = headerBlocks(header.version, mkfs ? device.bufferSize : header.size);
  if (hblocks * XLOG_HEADER_CYCLE_SIZE < header.len || header.size > XLOG_MAX_RECORD_SIZE) return undefined;
  const count = Math.ceil(header.len / BBSIZE);
  const whole = reader.readWrapped(block, hblocks + count);
  const record: LogRecord = {
    ...header,
    headerBlocks: hblocks,
    headers: whole.subarray(0, hblocks * BBSIZE),
    data: whole.subarray(hblocks * BBSIZE, hblocks * BBSIZE + header.len),
    chunk: reader.sequence,
  };
  return record.crc === 0 || recordCrcHolds(record) ? record : undefined;
}

/** All transactions that can still be put together, oldest first. Each holds until the next is asked for. */
export function* allTransactions(state: LogState): Generator<LogTransaction> {
  const reader = new LogReader(state.device);
  let decoder = new LogDecoder();
  let next = -1;
  for (const record of allRecords(state, reader)) {
    if (record.fmt !== XLOG_FMT.LINUX_LE && record.fmt !== XLOG_FMT.LINUX_BE) continue;
    // What was open when records are missing in between will not be closed.
    if (record.block !== next) decoder = new LogDecoder();
    next = (record.block + record.headerBlocks + Math.ceil(record.len / BBSIZE)) % state.device.blocks;
    unpackRecord(record);
    const committed: LogTransaction[] = [];
    try {
      decoder.decode(record, committed);
    } catch (error) {
      if (!(error instanceof LogError)) throw error;
      decoder = new LogDecoder();
    }
    for (const transaction of committed) yield transaction;
    reader.release(Math.min(decoder.oldestChunk, record.chunk));
  }
}
