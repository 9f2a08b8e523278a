/**
 * The attribute fork's place in the inode: how the space behind the inode's core is shared out, and what
 * becomes of a data fork that has to make room. Rules: xfs_bmap.c (xfs_bmap_add_attrfork), xfs_attr_leaf.c
 * (xfs_attr_shortform_bytesfit).
 */
import { BMDR_BLOCK, maxRootRecords } from '../format/btree.js';
import { DINODE_SIZE, FORK_FORMAT, S_IF } from '../format/dinode.js';
import { EXTENT_SIZE } from '../format/extent.js';
import { ILOG } from '../format/logitems.js';
import { SUPERBLOCK, VERSION_BITS } from '../format/superblock.js';
import { UnsupportedError } from '../volume/volume.js';
import { extentsToBtree, forkMap } from './bmap.js';
import { shortToBlock } from './dir.js';
import { readShort } from './dirshort.js';
import { ForkSpace } from './forkspace.js';
import type { LiveInode } from './inode.js';
import { writeTarget } from './symlink.js';
import type { Transaction } from './transaction.js';

/** Bytes a bmbt root of so many records takes. */
const rootSize = (records: number): number => BMDR_BLOCK.size + records * 16;
/** Records the root of either fork must have room for (XFS_BMDR_MINRECS of data and attribute forks). */
const MIN_DATA = 3;
const MIN_ATTR = 2;
const DEV_BYTES = 8;

/** Bytes of both forks together. */
const bothForks = (inode: LiveInode): number => inode.inodesize - DINODE_SIZE;

/** The highest forkoff there may be, in units of 8 bytes. */
const highest = (inode: LiveInode): number => Math.floor((bothForks(inode) - rootSize(MIN_ATTR)) / 8);

/** The lowest at which the data fork stays as it is. */
function lowest(tx: Transaction, inode: LiveInode): number {
  if (inode.format === FORK_FORMAT.DEV) return DEV_BYTES / 8;
  let used = 0;
  if (inode.format === FORK_FORMAT.LOCAL) used = inode.size;
  else if (inode.format === FORK_FORMAT.EXTENTS)
    used = forkMap(tx, inode, 'data').extents.length * EXTENT_SIZE;
  else used = rootSize(inode.view.getUint16(inode.dataAt + BMDR_BLOCK.at.numrecs));
  return Math.ceil(Math.max(used, rootSize(MIN_DATA)) / 8);
}

/**
 * The forkoff at which attributes of `size` bytes fit the inode beside the data fork: the one it has, if
 * that does. Undefined where none does.
 */
export function forkoffFor(tx: Transaction, inode: LiveInode, size: number): number | undefined {
  if (inode.hasAttrFork && size <= inode.attrSize) return (inode.attrAt - inode.dataAt) / 8;
  const offset = Math.floor((bothForks(inode) - size) / 8);
  if (inode.format === FORK_FORMAT.DEV) return offset >= DEV_BYTES / 8 ? DEV_BYTES / 8 : undefined;
  // The root of a bmbt is laid out by the fork's size: it is not moved for this.
  if (inode.hasAttrFork && inode.format === FORK_FORMAT.BTREE) return undefined;
  return offset >= lowest(tx, inode) ? Math.min(offset, highest(inode)) : undefined;
}

/** The bytes of the inode behind its core that are the attribute fork's are at `forkoff` now. */
export function moveFork(tx: Transaction, inode: LiveInode, forkoff: number): void {
  const fields =
    inode.format === FORK_FORMAT.LOCAL
      ? ILOG.DDATA
      : inode.format === FORK_FORMAT.EXTENTS
        ? ILOG.DEXT
        : inode.format === FORK_FORMAT.BTREE
          ? ILOG.DBROOT
          : ILOG.DEV;
  tx.editInode(inode, fields);
  tx.onAbort(() => inode.forget());
  if (inode.format === FORK_FORMAT.BTREE) moveRoot(inode, forkoff);
  inode.setForkoff(forkoff);
  if (forkoff > 0) {
    const from = inode.dataAt + forkoff * 8;
    inode.buffer.bytes.fill(0, from, inode.base + inode.inodesize);
  }
}

/** The pointers of the data fork's bmbt root stand behind room for as many keys as the fork holds. */
function moveRoot(inode: LiveInode, forkoff: number): void {
  const now = maxRootRecords(inode.dataSize);
  const next = maxRootRecords(forkoff === 0 ? bothForks(inode) : forkoff * 8);
  const count = inode.view.getUint16(inode.dataAt + BMDR_BLOCK.at.numrecs);
  const { bytes } = inode.buffer;
  const keys = inode.dataAt + BMDR_BLOCK.size;
  const ptrs = bytes.slice(keys + now * 8, keys + (now + count) * 8);
  bytes.fill(0, keys + count * 8, inode.dataAt + Math.max(inode.dataSize, forkoff * 8));
  bytes.set(ptrs, keys + next * 8);
}

/** Makes room for an attribute fork that maps blocks; a data fork that is too large leaves the inode. */
export function addBlockFork(tx: Transaction, inode: LiveInode): void {
  if (inode.hasAttrFork) return;
  const limit = inode.format === FORK_FORMAT.DEV ? DEV_BYTES / 8 : highest(inode);
  if (lowest(tx, inode) <= limit) {
    moveFork(tx, inode, limit);
    return;
  }
  if (inode.format === FORK_FORMAT.LOCAL) {
    if (inode.isDir) {
      const { parent, entries } = readShort(tx.engine.g, inode);
      shortToBlock(new ForkSpace(tx, inode, 'data'), parent, entries);
    } else if (inode.type === S_IF.LNK) linkToBlock(tx, inode);
    else throw new UnsupportedError(`inode ${inode.ino}: a local data fork of this kind`);
    moveFork(tx, inode, limit);
  } else if (inode.format === FORK_FORMAT.EXTENTS) {
    forkMap(tx, inode, 'data');
    tx.editInode(inode);
    tx.onAbort(() => inode.forget());
    inode.setForkoff(limit);
    inode.buffer.bytes.fill(0, inode.dataAt, inode.base + inode.inodesize);
    extentsToBtree(tx, inode, 'data');
  } else throw new UnsupportedError(`inode ${inode.ino}: attributes beside a bmbt root of this size`);
}

/** The target of a symbolic link leaves the inode for a block (xfs_symlink_local_to_remote). */
function linkToBlock(tx: Transaction, inode: LiveInode): void {
  const target = inode.buffer.bytes.slice(inode.dataAt, inode.dataAt + inode.size);
  tx.editInode(inode, ILOG.DEXT);
  tx.onAbort(() => inode.forget());
  inode.buffer.bytes.fill(0, inode.dataAt, inode.dataAt + inode.dataSize);
  inode.setFormat('data', FORK_FORMAT.EXTENTS);
  inode.forget();
  writeTarget(tx, inode, target);
}

/** The superblock says that there are attributes. */
export function markAttributes(tx: Transaction): void {
  const { superblock } = tx.engine;
  const at = SUPERBLOCK.at.versionnum;
  const bits = superblock.view.getUint16(at);
  if ((bits & VERSION_BITS.ATTR) !== 0) return;
  tx.edit(superblock, at, 2);
  superblock.view.setUint16(at, bits | VERSION_BITS.ATTR);
}
