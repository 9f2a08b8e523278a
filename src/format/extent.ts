/**
 * The packed 128-bit extent record of a file's fork (struct xfs_bmbt_rec), most significant bit first:
 *
 *   1 bit   unwritten
 *   54 bits file offset in blocks
 *   52 bits start: fsblock
 *   21 bits length in blocks
 *
 * Read and written as four u32 words, so that no step of it needs BigInt.
 */
import { bits, structure } from './structure.js';

export const BMBT_REC = structure(
  'bmbt rec',
  {
    extentflag: bits(0, 1),
    startoff: bits(1, 54),
    startblock: bits(55, 52),
    blockcount: bits(107, 21),
  },
  16,
);
export const EXTENT_SIZE = 16;
export const MAX_EXTENT_BLOCKS = 2 ** 21 - 1;
export const MAX_FILE_OFFSET = 2 ** 54 - 1;

export const extentUnwritten = (v: DataView, at: number): boolean => v.getUint32(at) >>> 31 === 1;
export const extentOffset = (v: DataView, at: number): number =>
  (v.getUint32(at) & 0x7fff_ffff) * 2 ** 23 + (v.getUint32(at + 4) >>> 9);
export const extentFsblock = (v: DataView, at: number): number =>
  (v.getUint32(at + 4) & 0x1ff) * 2 ** 43 + v.getUint32(at + 8) * 2 ** 11 + (v.getUint32(at + 12) >>> 21);
export const extentBlocks = (v: DataView, at: number): number => v.getUint32(at + 12) & 0x1f_ffff;

/** Packs an extent at `at`. */
export function packExtent(
  v: DataView,
  at: number,
  offset: number,
  fsblock: number,
  blocks: number,
  unwritten: boolean,
): void {
  v.setUint32(at, (Math.floor(offset / 2 ** 23) | (unwritten ? 0x8000_0000 : 0)) >>> 0);
  v.setUint32(at + 4, (((offset % 2 ** 23) << 9) | Math.floor(fsblock / 2 ** 43)) >>> 0);
  v.setUint32(at + 8, Math.floor(fsblock / 2 ** 11) >>> 0);
  v.setUint32(at + 12, (((fsblock % 2 ** 11) << 21) | blocks) >>> 0);
}
