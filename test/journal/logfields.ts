/**
 * Every field of a log's records, operations and items as a target for the fuzzer's verbs. The records are parsed
 * here and not by the code under test.
 */
import { DINODE } from '../../src/format/dinode.js';
import {
  BBSIZE,
  LOG_EXTENDED_HEADER,
  LOG_OP,
  LOG_OP_HEADER,
  LOG_RECORD_HEADER,
  TRANSACTION_HEADER,
} from '../../src/format/log.js';
import {
  BUF_LOG_FORMAT_HEAD,
  ITEM_STRUCTURE,
  LI,
  LI_NAME,
  LOG_EXTENT,
  MAP_EXTENT,
  PHYS_EXTENT,
} from '../../src/format/logitems.js';
import { type FieldType, type Structure, u32, viewOf } from '../../src/format/structure.js';
import type { Source } from '../../src/image/source.js';
import { type LogRecord, recordCrc, unpackRecord } from '../../src/journal/record.js';
import type { LogState } from '../../src/journal/scan.js';
import { after, type Verb } from '../fuzz/verbs.js';

export interface LogField {
  readonly record: LogRecord;
  /** 'record header', 'op header', 'BUF', 'EFI extent', 'INODE core'... */
  readonly structure: string;
  readonly field: string;
  readonly type: FieldType;
  /** In the header sectors, or in the record's data. */
  readonly part: 'headers' | 'data';
  readonly offset: number;
  readonly littleEndian: boolean;
}

/** What stands behind the head of an intent. */
const EXTENTS: Readonly<Record<number, Structure>> = {
  [LI.EFI]: LOG_EXTENT,
  [LI.EFD]: LOG_EXTENT,
  [LI.RUI]: MAP_EXTENT,
  [LI.BUI]: MAP_EXTENT,
  [LI.CUI]: PHYS_EXTENT,
};
/** Of a header sector: the rest of it is not a field. */
const NO_FIELDS = new Set(['cycle_data', 'pad0', 'crc']);

/** Fields of these stand big-endian inside a structure of the writer's byte order. */
const isBigEndian = (structure: string, field: string): boolean =>
  structure === 'ICREATE' && field !== 'type' && field !== 'size';

/** All fields of the records, in the order they stand. */
export function* logFields(records: readonly LogRecord[]): Generator<LogField> {
  /** Of each open transaction: whether its header has been seen, and what is left of the item in hand. */
  const open = new Map<number, { header: boolean; type: number; size: number; left: number }>();
  for (const record of records) {
    const { headers, data } = openRecord(record);
    const littleEndian = record.fmt === 1;
    const v = viewOf(data);
    const all = function* (
      of: Structure,
      structure: string,
      offset: number,
      most: number,
    ): Generator<LogField> {
      for (const f of of.fields) {
        const { name, type } = f;
        const at = offset + f.offset;
        if (type.kind === 'array' || f.offset + type.size > most) continue;
        yield {
          record,
          structure,
          field: name,
          type,
          part: 'data',
          offset: at,
          littleEndian: littleEndian && !isBigEndian(structure, name),
        };
      }
    };
    for (const { name, type, offset } of LOG_RECORD_HEADER.fields)
      if (!NO_FIELDS.has(name))
        yield {
          record,
          structure: 'record header',
          field: name,
          type,
          part: 'headers',
          offset,
          littleEndian: false,
        };
    for (let sector = BBSIZE; sector < headers.length; sector += BBSIZE)
      yield {
        record,
        structure: 'extended header',
        field: 'cycle',
        type: u32,
        part: 'headers',
        offset: sector + LOG_EXTENDED_HEADER.at.cycle,
        littleEndian: false,
      };

    for (let at = 0; at + LOG_OP_HEADER.size <= data.length; ) {
      for (const field of all(LOG_OP_HEADER as Structure, 'op header', at, LOG_OP_HEADER.size))
        yield { ...field, littleEndian: false };
      const tid = v.getUint32(at);
      const length = v.getUint32(at + LOG_OP_HEADER.at.len);
      const flags = v.getUint8(at + LOG_OP_HEADER.at.flags);
      at += LOG_OP_HEADER.size;
      let state = open.get(tid);
      if ((flags & LOG_OP.START) !== 0 || state === undefined) {
        state = { header: false, type: 0, size: 0, left: 0 };
        open.set(tid, state);
      }
      if (length > 0 && (flags & LOG_OP.WAS_CONT) === 0) {
        if (!state.header) {
          state.header = true;
          yield* all(TRANSACTION_HEADER as Structure, 'transaction header', at, length);
        } else if (state.left === 0) {
          state.type = v.getUint16(at, littleEndian);
          state.size = v.getUint16(at + 2, littleEndian);
          state.left = state.size - 1;
          const name = LI_NAME[state.type] ?? 'unknown';
          const of = ITEM_STRUCTURE[state.type];
          if (of !== undefined) yield* all(of, name, at, length);
          if (state.type === LI.BUF)
            yield {
              record,
              structure: name,
              field: 'data_map',
              type: u32,
              part: 'data',
              offset: at + BUF_LOG_FORMAT_HEAD,
              littleEndian,
            };
          const extent = EXTENTS[state.type];
          if (extent !== undefined && length >= 16 + extent.size) {
            yield* all(extent, `${name} extent`, at + 16, length - 16);
            if (length >= 16 + 2 * extent.size)
              yield* all(extent, `${name} extent`, at + length - extent.size, extent.size);
          }
        } else {
          if (state.type === LI.INODE && state.left === state.size - 1)
            yield* all(DINODE as Structure, 'INODE core', at, length);
          state.left--;
        }
      }
      at += length;
    }
  }
}

