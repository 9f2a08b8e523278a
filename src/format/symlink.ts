/**
 * Targets of symbolic links: up to the data fork's size they stand in the inode, longer ones in blocks of
 * their own, each with a header (struct xfs_dsymlink_hdr in xfs_format.h).
 */
import { badAt, type Place, verifyPiece } from './da.js';
import type { Report } from './fault.js';
import type { Geometry } from './geometry.js';
import { crc, structure, u32, u64, uuid } from './structure.js';

export const XFS_SYMLINK_MAGIC = 0x58534c4d; // 'XSLM'
/** Longest target in bytes (XFS_SYMLINK_MAXLEN). */
export const SYMLINK_MAXLEN = 1024;

export const SYMLINK_HDR = structure(
  'symlink',
  { magic: u32, offset: u32, bytes: u32, crc: crc, uuid: uuid, owner: u64, bno: u64, lsn: u64 },
  56,
);

/**
 * Bytes of a target that a buffer of `length` bytes holds behind its header. A header stands at the start of
 * each extent of the fork, not of each block.
 */
export const symlinkSpace = (length: number): number => length - SYMLINK_HDR.size;

/**
 * Checks the header of one extent of a target: `block` is the whole extent, `offset` and `bytes` say which
 * part of the target it must hold.
 */
export function verifySymlink(
  g: Geometry,
  block: Uint8Array,
  place: Place,
  offset: number,
  bytes: number,
  report: Report,
): void {
  const bad = badAt('symlink', place, report);
  verifyPiece(g, block, SYMLINK_HDR.at, XFS_SYMLINK_MAGIC, '', place, { offset, bytes }, bad);
}
