/** Committed images under fixtures/: packed (see unpack.js), one folder each with a README of its own. */
import { closeSync, fstatSync, openSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { tmpdir } from './oracle.js';
import { MAGIC, unpackImage } from './unpack.js';

const root = fileURLToPath(new URL('../../fixtures/', import.meta.url));
const PAGE = 4096;

/** A scratch copy of the fixture's image, to read or to change. */
export function fixture(name: string): string {
  return unpackImage(join(root, name, 'image.gz'), join(tmpdir(), `${name}.img`));
}

/** Packs the stretches of an image that are not zero into file `to`. Returns the packed size in bytes. */
export function packImage(image: string, to: string): number {
  const fd = openSync(image, 'r');
  const parts: Buffer[] = [];
  try {
    const size = fstatSync(fd).size;
    const header = Buffer.alloc(16);
    header.write(MAGIC, 'latin1');
    header.writeBigUInt64BE(BigInt(size), 8);
    parts.push(header);
    const chunk = Buffer.alloc(256 * PAGE);
    for (let at = 0; at < size; at += chunk.length) {
      const n = readSync(fd, chunk, 0, Math.min(chunk.length, size - at), at);
      for (let page = 0; page < n; page += PAGE) {
        const bytes = chunk.subarray(page, Math.min(page + PAGE, n));
        if (bytes.every((b) => b === 0)) continue;
        const head = Buffer.alloc(12);
        head.writeBigUInt64BE(BigInt(at + page));
        head.writeUInt32BE(bytes.length, 8);
        parts.push(head, Buffer.from(bytes));
      }
    }
  } finally {
    closeSync(fd);
  }
  const packed = gzipSync(Buffer.concat(parts), { level: 9 });
  writeFileSync(to, packed);
  return packed.length;
}
