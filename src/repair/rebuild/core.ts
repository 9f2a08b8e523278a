/**
 * An inode's core made one that can be true. The forks are the evidence: of all suppositions about type, fork
 * offset, formats and counts the one is taken that makes both forks fit and changes the fewest fields. What no
 * supposition makes fit is left empty, for the reverse mappings to fill again.
 */
import { sameUuid } from '../../format/ag.js';
import { crcHolds, sealCrc } from '../../format/checksum.js';
import {
  DIFLAG,
  DIFLAG2,
  DINODE,
  DINODE_SIZE,
  DINODE64,
  dinodeIsNrext64,
  FORK_FORMAT,
  NSEC_PER_SEC,
  S_IF,
  S_IFMT,
  XFS_DINODE_MAGIC,
} from '../../format/dinode.js';
import { ftypeOfMode, SF_HDR4 } from '../../format/dir.js';
import { EXTENT_SIZE, extentBlocks, extentOffset } from '../../format/extent.js';
import { agnoOfIno, type Geometry, inoOf, isInoInRange } from '../../format/geometry.js';
import { verifyLsn } from '../../format/log.js';
import { getU64, setU64 } from '../../format/structure.js';
import { NULLAGINO } from '../../format/superblock.js';
import { type ForkName, walkExtents } from '../../volume/fork.js';
import { Inode } from '../../volume/inode.js';
import type { Volume } from '../../volume/volume.js';
import { rtInodes } from '../pointers.js';
import {
  attrGuess,
  bmbtChild,
  dataGuess,
  FIT,
  type ForkBytes,
  forkBytes,
  type Guess,
  leadingExtents,
} from './forkguess.js';

const AT = DINODE.at;
const DATA_TYPES = [S_IF.REG, S_IF.DIR, S_IF.LNK] as const;
const DEVICE_TYPES = [S_IF.CHR, S_IF.BLK, S_IF.FIFO, S_IF.SOCK] as const;

/** What is known of an inode from elsewhere. */
export interface CoreHints {
  /** FTYPE by the directory entries that name it; 0 where none does. */
  readonly ftype: number;
  /** File blocks behind the last one the rmap btree gives each fork; 0 for none, undefined without an rmapbt. */
  readonly rmapEnd: { readonly data: number; readonly attr: number } | undefined;
  /** A quota or realtime inode: a regular file, whatever it says. */
  readonly system: boolean;
  /** The root: a directory, whatever it says. */
  readonly root: boolean;
}

/** How a core was mended. */
export interface MendedCore {
  readonly bytes: Uint8Array;
  /** Its type was lost, and with it who may read it: it has been given to its owner alone. */
  readonly guessedType: boolean;
  /** The data fork has a form that its contents bear out. */
  readonly borneOut: boolean;
}

const typeOfFtype = (ftype: number): number =>
  [0, S_IF.REG, S_IF.DIR, S_IF.CHR, S_IF.BLK, S_IF.FIFO, S_IF.SOCK, S_IF.LNK][ftype] ?? 0;

interface Supposition {
  nrext64: boolean;
  forkoff: number;
  type: number;
  data: Guess;
  attr: Guess;
  score: number;
}

/**
 * Whether bytes were an inode of this number once: a checksum that holds, or more than one of the fields that
 * only such an inode has.
 */
export function wasInode(g: Geometry, bytes: Uint8Array, ino: number): boolean {
  const v = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (crcHolds(bytes, AT.crc) && sameUuid(g, bytes, AT.uuid)) return true;
  const signs = [
    v.getUint16(AT.magic) === XFS_DINODE_MAGIC,
    getU64(v, AT.inumber) === ino,
    sameUuid(g, bytes, AT.uuid),
    v.getUint8(AT.version) === 3,
  ];
  return signs.filter((s) => s).length >= 2;
}

