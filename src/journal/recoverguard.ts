/**
 * Guarding blocks against being cut in the middle while a replay puts them in place. A block of several
 * sectors of which only some are written is neither its old nor its new state, and where Linux then replays
 * the log again it can refuse what it finds. So such blocks are logged once more before they are touched: the
 * first checkpoint cancels everything the log said of them so far, the second holds them whole.
 */
import { BBSIZE } from '../format/log.js';
import { BLF, BLF_CHUNK, BLFT_SHIFT, BUF_LOG_FORMAT, BUF_LOG_FORMAT_HEAD, LI } from '../format/logitems.js';
import { viewOf } from '../format/structure.js';
import type { Source } from '../image/source.js';
import { LogWriter } from './append.js';
import type { GuardedBlock } from './recoverbuffer.js';
import type { LogState } from './scan.js';

const AT = BUF_LOG_FORMAT.at;

/** The format structure of a buffer item. */
function bufFormat(block: GuardedBlock, flags: number, regions: number, dirty: boolean): Uint8Array {
  const chunks = block.length / BLF_CHUNK;
  const words = Math.ceil(chunks / 32);
  const bytes = new Uint8Array(BUF_LOG_FORMAT_HEAD + words * 4);
  const v = viewOf(bytes);
  v.setUint16(AT.type, LI.BUF, true);
  v.setUint16(AT.size, regions, true);
  v.setUint16(AT.flags, flags | (block.type << BLFT_SHIFT), true);
  v.setUint16(AT.len, block.length / BBSIZE, true);
  v.setBigInt64(AT.blkno, BigInt(block.offset / BBSIZE), true);
  v.setUint32(AT.map_size, words, true);
  if (dirty)
    for (let chunk = 0; chunk < chunks; chunk++) {
      const at = BUF_LOG_FORMAT_HEAD + (chunk >>> 5) * 4;
      v.setUint32(at, (v.getUint32(at, true) | (1 << (chunk & 31))) >>> 0, true);
    }
  return bytes;
}

/**
 * Logs blocks as they stand in `contents`, as many of them as the log has room for beside what is still to be
 * written to it, and waits for stable storage. Returns how many; where it is not 0 the head has moved on.
 */
export function guardBlocks(state: LogState, contents: Source, blocks: readonly GuardedBlock[]): number {
  if (blocks.length === 0) return 0;
  const writer = new LogWriter(state);
  const room = writer.free - (state.device.blocks * BBSIZE) / 4 - writer.recordSize;
  const cancels: Uint8Array[] = [];
  const wholes: Uint8Array[] = [];
  let bytes = 0;
  let count = 0;
  for (const block of blocks) {
    const cancel = bufFormat(block, BLF.CANCEL, 1, false);
    const format = bufFormat(block, 0, 2, true);
    const whole = new Uint8Array(block.length);
    bytes += cancel.length + format.length + whole.length;
    if (writer.space(3 * (count + 1), bytes) > room) break;
    contents.read(block.offset, whole);
    cancels.push(cancel);
    wholes.push(format, whole);
    count++;
  }
  if (count === 0) return 0;
  writer.clearStale();
  // A cut between the two would lose the blocks: both count, or neither.
  writer.checkpointPair(cancels, wholes);
  state.device.source.sync();
  return count;
}
