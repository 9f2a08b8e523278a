/**
 * What stands on a block: a metadata block whose magic, checksum, UUID, own address and owner all hold is what
 * it says it is, whoever claims it.
 */
import { sameUuid } from '../../format/ag.js';
import { XFS_ATTR3_LEAF_MAGIC, XFS_ATTR3_RMT_MAGIC } from '../../format/attr.js';
import { BTREES } from '../../format/btree.js';
import { crcHolds } from '../../format/checksum.js';
import { DA_AT, XFS_DA3_NODE_MAGIC } from '../../format/da.js';
import { XFS_DINODE_MAGIC } from '../../format/dinode.js';
import {
  DIR3_BLK_HDR,
  XFS_DIR3_BLOCK_MAGIC,
  XFS_DIR3_DATA_MAGIC,
  XFS_DIR3_FREE_MAGIC,
  XFS_DIR3_LEAF1_MAGIC,
  XFS_DIR3_LEAFN_MAGIC,
} from '../../format/dir.js';
import { blockOffset } from '../../format/geometry.js';
import { getU64 } from '../../format/structure.js';
import { SYMLINK_HDR, SYMLINK_MAXLEN, XFS_SYMLINK_MAGIC } from '../../format/symlink.js';
import { bytesOf, type Volume } from '../../volume/volume.js';

export interface Standing {
  /** 'dir', 'attr', 'symlink', 'bmbt', 'inodes', or an AG btree's name. */
  readonly what: string;
  /** Inode the block says it belongs to; AG number for AG btrees. Undefined for inode chunks. */
  readonly owner: number | undefined;
}

/**
 * The metadata that stands on a block, or undefined: data, or nothing that verifies. Directory blocks may be
 * longer than a filesystem block, so a directory's first block is read in its own size.
 */
export function standingOn(volume: Volume, agno: number, agbno: number): Standing | undefined {
  const { g } = volume;
  const block = volume.block(agno, agbno);
  const daddr = blockOffset(g, agno, agbno) / 512;
  const holds = (
    v: DataView,
    at: { readonly crc: number; readonly bno: number; readonly uuid: number },
  ): boolean =>
    getU64(v, at.bno) === daddr && sameUuid(g, bytesOf(v), at.uuid) && crcHolds(bytesOf(v), at.crc);
  const magic = block.getUint32(0);
  for (const kind of Object.values(BTREES)) {
    if (kind.magic !== magic) continue;
    const at = kind.header.at as typeof BTREES.bmbt.header.at;
    if (!holds(block, at as { crc: number; bno: number; uuid: number })) return undefined;
    const ownerAt = at.owner as number;
    return { what: kind.name, owner: kind.long ? getU64(block, ownerAt) : block.getUint32(ownerAt) };
  }
  if (magic >>> 16 === XFS_DINODE_MAGIC) {
    const first = bytesOf(block).subarray(0, g.inodesize);
    if (sameUuid(g, first, 160) && crcHolds(first, 100)) return { what: 'inodes', owner: undefined };
    return undefined;
  }
  const dirBlock = (): DataView | undefined => {
    const offset = blockOffset(g, agno, agbno);
    return offset + g.dirblksize <= volume.source.size ? volume.cache.get(offset, g.dirblksize) : undefined;
  };
  if (magic === XFS_DIR3_BLOCK_MAGIC || magic === XFS_DIR3_DATA_MAGIC || magic === XFS_DIR3_FREE_MAGIC) {
    const v = dirBlock();
    if (v === undefined || !holds(v, DIR3_BLK_HDR.at)) return undefined;
    return { what: 'dir', owner: getU64(v, DIR3_BLK_HDR.at.owner) };
  }
  if (magic === XFS_ATTR3_RMT_MAGIC) {
    if (!holds(block, SYMLINK_HDR.at)) return undefined;
    return { what: 'attr', owner: getU64(block, SYMLINK_HDR.at.owner) };
  }
  if (magic === XFS_SYMLINK_MAGIC) {
    // One header stands over all blocks of an extent.
    const bytes = Math.min(block.getUint32(SYMLINK_HDR.at.bytes), SYMLINK_MAXLEN);
    const length = Math.ceil((SYMLINK_HDR.size + bytes) / g.blocksize) * g.blocksize;
    const offset = blockOffset(g, agno, agbno);
    if (offset + length > volume.source.size) return undefined;
    if (!holds(volume.cache.get(offset, length), SYMLINK_HDR.at)) return undefined;
    return { what: 'symlink', owner: getU64(block, SYMLINK_HDR.at.owner) };
  }
  const daMagic = block.getUint16(DA_AT.magic);
  const dirLeaf = daMagic === XFS_DIR3_LEAF1_MAGIC || daMagic === XFS_DIR3_LEAFN_MAGIC;
  if (dirLeaf || daMagic === XFS_ATTR3_LEAF_MAGIC || daMagic === XFS_DA3_NODE_MAGIC) {
    for (const v of [block, dirBlock()]) {
      if (v === undefined || !holds(v, DA_AT)) continue;
      return { what: daMagic === XFS_ATTR3_LEAF_MAGIC ? 'attr' : 'dir', owner: getU64(v, DA_AT.owner) };
    }
  }
  return undefined;
}
