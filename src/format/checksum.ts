/**
 * CRC32C (Castagnoli), the checksum of every v5 structure: over the whole structure with its own four CRC
 * bytes as zero, seed and final complement of all ones, stored little-endian.
 *
 * The native module is loaded on the first sizeable block: a command that looks at a superblock alone never
 * pays for it. Where it cannot be loaded (another platform, a stripped install) the table serves.
 */
import { createRequire } from 'node:module';

const POLYNOMIAL = 0x82f63b78; // reversed 0x1EDC6F41
const SLICES = 8;
/** Below this many bytes the table is as fast as the call into native code. */
const NATIVE_FROM = 256;

let tables: Int32Array[] | undefined;

function makeTables(): Int32Array[] {
  const out = Array.from({ length: SLICES }, () => new Int32Array(256));
  for (let i = 0; i < 256; i++) {
    let c = i;
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ POLYNOMIAL : c >>> 1;
    out[0][i] = c;
  }
  for (let i = 0; i < 256; i++)
    for (let s = 1; s < SLICES; s++) out[s][i] = (out[s - 1][i] >>> 8) ^ out[0][out[s - 1][i] & 0xff];
  return out;
}

function table(b: Uint8Array, seed: number): number {
  tables ??= makeTables();
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables;
  let c = ~seed;
  let i = 0;
  for (const end = b.length - 7; i < end; i += 8) {
    c ^= b[i] | (b[i + 1] << 8) | (b[i + 2] << 16) | (b[i + 3] << 24);
    c =
      t7[c & 0xff] ^
      t6[(c >>> 8) & 0xff] ^
      t5[(c >>> 16) & 0xff] ^
      t4[c >>> 24] ^
      t3[b[i + 4]] ^
      t2[b[i + 5]] ^
      t1[b[i + 6]] ^
      t0[b[i + 7]];
  }
  for (; i < b.length; i++) c = (c >>> 8) ^ t0[(c ^ b[i]) & 0xff];
  return ~c >>> 0;
}

type Crc = (b: Uint8Array, seed: number) => number;
let native: Crc | undefined;

function loadNative(): Crc {
  try {
    const module = createRequire(import.meta.url)('@node-rs/crc32') as {
      crc32c: (b: Uint8Array, seed?: number) => number;
    };
    return (b, seed) => module.crc32c(b, seed);
  } catch {
    return table;
  }
}

/** CRC32C of `b`, or of what came before (`seed`) followed by `b`. */
export function crc32c(b: Uint8Array, seed = 0): number {
  if (b.length < NATIVE_FROM) return table(b, seed);
  native ??= loadNative();
  return native(b, seed);
}

/** The same by the table alone: for tests that hold the two against each other. */
export const crc32cTable: Crc = table;

/**
 * The checksum a structure should carry, its CRC field at `crcOffset` taken as zero. The field is zeroed in
 * place for the length of one call, so that the whole block goes through in one piece.
 */
export function structureCrc(b: Uint8Array, crcOffset: number): number {
  const s0 = b[crcOffset];
  const s1 = b[crcOffset + 1];
  const s2 = b[crcOffset + 2];
  const s3 = b[crcOffset + 3];
  b[crcOffset] = 0;
  b[crcOffset + 1] = 0;
  b[crcOffset + 2] = 0;
  b[crcOffset + 3] = 0;
  const sum = crc32c(b);
  b[crcOffset] = s0;
  b[crcOffset + 1] = s1;
  b[crcOffset + 2] = s2;
  b[crcOffset + 3] = s3;
  return sum;
}

/** Whether the structure's stored checksum is right. */
export function crcHolds(b: Uint8Array, crcOffset: number): boolean {
  const stored =
    (b[crcOffset] | (b[crcOffset + 1] << 8) | (b[crcOffset + 2] << 16) | (b[crcOffset + 3] << 24)) >>> 0;
  return stored === structureCrc(b, crcOffset);
}

/** Computes and stores the checksum. */
export function sealCrc(b: Uint8Array, crcOffset: number): void {
  const sum = structureCrc(b, crcOffset);
  b[crcOffset] = sum;
  b[crcOffset + 1] = sum >>> 8;
  b[crcOffset + 2] = sum >>> 16;
  b[crcOffset + 3] = sum >>> 24;
}

/** A linear map of 32 bits onto 32, by the image of each byte at each place. */
class LinearMap {
  readonly #images: readonly Int32Array[];

  /** `image`: what bit `bit` alone becomes. */
  constructor(image: (bit: number) => number) {
    this.#images = Array.from({ length: 4 }, (_, byte) => {
      const out = new Int32Array(256);
      for (let bit = 0; bit < 8; bit++) {
        const of = image(byte * 8 + bit);
        for (let v = 1 << bit; v < 256; v++) if ((v >>> bit) & 1) out[v] ^= of;
      }
      return out;
    });
  }

  of(v: number): number {
    const [i0, i1, i2, i3] = this.#images;
    return i0[v & 0xff] ^ i1[(v >>> 8) & 0xff] ^ i2[(v >>> 16) & 0xff] ^ i3[v >>> 24];
  }
}

/**
 * Checks many structures of one size, side by side, by a single checksum over all of them. A CRC is linear: what
 * it is over a structure with its own field in place follows from that field alone where the field is right, and
 * what it is over two pieces follows from theirs. So the checksums that stand in the structures tell what the one
 * over all of them must be. A call into native code a structure would cost ten times as much.
 *
 * Two or more wrong ones that cancel each other out pass with a chance of 1 in 2^32, as one wrong structure does.
 */
export class SideBySide {
  readonly #size: number;
  readonly #crcOffset: number;
  /** From the field of a structure that is right to the checksum over it, field included. */
  readonly #own: LinearMap;
  /** From the checksum of what comes before a structure to its part in the checksum of both. */
  readonly #shift: LinearMap;

  constructor(size: number, crcOffset: number) {
    this.#size = size;
    this.#crcOffset = crcOffset;
    tables ??= makeTables();
    const [t0] = tables;
    const zeros = (state: number, count: number): number => {
      let c = state;
      for (let i = 0; i < count; i++) c = (c >>> 8) ^ t0[c & 0xff];
      return c;
    };
    this.#shift = new LinearMap((bit) => zeros(1 << bit, size));
    // The field's four bytes go in least significant first: into a register of zeros, just as they stand.
    this.#own = new LinearMap((bit) => (1 << bit) ^ zeros(1 << bit, size - crcOffset));
  }

  /** Whether all `count` structures from byte `from` of `b` on carry the right checksum. `v` views the same. */
  hold(b: Uint8Array, v: DataView, from: number, count: number): boolean {
    let expected = 0;
    for (let i = 0, at = from + this.#crcOffset; i < count; i++, at += this.#size)
      expected = this.#shift.of(expected) ^ this.#own.of(v.getUint32(at, true));
    return expected >>> 0 === crc32c(b.subarray(from, from + count * this.#size));
  }
}
