/** Targets of symbolic links that do not fit the inode. */
import { sealCrc } from '../format/checksum.js';
import type { Geometry } from '../format/geometry.js';
import { setU64, viewOf } from '../format/structure.js';
import { SYMLINK_HDR, symlinkSpace, XFS_SYMLINK_MAGIC } from '../format/symlink.js';
import type { ExtentColumns, ForkTarget } from './fork.js';

/** Blocks to set aside for a target of `length` bytes. */
export const symlinkBlocks = (length: number, blocksize: number): number =>
  Math.ceil(length / symlinkSpace(blocksize));

/** Writes the target: each extent is one buffer behind a header of its own. */
export function writeSymlink(
  g: Geometry,
  ino: number,
  text: Uint8Array,
  extents: ExtentColumns,
  target: ForkTarget,
): void {
  const A = SYMLINK_HDR.at;
  let done = 0;
  for (let i = 0; i < extents.count && done < text.length; i++) {
    const bytes = new Uint8Array(extents.blocks[i] * g.blocksize);
    const v = viewOf(bytes);
    const here = Math.min(text.length - done, symlinkSpace(bytes.length));
    v.setUint32(A.magic, XFS_SYMLINK_MAGIC);
    v.setUint32(A.offset, done);
    v.setUint32(A.bytes, here);
    bytes.set(g.metaUuidBytes, A.uuid);
    setU64(v, A.owner, ino);
    setU64(v, A.bno, target.daddr(extents.offset[i]));
    bytes.set(text.subarray(done, done + here), SYMLINK_HDR.size);
    sealCrc(bytes, A.crc);
    target.emit(extents.offset[i], bytes);
    done += here;
  }
}