/** Mends a core in a copy of the inode's bytes. Undefined where nothing tells what the inode was. */
export function mendCore(
  volume: Volume,
  ino: number,
  old: Uint8Array,
  hints: CoreHints,
): MendedCore | undefined {
  const { g } = volume;
  const bytes = old.slice();
  const v = new DataView(bytes.buffer);
  const known = wasInode(g, bytes, ino);
  if (!known) {
    if (hints.ftype === 0 && !hints.rmapEnd?.data && !hints.system) return undefined;
    bytes.fill(0);
  }
  v.setUint16(AT.magic, XFS_DINODE_MAGIC);
  v.setUint8(AT.version, 3);
  bytes.set(g.metaUuidBytes, AT.uuid);
  setU64(v, AT.inumber, ino);
  v.setUint16(AT.onlink, 0);

  const mode = v.getUint16(AT.mode);
  const best = known ? bestSupposition(volume, ino, bytes, hints) : undefined;
  const type = best?.type ?? fallbackType(mode & S_IFMT, hints);
  const isRt = hints.system && rtInodes(g).includes(ino);
  if (type === 0) return undefined;
  const guessedType = !hints.system && !isNear(mode, type) && (mode & S_IFMT) !== type;
  if ((mode & S_IFMT) !== type)
    v.setUint16(AT.mode, type | (guessedType ? safeMode(type, hints.root) : mode & 0o7777));
  setFlags2(g, v, best?.nrext64);
  if (isRt) emptyForks(g, bytes, v, type, hints);
  else if (best !== undefined) settle(volume, ino, v, best);
  else if (known) plausibleForks(volume, v, type);
  else emptyForks(g, bytes, v, type, hints);
  setSize(volume, v, type, g.inodesize, hints);
  setLinks(g, v, ino, known, hints);
  setFlags(g, v, type, ino);
  setTimes(g, v);
  if (getU64(v, AT.nblocks) > g.dblocks) setU64(v, AT.nblocks, 0);
  // No log item is older than this: replay will write the inode whenever it has one.
  verifyLsn(g, v, AT.lsn, () => setU64(v, AT.lsn, 0));
  sealCrc(bytes, AT.crc);
  return { bytes, guessedType, borneOut: best !== undefined && best.data.fit >= FIT.LIKELY };
}

/** One bit away: the rest of the mode is to be believed. */
function isNear(mode: number, type: number): boolean {
  const x = (mode & S_IFMT) ^ type;
  return mode !== 0 && (x & (x - 1)) === 0;
}

/** Permissions for the owner alone; a root that nobody may enter would be no root. */
const safeMode = (type: number, root: boolean): number =>
  root ? 0o755 : type === S_IF.DIR ? 0o700 : type === S_IF.LNK ? 0o777 : 0o600;

function fallbackType(stored: number, hints: CoreHints): number {
  if (hints.system) return S_IF.REG;
  if (hints.root) return S_IF.DIR;
  if (ftypeOfMode(stored) !== 0) return stored;
  return typeOfFtype(hints.ftype) || (hints.rmapEnd?.data ? S_IF.REG : 0);
}

const setCounts = (v: DataView, data: number, attr: number): void => {
  if (dinodeIsNrext64(v, 0)) {
    setU64(v, DINODE64.at.nextents, data);
    v.setUint32(DINODE64.at.naextents, attr);
    v.setUint16(DINODE64.at.nrext64_pad, 0);
  } else {
    setU64(v, AT.v3_pad, 0);
    v.setUint32(AT.nextents, data);
    v.setUint16(AT.naextents, attr);
  }
};

function settle(volume: Volume, ino: number, v: DataView, s: Supposition): void {
  v.setUint8(AT.forkoff, s.forkoff);
  v.setUint8(AT.format, s.data.format);
  v.setInt8(AT.aformat, s.attr.format);
  setCounts(v, s.data.count, s.attr.count);
  const inode = new Inode(ino, v, 0, volume.g.inodesize);
  const counted = (fork: ForkName, guess: Guess): number => {
    if (guess.format !== FORK_FORMAT.BTREE) return guess.count;
    let n = 0;
    const skip = (): void => {};
    walkExtents(volume, inode, fork, () => n++, skip);
    return n;
  };
  setCounts(v, counted('data', s.data), counted('attr', s.attr));
}

