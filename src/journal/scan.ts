/**
 * Where the log begins and ends: the search Linux makes at mount (xfs_log_recover.c), so that what is
 * replayed here is what Linux would replay.
 *
 * The head is the block the next record goes to. Cycle numbers stamped on every block find it roughly, by
 * bisection, then exactly, by looking for stale blocks as far back as writes can be in flight. The last
 * record before it names the tail. Up to eight records at the head may be torn writes: the first of them
 * whose checksum fails becomes the head. Records at the tail may have been overwritten by a torn write that
 * came around to them: the first whole one becomes the tail. All others must hold, which shows when they are
 * decoded: before anything is replayed, the whole log is to be read once.
 */

import type { Geometry } from '../format/geometry.js';
import {
  BBSHIFT,
  BBSIZE,
  compareLsn,
  formatLsn,
  headerBlocks,
  LOG_OP,
  LOG_OP_HEADER,
  LOG_RECORD_HEADER,
  type Lsn,
  nextCycle,
  readLsn,
  XLOG_MAX_ICLOGS,
  XLOG_MAX_RECORD_SIZE,
} from '../format/log.js';
import { formatUuid } from '../format/structure.js';
import { SUPERBLOCK } from '../format/superblock.js';
import type { Source } from '../image/source.js';
import { LogDevice, LogReader } from './device.js';
import { LogError } from './error.js';
import {
  BadRecordError,
  type RecordHeader,
  readHeader,
  recordCrcHolds,
  sameUuid,
  walkRecords,
} from './record.js';

/** Blocks of one log buffer, and of all that can be in flight. */
const RECORD_BLOCKS = XLOG_MAX_RECORD_SIZE >> BBSHIFT;
const IN_FLIGHT_BLOCKS = XLOG_MAX_ICLOGS * RECORD_BLOCKS;

export interface LogState {
  readonly device: LogDevice;
  /** Nothing to replay: an unmount record at the head, or a zeroed log. */
  readonly clean: boolean;
  /** Never written since it was zeroed. */
  readonly zeroed: boolean;
  /** Where the next record goes: its block, and the cycle it would be stamped with. */
  readonly head: Lsn;
  /** The first record to replay; equal to head where the log is clean. */
  readonly tail: Lsn;
  /** The last good record; undefined in a zeroed log. */
  readonly last: RecordHeader | undefined;
  /** Block of the first torn record, where there was one: now the head. */
  readonly torn: number | undefined;
  /** The tail as the last record names it, where records there had been overwritten. */
  readonly overwrittenTail: number | undefined;
}

/** A record header found by searching, and whether the search went around the physical end for it. */
interface Found {
  readonly header: RecordHeader;
  readonly wrapped: boolean;
}

/**
 * Finds head and tail. Throws LogError where Linux would refuse to mount: no record before the head, a
 * record of another filesystem, a corrupt record that is no torn write, head and tail that do not meet, a
 * superblock whose LSN lies ahead of the head.
 */
export function scanLog(source: Source, g: Geometry): LogState {
  const device = new LogDevice(source, g);
  const found = findHead(device);
  if (found === 0 && device.cycle(0) === 0) {
    const start = { cycle: 1, block: 0 };
    return {
      device,
      clean: true,
      zeroed: true,
      head: start,
      tail: start,
      last: undefined,
      torn: undefined,
      overwrittenTail: undefined,
    };
  }
  let head = found;
  let last = seekBack(device, head, head, 1);
  if (last === undefined) throw new LogError(device.lsnOf(head), 'there is no record before the head');
  let tail = last.header.tailLsn.block;
  let clean = endsWithUnmount(device, head, last.header);
  let torn: number | undefined;
  let overwrittenTail: number | undefined;
  if (!clean) {
    torn = firstTorn(device, head, tail);
    if (torn !== undefined) {
      last = seekBack(device, torn, tail, 1);
      if (last === undefined)
        throw new LogError(device.lsnOf(torn), 'the record is torn and none before it is whole');
      head = torn;
      tail = last.header.tailLsn.block;
      if (head === tail)
        throw new LogError(device.lsnOf(torn), 'a corrupt record, too far back to be a torn write');
    }
    const verified = verifyTail(device, head, tail, last.header);
    if (verified !== tail) overwrittenTail = tail;
    tail = verified;
    if (torn !== undefined) clean = endsWithUnmount(device, head, last.header);
  }
  if (tail === head) clean = true;
  const headLsn = {
    cycle: last.wrapped ? nextCycle(last.header.cycle) : last.header.cycle,
    block: head,
  };
  checkMeeting(device, headLsn, last.header.tailLsn);
  checkSuperblockLsn(source, headLsn);
  return {
    device,
    clean,
    zeroed: false,
    head: headLsn,
    tail: clean ? headLsn : { cycle: device.cycle(tail), block: tail },
    last: last.header,
    torn,
    overwrittenTail,
  };
}

