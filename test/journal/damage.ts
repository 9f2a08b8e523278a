/** Damage of the kinds that happen to logs, done to an image. */
import { BBSIZE, LOG_RECORD_HEADER } from '../../src/format/log.js';
import { viewOf } from '../../src/format/structure.js';
import type { Source } from '../../src/image/source.js';
import { type LogRecord, recordCrc, walkRecords } from '../../src/journal/record.js';
import type { LogState } from '../../src/journal/scan.js';

/** Fields of a record header that can lie; the checksum and the kept words are treated apart. */
export const HEADER_FIELDS = LOG_RECORD_HEADER.fields.filter(
  ({ name }) => !['cycle_data', 'pad0', 'crc'].includes(name),
);
const EXTREMES = [0, 1, 512, 32768, 65536, 262144, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/** The records between tail and head as they stand on disk. */
export const activeRecords = (state: LogState): LogRecord[] => [
  ...walkRecords(state.device, state.tail.block, state.head.block),
];

export type DamageKind = 'flip' | 'zero' | 'cycle' | 'stale' | 'field' | 'sealed field' | 'sealed data';
export const DAMAGE_KINDS: readonly DamageKind[] = [
  'flip',
  'zero',
  'cycle',
  'stale',
  'field',
  'sealed field',
  'sealed data',
];

/**
 * Damages one record. 'sealed' damage has a right checksum; 'stale' leaves the end of the record unwritten.
 * Returns what was done, in words.
 */
export function damage(
  target: Source,
  state: LogState,
  record: LogRecord,
  kind: DamageKind,
  rnd: () => number,
): string {
  const { device } = state;
  const below = (n: number): number => Math.floor(rnd() * n);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)];
  const total = record.headerBlocks + Math.ceil(record.len / BBSIZE);
  const at = (block: number): number => device.start + ((record.block + block) % device.blocks) * BBSIZE;
  const stamp = (block: number, cycle: number): void => {
    const b = new Uint8Array(4);
    viewOf(b).setUint32(0, cycle >>> 0);
    target.write(at(block), b);
  };
  const where = `record at ${record.block}`;
  switch (kind) {
    case 'flip': {
      const block = below(total);
      const b = new Uint8Array(1);
      const offset = at(block) + below(BBSIZE);
      target.read(offset, b);
      b[0] ^= 1 << below(8);
      target.write(offset, b);
      return `${where}: a bit of block ${block}`;
    }
    case 'zero': {
      const block = below(total);
      const count = 1 + below(4);
      for (let i = 0; i < count; i++) target.write(at(block + i), new Uint8Array(BBSIZE));
      return `${where}: ${count} blocks from ${block} zeroed`;
    }
    case 'cycle': {
      const block = below(total);
      const by = pick([-2, -1, 1, 2, 5]);
      stamp(block, record.cycle + by);
      return `${where}: cycle of block ${block} by ${by}`;
    }
    case 'stale': {
      const count = 1 + below(total);
      for (let i = total - count; i < total; i++) stamp(i, record.cycle - 1);
      return `${where}: last ${count} blocks stale`;
    }
    case 'field':
    case 'sealed field': {
      const field = pick(HEADER_FIELDS);
      const headers = record.headers.slice();
      const v = viewOf(headers);
      const end = field.offset + field.type.size;
      const how = below(3);
      if (how === 0) for (let i = field.offset; i < end; i++) headers[i] = below(256);
      else if (how === 1)
        v.setUint32(end - 4, (v.getUint32(end - 4) + pick([-512, -64, -1, 1, 2, 64, 512])) >>> 0);
      else v.setUint32(end - 4, pick(EXTREMES));
      if (kind === 'sealed field') seal(headers, record.data);
      target.write(at(0), headers.subarray(0, BBSIZE));
      return `${where}: ${field.name}`;
    }
    case 'sealed data': {
      const headers = record.headers.slice();
      const data = record.data.slice();
      // The first word of a block is the cycle.
      const offset = below(data.length / BBSIZE) * BBSIZE + 4 + below(BBSIZE - 4);
      data[offset] ^= 1 << below(8);
      seal(headers, data);
      target.write(at(0), headers.subarray(0, BBSIZE));
      target.write(
        at(record.headerBlocks + Math.floor(offset / BBSIZE)) + (offset % BBSIZE),
        data.subarray(offset, offset + 1),
      );
      return `${where}: data byte ${offset}`;
    }
  }
}

function seal(headers: Uint8Array, data: Uint8Array): void {
  viewOf(headers).setUint32(LOG_RECORD_HEADER.at.crc, recordCrc(headers, data), true);
}