/** Nothing fits, and the inode is known all the same: its forks stay, within what they have room for. */
function plausibleForks(volume: Volume, v: DataView, type: number): void {
  const { inodesize } = volume.g;
  if (v.getUint8(AT.forkoff) * 8 >= inodesize - DINODE_SIZE) v.setUint8(AT.forkoff, 0);
  const forkoff = v.getUint8(AT.forkoff);
  const nrext64 = dinodeIsNrext64(v, 0);
  const counts = (['data', 'attr'] as const).map((fork) => {
    const data = fork === 'data';
    const bytes = forkBytes(v, fork, forkoff, DINODE_SIZE, inodesize);
    const count = storedCount(v, data, nrext64);
    const inline = Math.floor(bytes.size / EXTENT_SIZE);
    const extents = leadingExtents(volume, bytes).length;
    let format = data ? v.getUint8(AT.format) : v.getInt8(AT.aformat);
    const isDevice = data && (DEVICE_TYPES as readonly number[]).includes(type);
    if (isDevice) format = FORK_FORMAT.DEV;
    else if (bytes.size === 0 || format < FORK_FORMAT.LOCAL || format > FORK_FORMAT.BTREE)
      format = FORK_FORMAT.EXTENTS;
    else if (format === FORK_FORMAT.BTREE && bmbtChild(volume, bytes) === undefined)
      format = FORK_FORMAT.EXTENTS;
    else if (data && type === S_IF.REG && format === FORK_FORMAT.LOCAL) format = FORK_FORMAT.EXTENTS;
    if (data) v.setUint8(AT.format, format);
    else v.setInt8(AT.aformat, format);
    if (format === FORK_FORMAT.BTREE) return count > inline ? count : inline + 1;
    if (format !== FORK_FORMAT.EXTENTS) return 0;
    return count <= inline ? count : extents;
  });
  setCounts(v, counts[0], counts[1]);
}

/** Nothing fits: forks without extents, to be filled from the rmap btree where there is one. */
function emptyForks(g: Geometry, bytes: Uint8Array, v: DataView, type: number, hints: CoreHints): void {
  const room = g.inodesize - DINODE_SIZE;
  const keep = v.getUint8(AT.forkoff) * 8 < room && v.getUint8(AT.forkoff) > 0;
  const attr = hints.rmapEnd?.attr ? (keep ? v.getUint8(AT.forkoff) : room >>> 4) : 0;
  bytes.fill(0, DINODE_SIZE);
  v.setUint8(AT.forkoff, attr);
  v.setInt8(AT.aformat, FORK_FORMAT.EXTENTS);
  const isData = (DATA_TYPES as readonly number[]).includes(type);
  v.setUint8(AT.format, isData ? FORK_FORMAT.EXTENTS : FORK_FORMAT.DEV);
  setCounts(v, 0, 0);
}

function setFlags2(g: Geometry, v: DataView, nrext64: boolean | undefined): void {
  const { reflink, bigtime } = g.features;
  let flags2 =
    v.getUint32(AT.flags2 + 4) & (DIFLAG2.DAX | DIFLAG2.REFLINK | DIFLAG2.COWEXTSIZE | DIFLAG2.BIGTIME);
  if (!reflink) flags2 &= ~(DIFLAG2.REFLINK | DIFLAG2.COWEXTSIZE);
  if (!bigtime) flags2 &= ~DIFLAG2.BIGTIME;
  if (nrext64 ?? dinodeIsNrext64(v, 0)) flags2 |= g.features.nrext64 ? DIFLAG2.NREXT64 : 0;
  v.setUint32(AT.flags2, 0);
  v.setUint32(AT.flags2 + 4, flags2);
}

