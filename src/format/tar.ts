/**
 * Members of tar archives: the 512-byte header of POSIX ustar with the GNU and pax extensions, declared once
 * for reading and writing.
 */
import { structure, text, viewOf } from './structure.js';

export const TAR_BLOCK = 512;

/** Numbers are octal text, or with the first bit set base 256. */
export const TAR_HEADER = structure(
  'tar header',
  {
    name: text(100),
    mode: text(8),
    uid: text(8),
    gid: text(8),
    size: text(12),
    mtime: text(12),
    chksum: text(8),
    typeflag: text(1),
    linkname: text(100),
    magic: text(8),
    uname: text(32),
    gname: text(32),
    devmajor: text(8),
    devminor: text(8),
    prefix: text(155),
    pad: text(12),
  },
  TAR_BLOCK,
);

const AT = TAR_HEADER.at;
/** Fields of the GNU format's header for sparse files, over ustar's prefix. */
export const GNU_SPARSE = { map: 386, entries: 4, isextended: 482, realsize: 483 } as const;
/** Its continuation blocks. */
export const GNU_SPARSE_MORE = { entries: 21, isextended: 504 } as const;
export const GNU_SPARSE_ENTRY = 24;

export const TAR_TYPE = {
  FILE: '0',
  LINK: '1',
  SYMLINK: '2',
  CHR: '3',
  BLK: '4',
  DIR: '5',
  FIFO: '6',
  CONTIGUOUS: '7',
  PAX: 'x',
  PAX_GLOBAL: 'g',
  GNU_LONGNAME: 'L',
  GNU_LONGLINK: 'K',
  GNU_SPARSE: 'S',
  GNU_DUMPDIR: 'D',
  GNU_VOLUME: 'V',
  GNU_MULTIVOLUME: 'M',
} as const;

/** A number field: NaN where it is neither octal nor base 256. */
export function tarNumber(b: Uint8Array, at: number, length: number): number {
  if ((b[at] & 0x80) !== 0) {
    // Two's complement in the bits behind the mark.
    let value = b[at] & 0x40 ? (b[at] & 0x7f) - 0x80 : b[at] & 0x7f;
    for (let i = 1; i < length; i++) value = value * 256 + b[at + i];
    return value;
  }
  const end = at + length;
  let i = at;
  let zero = false;
  for (; i < end && (b[i] === 0x20 || b[i] === 0); i++) zero ||= b[i] === 0;
  const first = i;
  let value = 0;
  for (; i < end && b[i] >= 0x30 && b[i] <= 0x37; i++) value = value * 8 + b[i] - 0x30;
  // Empty fields are 0; what follows a zero byte is of no account.
  if (i === first) return zero || i === end ? 0 : Number.NaN;
  while (i < end && b[i] === 0x20) i++;
  return i === end || b[i] === 0 ? value : Number.NaN;
}

/** Bytes of a text field up to its zero byte. */
export function tarText(b: Uint8Array, at: number, length: number): Uint8Array {
  const field = b.subarray(at, at + length);
  const zero = field.indexOf(0);
  return zero < 0 ? field : field.subarray(0, zero);
}

/** Sum of the header's bytes with its checksum field as blanks. */
export function tarChecksum(b: Uint8Array): number {
  let sum = 8 * 0x20;
  for (let i = 0; i < AT.chksum; i++) sum += b[i];
  for (let i = AT.chksum + 8; i < TAR_BLOCK; i++) sum += b[i];
  return sum;
}

/** Whether a block is a header by its own checksum, which some old programs took of signed bytes. */
export function isTarHeader(b: Uint8Array): boolean {
  if (b.length < TAR_BLOCK) return false;
  const stored = tarNumber(b, AT.chksum, 8);
  const sum = tarChecksum(b);
  if (stored === sum) return true;
  let signed = 0;
  for (let i = 0; i < TAR_BLOCK; i++)
    signed += i >= AT.chksum && i < AT.chksum + 8 ? 0x20 : (b[i] << 24) >> 24;
  return stored === signed;
}

export interface TarFields {
  /** As latin1: bytes. */
  readonly name: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Whole seconds. */
  readonly mtime: number;
  readonly typeflag: string;
  readonly linkname?: string;
  readonly devmajor?: number;
  readonly devminor?: number;
}

/** A header as POSIX has it. What does not fit a field is cut: pax records must say it in full. */
export function encodeTarHeader(f: TarFields): Uint8Array {
  const b = new Uint8Array(TAR_BLOCK);
  const octal = (n: number, length: number): string => {
    const digits = Math.max(0, Math.floor(n)).toString(8);
    return digits.length < length ? digits.padStart(length - 1, '0') : '0'.repeat(length - 1);
  };
  TAR_HEADER.encode(viewOf(b), 0, {
    name: f.name.slice(0, 100),
    mode: octal(f.mode, 8),
    uid: octal(f.uid, 8),
    gid: octal(f.gid, 8),
    size: octal(f.size, 12),
    mtime: octal(f.mtime, 12),
    chksum: '        ',
    typeflag: f.typeflag,
    linkname: (f.linkname ?? '').slice(0, 100),
    magic: 'ustar\x0000',
    devmajor: octal(f.devmajor ?? 0, 8),
    devminor: octal(f.devminor ?? 0, 8),
  });
  // The text type ends at a zero byte; the version stands behind one.
  b.set(Buffer.from('ustar\x0000', 'latin1'), AT.magic);
  b.set(Buffer.from(`${tarChecksum(b).toString(8).padStart(6, '0')}\0 `, 'latin1'), AT.chksum);
  return b;
}

/** What does not fit the header's fields. */
export const tarOctalFits = (n: number, length: number): boolean => n >= 0 && n < 8 ** (length - 1);

/** One pax record: its own length, a blank, KEY=VALUE, a line end. */
export function paxRecord(key: string, value: Uint8Array | string): Uint8Array {
  const tail = Buffer.concat([
    Buffer.from(` ${key}=`, 'latin1'),
    Buffer.from(value as string, 'latin1'),
    Buffer.from('\n'),
  ]);
  let length = tail.length + 1;
  while (`${length}`.length + tail.length !== length) length = `${length}`.length + tail.length;
  return Buffer.concat([Buffer.from(`${length}`), tail]);
}

/** Visits the records of a pax header; false where they are not well formed. Keys as latin1. */
export function readPax(b: Uint8Array, visit: (key: string, value: Uint8Array) => void): boolean {
  for (let at = 0; at < b.length; ) {
    if (b[at] === 0) return true;
    let length = 0;
    let p = at;
    for (; p < b.length && b[p] >= 0x30 && b[p] <= 0x39 && p - at < 12; p++)
      length = length * 10 + b[p] - 0x30;
    if (p === at || b[p] !== 0x20 || length < p - at + 3 || at + length > b.length) return false;
    if (b[at + length - 1] !== 0x0a) return false;
    const equals = b.indexOf(0x3d, p);
    if (equals < 0 || equals >= at + length) return false;
    const key = Buffer.from(b.buffer, b.byteOffset + p + 1, equals - p - 1).toString('latin1');
    visit(key, b.subarray(equals + 1, at + length - 1));
    at += length;
  }
  return true;
}
