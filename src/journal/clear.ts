/**
 * Emptying a log: what it held is gone, and the next mount finds nothing to replay. Blocks everywhere on disk
 * carry the LSN of their last change, and Linux refuses a filesystem with one ahead of the log's head: the
 * new log begins in a cycle beyond all of them.
 */
import type { Geometry } from '../format/geometry.js';
import { BBSIZE, type Lsn, XLOG_INIT_CYCLE, XLOG_MAX_RECORD_SIZE } from '../format/log.js';
import type { Source } from '../image/source.js';
import { LogDevice } from './device.js';
import { unmountRecord } from './emptylog.js';

/** Zeros go out in pieces of this many bytes. */
const PIECE = 1 << 20;

/** The cycle for a log whose filesystem has `newest` as its highest LSN: some beyond, as xfs_repair takes it. */
export const cycleBeyond = (newest: Lsn): number => newest.cycle + 3;

/**
 * Overwrites the whole log: an unmount record of `cycle` at its start, and behind it records of the cycle
 * before, so that the search for the head ends where it should. With cycle 1 the rest is zeros, as mkfs leaves
 * it. Syncs the source before and after the record at the start, which makes the new log valid: until it is
 * written, a crash leaves a log that Linux refuses or finds clean, never one it replays in part.
 */
export function clearLog(source: Source, g: Geometry, cycle: number): void {
  const device = new LogDevice(source, g);
  const bytes = device.blocks * BBSIZE;
  const sunit = g.logsunit > 1 ? g.logsunit : 0;
  // The first header goes first: without it there is no record from which a replay could start.
  source.write(device.start, new Uint8Array(Math.max(sunit, 2 * BBSIZE)));
  source.sync();
  const lengthAtStart = Math.max(sunit, 2 * BBSIZE);
  const start = unmountRecord({
    uuid: device.uuid,
    sunit,
    lsn: { cycle, block: 0 },
    tail:
      cycle === XLOG_INIT_CYCLE ? undefined : { cycle: cycle - 1, block: (bytes - lengthAtStart) / BBSIZE },
  });
  if (cycle === XLOG_INIT_CYCLE) zero(source, device.start + start.length, bytes - start.length);
  else fill(source, device, start.length, cycle - 1);
  source.sync();
  source.write(device.start, start);
  source.sync();
}

function zero(source: Source, from: number, length: number): void {
  const zeros = new Uint8Array(Math.min(PIECE, length));
  for (let done = 0; done < length; done += zeros.length)
    source.write(from + done, zeros.subarray(0, Math.min(zeros.length, length - done)));
}

/** Records of one cycle from byte `from` of the log to its end, as long as they can be. */
function fill(source: Source, device: LogDevice, from: number, cycle: number): void {
  const bytes = device.blocks * BBSIZE;
  for (let at = from, before = 0; at < bytes; ) {
    const length = Math.min(XLOG_MAX_RECORD_SIZE, bytes - at);
    const record = unmountRecord({
      uuid: device.uuid,
      sunit: length,
      lsn: { cycle, block: at / BBSIZE },
      tail: { cycle, block: before / BBSIZE },
    });
    source.write(device.start + at, record.subarray(0, length));
    before = at;
    at += length;
  }
}