/** All that the fields can be supposed to be, in turn; undefined where nothing makes both forks fit. */
function bestSupposition(
  volume: Volume,
  ino: number,
  bytes: Uint8Array,
  hints: CoreHints,
): Supposition | undefined {
  const { g } = volume;
  const v = new DataView(bytes.buffer);
  const room = g.inodesize - DINODE_SIZE;
  const stored = { nrext64: dinodeIsNrext64(v, 0), forkoff: v.getUint8(AT.forkoff) };
  let best: Supposition | undefined;
  const tryThis = (nrext64: boolean, forkoff: number, cost: number): void => {
    const attr = bestAttr(volume, ino, v, nrext64, forkoff);
    const data = bestData(volume, ino, v, nrext64, forkoff, attr.guess.blocks, hints);
    if (data === undefined || attr.guess.fit === FIT.NO || data.guess.fit === FIT.NO) return;
    const score = attr.guess.fit + data.guess.fit - (cost + attr.cost + data.cost) * 2;
    if (best !== undefined && best.score >= score) return;
    best = { nrext64, forkoff, type: data.type, data: data.guess, attr: attr.guess, score };
  };
  const layouts = g.features.nrext64 ? [stored.nrext64, !stored.nrext64] : [false];
  for (const nrext64 of layouts) {
    const cost = nrext64 === stored.nrext64 ? 0 : 1;
    if (stored.forkoff * 8 < room) tryThis(nrext64, stored.forkoff, cost);
    // A fork offset that fits as it stands is not looked for elsewhere.
    if (best !== undefined && best.attr.fit !== FIT.NO && best.score >= FIT.EMPTY + FIT.LIKELY) continue;
    for (let forkoff = 0; forkoff * 8 < room; forkoff++)
      if (forkoff !== stored.forkoff) tryThis(nrext64, forkoff, cost + 1);
  }
  return best;
}

interface Choice {
  readonly guess: Guess;
  readonly cost: number;
}

const storedCount = (v: DataView, data: boolean, nrext64: boolean): number => {
  if (nrext64) return data ? getU64(v, DINODE64.at.nextents) : v.getUint32(DINODE64.at.naextents);
  return data ? v.getUint32(AT.nextents) : v.getUint16(AT.naextents);
};

function bestAttr(volume: Volume, ino: number, v: DataView, nrext64: boolean, forkoff: number): Choice {
  const bytes = forkBytes(v, 'attr', forkoff, DINODE_SIZE, volume.g.inodesize);
  const format = v.getInt8(AT.aformat);
  const count = storedCount(v, false, nrext64);
  if (bytes.size === 0) {
    const cost = (count === 0 ? 0 : 1) + (format === FORK_FORMAT.EXTENTS ? 0 : 1);
    return { guess: { fit: FIT.EMPTY, format: FORK_FORMAT.EXTENTS, count: 0, blocks: 0 }, cost };
  }
  let best: Choice | undefined;
  for (const f of [FORK_FORMAT.LOCAL, FORK_FORMAT.EXTENTS, FORK_FORMAT.BTREE])
    for (const n of f === FORK_FORMAT.EXTENTS
      ? countsFor(volume, bytes, count)
      : [f === FORK_FORMAT.LOCAL ? 0 : count]) {
      const guess = attrGuess(volume, ino, bytes, f, n);
      if (guess.fit === FIT.NO) continue;
      const cost = (f === format ? 0 : 1) + (n === count ? 0 : 1);
      if (best === undefined || guess.fit - cost * 2 > best.guess.fit - best.cost * 2) best = { guess, cost };
    }
  // Attributes packed in the inode that are damaged themselves are sorted out later, one by one.
  const damaged = damagedAttr(bytes, format, count);
  if (best === undefined || damaged.guess.fit - damaged.cost * 2 > best.guess.fit - best.cost * 2)
    return damaged;
  return best;
}

