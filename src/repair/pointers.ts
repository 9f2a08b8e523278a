/**
 * The inodes a superblock points at: the root, those of the realtime device, those of quotas. Copies know the
 * root's number, the realtime ones follow it, and a quota file is known by what stands in its first block.
 */

import { crcHolds } from '../format/checksum.js';
import { DINODE, FORK_FORMAT, S_IF, S_IFMT, XFS_DINODE_MAGIC } from '../format/dinode.js';
import { XFS_DQUOT_MAGIC } from '../format/dquot.js';
import { extentFsblock } from '../format/extent.js';
import {
  fsblockOffset,
  type Geometry,
  geometryOf,
  inodeOffset,
  isFsRange,
  isInoInRange,
} from '../format/geometry.js';
import { getU64, setU64, viewOf } from '../format/structure.js';
import { NULLFSINO, SUPERBLOCK, VERSION_BITS } from '../format/superblock.js';
import type { Source } from '../image/source.js';
import { Inode } from '../volume/inode.js';

const AT = SUPERBLOCK.at;

/** Of each kind of quota: its inode, and the flags that are no good without it (xfs_log_format.h). */
const QUOTAS = [
  ['uquotino', 0x0001 | 0x0002 | 0x0004],
  ['gquotino', 0x0040 | 0x0080 | 0x0100],
  ['pquotino', 0x0008 | 0x0200 | 0x0400],
] as const;

/** The realtime device's bitmap and summary inodes: they follow the root. */
export const rtInodes = ({ rootino }: Geometry): number[] => [rootino + 1, rootino + 2];

/** Where the fields of this filesystem's superblocks end: nothing but zeros follows. */
export const endOfFields = (g: Geometry): number =>
  g.features.metadir ? SUPERBLOCK.size : g.features.metaUuid ? AT.meta_uuid + 16 : AT.meta_uuid;

function inodeAt(source: Source, g: Geometry, ino: number): Inode | undefined {
  if (!isInoInRange(g, ino)) return undefined;
  const b = new Uint8Array(g.inodesize);
  const offset = inodeOffset(g, ino);
  if (offset + b.length > source.size) return undefined;
  source.read(offset, b);
  const v = viewOf(b);
  if (v.getUint16(0) !== XFS_DINODE_MAGIC || getU64(v, DINODE.at.inumber) !== ino) return undefined;
  return crcHolds(b, DINODE.at.crc) ? new Inode(ino, v, 0, g.inodesize) : undefined;
}

/** Whether a file's first block is one of quota records. */
function isQuotaFile(source: Source, g: Geometry, ino: number): boolean {
  const inode = inodeAt(source, g, ino);
  if (inode === undefined || (inode.mode & S_IFMT) !== S_IF.REG) return false;
  // In btree format there are too many records to be something else.
  if (inode.format !== FORK_FORMAT.EXTENTS) return inode.format === FORK_FORMAT.BTREE;
  if (inode.nextents === 0) return false;
  const fsblock = extentFsblock(inode.view, inode.dataAt);
  if (!isFsRange(g, fsblock, 1)) return false;
  const head = new Uint8Array(2);
  source.read(fsblockOffset(g, fsblock), head);
  return viewOf(head).getUint16(0) === XFS_DQUOT_MAGIC;
}

/** The root: what most copies say, else the first number at which a directory stands. */
function rootOf(source: Source, g: Geometry, own: number, copies: readonly number[]): number {
  const votes = new Map<number, number>();
  for (const ino of copies) if (isInoInRange(g, ino)) votes.set(ino, (votes.get(ino) ?? 0) + 1);
  const [elected] = [...votes].sort((a, b) => b[1] - a[1] || Number(b[0] === own) - Number(a[0] === own));
  const isDir = (ino: number): boolean => inodeAt(source, g, ino)?.isDir === true;
  if (elected !== undefined && (elected[0] === own || elected[1] > 1 || isDir(elected[0]) || !isDir(own)))
    return elected[0];
  if (isInoInRange(g, own)) return own;
  // The first chunk of inodes is the root's.
  const end = Math.min(g.agblocks, 4096) * g.inopblock;
  for (let ino = g.inopblock; ino < end; ino += g.inopblock) if (isDir(ino)) return ino;
  return own;
}

/** Takes what is wrong with the superblock, in words. */
type Say = (text: string) => void;

/** The inode numbers: root, realtime, quota; and the flags of quotas. */
function settleInodes(
  source: Source,
  g: Geometry,
  sector: Uint8Array,
  copies: readonly Uint8Array[],
  say: Say,
): void {
  const v = viewOf(sector);
  // As a number a null is the same as its neighbours: it is told by its bytes.
  const isNull = (name: keyof typeof AT): boolean =>
    sector.subarray(AT[name], AT[name] + 8).every((b) => b === 0xff);
  const set = (name: keyof typeof AT, value: number): void => {
    if (value === NULLFSINO ? isNull(name) : getU64(v, AT[name]) === value) return;
    const stands = isNull(name) ? 'null' : `${v.getBigUint64(AT[name])}`;
    say(`${name} is ${stands}, expected ${value === NULLFSINO ? 'null' : value}`);
    if (value === NULLFSINO) sector.fill(0xff, AT[name], AT[name] + 8);
    else setU64(v, AT[name], value);
  };
  const roots = copies.map((c) => getU64(viewOf(c), AT.rootino));
  const root = rootOf(source, g, g.rootino, roots);
  set('rootino', root);
  set('rbmino', root + 1);
  set('rsumino', root + 2);
  const stands = v.getUint16(AT.qflags);
  let flags = stands;
  const quotas = new Set<number>();
  for (const [name, mask] of QUOTAS) {
    const ino = getU64(v, AT[name]);
    const none = ino === 0 || isNull(name);
    const system = ino >= root && ino <= root + 2;
    if (!none && !system && !quotas.has(ino) && isQuotaFile(source, g, ino)) {
      quotas.add(ino);
      continue;
    }
    if (!none) set(name, NULLFSINO);
    flags &= ~mask;
  }
  if (quotas.size === 0) flags = 0;
  if (flags !== stands) {
    say(`qflags is ${stands}, expected ${flags} by the quota files there are`);
    v.setUint16(AT.qflags, flags);
  }
  const version = v.getUint16(AT.versionnum);
  if (quotas.size === 0 && version & VERSION_BITS.QUOTA) {
    say('versionnum has the quota bit, and there is no quota file');
    v.setUint16(AT.versionnum, version & ~VERSION_BITS.QUOTA);
  }
}

/**
 * Sets what a superblock's sector says that cannot be true of what it points at; `copies` are other
 * superblocks' sectors. Returns what was set; the checksum is left to the caller.
 */
export function settlePointers(source: Source, sector: Uint8Array, copies: readonly Uint8Array[]): string[] {
  const g = geometryOf(sector);
  const v = viewOf(sector);
  const said: string[] = [];
  const say: Say = (text) => said.push(text);
  // With a metadata directory these are found by name.
  if (!g.features.metadir) settleInodes(source, g, sector, copies, say);
  const flags = v.getUint8(AT.flags);
  if (flags !== 0) {
    say(`flags is ${flags}, expected 0`);
    v.setUint8(AT.flags, 0);
  }
  const end = endOfFields(g);
  if (sector.subarray(end).some((b) => b !== 0)) {
    say(`bytes from ${end} on are not zero`);
    sector.fill(0, end);
  }
  return said;
}
