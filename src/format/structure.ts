/**
 * On-disk structures declared once, as tables of fields.
 *
 * A `Structure` knows every field's name, type and offset. Printing, encoding, fuzzing and the
 * generated format documentation all read that one table; hot code takes the constant offsets in
 * `at` and reads the bytes itself:
 *
 *     const AGF = structure('agf', { magicnum: u32, versionnum: u32, seqno: u32, ... });
 *     view.getUint32(base + AGF.at.seqno)       // hot: one load, nothing allocated
 *     AGF.decode(view, base)                    // cold: an object of every field
 *
 * Names are those `xfs_db` prints. Everything is big-endian unless `littleEndian` is asked for (log items
 * are in the byte order of the machine that wrote them); CRC fields are little-endian always.
 */

/** What a decoded field can be. 64-bit values that pass 2^53 come as bigint, UUIDs and text as strings. */
export type Value = number | bigint | string | Uint8Array | number[] | Value[];
export type Decoded = Record<string, Value>;

export interface FieldType {
  readonly kind: 'uint' | 'int' | 'crc' | 'uuid' | 'text' | 'bytes' | 'bits' | 'array' | 'struct';
  /** Bytes on disk; 0 for a bit field, which lies over bytes declared by others. */
  readonly size: number;
  readonly get: (view: DataView, at: number, littleEndian: boolean) => Value;
  readonly set: (view: DataView, at: number, value: Value, littleEndian: boolean) => void;
  /** For arrays: the element's type and count. */
  readonly of?: FieldType;
  readonly count?: number;
  /** For bit fields: bit position from the structure's first bit (most significant first), and width. */
  readonly bit?: number;
  readonly width?: number;
  /** For nested structures. */
  readonly structure?: Structure;
}

export interface Field {
  readonly name: string;
  readonly type: FieldType;
  readonly offset: number;
}

export interface Structure<N extends string = string> {
  readonly name: string;
  readonly size: number;
  readonly fields: readonly Field[];
  /** Byte offset of every field. */
  readonly at: { readonly [K in N]: number };
  /** Every field's value, by name. */
  decode(view: DataView, base?: number, littleEndian?: boolean): { [K in N]: Value };
  /** Writes the given fields and leaves the others as they stand. */
  encode(view: DataView, base: number, values: { readonly [K in N]?: Value }, littleEndian?: boolean): void;
}

/** A u64 as a number: exact up to 2^53, and beyond that still larger than any bound it is held against. */
export function getU64(view: DataView, at: number): number {
  const high = view.getUint32(at);
  // Most values are below 2^32, and a product would make a float of them.
  return high === 0 ? view.getUint32(at + 4) : high * 0x1_0000_0000 + view.getUint32(at + 4);
}

/** Writes a number below 2^53 as a big-endian u64. */
export function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 0x1_0000_0000));
  view.setUint32(at + 4, value >>> 0);
}

function narrow(value: bigint): number | bigint {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
    ? Number(value)
    : value;
}

const num = (value: Value): number => Number(value as number);

export const u8: FieldType = {
  kind: 'uint',
  size: 1,
  get: (v, at) => v.getUint8(at),
  set: (v, at, x) => v.setUint8(at, num(x)),
};
export const u16: FieldType = {
  kind: 'uint',
  size: 2,
  get: (v, at, le) => v.getUint16(at, le),
  set: (v, at, x, le) => v.setUint16(at, num(x), le),
};
export const u32: FieldType = {
  kind: 'uint',
  size: 4,
  get: (v, at, le) => v.getUint32(at, le),
  set: (v, at, x, le) => v.setUint32(at, num(x), le),
};
export const u64: FieldType = {
  kind: 'uint',
  size: 8,
  get: (v, at, le) => narrow(v.getBigUint64(at, le)),
  set: (v, at, x, le) => v.setBigUint64(at, BigInt(x as number | bigint), le),
};
export const i8: FieldType = {
  kind: 'int',
  size: 1,
  get: (v, at) => v.getInt8(at),
  set: (v, at, x) => v.setInt8(at, num(x)),
};
export const i16: FieldType = {
  kind: 'int',
  size: 2,
  get: (v, at, le) => v.getInt16(at, le),
  set: (v, at, x, le) => v.setInt16(at, num(x), le),
};
export const i32: FieldType = {
  kind: 'int',
  size: 4,
  get: (v, at, le) => v.getInt32(at, le),
  set: (v, at, x, le) => v.setInt32(at, num(x), le),
};
export const i64: FieldType = {
  kind: 'int',
  size: 8,
  get: (v, at, le) => narrow(v.getBigInt64(at, le)),
  set: (v, at, x, le) => v.setBigInt64(at, BigInt(x as number | bigint), le),
};
/** CRC32C, the one little-endian field of an on-disk structure. */
export const crc: FieldType = {
  kind: 'crc',
  size: 4,
  get: (v, at) => v.getUint32(at, true),
  set: (v, at, x) => v.setUint32(at, num(x), true),
};
export const uuid: FieldType = {
  kind: 'uuid',
  size: 16,
  get: (v, at) => formatUuid(v, at),
  set: (v, at, x) => parseUuid(x as string, v, at),
};