function damagedAttr(bytes: ForkBytes, format: number, count: number): Choice {
  const totsize = bytes.size >= 4 ? bytes.view.getUint16(bytes.at) : 0;
  const entries = bytes.size >= 4 ? bytes.view.getUint8(bytes.at + 2) : 0;
  const fits = format === FORK_FORMAT.LOCAL ? totsize > 0 || entries > 0 : count * EXTENT_SIZE <= bytes.size;
  const allowed = format >= FORK_FORMAT.LOCAL && format <= FORK_FORMAT.BTREE;
  const fit = fits && allowed ? FIT.EMPTY : FIT.NO;
  return { guess: { fit, format, count: format === FORK_FORMAT.LOCAL ? 0 : count, blocks: 0 }, cost: 0.4 };
}

/** Extents an inline list may have: as stored, as many as can be true, none. */
function countsFor(volume: Volume, bytes: ForkBytes, stored: number): number[] {
  const sums = leadingExtents(volume, bytes);
  return [...new Set([stored, sums.length, 0])];
}

function bestData(
  volume: Volume,
  ino: number,
  v: DataView,
  nrext64: boolean,
  forkoff: number,
  attrBlocks: number,
  hints: CoreHints,
): (Choice & { type: number }) | undefined {
  const bytes = forkBytes(v, 'data', forkoff, DINODE_SIZE, volume.g.inodesize);
  const storedType = v.getUint16(AT.mode) & S_IFMT;
  const format = v.getUint8(AT.format);
  const count = storedCount(v, true, nrext64);
  const size = getU64(v, AT.size);
  let best: (Choice & { type: number }) | undefined;
  const take = (guess: Guess, type: number, cost: number): void => {
    if (guess.fit === FIT.NO) return;
    if (best === undefined || guess.fit - cost * 2 > best.guess.fit - best.cost * 2)
      best = { guess, type, cost };
  };
  const named = typeOfFtype(hints.ftype);
  const all = hints.system ? [S_IF.REG] : hints.root ? [S_IF.DIR] : [...DATA_TYPES, ...DEVICE_TYPES];
  // Where the names and the inode agree there is nothing to suppose.
  const types = named !== 0 && named === storedType ? [named] : all;
  const sums = leadingExtents(volume, bytes);
  const nblocks = getU64(v, AT.nblocks);
  for (const type of types) {
    const typeCost = type === storedType ? 0 : type === named ? 0.8 : 1.2;
    const isData = (DATA_TYPES as readonly number[]).includes(type);
    const formats = isData ? [FORK_FORMAT.LOCAL, FORK_FORMAT.EXTENTS, FORK_FORMAT.BTREE] : [FORK_FORMAT.DEV];
    for (const f of formats) {
      if (type === S_IF.REG && f === FORK_FORMAT.LOCAL) continue;
      if (type === S_IF.LNK && f === FORK_FORMAT.BTREE) continue;
      const formatCost = f === format ? 0 : 1;
      const counts =
        f === FORK_FORMAT.EXTENTS
          ? [...new Set([count, sums.indexOf(nblocks - attrBlocks) + 1, sums.length, 0])]
          : f === FORK_FORMAT.BTREE
            ? [count]
            : [0];
      for (const n of counts) {
        // A count that agrees with the inode's blocks has a second witness.
        const agrees = f !== FORK_FORMAT.EXTENTS || (n === 0 ? 0 : sums[n - 1]) === nblocks - attrBlocks;
        const countCost = (n === count ? 0 : 1) + (agrees ? 0 : 1.1);
        for (const s of sizesFor(f, type, size, bytes)) {
          const cost = typeCost + formatCost + countCost + (s === size ? 0 : 1);
          take(dataGuess(volume, ino, bytes, { type, format: f, count: n, size: s }), type, cost);
        }
      }
    }
  }
  // A short-form directory that is damaged itself is sorted out name by name.
  if (storedType === S_IF.DIR && format === FORK_FORMAT.LOCAL && size > 0 && size <= bytes.size)
    take({ fit: FIT.EMPTY, format, count: 0, blocks: 0 }, storedType, count === 0 ? 0.3 : 1.3);
  return best;
}