/** A record's header sectors and its data with the first word of every block put back, as copies. */
export function openRecord(record: LogRecord): { headers: Uint8Array; data: Uint8Array } {
  const copy = { ...record, headers: record.headers.slice(), data: record.data.slice() };
  unpackRecord(copy);
  return copy;
}

/** Changes a field by a verb or to a value of the caller's, and writes its record anew, under a right checksum or a wrong one. False where the field was so. */
export function changeField(
  target: Source,
  state: LogState,
  f: LogField,
  verb: Verb | ((old: bigint) => bigint),
  next: () => number,
  seal = true,
): boolean {
  const { record, type } = f;
  const { headers, data } = openRecord(record);
  const bytes = f.part === 'headers' ? headers : data;
  const old = bytes.slice(f.offset, f.offset + type.size);
  if (f.littleEndian) old.reverse();
  const before = BigInt(`0x${Buffer.from(old).toString('hex')}`);
  const value = typeof verb === 'function' ? verb(before) : after(verb, before, type.size * 8, next);
  const now = Buffer.from(value.toString(16).padStart(type.size * 2, '0'), 'hex');
  if (now.equals(old)) return false;
  if (f.littleEndian) now.reverse();
  bytes.set(now, f.offset);
  writeRecord(target, state, record, headers, data, seal);
  return true;
}

/** Writes a record whose data begins each block with its own word: that goes to the header, the cycle in its place. */
export function writeRecord(
  target: Source,
  state: LogState,
  record: LogRecord,
  headers: Uint8Array,
  data: Uint8Array,
  seal = true,
): void {
  const { device } = state;
  const packed = data.slice();
  for (let i = 0, at = 0; at < data.length; i++, at += BBSIZE) {
    const sector = Math.floor(i / 64) * BBSIZE;
    const slot =
      sector +
      (sector === 0 ? LOG_RECORD_HEADER.at.cycle_data : LOG_EXTENDED_HEADER.at.cycle_data) +
      (i % 64) * 4;
    headers.set(data.subarray(at, at + 4), slot);
    packed.set(record.data.subarray(at, at + 4), at);
  }
  // The length in the header decides what the checksum covers.
  const h = viewOf(headers);
  const length = h.getUint32(LOG_RECORD_HEADER.at.len);
  let covered = packed;
  const first = record.block + record.headerBlocks;
  const place = (block: number): number => device.start + (block % device.blocks) * BBSIZE;
  if (length > 0 && length !== packed.length && length <= headers.length * 64) {
    covered = new Uint8Array(Math.ceil(length / BBSIZE) * BBSIZE);
    for (let i = 0; i * BBSIZE < covered.length; i++)
      target.read(place(first + i), covered.subarray(i * BBSIZE, (i + 1) * BBSIZE));
    covered.set(packed.subarray(0, Math.min(packed.length, covered.length)));
    covered = covered.subarray(0, length);
  }
  if (seal) h.setUint32(LOG_RECORD_HEADER.at.crc, recordCrc(headers, covered), true);
  for (let i = 0; i < record.headerBlocks; i++)
    target.write(place(record.block + i), headers.subarray(i * BBSIZE, (i + 1) * BBSIZE));
  for (let at = 0; at < packed.length; at += BBSIZE)
    target.write(place(first + at / BBSIZE), packed.subarray(at, Math.min(at + BBSIZE, packed.length)));
}
