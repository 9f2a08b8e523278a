/**
 * The metadump format, version 1 (xfs_metadump.h): records of an index and the 512-byte sectors it names. All
 * big-endian; a record with fewer sectors than it has room for is the last.
 */
import { structure, u8, u16, u32 } from './structure.js';

export const XFS_MD_MAGIC_V1 = 0x5846534d; // 'XFSM'
export const XFS_MD_MAGIC_V2 = 0x584d4432; // 'XMD2'
export const METADUMP_SECTOR = 512;

/** Then disk addresses, u64 each in 512-byte units, to the end of the sector. */
export const METABLOCK = structure('metablock', { magic: u32, count: u16, blocklog: u8, info: u8 }, 8);
export const METABLOCK_ENTRIES = (METADUMP_SECTOR - METABLOCK.size) / 8;

export const METADUMP_INFO = { FLAGS: 1, OBFUSCATED: 2, FULLBLOCKS: 4, DIRTYLOG: 8 } as const;
