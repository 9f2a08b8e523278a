/**
 * Undo files: what a repair is about to overwrite, so that it can be put back.
 *
 * 8 bytes 'XFSIMGU2', u64 size of the image, the 16 bytes where the superblock has its UUID, as they were and as the
 * repair leaves them, then for each range u64 offset, u32 length and the bytes; at the end an offset of all ones.
 * All big-endian.
 */
import { SUPERBLOCK } from '../format/superblock.js';
import { FileSource, ImageError, type Source } from '../image/source.js';

const MAGIC = 'XFSIMGU2';
const HEADER = 48;
const END = 0xffff_ffff_ffff_ffffn;
const MAX_RANGE = 1 << 20;

/**
 * Saves ranges of `source` to a new file at `path`, on stable storage when this returns; `after` is what it will be.
 * Throws ImageError.
 */
export function saveUndo(
  path: string,
  source: Source,
  ranges: readonly { offset: number; length: number }[],
  after: Source,
): void {
  const file = FileSource.open(path, 'wx+');
  try {
    const header = Buffer.alloc(HEADER);
    header.write(MAGIC, 'latin1');
    header.writeBigUInt64BE(BigInt(source.size), 8);
    source.read(SUPERBLOCK.at.uuid, header.subarray(16, 32));
    after.read(SUPERBLOCK.at.uuid, header.subarray(32, 48));
    file.write(0, header);
    let at = HEADER;
    for (const { offset, length } of ranges) {
      const b = Buffer.alloc(12 + length);
      b.writeBigUInt64BE(BigInt(offset));
      b.writeUInt32BE(length, 8);
      source.read(offset, b.subarray(12));
      file.write(at, b);
      at += b.length;
    }
    const end = Buffer.alloc(12);
    end.writeBigUInt64BE(END);
    file.write(at, end);
    file.sync();
  } finally {
    file.close();
  }
}

/**
 * Puts back what an undo file holds. Throws ImageError, with nothing written, where the file is no undo file,
 * is cut short, or is of another filesystem. Returns the bytes put back.
 */
export function applyUndo(path: string, target: Source): number {
  const file = FileSource.open(path, 'r');
  try {
    const header = Buffer.alloc(HEADER);
    if (file.size < HEADER) throw new ImageError(`${path}: not an undo file of xfsimg repair`);
    file.read(0, header);
    if (header.toString('latin1', 0, 8) !== MAGIC)
      throw new ImageError(`${path}: not an undo file of xfsimg repair`);
    const uuid = Buffer.alloc(16);
    target.read(SUPERBLOCK.at.uuid, uuid);
    // A repair that was cut short, or an undo, can have left either.
    const known = uuid.equals(header.subarray(16, 32)) || uuid.equals(header.subarray(32, 48));
    if (!known || header.readBigUInt64BE(8) !== BigInt(target.size))
      throw new ImageError(`${path}: belongs to another filesystem`);
    const ranges = rangesOf(path, file, target.size);
    let total = 0;
    for (const { at, offset, length } of ranges) {
      const b = new Uint8Array(length);
      file.read(at, b);
      target.write(offset, b);
      total += length;
    }
    target.sync();
    return total;
  } finally {
    file.close();
  }
}

function rangesOf(
  path: string,
  file: Source,
  size: number,
): { at: number; offset: number; length: number }[] {
  const out: { at: number; offset: number; length: number }[] = [];
  const head = Buffer.alloc(12);
  for (let at = HEADER; ; ) {
    if (at + 12 > file.size) throw new ImageError(`${path}: the undo file is cut short`);
    file.read(at, head);
    if (head.readBigUInt64BE() === END) return out;
    const offset = Number(head.readBigUInt64BE());
    const length = head.readUInt32BE(8);
    if (length > MAX_RANGE || offset + length > size || at + 12 + length > file.size)
      throw new ImageError(`${path}: the undo file is damaged at byte ${at}`);
    out.push({ at: at + 12, offset, length });
    at += 12 + length;
  }
}
