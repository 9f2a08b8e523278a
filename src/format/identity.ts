/**
 * Where metadata blocks keep their LSN, checksum and UUID, told by the magic they begin with: what recovery
 * and write-back need to know of a block without knowing what it belongs to.
 */
import { AGF, AGFL, AGI, XFS_AGF_MAGIC, XFS_AGFL_MAGIC, XFS_AGI_MAGIC } from './ag.js';
import { XFS_ATTR3_LEAF_MAGIC } from './attr.js';
import { BTREES, LONG_BLOCK, SHORT_BLOCK } from './btree.js';
import { DA_AT, XFS_DA3_NODE_MAGIC } from './da.js';
import {
  DIR3_BLK_HDR,
  XFS_DIR3_BLOCK_MAGIC,
  XFS_DIR3_DATA_MAGIC,
  XFS_DIR3_FREE_MAGIC,
  XFS_DIR3_LEAF1_MAGIC,
  XFS_DIR3_LEAFN_MAGIC,
} from './dir.js';
import { BLFT } from './logitems.js';
import { SUPERBLOCK, XFS_SB_MAGIC } from './superblock.js';
import { SYMLINK_HDR, XFS_SYMLINK_MAGIC } from './symlink.js';

/** Byte offsets within a block, all in its first 512 bytes, and the type its log items carry (BLFT). */
export interface BlockIdentity {
  readonly type: number;
  readonly lsn: number;
  readonly crc: number;
  readonly uuid: number;
  /** Where it says at which 512-byte block it stands; AG headers do not. */
  readonly bno: number | undefined;
  /**
   * Linux checks the contents of such a block, not only its header, each time recovery writes it: it must
   * never see one that is half of one state and half of another.
   */
  readonly checkedWhole: boolean;
}

type Offsets = { readonly lsn: number; readonly crc: number; readonly uuid: number; readonly bno?: number };

const identity = (type: number, at: Offsets, checkedWhole = false): BlockIdentity => ({
  type,
  lsn: at.lsn,
  crc: at.crc,
  uuid: at.uuid,
  bno: at.bno,
  checkedWhole,
});

const short = identity(BLFT.BTREE, SHORT_BLOCK.at);

const BY_MAGIC = new Map<number, BlockIdentity>([
  [XFS_SB_MAGIC, identity(BLFT.SB, SUPERBLOCK.at)],
  [XFS_AGF_MAGIC, identity(BLFT.AGF, AGF.at)],
  [XFS_AGI_MAGIC, identity(BLFT.AGI, AGI.at)],
  [XFS_AGFL_MAGIC, identity(BLFT.AGFL, AGFL.at)],
  [BTREES.bnobt.magic, short],
  [BTREES.cntbt.magic, short],
  [BTREES.inobt.magic, short],
  [BTREES.finobt.magic, short],
  [BTREES.rmapbt.magic, short],
  [BTREES.refcountbt.magic, short],
  [BTREES.bmbt.magic, identity(BLFT.BTREE, LONG_BLOCK.at)],
  [XFS_DIR3_BLOCK_MAGIC, identity(BLFT.DIR_BLOCK, DIR3_BLK_HDR.at, true)],
  [XFS_DIR3_DATA_MAGIC, identity(BLFT.DIR_DATA, DIR3_BLK_HDR.at, true)],
  [XFS_DIR3_FREE_MAGIC, identity(BLFT.DIR_FREE, DIR3_BLK_HDR.at)],
  [XFS_SYMLINK_MAGIC, identity(BLFT.SYMLINK, SYMLINK_HDR.at)],
]);

/** Magics of 16 bits, at byte 8 of blocks of directories' and attributes' hash btrees. */
const BY_DA_MAGIC = new Map<number, BlockIdentity>([
  [XFS_DIR3_LEAF1_MAGIC, identity(BLFT.DIR_LEAF1, DA_AT, true)],
  [XFS_DIR3_LEAFN_MAGIC, identity(BLFT.DIR_LEAFN, DA_AT, true)],
  [XFS_DA3_NODE_MAGIC, identity(BLFT.DA_NODE, DA_AT)],
  [XFS_ATTR3_LEAF_MAGIC, identity(BLFT.ATTR_LEAF, DA_AT, true)],
]);

/** What the block at `base` is by its magic; undefined for one without an identity of its own. */
export const identityOf = (v: DataView, base: number): BlockIdentity | undefined =>
  BY_MAGIC.get(v.getUint32(base)) ?? BY_DA_MAGIC.get(v.getUint16(base + DA_AT.magic));
