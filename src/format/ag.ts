/**
 * The AG headers behind the superblock: AGF (free space), AGI (inodes) and AGFL (the free list), sectors 1,
 * 2 and 3 of each AG. Layouts: struct xfs_agf, xfs_agi, xfs_agfl in xfs_format.h.
 */

import { crcHolds } from './checksum.js';
import { hex, type Report, type Where } from './fault.js';
import { agLength, firstFreeAgbno, type Geometry } from './geometry.js';
import { verifyLsn } from './log.js';
import { array, crc, formatUuid, structure, u32, u64, uuid, viewOf } from './structure.js';
import { NULLAGBLOCK } from './superblock.js';

export const XFS_AGF_MAGIC = 0x58414746; // 'XAGF'
export const XFS_AGI_MAGIC = 0x58414749; // 'XAGI'
export const XFS_AGFL_MAGIC = 0x5841464c; // 'XAFL'
export const AG_HEADER_VERSION = 1;
/** Hash buckets of the unlinked-inode lists. */
export const AGI_UNLINKED_BUCKETS = 64;

export const AGF = structure('agf', {
  magicnum: u32,
  versionnum: u32,
  seqno: u32,
  length: u32,
  bnoroot: u32,
  cntroot: u32,
  rmaproot: u32,
  bnolevel: u32,
  cntlevel: u32,
  rmaplevel: u32,
  flfirst: u32,
  fllast: u32,
  flcount: u32,
  freeblks: u32,
  longest: u32,
  btreeblks: u32,
  uuid: uuid,
  rmapblocks: u32,
  refcntblocks: u32,
  refcntroot: u32,
  refcntlevel: u32,
  spare64: array(u64, 14),
  lsn: u64,
  crc: crc,
  spare2: u32,
});

export const AGI = structure('agi', {
  magicnum: u32,
  versionnum: u32,
  seqno: u32,
  length: u32,
  count: u32,
  root: u32,
  level: u32,
  freecount: u32,
  newino: u32,
  dirino: u32,
  unlinked: array(u32, AGI_UNLINKED_BUCKETS),
  uuid: uuid,
  crc: crc,
  pad32: u32,
  lsn: u64,
  free_root: u32,
  free_level: u32,
  ino_blocks: u32,
  fino_blocks: u32,
});

/** The header; agbnos of free blocks (u32 each) fill the rest of the sector as a ring. */
export const AGFL = structure('agfl', { magicnum: u32, seqno: u32, uuid: uuid, lsn: u64, crc: crc });

/** Slots of the AGFL's ring. */
export const agflSize = (sectsize: number): number => Math.floor((sectsize - AGFL.size) / 4);

/** Number of the sector, from the AG's start, that holds each header. */
export const AG_SECTOR = { sb: 0, agf: 1, agi: 2, agfl: 3 } as const;

export const sameUuid = (g: Geometry, b: Uint8Array, at: number): boolean => {
  for (let i = 0; i < 16; i++) if (b[at + i] !== g.metaUuidBytes[i]) return false;
  return true;
};

/** The same of a view: making bytes of one costs more than the comparison. */
export const sameUuidAt = (g: Geometry, v: DataView, at: number): boolean => {
  for (let i = 0; i < 16; i++) if (v.getUint8(at + i) !== g.metaUuidBytes[i]) return false;
  return true;
};

type Bad = (field: string, value: number | string, expected: string) => void;

function verifyCommon(
  s: typeof AGF | typeof AGI,
  magic: number,
  g: Geometry,
  agno: number,
  sector: Uint8Array,
  bad: Bad,
): boolean {
  const v = viewOf(sector);
  const at = s.at as typeof AGF.at;
  if (v.getUint32(at.magicnum) !== magic) {
    bad('magicnum', hex(v.getUint32(at.magicnum)), hex(magic));
    return false;
  }
  if (!crcHolds(sector, at.crc)) bad('crc', hex(v.getUint32(at.crc, true)), 'the checksum of the sector');
  if (!sameUuid(g, sector, at.uuid)) bad('uuid', formatUuid(v, at.uuid), g.metaUuid);
  verifyLsn(g, v, at.lsn, bad);
  if (v.getUint32(at.versionnum) !== AG_HEADER_VERSION) bad('versionnum', v.getUint32(at.versionnum), '1');
  if (v.getUint32(at.seqno) !== agno) bad('seqno', v.getUint32(at.seqno), `the AG's number ${agno}`);
  if (v.getUint32(at.length) !== agLength(g, agno))
    bad('length', v.getUint32(at.length), `${agLength(g, agno)} blocks`);
  return true;
}

/** Deepest AG btree the format allows for; generous bound against loops (xfs_btree.h XFS_BTREE_MAXLEVELS 9). */
export const AG_BTREE_MAXLEVELS = 9;

/** Checks where a header says a btree's root stands, and how high it says the tree is. */
function verifyRoot(
  rootName: string,
  root: number,
  levelName: string,
  level: number,
  length: number,
  bad: Bad,
): void {
  if (root === 0 || root >= length) bad(rootName, root, `a block of the AG, 1 to ${length - 1}`);
  if (level < 1 || level > AG_BTREE_MAXLEVELS) bad(levelName, level, `1 to ${AG_BTREE_MAXLEVELS}`);
}

