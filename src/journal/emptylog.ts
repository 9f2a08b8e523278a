/**
 * A log with nothing to replay: one record whose only operation says "unmounted". What follows it may be
 * zeros where the record is of the first cycle (Linux takes blocks of cycle 0 as never written).
 */
import {
  BBSIZE,
  LOG_CLIENT,
  LOG_EXTENDED_HEADER,
  LOG_OP,
  LOG_OP_HEADER,
  LOG_RECORD_HEADER,
  type Lsn,
  UNMOUNT_RECORD,
  writeLsn,
  XLOG_FMT,
  XLOG_HEADER_CYCLE_SIZE,
  XLOG_HEADER_MAGIC,
  XLOG_INIT_CYCLE,
  XLOG_UNMOUNT_MAGIC,
  XLOG_VERSION,
} from '../format/log.js';
import { viewOf } from '../format/structure.js';

export interface UnmountRecordOptions {
  /** UUID of the filesystem (sb_uuid), 16 bytes. */
  readonly uuid: Uint8Array;
  /** Log stripe unit in bytes: records are padded to it. 0 or 1: none. */
  readonly sunit: number;
  /** Where the record stands; default cycle 1, block 0. */
  readonly lsn?: Lsn;
  /** Default the record itself. */
  readonly tail?: Lsn;
}

/** Transaction id xfsprogs puts into records written from userspace. */
const USERSPACE_TID = 0xb0c0_d0d0;
/** h_size where no stripe unit asks for more. */
const RECORD_SIZE = 32 * 1024;

/**
 * The record in its on-disk form: header, extended headers where the stripe unit is above 32 KiB, the block
 * with the unmount operation, padding. Its checksum is left 0, which recovery takes as "not computed".
 */
export function unmountRecord(o: UnmountRecordOptions): Uint8Array {
  const lsn = o.lsn ?? { cycle: XLOG_INIT_CYCLE, block: 0 };
  const sunit = o.sunit > 1 ? o.sunit : 0;
  const headers = sunit > XLOG_HEADER_CYCLE_SIZE ? Math.ceil(sunit / XLOG_HEADER_CYCLE_SIZE) : 1;
  const blocks = Math.max(sunit / BBSIZE, headers + 1);
  const bytes = new Uint8Array(blocks * BBSIZE);
  const v = viewOf(bytes);
  const H = LOG_RECORD_HEADER.at;
  v.setUint32(H.magicno, XLOG_HEADER_MAGIC);
  v.setUint32(H.cycle, lsn.cycle);
  v.setUint32(H.version, XLOG_VERSION.V2);
  v.setUint32(H.len, Math.max(2 * BBSIZE, sunit) - headers * BBSIZE);
  writeLsn(v, H.lsn, lsn);
  writeLsn(v, H.tail_lsn, o.tail ?? lsn);
  v.setInt32(H.prev_block, -1);
  v.setUint32(H.num_logops, 1);
  v.setUint32(H.fmt, XLOG_FMT.LINUX_LE);
  bytes.set(o.uuid, H.fs_uuid);
  v.setUint32(H.size, Math.max(sunit, RECORD_SIZE));

  for (let i = 1; i < headers; i++) v.setUint32(i * BBSIZE + LOG_EXTENDED_HEADER.at.cycle, lsn.cycle);

  const op = headers * BBSIZE;
  v.setUint32(op + LOG_OP_HEADER.at.tid, USERSPACE_TID);
  v.setUint32(op + LOG_OP_HEADER.at.len, UNMOUNT_RECORD.size);
  v.setUint8(op + LOG_OP_HEADER.at.clientid, LOG_CLIENT.LOG);
  v.setUint8(op + LOG_OP_HEADER.at.flags, LOG_OP.UNMOUNT);
  v.setUint16(op + LOG_OP_HEADER.size + UNMOUNT_RECORD.at.magic, XLOG_UNMOUNT_MAGIC, true);
  // Every block begins with the cycle; the word that stood there moves into the header.
  v.setUint32(H.cycle_data, v.getUint32(op));
  for (let block = headers; block < blocks; block++) v.setUint32(block * BBSIZE, lsn.cycle);
  return bytes;
}
