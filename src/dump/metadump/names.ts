/**
 * Names that tell nothing and have the hash of those they stand for, so that directories and attribute forks
 * keep their order.
 *
 * The hash of a name is linear: a change of bits that hashes to 0 can be laid over any name. One such mask,
 * drawn from the dump's secret, serves all names of one length and hash, which keeps different names
 * different; the same name becomes the same everywhere, so that symbolic links still lead where they led and
 * parent pointers match. Where the outcome may not be a name the permutation is applied again until it may:
 * a second, mixing step makes sure that this leads on.
 */
import { createHash } from 'node:crypto';
import { daHash } from '../../format/da.js';

/** Shorter names are all but given by their hash, and stay. */
const SHORTEST = 5;
/** Applications after which whatever has come out is taken; a valid name is met long before. */
const MOST_ROUNDS = 4096;
const SLASH = 0x2f;
/** xfs_repair knows it by its name. */
const KEPT = Buffer.from('lost+found');

export class NameCipher {
  readonly #key: Uint8Array;
  readonly #mask = new Uint8Array(255);

  /** @param key random bytes nobody keeps */
  constructor(key: Uint8Array) {
    this.#key = key;
  }

  /** Changes the name at bytes [at, at + length) of `b`, in place. */
  apply(b: Uint8Array, at: number, length: number): void {
    if (length < SHORTEST || length > 255) return;
    const name = b.subarray(at, at + length);
    if (KEPT.equals(name)) return;
    const slashes = name.includes(SLASH);
    const seed = this.#draw(daHash(name), length);
    const mask = this.#mask;
    for (let round = 0; round < MOST_ROUNDS; round++) {
      for (let i = 0; i < length; i++) name[i] ^= mask[i];
      mix(name, seed);
      if (!name.includes(0) && name.includes(SLASH) === slashes && !KEPT.equals(name)) return;
    }
  }

  /** The same for each component of a path. */
  applyPath(path: Uint8Array): void {
    for (let from = 0; from < path.length; ) {
      const slash = path.indexOf(SLASH, from);
      const to = slash < 0 ? path.length : slash;
      this.apply(path, from, to - from);
      from = to + 1;
    }
  }

  /** Sets the mask of names with this hash and length; returns a number that goes with it. */
  #draw(hash: number, length: number): number {
    const head = Uint32Array.of(hash, length);
    const stream = createHash('shake256', { outputLength: length + 4 })
      .update(this.#key)
      .update(new Uint8Array(head.buffer))
      .digest();
    const mask = this.#mask;
    const free = length - SHORTEST;
    for (let i = 0; i < free; i++) mask[i] = stream[4 + i];
    // The last five bytes undo what the others do to the hash: 7 bits each, from the end, and 4.
    const h = daHash(mask, 0, free);
    const undo = (h << 3) | (h >>> 29);
    mask[free] = (undo >>> 28) & 0xf;
    for (let i = 1; i < SHORTEST; i++) mask[free + i] = (undo >>> (7 * (SHORTEST - 1 - i))) & 0x7f;
    return stream.readInt32LE(0);
  }
}

/**
 * A permutation of the names of one hash: over every five bytes, eight pairs of bits that fall on one bit of
 * the hash are flipped together, by a rule that depends on the bytes before.
 */
function mix(b: Uint8Array, seed: number): void {
  let state = seed;
  for (let i = 0; i + SHORTEST <= b.length; i++) {
    const coordinate =
      (b[i] & 0xf0) |
      ((b[i + 1] >> 7) << 3) |
      ((b[i + 2] >> 7) << 2) |
      ((b[i + 3] >> 7) << 1) |
      (b[i + 4] >> 7);
    // Odd addend and a factor of 1 modulo 4: one cycle through all 256.
    const next = (coordinate * (((state >>> 24) << 2) | 1) + (((state >>> 16) & 0xfe) | 1)) & 0xff;
    const d = coordinate ^ next;
    b[i] ^= (d & 0xf0) | ((d >> 3) & 1);
    b[i + 1] ^= ((d & 8) << 4) | ((d >> 2) & 1);
    b[i + 2] ^= ((d & 4) << 5) | ((d >> 1) & 1);
    b[i + 3] ^= ((d & 2) << 6) | (d & 1);
    b[i + 4] ^= ((d & 1) << 7) | (d >> 4);
    state = Math.imul(state ^ b[i], 0x9e37_79b1);
    state ^= state >>> 15;
  }
}
