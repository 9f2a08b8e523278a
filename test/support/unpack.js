/**
 * Fixture images: `image.gz` holds the stretches of a sparse image that are not zero. Plain JavaScript, because
 * the demo runs without the development tools.
 *
 * The unpacked stream: 8 bytes 'XFSIMGFX', u64 size of the image, then for each stretch u64 offset, u32
 * length and the bytes; all big-endian.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

export const MAGIC = 'XFSIMGFX';

/** Writes the image packed in file `from` to file `to`, sparse. Returns `to`. */
export function unpackImage(from, to) {
  const b = gunzipSync(readFileSync(from));
  if (b.toString('latin1', 0, 8) !== MAGIC) throw new Error(`${from}: not a packed image`);
  const fd = openSync(to, 'w');
  try {
    ftruncateSync(fd, Number(b.readBigUInt64BE(8)));
    for (let at = 16; at < b.length; ) {
      const offset = Number(b.readBigUInt64BE(at));
      const length = b.readUInt32BE(at + 8);
      writeSync(fd, b, at + 12, length, offset);
      at += 12 + length;
    }
  } finally {
    closeSync(fd);
  }
  return to;
}
