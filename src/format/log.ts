/**
 * The journal's own layer: records, the operations inside them, and log sequence numbers. Layouts:
 * xfs_log_format.h. What the operations carry (log items) is in logitems.ts.
 *
 * A record is a header sector, up to seven more header sectors where it is longer than 32 KiB, and the data.
 * The log is addressed in 512-byte basic blocks from its start, whatever the sector size is. The first word
 * of every data block on disk is the cycle number; the word that belongs there is kept in the header.
 */
import { array, crc, i32, structure, u8, u16, u32, u64, uuid } from './structure.js';

/** The unit of log addresses: bytes of a basic block. */
export const BBSIZE = 512;
export const BBSHIFT = 9;

export const XLOG_HEADER_MAGIC = 0xfeedbabe;
/** h_version is a mask of these; a v5 filesystem writes 2. */
export const XLOG_VERSION = { V1: 1, V2: 2, ALL: 3 } as const;
/** Bytes of data one header sector keeps the first words of. */
export const XLOG_HEADER_CYCLE_SIZE = 32 * 1024;
/** The slots for those words: one per basic block of data. */
export const XLOG_CYCLE_SLOTS = XLOG_HEADER_CYCLE_SIZE / BBSIZE;
/** The largest in-core log buffer, and how many of them can be in flight at once. */
export const XLOG_MAX_RECORD_SIZE = 256 * 1024;
export const XLOG_MAX_ICLOGS = 8;
/** Cycle of a log that has never been written since it was zeroed. */
export const XLOG_INIT_CYCLE = 1;

/** h_fmt: the byte order of the machine that wrote the items. */
export const XLOG_FMT = { UNKNOWN: 0, LINUX_LE: 1, LINUX_BE: 2, IRIX_BE: 3 } as const;
export const XLOG_FMT_NAME: Record<number, string> = {
  0: 'unknown',
  1: 'little-endian linux',
  2: 'big-endian linux',
  3: 'big-endian irix',
};

/** `pad0` is part of what the record's checksum covers wherever a u64 is aligned to 8 bytes. */
export const LOG_RECORD_HEADER = structure(
  'log record header',
  {
    magicno: u32,
    cycle: u32,
    version: u32,
    len: u32,
    lsn: u64,
    tail_lsn: u64,
    crc: crc,
    prev_block: i32,
    num_logops: u32,
    cycle_data: array(u32, XLOG_CYCLE_SLOTS),
    fmt: u32,
    fs_uuid: uuid,
    size: u32,
    pad0: u32,
  },
  328,
);
/** Bytes of the header under the checksum: on 64-bit machines, and on i386, which aligns u64 to 4. */
export const LOG_RECORD_CRC_SIZE = LOG_RECORD_HEADER.size;
export const LOG_RECORD_CRC_SIZE_I386 = LOG_RECORD_HEADER.at.pad0;

export const LOG_EXTENDED_HEADER = structure(
  'log extended header',
  { cycle: u32, cycle_data: array(u32, XLOG_CYCLE_SLOTS) },
  260,
);

/** Operations lie in the record's data end to end, each its header and `len` bytes. Big-endian always. */
export const LOG_OP_HEADER = structure(
  'log op header',
  { tid: u32, len: u32, clientid: u8, flags: u8, res2: u16 },
  12,
);
export const LOG_OP_HEADER_SIZE = LOG_OP_HEADER.size;

export const LOG_CLIENT = { TRANSACTION: 0x69, LOG: 0xaa } as const;
export const LOG_OP = {
  START: 0x01,
  COMMIT: 0x02,
  CONTINUE: 0x04,
  WAS_CONT: 0x08,
  END: 0x10,
  UNMOUNT: 0x20,
} as const;

/** First region of a transaction. In the writer's byte order. */
export const TRANSACTION_HEADER = structure(
  'transaction header',
  { magic: u32, type: u32, tid: i32, num_items: u32 },
  16,
);
export const TRANSACTION_HEADER_SIZE = TRANSACTION_HEADER.size;
export const XFS_TRANS_HEADER_MAGIC = 0x5452414e; // 'TRAN'
/** The one type written since transactions are collected into checkpoints. */
export const XFS_TRANS_CHECKPOINT = 40;

/** What the unmount operation carries. In the writer's byte order. */
export const UNMOUNT_RECORD = structure('unmount record', { magic: u16, pad1: u16, pad2: u32 }, 8);
export const XLOG_UNMOUNT_MAGIC = 0x556e; // 'Un'

/**
 * A log sequence number: which pass over the log, and which basic block of it. On disk a u64, cycle in the
 * upper half; kept apart here, for together they can pass 2^53.
 */
export interface Lsn {
  readonly cycle: number;
  readonly block: number;
}

export const readLsn = (v: DataView, at: number): Lsn => ({
  cycle: v.getUint32(at),
  block: v.getUint32(at + 4),
});

export function writeLsn(v: DataView, at: number, lsn: Lsn): void {
  v.setUint32(at, lsn.cycle);
  v.setUint32(at + 4, lsn.block);
}

/** Below 0 where `a` is older, 0 where they are the same, above 0 where `a` is newer. */
export const compareLsn = (a: Lsn, b: Lsn): number => a.cycle - b.cycle || a.block - b.block;

/** `compareLsn` of the LSN that stands at `at` in a metadata block, without making an object. */
export const compareLsnAt = (v: DataView, at: number, b: Lsn): number =>
  v.getUint32(at) - b.cycle || v.getUint32(at + 4) - b.block;

/** "cycle/block", both decimal. */
export const formatLsn = (lsn: Lsn): string => `${lsn.cycle}/${lsn.block}`;

/**
 * Checks the LSN at byte `at` of a metadata block against the head of the log, where that is known. All ones
 * (NULLCOMMITLSN, xfs_log.c) is right anywhere: values of remote attributes, which are not logged, carry it.
 */
export function verifyLsn(
  { head }: { readonly head?: Lsn },
  v: DataView,
  at: number,
  bad: (field: string, value: string, expected: string) => void,
  field = 'lsn',
): void {
  if (head === undefined || compareLsnAt(v, at, head) <= 0) return;
  if (v.getUint32(at) !== 0xffff_ffff || v.getUint32(at + 4) !== 0xffff_ffff)
    bad(field, formatLsn(readLsn(v, at)), `at most ${formatLsn(head)}, the head of the log`);
}

/** The cycle stamped on a log block: its first word, or the word behind the magic of a record header. */
export const blockCycle = (v: DataView, at: number): number => {
  const word = v.getUint32(at);
  return word === XLOG_HEADER_MAGIC ? v.getUint32(at + 4) : word;
};

/** The cycle after this one: the header magic is no cycle number and is left out. */
export const nextCycle = (cycle: number): number =>
  cycle + 1 === XLOG_HEADER_MAGIC ? cycle + 2 : (cycle + 1) >>> 0;

/** Header sectors of a record whose header says `version` and `size` (xlog_logrec_hblks). */
export const headerBlocks = (version: number, size: number): number =>
  (version & XLOG_VERSION.V2) !== 0 && size > XLOG_HEADER_CYCLE_SIZE
    ? Math.ceil(size / XLOG_HEADER_CYCLE_SIZE)
    : 1;

/** Names of an operation's flags. */
export function logOpFlagNames(flags: number): string[] {
  const out: string[] = [];
  for (const [name, bit] of Object.entries(LOG_OP)) if ((flags & bit) !== 0) out.push(name.toLowerCase());
  return out;
}
