/** Inodes from nothing: free ones of a new chunk, and cores of used ones. */
import { sealCrc } from '../format/checksum.js';
import { DINODE, FORK_FORMAT, type Timespec, writeTimestamp, XFS_DINODE_MAGIC } from '../format/dinode.js';
import type { Geometry } from '../format/geometry.js';
import { setU64, viewOf } from '../format/structure.js';
import { NULLAGINO } from '../format/superblock.js';

const A = DINODE.at;

/** Writes a free inode over `bytes` (one inode), as a new chunk holds it. */
export function encodeFreeInode(g: Geometry, bytes: Uint8Array, ino: number, generation = 0): void {
  bytes.fill(0);
  const v = viewOf(bytes);
  v.setUint16(A.magic, XFS_DINODE_MAGIC);
  v.setUint8(A.version, 3);
  v.setUint32(A.gen, generation);
  v.setUint32(A.next_unlinked, NULLAGINO);
  setU64(v, A.inumber, ino);
  bytes.set(g.metaUuidBytes, A.uuid);
  sealCrc(bytes, A.crc);
}

export interface InodeCore {
  readonly ino: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly projid?: number;
  /** FORK_FORMAT of the data fork. */
  readonly format: number;
  readonly size: number;
  readonly nblocks?: number;
  /** Blocks. */
  readonly extsize?: number;
  readonly cowextsize?: number;
  readonly flags?: number;
  readonly flags2?: number;
  readonly generation?: number;
  readonly changeCount: number;
  readonly atime: Timespec;
  readonly mtime: Timespec;
  readonly ctime: Timespec;
  readonly crtime: Timespec;
}

/**
 * Writes a used inode with an empty attribute fork over `bytes` (one inode); `fork` is the data fork's
 * bytes. Whether times are bigtime follows the filesystem's feature; the flag must be in `flags2`.
 */
export function encodeInode(g: Geometry, bytes: Uint8Array, core: InodeCore, fork?: Uint8Array): void {
  fillInode(g, bytes, viewOf(bytes), core, fork);
  sealCrc(bytes, A.crc);
}

/** The same without the checksum, for a caller that has more to write. `v` covers `bytes`. */
export function fillInode(
  g: Geometry,
  bytes: Uint8Array,
  v: DataView,
  core: InodeCore,
  fork?: Uint8Array,
): void {
  bytes.fill(0);
  v.setUint16(A.magic, XFS_DINODE_MAGIC);
  v.setUint16(A.mode, core.mode);
  v.setUint8(A.version, 3);
  v.setUint8(A.format, core.format);
  v.setUint32(A.uid, core.uid ?? 0);
  v.setUint32(A.gid, core.gid ?? 0);
  v.setUint32(A.nlinkv2, core.nlink);
  v.setUint16(A.projid_lo, (core.projid ?? 0) & 0xffff);
  v.setUint16(A.projid_hi, (core.projid ?? 0) >>> 16);
  writeTimestamp(v, A.atime, core.atime, g.features.bigtime);
  writeTimestamp(v, A.mtime, core.mtime, g.features.bigtime);
  writeTimestamp(v, A.ctime, core.ctime, g.features.bigtime);
  setU64(v, A.size, core.size);
  setU64(v, A.nblocks, core.nblocks ?? 0);
  v.setUint32(A.extsize, core.extsize ?? 0);
  v.setUint8(A.aformat, FORK_FORMAT.EXTENTS);
  v.setUint16(A.flags, core.flags ?? 0);
  v.setUint32(A.gen, core.generation ?? 0);
  v.setUint32(A.next_unlinked, NULLAGINO);
  setU64(v, A.change_count, core.changeCount);
  setU64(v, A.flags2, core.flags2 ?? 0);
  v.setUint32(A.cowextsize, core.cowextsize ?? 0);
  writeTimestamp(v, A.crtime, core.crtime, g.features.bigtime);
  setU64(v, A.inumber, core.ino);
  bytes.set(g.metaUuidBytes, A.uuid);
  if (fork !== undefined) bytes.set(fork, DINODE.size);
}
