/**
 * What directories and attributes have in common: a btree of name hashes over the blocks of a file's fork.
 * Every block starts with a `blkinfo`; nodes hold the highest hash of each child, leaves are of the directory
 * or the attribute kind (dir.ts, attr.ts). Layouts: xfs_da_format.h.
 */

import { sameUuid } from './ag.js';
import { crcHolds } from './checksum.js';
import { hex, type Report } from './fault.js';
import { blockOffset, type Geometry } from './geometry.js';
import { verifyLsn } from './log.js';
import { crc, formatUuid, getU64, nested, structure, u16, u32, u64, uuid, viewOf } from './structure.js';

export const XFS_DA3_NODE_MAGIC = 0x3ebe;
/** Levels a hash btree may have above its leaves (XFS_DA_NODE_MAXDEPTH). */
export const DA_NODE_MAXDEPTH = 5;

export const DA_BLKINFO = structure('da blkinfo', { forw: u32, back: u32, magic: u16, pad: u16 }, 12);
export const DA3_BLKINFO = structure(
  'da3 blkinfo',
  { hdr: nested(DA_BLKINFO), crc: crc, bno: u64, lsn: u64, uuid: uuid, owner: u64 },
  56,
);
export const DA3_NODE_HDR = structure(
  'da3 node hdr',
  { info: nested(DA3_BLKINFO), count: u16, level: u16, pad: u32 },
  64,
);
/** `hashval` is the highest hash under block `before` of the fork. */
export const DA_NODE_ENTRY = structure('da node entry', { hashval: u32, before: u32 }, 8);

/** Byte offsets of the blkinfo's inner fields, from the block's start. */
export const DA_AT = { ...DA_BLKINFO.at, ...DA3_BLKINFO.at } as const;

/** Entries a node of `blksize` bytes has room for. */
export const daNodeEntries = (blksize: number): number =>
  Math.floor((blksize - DA3_NODE_HDR.size) / DA_NODE_ENTRY.size);

/**
 * The hash of a name, of directory entries and attributes alike (xfs_da_hashname): each byte goes in after a
 * rotation by 7 bits. `from` and `to` bound the name within `b`.
 */
export function daHash(b: Uint8Array, from = 0, to = b.length): number {
  let h = 0;
  for (let i = from; i < to; i++) h = b[i] ^ ((h << 7) | (h >>> 25));
  return h >>> 0;
}

/** Where a block of a fork stands: the inode it belongs to and its first filesystem block. */
export interface Place {
  readonly ino: number;
  readonly agno: number;
  readonly agbno: number;
}

export type Bad = (field: string, value: number | string, expected: string) => void;

/** A `Bad` that reports faults of `structure` at `place`. */
export const badAt =
  (name: string, place: Place, report: Report): Bad =>
  (field, value, expected) =>
    report({ structure: name, ...place, field, value, expected });

/** A block's own address as blocks carry it: 512-byte units from the start of the filesystem. */
export const daddrOf = (g: Geometry, place: Place): number => blockOffset(g, place.agno, place.agbno) / 512;

/**
 * Checks a block's CRC, UUID, own address and owner, which stand at the given offsets. `prefix` goes before
 * the field names.
 */
export function verifyIdentity(
  g: Geometry,
  block: Uint8Array,
  at: Readonly<Record<'crc' | 'bno' | 'uuid' | 'owner' | 'lsn', number>>,
  prefix: string,
  place: Place,
  bad: Bad,
): void {
  const v = viewOf(block);
  if (!crcHolds(block, at.crc))
    bad(`${prefix}crc`, hex(v.getUint32(at.crc, true)), 'the checksum of the block');
  if (!sameUuid(g, block, at.uuid)) bad(`${prefix}uuid`, formatUuid(v, at.uuid), g.metaUuid);
  verifyLsn(g, v, at.lsn, bad, `${prefix}lsn`);
  const daddr = daddrOf(g, place);
  if (getU64(v, at.bno) !== daddr) bad(`${prefix}bno`, getU64(v, at.bno), `the block's own address ${daddr}`);
  if (getU64(v, at.owner) !== place.ino)
    bad(`${prefix}owner`, getU64(v, at.owner), `the inode's number ${place.ino}`);
}

/** Where the fields of a header stand that says which piece of a value its block holds. */
interface PieceAt {
  readonly magic: number;
  readonly offset: number;
  readonly bytes: number;
  readonly crc: number;
  readonly uuid: number;
  readonly owner: number;
  readonly bno: number;
  readonly lsn: number;
}

/**
 * Checks the header of a remote attribute or symbolic link: magic, identity, and that the block holds `bytes`
 * bytes of the value from `offset` on. `prefix` goes before the field names.
 */
