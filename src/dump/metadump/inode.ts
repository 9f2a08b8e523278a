/** Inodes on their way into a metadump: what stands in their forks, in place. */
import { BMDR_BLOCK, maxRootRecords } from '../../format/btree.js';
import { DINODE, DINODE_SIZE, FORK_FORMAT, S_IF, XFS_DINODE_MAGIC } from '../../format/dinode.js';
import { EXTENT_SIZE } from '../../format/extent.js';
import type { Geometry } from '../../format/geometry.js';
import { type ForkName, forkAt, forkExtents, forkFormat, forkSize } from '../../volume/fork.js';
import type { Inode } from '../../volume/inode.js';
import { bytesOf } from '../../volume/volume.js';
import { sealed, type Treatment, treatShortAttrs, treatShortDir } from './blocks.js';

/** Bytes of a device number. */
const DEVICE = 4;

/** Treats one inode in place. Whether it could be understood: else its forks have been cleared. */
export function treatInode(g: Geometry, inode: Inode, free: boolean, t: Treatment): boolean {
  const b = bytesOf(inode.view).subarray(inode.base, inode.base + g.inodesize);
  if (inode.view.getUint16(inode.base + DINODE.at.magic) !== XFS_DINODE_MAGIC) {
    if (t.cipher !== undefined) b.fill(0);
    return false;
  }
  return sealed(b, DINODE.at.crc, () => {
    if (free || inode.mode === 0) {
      if (t.zero) b.fill(0, DINODE_SIZE);
      return true;
    }
    let understood = true;
    for (const fork of ['data', 'attr'] as const) {
      if (fork === 'attr' && !inode.hasAttrFork) continue;
      const at = forkAt(inode, fork) - inode.base;
      const bytes = b.subarray(at, at + forkSize(inode, fork));
      if (treatFork(g, inode, fork, bytes, t)) continue;
      understood = false;
      if (t.cipher !== undefined) bytes.fill(0);
    }
    return understood;
  });
}

function treatFork(g: Geometry, inode: Inode, fork: ForkName, bytes: Uint8Array, t: Treatment): boolean {
  const rest = (used: number): boolean => {
    if (used > bytes.length) return false;
    if (t.zero) bytes.fill(0, used);
    return true;
  };
  switch (forkFormat(inode, fork)) {
    case FORK_FORMAT.DEV:
      return fork === 'data' && rest(DEVICE);
    case FORK_FORMAT.EXTENTS:
      return rest(forkExtents(inode, fork) * EXTENT_SIZE);
    case FORK_FORMAT.BTREE:
      return treatRoot(bytes, t);
    case FORK_FORMAT.LOCAL: {
      if (fork === 'attr') return treatShortAttrs(bytes, t);
      if (inode.size > bytes.length) return false;
      const local = bytes.subarray(0, inode.size);
      if (inode.isDir) return treatShortDir(g, local, t) && rest(inode.size);
      if (inode.type !== S_IF.LNK) return false;
      t.cipher?.applyPath(local);
      return rest(inode.size);
    }
    default:
      return false;
  }
}

/** The root of a bmbt: keys, then pointers behind room for as many keys as would fit. */
function treatRoot(bytes: Uint8Array, t: Treatment): boolean {
  const room = maxRootRecords(bytes.length);
  const numrecs = (bytes[BMDR_BLOCK.at.numrecs] << 8) | bytes[BMDR_BLOCK.at.numrecs + 1];
  if (numrecs > room) return false;
  if (t.zero) {
    const pointers = BMDR_BLOCK.size + room * 8;
    bytes.fill(0, BMDR_BLOCK.size + numrecs * 8, pointers);
    bytes.fill(0, pointers + numrecs * 8);
  }
  return true;
}
