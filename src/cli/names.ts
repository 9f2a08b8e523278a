/** Names from an image on standard output: their bytes into a pipe, escaped on a terminal. */
import { showBytes } from '../format/text.js';
import { type Output, stdoutIsTerminal } from './render/output.js';

/** Whether a name holds nothing a terminal could take for a command. */
function isPlain(b: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (b[i] < 0x20 || b[i] >= 0x7f) return false;
  return true;
}

export class NameWriter {
  readonly out: Output;
  /** Escape what a terminal could obey. */
  readonly safe: boolean;

  constructor(out: Output, safe = stdoutIsTerminal()) {
    this.out = out;
    this.safe = safe;
  }

  /** The name or path in bytes [from, to) of `b`. */
  write(b: Uint8Array, from = 0, to = b.length): void {
    const { out } = this;
    if (this.safe && !isPlain(b, from, to)) {
      out.text(showBytes(b.subarray(from, to)));
      return;
    }
    const n = to - from;
    if (n > 4096) {
      out.raw(b.subarray(from, to));
      return;
    }
    out.reserve(n);
    const { bytes } = out;
    let at = out.used;
    for (let i = from; i < to; i++) bytes[at++] = b[i];
    out.used = at;
  }

  /** Columns of the terminal a name takes, as it is written here. */
  width(b: Uint8Array, from: number, to: number): number {
    if (isPlain(b, from, to)) return to - from;
    let n = 0;
    for (const c of showBytes(b.subarray(from, to))) n += isWide(c.codePointAt(0)!) ? 2 : 1;
    return n;
  }
}

/** East Asian wide characters and most pictographs: two columns each. */
const isWide = (c: number): boolean =>
  (c >= 0x1100 && c <= 0x115f) ||
  (c >= 0x2e80 && c <= 0xa4cf) ||
  (c >= 0xac00 && c <= 0xd7a3) ||
  (c >= 0xf900 && c <= 0xfaff) ||
  (c >= 0xfe30 && c <= 0xfe6f) ||
  (c >= 0xff00 && c <= 0xff60) ||
  (c >= 0xffe0 && c <= 0xffe6) ||
  (c >= 0x1f300 && c <= 0x1faff) ||
  (c >= 0x20000 && c <= 0x3fffd);
