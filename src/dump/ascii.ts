/**
 * Text put together from words and numbers as bytes: where a table has hundreds of thousands of rows, a string made
 * for each and taken apart again by the writer costs more than all else.
 */

const ZERO = 48;
const MINUS = 45;

/** Writes a whole number below 2^53 in decimal at `at`, where 17 bytes are free. Returns where it ends. */
export function putInteger(bytes: Uint8Array, at: number, value: number): number {
  let v = value;
  let to = at;
  if (v < 0) {
    bytes[to++] = MINUS;
    v = -v;
  }
  if (v < 1e9) return putDigits(bytes, to, v, 1);
  const high = Math.floor(v / 1e9);
  return putDigits(bytes, putDigits(bytes, to, high, 1), v - high * 1e9, 9);
}

/** A number below 2^31, with zeros in front up to so many digits. */
function putDigits(bytes: Uint8Array, at: number, value: number, least: number): number {
  let v = value | 0;
  let n = least;
  if (least === 1) for (let p = 10; p <= v && n < 10; p *= 10) n++;
  for (let to = at + n; to > at; ) {
    const q = (v / 10) | 0;
    bytes[--to] = ZERO + v - q * 10;
    v = q;
  }
  return at + n;
}

/** Characters 32 to 126 without those any format would have to escape: no quotes, commas, backslashes. */
export class Ascii {
  /** Little at first: what happens when it grows is known to V8 then before it optimizes what puts text together. */
  bytes: Uint8Array = new Uint8Array(16);
  length = 0;

  clear(): this {
    this.length = 0;
    return this;
  }

  word(s: string): this {
    this.#reserve(s.length);
    const { bytes } = this;
    let at = this.length;
    for (let i = 0; i < s.length; i++) bytes[at++] = s.charCodeAt(i);
    this.length = at;
    return this;
  }

  /** A number in decimal. */
  integer(value: number): this {
    if (!Number.isSafeInteger(value)) return this.word(String(value));
    this.#reserve(17);
    this.length = putInteger(this.bytes, this.length, value);
    return this;
  }

  #reserve(count: number): void {
    if (this.length + count <= this.bytes.length) return;
    const larger = new Uint8Array(2 * (this.length + count));
    larger.set(this.bytes);
    this.bytes = larger;
  }

  toString(): string {
    return Buffer.from(this.bytes.buffer, 0, this.length).toString('latin1');
  }
}