export function verifyAgf(g: Geometry, agno: number, sector: Uint8Array, report: Report): void {
  const where: Where = { agno, agbno: 0 };
  const bad: Bad = (field, value, expected) => report({ structure: 'agf', ...where, field, value, expected });
  if (!verifyCommon(AGF, XFS_AGF_MAGIC, g, agno, sector, bad)) return;
  const v = viewOf(sector);
  const get = (name: keyof typeof AGF.at): number => v.getUint32(AGF.at[name]);
  const length = agLength(g, agno);
  const root = (rootName: keyof typeof AGF.at, levelName: keyof typeof AGF.at): void =>
    verifyRoot(rootName, get(rootName), levelName, get(levelName), length, bad);
  root('bnoroot', 'bnolevel');
  root('cntroot', 'cntlevel');
  if (g.features.rmapbt) {
    root('rmaproot', 'rmaplevel');
    if (get('rmapblocks') > length) bad('rmapblocks', get('rmapblocks'), `at most ${length}`);
  }
  if (g.features.reflink) {
    root('refcntroot', 'refcntlevel');
    if (get('refcntblocks') > length) bad('refcntblocks', get('refcntblocks'), `at most ${length}`);
  }
  const slots = agflSize(g.sectsize);
  for (const name of ['flfirst', 'fllast'] as const)
    if (get(name) >= slots) bad(name, get(name), `below ${slots}`);
  if (get('flcount') > slots) bad('flcount', get('flcount'), `at most ${slots}`);
  else {
    // An empty list and a full one have the same first and last slot.
    const span = (get('fllast') - get('flfirst') + 1 + slots) % slots;
    if (span !== get('flcount') % slots)
      bad(
        'flcount',
        get('flcount'),
        `${span}, the slots from flfirst ${get('flfirst')} to fllast ${get('fllast')}`,
      );
  }
  if (get('freeblks') > length) bad('freeblks', get('freeblks'), `at most ${length}`);
  if (get('longest') > get('freeblks')) bad('longest', get('longest'), `at most freeblks ${get('freeblks')}`);
  if (get('btreeblks') > length) bad('btreeblks', get('btreeblks'), `at most ${length}`);
}

export function verifyAgi(g: Geometry, agno: number, sector: Uint8Array, report: Report): void {
  const bad: Bad = (field, value, expected) =>
    report({ structure: 'agi', agno, agbno: 0, field, value, expected });
  if (!verifyCommon(AGI, XFS_AGI_MAGIC, g, agno, sector, bad)) return;
  const v = viewOf(sector);
  const get = (name: keyof typeof AGI.at): number => v.getUint32(AGI.at[name]);
  const length = agLength(g, agno);
  const root = (rootName: keyof typeof AGI.at, levelName: keyof typeof AGI.at): void =>
    verifyRoot(rootName, get(rootName), levelName, get(levelName), length, bad);
  root('root', 'level');
  if (g.features.finobt) root('free_root', 'free_level');
  if (get('count') > length * g.inopblock) bad('count', get('count'), `at most ${length * g.inopblock}`);
  if (get('freecount') > get('count')) bad('freecount', get('freecount'), `at most count ${get('count')}`);
  const first = firstFreeAgbno(g) * g.inopblock;
  const inodeOk = (agino: number): boolean =>
    agino === NULLAGBLOCK || (agino >= first && agino / g.inopblock < length);
  if (!inodeOk(get('newino'))) bad('newino', get('newino'), 'an inode of the AG');
  if (!inodeOk(get('dirino'))) bad('dirino', get('dirino'), 'an inode of the AG');
  for (let i = 0; i < AGI_UNLINKED_BUCKETS; i++) {
    const agino = v.getUint32(AGI.at.unlinked + i * 4);
    if (!inodeOk(agino)) bad(`unlinked[${i}]`, agino, 'null or an inode of the AG');
    else if (agino !== NULLAGBLOCK && agino % AGI_UNLINKED_BUCKETS !== i)
      bad(`unlinked[${i}]`, agino, `an inode whose number modulo 64 is ${i}`);
  }
  if (g.features.inobtcount) {
    if (get('ino_blocks') > length) bad('ino_blocks', get('ino_blocks'), `at most ${length}`);
    if (get('fino_blocks') > length) bad('fino_blocks', get('fino_blocks'), `at most ${length}`);
  }
}

/** Checks the AGFL's header and the slots the AGF says are in use (`first`, `count` from the AGF). */
export function verifyAgfl(
  g: Geometry,
  agno: number,
  sector: Uint8Array,
  first: number,
  count: number,
  report: Report,
): void {
  const bad: Bad = (field, value, expected) =>
    report({ structure: 'agfl', agno, agbno: 0, field, value, expected });
  const v = viewOf(sector);
  if (v.getUint32(AGFL.at.magicnum) !== XFS_AGFL_MAGIC) {
    bad('magicnum', hex(v.getUint32(AGFL.at.magicnum)), hex(XFS_AGFL_MAGIC));
    return;
  }
  if (!crcHolds(sector, AGFL.at.crc))
    bad('crc', hex(v.getUint32(AGFL.at.crc, true)), 'the checksum of the sector');
  if (!sameUuid(g, sector, AGFL.at.uuid)) bad('uuid', formatUuid(v, AGFL.at.uuid), g.metaUuid);
  verifyLsn(g, v, AGFL.at.lsn, bad);
  if (v.getUint32(AGFL.at.seqno) !== agno)
    bad('seqno', v.getUint32(AGFL.at.seqno), `the AG's number ${agno}`);
  const slots = agflSize(g.sectsize);
  const length = agLength(g, agno);
  for (let i = 0; i < Math.min(count, slots); i++) {
    const slot = (first + i) % slots;
    const agbno = v.getUint32(AGFL.size + slot * 4);
    if (agbno === 0 || agbno >= length) bad(`bno[${slot}]`, agbno, `a block of the AG, 1 to ${length - 1}`);
  }
}
