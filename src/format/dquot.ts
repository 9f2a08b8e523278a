/** Records of quota files, big-endian (xfs_format.h: struct xfs_disk_dquot, struct xfs_dqblk). */
import { array, crc, structure, u8, u16, u32, u64, uuid } from './structure.js';

/** First word of a quota record: 'DQ'. */
export const XFS_DQUOT_MAGIC = 0x4451;
/** Bytes of a record that the log holds: all before `fill`. */
export const DQUOT_SIZE = 104;

/** A record as it stands in a quota file. */
export const DQBLK = structure(
  'dqblk',
  {
    magic: u16,
    version: u8,
    type: u8,
    id: u32,
    blk_hardlimit: u64,
    blk_softlimit: u64,
    ino_hardlimit: u64,
    ino_softlimit: u64,
    bcount: u64,
    icount: u64,
    itimer: u32,
    btimer: u32,
    iwarns: u16,
    bwarns: u16,
    pad0: u32,
    rtb_hardlimit: u64,
    rtb_softlimit: u64,
    rtbcount: u64,
    rtbtimer: u32,
    rtbwarns: u16,
    pad: u16,
    fill: array(u8, 4),
    crc: crc,
    lsn: u64,
    uuid: uuid,
  },
  136,
);