export function verifyPiece(
  g: Geometry,
  block: Uint8Array,
  at: PieceAt,
  magic: number,
  prefix: string,
  place: Place,
  piece: { readonly offset: number; readonly bytes: number },
  bad: Bad,
): void {
  const v = viewOf(block);
  if (v.getUint32(at.magic) !== magic) {
    bad(`${prefix}magic`, hex(v.getUint32(at.magic)), hex(magic));
    return;
  }
  verifyIdentity(g, block, at, prefix, place, bad);
  for (const name of ['offset', 'bytes'] as const)
    if (v.getUint32(at[name]) !== piece[name])
      bad(`${prefix}${name}`, v.getUint32(at[name]), `${piece[name]}`);
}

/** Magic and identity of a block that starts with a blkinfo. False where the magic is another. */
export function verifyBlkinfo(
  g: Geometry,
  block: Uint8Array,
  magic: number,
  prefix: string,
  place: Place,
  bad: Bad,
): boolean {
  const found = viewOf(block).getUint16(DA_AT.magic);
  if (found !== magic) {
    bad(`${prefix}hdr.magic`, hex(found), hex(magic));
    return false;
  }
  verifyIdentity(g, block, DA_AT, prefix, place, bad);
  return true;
}

/** What a hash btree's node is held against besides itself. */
export interface NodeExpectations {
  /** Level the parent says it has; the root's is free within the bound. */
  readonly level?: number;
  /** Block numbers of the fork that children may have: [first, end). */
  readonly first: number;
  readonly end: number;
}

/**
 * Checks a node of a directory's or an attribute fork's hash btree. Field names are those of xfs_db, which
 * calls the same things `nhdr` and `nbtree` in directories, `hdr` and `btree` in attributes.
 */
export function verifyDaNode(
  g: Geometry,
  block: Uint8Array,
  of: 'dir' | 'attr',
  place: Place,
  expect: NodeExpectations,
  report: Report,
): void {
  const bad = badAt(`${of} node`, place, report);
  const hdr = of === 'dir' ? 'nhdr' : 'hdr';
  const btree = of === 'dir' ? 'nbtree' : 'btree';
  if (!verifyBlkinfo(g, block, XFS_DA3_NODE_MAGIC, `${hdr}.info.`, place, bad)) return;
  const v = viewOf(block);
  const level = v.getUint16(DA3_NODE_HDR.at.level);
  if (level < 1 || level > DA_NODE_MAXDEPTH) bad(`${hdr}.level`, level, `1 to ${DA_NODE_MAXDEPTH}`);
  else if (expect.level !== undefined && level !== expect.level)
    bad(`${hdr}.level`, level, `${expect.level}, one below its parent`);
  const room = daNodeEntries(block.length);
  const count = v.getUint16(DA3_NODE_HDR.at.count);
  if (count < 1 || count > room) {
    bad(`${hdr}.count`, count, `1 to ${room}`);
    return;
  }
  if (expect.level === undefined) {
    for (const link of ['forw', 'back'] as const)
      if (v.getUint32(DA_AT[link]) !== 0)
        bad(`${hdr}.info.hdr.${link}`, v.getUint32(DA_AT[link]), '0 in a root');
  } else verifySiblings(v, hdr, expect, bad);
  let last = 0;
  for (let i = 0; i < count; i++) {
    const at = DA3_NODE_HDR.size + i * DA_NODE_ENTRY.size;
    const hashval = v.getUint32(at);
    const before = v.getUint32(at + 4);
    if (hashval < last) bad(`${btree}[${i}].hashval`, hex(hashval), `at least ${hex(last)}, the one before`);
    last = hashval;
    if (before < expect.first || before >= expect.end)
      bad(`${btree}[${i}].before`, before, `a block from ${expect.first} to ${expect.end - 1}`);
  }
}

/** Checks that sibling links are null or blocks of the fork's hash btree. */
export function verifySiblings(
  v: DataView,
  hdr: string,
  range: { readonly first: number; readonly end: number },
  bad: Bad,
): void {
  for (const link of ['forw', 'back'] as const) {
    const to = v.getUint32(DA_AT[link]);
    if (to !== 0 && (to < range.first || to >= range.end))
      bad(`${hdr}.info.hdr.${link}`, to, `0 or a block from ${range.first} to ${range.end - 1}`);
  }
}

/**
 * The entry of a node to go down by: the first whose hash is `hash` or higher, the last one otherwise. The
 * index is below `count`, which the caller has checked.
 */
export function daNodeFind(v: DataView, count: number, hash: number): number {
  let lo = 0;
  let hi = count - 1;
  while (lo < hi) {
    const mid = (lo + hi) >>> 1;
    if (v.getUint32(DA3_NODE_HDR.size + mid * DA_NODE_ENTRY.size) < hash) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}