/** Sizes in bytes that a fork may have by what stands in it. */
function sizesFor(format: number, type: number, stored: number, bytes: ForkBytes): number[] {
  if (format === FORK_FORMAT.DEV) return [...new Set([stored, 0])];
  if (format !== FORK_FORMAT.LOCAL) return type === S_IF.LNK ? [...new Set([stored, 1])] : [stored];
  const { view, at, size } = bytes;
  if (type === S_IF.LNK) {
    let end = 0;
    while (end < size && view.getUint8(at + end) !== 0) end++;
    return [...new Set([stored, end])];
  }
  return [...new Set([stored, shortFormEnd(bytes)])];
}

/** Where the entries of a short-form directory end, by its count. */
export function shortFormEnd({ view, at, size }: ForkBytes): number {
  if (size < 10) return 0;
  const inoSize = view.getUint8(at + 1) === 0 ? 4 : 8;
  let end = 2 + inoSize;
  for (let i = view.getUint8(at); i > 0 && end < size; i--) end += 3 + view.getUint8(at + end) + 1 + inoSize;
  return end <= size ? end : 0;
}

/** A size that can be true of the type; that of directories and links is settled with their contents. */
function setSize(volume: Volume, v: DataView, type: number, inodesize: number, hints: CoreHints): void {
  const { g } = volume;
  const size = getU64(v, AT.size);
  const format = v.getUint8(AT.format);
  const bytes = forkBytes(v, 'data', v.getUint8(AT.forkoff), DINODE_SIZE, inodesize);
  let end = 0;
  if (
    format === FORK_FORMAT.EXTENTS &&
    v.getUint32(dinodeIsNrext64(v, 0) ? DINODE64.at.nextents + 4 : AT.nextents) > 0
  ) {
    const n = leadingExtents(volume, bytes).length;
    for (let i = 0; i < n; i++) {
      const rec = bytes.at + i * EXTENT_SIZE;
      const offset = extentOffset(v, rec);
      if (type === S_IF.DIR && offset * g.blocksize >= 2 ** 35) break;
      end = (offset + extentBlocks(v, rec)) * g.blocksize;
    }
  }
  if (hints.system) setU64(v, AT.size, 0);
  else if (type === S_IF.REG) {
    const mapped = Math.max(end, (hints.rmapEnd?.data ?? 0) * g.blocksize);
    if (size >= 2 ** 63) setU64(v, AT.size, mapped);
    else if (size === 0 && v.getUint32(AT.gen) === 0 && getU64(v, AT.change_count) === 0)
      setU64(v, AT.size, mapped);
  } else if (type === S_IF.LNK) {
    if (format === FORK_FORMAT.LOCAL) {
      const sizes = sizesFor(format, type, size, bytes);
      setU64(v, AT.size, sizes[sizes.length - 1]);
    } else if (size === 0 || size > 1024) setU64(v, AT.size, 1);
  } else if (type === S_IF.DIR) {
    if (format === FORK_FORMAT.LOCAL) {
      if (size < SF_HDR4.size || size > bytes.size)
        setU64(v, AT.size, Math.min(bytes.size, shortFormEnd(bytes) || bytes.size));
    } else if (size === 0 || size % g.dirblksize !== 0 || size > 2 ** 35)
      setU64(v, AT.size, Math.max(g.dirblksize, Math.ceil(end / g.dirblksize) * g.dirblksize));
  } else setU64(v, AT.size, 0);
}

function setLinks(g: Geometry, v: DataView, ino: number, known: boolean, hints: CoreHints): void {
  const next = v.getUint32(AT.next_unlinked);
  if (!known || hints.system) v.setUint32(AT.nlinkv2, 1);
  const inAg = next !== NULLAGINO && isInoInRange(g, inoOf(g, agnoOfIno(g, ino), next));
  if (v.getUint32(AT.nlinkv2) > 0 || !inAg) v.setUint32(AT.next_unlinked, NULLAGINO);
}