/** First block from `start` on, `count` of them looked at, with this cycle; -1 where there is none. */
function findCycle(device: LogDevice, start: number, count: number, cycle: number): number {
  for (let block = start; block < start + count; block++) if (device.cycle(block) === cycle) return block;
  return -1;
}

/** Bisects for the first block of `cycle`, known to stand at `last` and not at `first`. */
function bisectCycle(device: LogDevice, first: number, last: number, cycle: number): number {
  let low = first;
  let high = last;
  for (let middle = (low + high) >>> 1; middle !== low && middle !== high; middle = (low + high) >>> 1)
    if (device.cycle(middle) === cycle) high = middle;
    else low = middle;
  return high;
}

/**
 * Moves `last` back to the header of a record that does not end there: it was not completely written.
 * `extra`: blocks of the record already seen on the other side of the physical end. Returns undefined where
 * block 0 is reached and no header seen.
 */
function backToRecord(device: LogDevice, start: number, last: number, extra: number): number | undefined {
  let block = last - 1;
  for (; block >= 0 && !device.isHeader(block); block--)
    if (block < start) throw new LogError(device.lsnOf(last), 'no record header where one must be');
  if (block < 0) return undefined;
  if (block < start) throw new LogError(device.lsnOf(last), 'no record header where one must be');
  const sector = device.block(block);
  const bytes = new Uint8Array(sector.buffer);
  const at = LOG_RECORD_HEADER.at.fs_uuid;
  if (!sameUuid(device, bytes))
    throw new LogError(device.lsnOf(block), `record of another filesystem (UUID ${formatUuid(sector, at)})`);
  const header = readHeader(sector, block);
  const whole = Math.ceil(header.len / BBSIZE) + headerBlocks(header.version, header.size);
  return last - block + extra === whole ? last : block;
}

/** First block of a log whose end was never written. */
function findZeroedHead(device: LogDevice): number {
  let last = bisectCycle(device, 0, device.blocks - 1, 0);
  const count = Math.min(IN_FLIGHT_BLOCKS, last);
  const start = last - count;
  const hole = findCycle(device, start, count, 0);
  if (hole !== -1) last = hole;
  const head = backToRecord(device, start, last, 0);
  if (head === undefined) throw new LogError(device.lsnOf(0), 'no record header at the start of the log');
  return head;
}

/** The block the next record goes to; 0 for a log that is all zeros. */
function findHead(device: LogDevice): number {
  const { blocks } = device;
  const firstCycle = device.cycle(0);
  if (firstCycle === 0) return 0;
  const lastCycle = device.cycle(blocks - 1);
  if (lastCycle === 0) return findZeroedHead(device);

  let head: number;
  let stale: number;
  if (firstCycle === lastCycle) {
    // One cycle all over: the head is the end, unless there are stale blocks before it.
    head = blocks;
    stale = lastCycle - 1;
  } else {
    head = bisectCycle(device, 0, blocks - 1, lastCycle);
    stale = lastCycle;
  }
  const scan = Math.min(blocks, IN_FLIGHT_BLOCKS);
  if (head >= scan) {
    const hole = findCycle(device, head - scan, scan, stale);
    if (hole !== -1) head = hole;
  } else {
    const rest = scan - head;
    let hole = findCycle(device, blocks - rest, rest, stale - 1);
    if (hole === -1) hole = findCycle(device, 0, head, stale);
    if (hole !== -1) head = hole;
  }
  // The head must not be in the middle of a record.
  if (head >= RECORD_BLOCKS) {
    const at = backToRecord(device, head - RECORD_BLOCKS, head, 0);
    if (at === undefined) throw new LogError(device.lsnOf(head), 'no record header before the head');
    head = at;
  } else {
    const at = backToRecord(device, 0, head, 0);
    if (at !== undefined) head = at;
    else {
      const start = Math.max(0, blocks - (RECORD_BLOCKS - head));
      const around = backToRecord(device, start, blocks, head);
      if (around === undefined) throw new LogError(device.lsnOf(head), 'no record header before the head');
      if (around !== blocks) head = around;
    }
  }
  return head === blocks ? 0 : head;
}

/** The `count`th record header back from `head`, or the last found before `tail`. */
function seekBack(device: LogDevice, head: number, tail: number, count: number): Found | undefined {
  let found: Found | undefined;
  let left = count;
  const look = (block: number, wrapped: boolean): boolean => {
    if (!device.isHeader(block)) return false;
    found = { header: readHeader(device.block(block), block), wrapped };
    return --left === 0;
  };
  for (let block = head - 1, end = head > tail ? tail : 0; block >= end; block--)
    if (look(block, false)) return found;
  if (tail >= head)
    for (let block = device.blocks - 1; block >= tail; block--) if (look(block, true)) return found;
  return found;
}

/** Block of the `count`th record header from `tail` on, or of the last found before `head`. */
function seekForward(device: LogDevice, head: number, tail: number, count: number): number | undefined {
  let found: number | undefined;
  let left = count;
  const end = head > tail ? head : device.blocks - 1;
  for (let block = tail; block <= end; block++)
    if (device.isHeader(block)) {
      found = block;
      if (--left === 0) return found;
    }
  if (tail > head)
    for (let block = 0; block < head; block++)
      if (device.isHeader(block)) {
        found = block;
        if (--left === 0) return found;
      }
  return found;
}

