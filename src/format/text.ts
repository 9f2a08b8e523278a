/**
 * Names on disk are bytes, any but NUL and '/'; most are UTF-8, none has to be. As strings they are decoded
 * from UTF-8, with each byte that is no part of it kept as a lone surrogate U+DC80..U+DCFF (the way Python's
 * surrogateescape does). Nothing is lost: `textToBytes` gives the same bytes back, JSON shows such a byte
 * as an escape `\udcNN`, and plain text output writes the byte itself.
 */

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Length of the well-formed UTF-8 sequence at `at`, or 0. */
function sequence(b: Uint8Array, at: number): number {
  const first = b[at];
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (at + length > b.length) return 0;
  for (let i = 1; i < length; i++) if ((b[at + i] & 0xc0) !== 0x80) return 0;
  const second = b[at + 1];
  if (first === 0xe0 && second < 0xa0) return 0;
  if (first === 0xed && second > 0x9f) return 0;
  if (first === 0xf0 && second < 0x90) return 0;
  if (first === 0xf4 && second > 0x8f) return 0;
  return length;
}

/** Bytes as a string that `textToBytes` turns back into exactly these bytes. */
export function bytesToText(b: Uint8Array): string {
  let plain = b.length <= 64;
  if (plain) {
    let s = '';
    for (let i = 0; i < b.length; i++) {
      if (b[i] >= 0x80) {
        plain = false;
        break;
      }
      s += String.fromCharCode(b[i]);
    }
    if (plain) return s;
  }
  try {
    return decoder.decode(b);
  } catch {
    let s = '';
    for (let i = 0; i < b.length; ) {
      const length = sequence(b, i);
      if (length === 0) s += String.fromCharCode(0xdc00 + b[i++]);
      else {
        s += decoder.decode(b.subarray(i, i + length));
        i += length;
      }
    }
    return s;
  }
}

/** The bytes of a string: UTF-8, lone surrogates U+DC80..U+DCFF as the byte they stand for. */
export function textToBytes(s: string): Uint8Array {
  const utf8 = Buffer.from(s, 'utf8');
  if (!/[\udc80-\udcff]/.test(s)) return utf8;
  const out: number[] = [];
  // Iteration is by code point: a surrogate that is met here is a lone one.
  for (const c of s) {
    const code = c.codePointAt(0)!;
    if (code >= 0xdc80 && code <= 0xdcff) out.push(code - 0xdc00);
    else for (const byte of Buffer.from(c, 'utf8')) out.push(byte);
  }
  return Uint8Array.from(out);
}

/**
 * Text for people: control characters, direction marks and bytes that are no UTF-8 as \xNN, so that nothing
 * that stands in an image can steer a terminal.
 */
export const printable = (s: string): string =>
  s.replace(
    /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]|[\udc80-\udcff]/gu,
    (c) => {
      const code = c.charCodeAt(0);
      if (code >= 0xdc80 && code <= 0xdcff) return `\\x${(code - 0xdc00).toString(16)}`;
      return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
    },
  );

/** A name or path for people. */
export const showBytes = (b: Uint8Array): string => printable(bytesToText(b));