/** Longest extent size hint (XFS_MAX_BMBT_EXTLEN). */
const MAX_HINT = 2 ** 21 - 1;

/** Flags and hints that go with the type and each other. */
function setFlags(g: Geometry, v: DataView, type: number, ino: number): void {
  const isReg = type === S_IF.REG;
  const isDir = type === S_IF.DIR;
  const limit = Math.min(MAX_HINT, Math.floor(g.agblocks / 2));
  let flags = v.getUint16(AT.flags) & 0x7fff & ~DIFLAG.REALTIME;
  if (!isDir) flags &= ~(DIFLAG.RTINHERIT | DIFLAG.PROJINHERIT | DIFLAG.NOSYMLINKS | DIFLAG.EXTSZINHERIT);
  if (!isReg) flags &= ~(DIFLAG.EXTSIZE | DIFLAG.PREALLOC);
  if (ino !== rtInodes(g)[0]) flags &= ~DIFLAG.NEWRTBM;
  const extsize = v.getUint32(AT.extsize);
  const hinted = (flags & (DIFLAG.EXTSIZE | DIFLAG.EXTSZINHERIT)) !== 0;
  if (!hinted || extsize === 0 || extsize > limit) {
    flags &= ~(DIFLAG.EXTSIZE | DIFLAG.EXTSZINHERIT);
    v.setUint32(AT.extsize, 0);
  }
  v.setUint16(AT.flags, flags);
  let flags2 = v.getUint32(AT.flags2 + 4);
  if (!isReg) flags2 &= ~DIFLAG2.REFLINK;
  if (!isReg && !isDir) flags2 &= ~DIFLAG2.DAX;
  const cowextsize = v.getUint32(AT.cowextsize);
  if (!(isReg || isDir) || (flags2 & DIFLAG2.COWEXTSIZE) === 0 || cowextsize === 0 || cowextsize > limit) {
    flags2 &= ~DIFLAG2.COWEXTSIZE;
    v.setUint32(AT.cowextsize, 0);
  }
  v.setUint32(AT.flags2 + 4, flags2);
}

/** Times without the bigtime flag have nanoseconds below a second; where they have not, the flag was lost. */
function setTimes(g: Geometry, v: DataView): void {
  if (v.getUint32(AT.flags2 + 4) & DIFLAG2.BIGTIME) return;
  const times = [AT.atime, AT.mtime, AT.ctime, AT.crtime];
  const odd = times.filter((at) => v.getUint32(at + 4) >= NSEC_PER_SEC);
  if (odd.length === 0) return;
  if (g.features.bigtime && odd.length > 1) {
    v.setUint32(AT.flags2 + 4, (v.getUint32(AT.flags2 + 4) | DIFLAG2.BIGTIME) >>> 0);
    return;
  }
  for (const at of odd) v.setUint32(at + 4, 0);
}

/** Writes the core of an inode that is in use no more: its number's next owner finds it clean. */
export function clearedInode(g: Geometry, ino: number, old: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(g.inodesize);
  const v = new DataView(bytes.buffer);
  const before = new DataView(old.buffer, old.byteOffset, old.length);
  v.setUint16(AT.magic, XFS_DINODE_MAGIC);
  v.setUint8(AT.version, 3);
  v.setUint32(AT.gen, (before.getUint32(AT.gen) + 1) >>> 0);
  v.setUint8(AT.format, FORK_FORMAT.EXTENTS);
  v.setInt8(AT.aformat, FORK_FORMAT.EXTENTS);
  v.setUint32(AT.next_unlinked, NULLAGINO);
  setU64(v, AT.inumber, ino);
  bytes.set(g.metaUuidBytes, AT.uuid);
  sealCrc(bytes, AT.crc);
  return bytes;
}