/** Fixed-length text, padded with zero bytes; bytes above 0x7f are kept as latin1. */
export function text(length: number): FieldType {
  return {
    kind: 'text',
    size: length,
    get: (v, at) => {
      let s = '';
      for (let i = 0; i < length; i++) {
        const c = v.getUint8(at + i);
        if (c === 0) break;
        s += String.fromCharCode(c);
      }
      return s;
    },
    set: (v, at, x) => {
      const s = x as string;
      for (let i = 0; i < length; i++) v.setUint8(at + i, i < s.length ? s.charCodeAt(i) : 0);
    },
  };
}

/** Raw bytes (padding, bitmaps). Decoding gives a view into the block, not a copy. */
export function bytes(length: number): FieldType {
  return {
    kind: 'bytes',
    size: length,
    get: (v, at) => new Uint8Array(v.buffer, v.byteOffset + at, length),
    set: (v, at, x) => {
      const from = x as Uint8Array;
      for (let i = 0; i < length; i++) v.setUint8(at + i, i < from.length ? from[i] : 0);
    },
  };
}

export function array(of: FieldType, count: number): FieldType {
  return {
    kind: 'array',
    size: of.size * count,
    of,
    count,
    get: (v, at, le) => {
      const out: Value[] = [];
      for (let i = 0; i < count; i++) out.push(of.get(v, at + i * of.size, le));
      return out;
    },
    set: (v, at, x, le) => {
      const values = x as Value[];
      for (let i = 0; i < count; i++) if (i < values.length) of.set(v, at + i * of.size, values[i], le);
    },
  };
}

/** A structure inside another. */
export function nested(inner: Structure): FieldType {
  return {
    kind: 'struct',
    size: inner.size,
    structure: inner,
    get: (v, at, le) => inner.decode(v, at, le) as unknown as Value,
    set: (v, at, x, le) => inner.encode(v, at, x as unknown as Decoded, le),
  };
}

/**
 * A field of `width` bits that starts `bit` bits into the structure, counted from its most significant bit,
 * as packed big-endian records (extents, rmap offsets) are drawn. It must stand in a structure whose bytes
 * are held by the bit fields alone: see `packed`.
 */
export function bits(bit: number, width: number): FieldType {
  const first = bit >> 3;
  const last = (bit + width - 1) >> 3;
  const shift = BigInt((last + 1) * 8 - bit - width);
  const mask = (1n << BigInt(width)) - 1n;
  const load = (v: DataView, base: number): bigint => {
    let word = 0n;
    for (let i = first; i <= last; i++) word = (word << 8n) | BigInt(v.getUint8(base + i));
    return word;
  };
  return {
    kind: 'bits',
    size: 0,
    bit,
    width,
    get: (v, base) => narrow((load(v, base) >> shift) & mask),
    set: (v, base, x) => {
      let word = load(v, base);
      word = (word & ~(mask << shift)) | ((BigInt(x as number | bigint) & mask) << shift);
      for (let i = last; i >= first; i--) {
        v.setUint8(base + i, Number(word & 0xffn));
        word >>= 8n;
      }
    },
  };
}

/**
 * Declares a structure: fields in disk order, offsets added up. `size` checks the total (or gives it, for
 * structures of bit fields). Bit fields stand at their own bit offset from the structure's start.
 */
export function structure<N extends string>(
  name: string,
  types: { readonly [K in N]: FieldType },
  size?: number,
): Structure<N> {
  const fields: Field[] = [];
  const at = {} as { [K in N]: number };
  let offset = 0;
  for (const key of Object.keys(types) as N[]) {
    const type = types[key];
    const where = type.kind === 'bits' ? 0 : offset;
    fields.push({ name: key, type, offset: where });
    at[key] = where;
    offset += type.size;
  }
  if (size !== undefined && offset !== size && offset !== 0)
    throw new Error(`structure ${name}: fields add up to ${offset} bytes, not ${size}`);
  return {
    name,
    size: size ?? offset,
    fields,
    at,
    decode(view, base = 0, littleEndian = false) {
      const out = {} as { [K in N]: Value };
      for (const f of fields) out[f.name as N] = f.type.get(view, base + f.offset, littleEndian);
      return out;
    },
    encode(view, base, values, littleEndian = false) {
      for (const f of fields) {
        const value = values[f.name as N];
        if (value !== undefined) f.type.set(view, base + f.offset, value, littleEndian);
      }
    },
  };
}

const HEX = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));

/** The 16 bytes at `at` as 8-4-4-4-12 lower-case hex. */
export function formatUuid(view: DataView, at: number): string {
  let s = '';
  for (let i = 0; i < 16; i++) {
    if (i === 4 || i === 6 || i === 8 || i === 10) s += '-';
    s += HEX[view.getUint8(at + i)];
  }
  return s;
}

/** Writes a UUID given as hex with or without dashes. Throws RangeError on anything else. */
export function parseUuid(value: string, view: DataView, at: number): void {
  const hex = value.replaceAll('-', '');
  if (!/^[0-9a-fA-F]{32}$/.test(hex)) throw new RangeError(`not a UUID: ${value}`);
  for (let i = 0; i < 16; i++) view.setUint8(at + i, Number.parseInt(hex.slice(i * 2, i * 2 + 2), 16));
}

/** A DataView over exactly the bytes of `b`. */
export function viewOf(b: Uint8Array): DataView {
  return new DataView(b.buffer, b.byteOffset, b.byteLength);
}
