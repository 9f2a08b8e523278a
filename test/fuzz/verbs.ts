/** What a fuzzer does to one field: the verbs of xfs_db's `fuzz`, the checksum made right or left wrong. */
import { sealCrc } from '../../src/format/checksum.js';
import { viewOf } from '../../src/format/structure.js';
import type { Source } from '../../src/image/source.js';
import type { Target } from './targets.js';

export const VERBS = ['zeroes', 'ones', 'firstbit', 'middlebit', 'lastbit', 'add', 'sub', 'random'] as const;
export type Verb = (typeof VERBS)[number];

/** Small and fast, the same everywhere for the same seed (mulberry32): whole numbers of 32 bits. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
}

/** A field of `width` bits after the verb. Bits count from the most significant. */
export function after(verb: Verb, old: bigint, width: number, next: () => number): bigint {
  const max = (1n << BigInt(width)) - 1n;
  switch (verb) {
    case 'zeroes':
      return 0n;
    case 'ones':
      return max;
    case 'firstbit':
      return old ^ (1n << BigInt(width - 1));
    case 'middlebit':
      return old ^ (1n << BigInt(width >> 1));
    case 'lastbit':
      return old ^ 1n;
    case 'add':
      return (old + 1n) & max;
    case 'sub':
      return (old - 1n) & max;
    case 'random': {
      let value = 0n;
      for (let bits = 0; bits < width; bits += 32) value = (value << 32n) | BigInt(next());
      return value & max;
    }
  }
}

/**
 * The bytes a target's checksum covers with its field changed, or undefined where that leaves them as they
 * were. With `seal` false the checksum is left wrong.
 */
export function changed(
  image: Source,
  target: Target,
  verb: Verb,
  next: () => number,
  seal = true,
): Uint8Array | undefined {
  const { offset, length, crcAt } = target.seal;
  const b = new Uint8Array(length);
  image.read(offset, b);
  const before = b.slice();
  const at = target.offset - offset;
  const { type } = target;
  if (type.kind === 'bits') {
    const v = viewOf(b);
    const old = BigInt.asUintN(type.width!, BigInt(type.get(v, at, false) as number | bigint));
    type.set(v, at, after(verb, old, type.width!, next), false);
  } else {
    const hex = Buffer.from(b.buffer, at, type.size).toString('hex');
    const value = after(verb, BigInt(`0x${hex}`), type.size * 8, next);
    b.set(Buffer.from(value.toString(16).padStart(type.size * 2, '0'), 'hex'), at);
  }
  if (type.kind !== 'crc' && seal) sealCrc(b, crcAt);
  return b.every((byte, i) => byte === before[i]) ? undefined : b;
}
