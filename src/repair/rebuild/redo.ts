/**
 * Changes in place put into the log first, as one checkpoint: cut while they are written, the next run replays them
 * before it looks at anything, and is where this one would have come to. Linux never sees that log: the superblock
 * says needsrepair by then.
 */
import { BBSIZE } from '../../format/log.js';
import { BLF_CHUNK, BLFT } from '../../format/logitems.js';
import type { Source } from '../../image/source.js';
import { LogWriter } from '../../journal/append.js';
import type { LogState } from '../../journal/scan.js';
import { Buffer, markChunks } from '../../transaction/buffers.js';
import { bufferItem } from '../../transaction/items.js';

/** Bytes that are to stand at an offset: whole sectors, not more than a page. What carries an LSN begins one. */
export interface Change {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/**
 * Logs `changes` and waits for stable storage. Returns the writer, for the unmount record when all is in place, or
 * undefined where the log (`state`, clean) has no room for them: nothing was written then.
 */
export function logChanges(
  target: Source,
  state: LogState,
  changes: readonly Change[],
): LogWriter | undefined {
  const writer = new LogWriter(state);
  const regions: Uint8Array[] = [];
  for (const { offset, bytes } of changes) {
    const before = new Uint8Array(bytes.length);
    target.read(offset, before);
    // No type: recovery puts it in place as it stands, and leaves LSN and checksum alone.
    const buffer = new Buffer(offset, bytes, BLFT.UNKNOWN);
    if (markChanged(buffer, before)) bufferItem(buffer, regions);
  }
  const bytes = regions.reduce((sum, r) => sum + r.length, 0);
  if (!hasRoom(writer, regions.length, bytes)) return undefined;
  writer.clearStale();
  writer.checkpoint(regions);
  target.sync();
  return writer;
}

/** Whether the log has room for `changes`, all of each: pieces of them with gaps between take less. */
export function fitsLog(state: LogState, changes: readonly Change[]): boolean {
  const bytes = changes.reduce((sum, c) => sum + c.bytes.length + FORMAT_BYTES, 0);
  return hasRoom(new LogWriter(state), changes.length * 2, bytes);
}

/** Most bytes of a buffer item's format structure. */
const FORMAT_BYTES = 64;

function hasRoom(writer: LogWriter, regions: number, bytes: number): boolean {
  const reserve = writer.recordSize + (writer.device.blocks * BBSIZE) / 8;
  return writer.space(regions, bytes) + reserve <= writer.free;
}

/** Marks the chunks of a buffer that are not as they were; false where none is. */
function markChanged(buffer: Buffer, old: Uint8Array): boolean {
  let any = false;
  for (let i = 0; i < old.length; i++) {
    if (old[i] === buffer.bytes[i]) continue;
    any = true;
    const chunk = Math.floor(i / BLF_CHUNK);
    markChunks(buffer.dirty, chunk, chunk + 1);
    i = (chunk + 1) * BLF_CHUNK - 1;
  }
  return any;
}