/**
 * Checks the records between two blocks, as far as `wanted`. Returns the first bad one, undefined where all
 * hold. A checksum of zero passes here: mkfs writes none.
 */
function firstBad(
  device: LogDevice,
  from: number,
  to: number,
  wanted?: (block: number) => boolean,
): BadRecordError | undefined {
  try {
    const reader = new LogReader(device);
    for (const record of walkRecords(device, from, to, reader)) {
      if (wanted !== undefined && !wanted(record.block)) return undefined;
      if (record.crc !== 0 && !recordCrcHolds(record))
        return new BadRecordError(record.block, 'the checksum of the record is wrong');
      reader.release(record.chunk);
    }
  } catch (error) {
    if (!(error instanceof BadRecordError)) throw error;
    // Linux takes a bad block number of 0 for none and gives up.
    if (error.fatal || error.block === 0) throw new LogError(device.lsnOf(error.block), error.reason);
    return error;
  }
  return undefined;
}

function checkTail(device: LogDevice, head: number, tail: number): void {
  if (tail >= device.blocks)
    throw new LogError(device.lsnOf(head), `the tail, block ${tail}, lies past the end of the log`);
}

/** The first of the last eight records that does not hold: what follows is torn or stale. */
function firstTorn(device: LogDevice, head: number, tail: number): number | undefined {
  checkTail(device, head, tail);
  const oldest = seekBack(device, head, tail, XLOG_MAX_ICLOGS);
  if (oldest === undefined)
    throw new LogError(device.lsnOf(head), `no record between the tail, block ${tail}, and the head`);
  const bad = firstBad(device, oldest.header.block, head);
  if (bad !== undefined && bad.block === 0) throw new LogError(device.lsnOf(0), bad.reason);
  return bad?.block;
}

/** Blocks from the head around to `block`. */
const distance = (device: LogDevice, head: number, block: number): number =>
  head < block ? block - head : block + (device.blocks - head);

/**
 * The tail to use: later than the one named where the records there were overwritten by a write that did not
 * complete, which reaches at most eight buffers ahead of the head. Records farther on are not looked at:
 * one that is bad there is damage, and shows when it is decoded.
 */
function verifyTail(device: LogDevice, head: number, named: number, last: RecordHeader): number {
  checkTail(device, head, named);
  let tail = seekForward(device, head, named, 1);
  if (tail === undefined)
    throw new LogError(device.lsnOf(named), `no record from the tail, block ${named}, on`);
  const reach = Math.ceil((XLOG_MAX_ICLOGS * last.size) / BBSIZE);
  // Linux goes on from the next record wherever that is, and would leave out what is missing here.
  if (tail !== named && distance(device, head, named) > reach)
    throw new LogError(device.lsnOf(named), 'there is no record where the tail is');
  for (;;) {
    const bad = firstBad(device, tail, head, (block) => distance(device, head, block) <= reach);
    if (bad === undefined) return tail;
    if (bad.block === 0 || distance(device, head, bad.block) > reach)
      throw new LogError(device.lsnOf(bad.block), bad.reason);
    const next = seekForward(device, head, bad.block, 2);
    if (next === undefined || next === bad.block || next === tail)
      throw new LogError(device.lsnOf(bad.block), bad.reason);
    tail = next;
  }
}

/** Whether the last record, ending at the head, is an unmount record. */
function endsWithUnmount(device: LogDevice, head: number, last: RecordHeader): boolean {
  const hblocks = headerBlocks(last.version, last.size);
  const after = (last.block + hblocks + Math.ceil(last.len / BBSIZE)) % device.blocks;
  if (head !== after || last.ops !== 1) return false;
  const data = device.block((last.block + hblocks) % device.blocks);
  return (data.getUint8(LOG_OP_HEADER.at.flags) & LOG_OP.UNMOUNT) !== 0;
}

/** Head and tail in one cycle with the head behind, or in neighbouring ones with the head before the tail. */
function checkMeeting(device: LogDevice, head: Lsn, tail: Lsn): void {
  const together =
    head.cycle === tail.cycle
      ? head.block >= tail.block && head.block < device.blocks
      : head.block < tail.block && head.cycle === nextCycle(tail.cycle);
  if (!together) throw new LogError(head, `head ${formatLsn(head)} and tail ${formatLsn(tail)} do not meet`);
}

function checkSuperblockLsn(source: Source, head: Lsn): void {
  const sector = new Uint8Array(512);
  source.read(0, sector);
  const lsn = readLsn(new DataView(sector.buffer), SUPERBLOCK.at.lsn);
  const none = lsn.cycle === 0xffff_ffff && lsn.block === 0xffff_ffff;
  if (!none && compareLsn(lsn, head) > 0)
    throw new LogError(head, `the superblock's LSN ${formatLsn(lsn)} lies ahead of the head of the log`);
}
