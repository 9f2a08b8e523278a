/** Checks of attribute structures (attr.ts). Field names are those of xfs_db. */
import {
  ATTR_FLAG,
  ATTR_LEAF_ENTRY,
  ATTR_LEAF_MAP,
  ATTR_LEAF_MAPSIZE,
  ATTR_NAME_LOCAL,
  ATTR_NAME_REMOTE,
  ATTR_SF_ENTRY,
  ATTR_SF_HDR,
  ATTR3_LEAF_HDR,
  ATTR3_RMT_HDR,
  attrFirstused,
  attrHash,
  attrLocalSize,
  attrNamespace,
  attrRemoteSize,
  attrRemoteSpace,
  attrSfEntrySize,
  PARENT_REC,
  XATTR_SIZE_MAX,
  XFS_ATTR3_LEAF_MAGIC,
  XFS_ATTR3_RMT_MAGIC,
} from './attr.js';
import { type Bad, badAt, type Place, verifyBlkinfo, verifyPiece, verifySiblings } from './da.js';
import { hex, type Report } from './fault.js';
import { type Geometry, isInoInRange } from './geometry.js';
import { getU64, viewOf } from './structure.js';

const KNOWN_FLAGS =
  ATTR_FLAG.LOCAL | ATTR_FLAG.ROOT | ATTR_FLAG.SECURE | ATTR_FLAG.PARENT | ATTR_FLAG.INCOMPLETE;

function verifyName(
  g: Geometry,
  b: Uint8Array,
  flags: number,
  name: number,
  namelen: number,
  valuelen: number,
  at: { readonly flags: string; readonly name: string },
  bad: Bad,
): void {
  if ((flags & ~KNOWN_FLAGS) !== 0) bad(`${at.flags}.flags`, hex(flags), `bits of ${hex(KNOWN_FLAGS)} alone`);
  if (attrNamespace(flags) === undefined)
    bad(`${at.flags}.flags`, hex(flags), 'one namespace: root, secure or parent');
  if ((flags & ATTR_FLAG.PARENT) === 0) {
    for (let i = name; i < name + namelen; i++)
      if (b[i] === 0) {
        bad(`${at.name}.name`, hex(0), `no zero byte (byte ${i - name})`);
        break;
      }
    return;
  }
  if (!g.features.parent) bad(`${at.flags}.flags`, hex(flags), 'no parent pointer without that feature');
  if (valuelen !== PARENT_REC.size) {
    bad(`${at.name}.valuelen`, valuelen, `${PARENT_REC.size} in a parent pointer`);
    return;
  }
  const parent = getU64(viewOf(b), name + namelen);
  if (!isInoInRange(g, parent)) bad(`${at.name}.value`, parent, 'an inode of the filesystem');
}

/** Checks short-form attributes: `fork` is the inode's whole attribute fork. */
export function verifyAttrShortForm(g: Geometry, fork: Uint8Array, ino: number, report: Report): void {
  const bad: Bad = (field, value, expected) =>
    report({ structure: 'short form attr', ino, field, value, expected });
  const v = viewOf(fork);
  if (fork.length < ATTR_SF_HDR.size) {
    bad('hdr.totsize', 0, `a fork of at least ${ATTR_SF_HDR.size} bytes`);
    return;
  }
  const totsize = v.getUint16(ATTR_SF_HDR.at.totsize);
  const count = v.getUint8(ATTR_SF_HDR.at.count);
  if (totsize < ATTR_SF_HDR.size || totsize > fork.length) {
    bad('hdr.totsize', totsize, `${ATTR_SF_HDR.size} to ${fork.length}, the fork's size`);
    return;
  }
  let at: number = ATTR_SF_HDR.size;
  for (let i = 0; i < count; i++) {
    if (at + ATTR_SF_ENTRY.size > totsize) {
      bad('hdr.count', count, `${i}, the entries that totsize ${totsize} holds`);
      return;
    }
    const namelen = v.getUint8(at + ATTR_SF_ENTRY.at.namelen);
    const valuelen = v.getUint8(at + ATTR_SF_ENTRY.at.valuelen);
    const flags = v.getUint8(at + ATTR_SF_ENTRY.at.flags);
    const next = at + attrSfEntrySize(namelen, valuelen);
    if (namelen === 0 || at + ATTR_SF_ENTRY.size + namelen > totsize) {
      bad(`list[${i}].namelen`, namelen, `1 to 255, within totsize ${totsize}`);
      return;
    }
    if (next > totsize) {
      bad(`list[${i}].valuelen`, valuelen, `within totsize ${totsize}`);
      return;
    }
    const where = `list[${i}]`;
    verifyName(
      g,
      fork,
      flags,
      at + ATTR_SF_ENTRY.size,
      namelen,
      valuelen,
      { flags: where, name: where },
      bad,
    );
    if (flags & (ATTR_FLAG.LOCAL | ATTR_FLAG.INCOMPLETE))
      bad(`${where}.flags`, hex(flags), 'neither local nor incomplete in short form');
    at = next;
  }
  if (at !== totsize) bad('hdr.totsize', totsize, `${at}, what header and entries take`);
}

/** One mark for each 4 bytes of a leaf that a name or the entries take. */
const taken = new Uint8Array(65536 / 4);

/** What an attribute leaf is held against besides itself. */
export interface AttrLeafExpectations {
  /** Highest hash its parent gives it; undefined in a single leaf. */
  readonly maxHash?: number;
  /** Blocks of the attribute fork: bounds siblings and remote values. */
  readonly forkBlocks: number;
}

/**
 * Checks an attribute leaf: header, freemap, order, and that names neither overlap nor leave the block.
 * `firstused` lies before the first name only where `holes` says so (Linux leaves it there when a leaf is split),
 * never behind it.
 */
export function verifyAttrLeaf(
  g: Geometry,
  block: Uint8Array,
  place: Place,
  expect: AttrLeafExpectations,
  report: Report,
): void {
  const bad = badAt('attr leaf', place, report);
  if (!verifyBlkinfo(g, block, XFS_ATTR3_LEAF_MAGIC, 'hdr.info.', place, bad)) return;
  const v = viewOf(block);
  const size = block.length;
  const at = ATTR3_LEAF_HDR.at;
  verifySiblings(v, 'hdr', { first: 0, end: expect.forkBlocks }, bad);
  const count = v.getUint16(at.count);
  const firstused = attrFirstused(v);
  const entriesEnd = ATTR3_LEAF_HDR.size + count * ATTR_LEAF_ENTRY.size;
  if (firstused > size || firstused < ATTR3_LEAF_HDR.size) {
    bad('hdr.firstused', firstused, `${ATTR3_LEAF_HDR.size} to ${size}`);
    return;
  }
  if (entriesEnd > firstused) {
    bad('hdr.count', count, `entries that end before firstused ${firstused}`);
    return;
  }
  taken.fill(0, 0, size >>> 2);
  taken.fill(1, 0, entriesEnd >>> 2);
  let last = 0;
  let used = 0;
  let lowest = size;
  let complete = true;
  for (let i = 0; i < count; i++) {
    const entry = ATTR3_LEAF_HDR.size + i * ATTR_LEAF_ENTRY.size;
    const hashval = v.getUint32(entry);
    const nameidx = v.getUint16(entry + ATTR_LEAF_ENTRY.at.nameidx);
    if (hashval < last) bad(`entries[${i}].hashval`, hex(hashval), `at least ${hex(last)}, the one before`);
    last = hashval;
    if (nameidx < firstused || nameidx >= size || nameidx % 4 !== 0) {
      bad(`entries[${i}].nameidx`, nameidx, `a multiple of 4 from firstused ${firstused} to ${size - 1}`);
      complete = false;
      continue;
    }
    const length = verifyNameAt(g, block, v, i, entry, nameidx, expect, bad);
    if (length < 0) {
      complete = false;
      continue;
    }
    used += length;
    lowest = Math.min(lowest, nameidx);
    for (let k = nameidx >>> 2; k < (nameidx + length) >>> 2; k++) {
      if (taken[k] === 1) {
        bad(`entries[${i}].nameidx`, nameidx, `bytes of its own; byte ${k * 4} belongs to another`);
        break;
      }
      taken[k] = 1;
    }
  }
  if (complete) {
    if (v.getUint16(at.usedbytes) !== (used & 0xffff))
      bad('hdr.usedbytes', v.getUint16(at.usedbytes), `${used}, what names and values take`);
    if (v.getUint8(at.holes) === 0 && firstused !== lowest)
      bad('hdr.firstused', firstused, `${lowest}, where the names begin: holes says there are none`);
  }
  if (v.getUint8(at.holes) > 1) bad('hdr.holes', v.getUint8(at.holes), '0 or 1');
  for (let i = 0; i < ATTR_LEAF_MAPSIZE; i++) verifyFreemap(v, i, size, complete, bad);
  if (expect.maxHash !== undefined && count > 0 && last > expect.maxHash)
    bad(`entries[${count - 1}].hashval`, hex(last), `at most ${hex(expect.maxHash)}, which its parent says`);
}

/** Checks the name of one entry; the bytes it takes, or -1 where they cannot be told. */
function verifyNameAt(
  g: Geometry,
  block: Uint8Array,
  v: DataView,
  i: number,
  entry: number,
  nameidx: number,
  expect: AttrLeafExpectations,
  bad: Bad,
): number {
  const size = block.length;
  const flags = v.getUint8(entry + ATTR_LEAF_ENTRY.at.flags);
  const local = (flags & ATTR_FLAG.LOCAL) !== 0;
  const fixed = local ? ATTR_NAME_LOCAL : ATTR_NAME_REMOTE;
  if (nameidx + fixed.size > size) {
    bad(`entries[${i}].nameidx`, nameidx, `room for ${fixed.size} bytes and a name before ${size}`);
    return -1;
  }
  const namelen = v.getUint8(nameidx + (local ? ATTR_NAME_LOCAL.at.namelen : ATTR_NAME_REMOTE.at.namelen));
  const valuelen = local ? v.getUint16(nameidx) : v.getUint32(nameidx + ATTR_NAME_REMOTE.at.valuelen);
  const name = nameidx + fixed.size;
  if (namelen === 0 || name + namelen > size) {
    bad(`nvlist[${i}].namelen`, namelen, `1 to 255, within the block's ${size} bytes`);
    return -1;
  }
  const length = local ? attrLocalSize(namelen, valuelen) : attrRemoteSize(namelen);
  if (nameidx + length > size) {
    if (local) bad(`nvlist[${i}].valuelen`, valuelen, `within the block's ${size} bytes`);
    else bad(`nvlist[${i}].namelen`, namelen, `within the block's ${size} bytes`);
    return -1;
  }
  const incomplete = (flags & ATTR_FLAG.INCOMPLETE) !== 0;
  if (!local && !incomplete) {
    const valueblk = v.getUint32(nameidx);
    if (valueblk === 0 || valueblk >= expect.forkBlocks)
      bad(`nvlist[${i}].valueblk`, valueblk, `a block of the fork, 1 to ${expect.forkBlocks - 1}`);
    if (valuelen > XATTR_SIZE_MAX || valuelen === 0)
      bad(`nvlist[${i}].valuelen`, valuelen, `1 to ${XATTR_SIZE_MAX}`);
  }
  const where = { flags: `entries[${i}]`, name: `nvlist[${i}]` };
  verifyName(g, block, flags, name, namelen, local ? valuelen : -1, where, bad);
  const value = local ? block.subarray(name + namelen, name + namelen + valuelen) : undefined;
  const hash = attrHash(flags, block.subarray(name, name + namelen), value);
  if (hash !== v.getUint32(entry))
    bad(`entries[${i}].hashval`, hex(v.getUint32(entry)), `${hex(hash)}, the hash of its name`);
  return length;
}

/** Holds one freemap entry against the bytes in use, which `taken` marks. */
function verifyFreemap(v: DataView, i: number, size: number, complete: boolean, bad: Bad): void {
  const at = ATTR3_LEAF_HDR.at.freemap + i * ATTR_LEAF_MAP.size;
  const base = v.getUint16(at);
  const length = v.getUint16(at + 2);
  if (base % 4 !== 0 || base > size) {
    bad(`hdr.freemap[${i}].base`, base, `a multiple of 4 up to ${size}`);
    return;
  }
  if (length % 4 !== 0 || base + length > size) {
    bad(`hdr.freemap[${i}].size`, length, `a multiple of 4, up to the block's end ${size}`);
    return;
  }
  if (!complete) return;
  for (let k = base >>> 2; k < (base + length) >>> 2; k++)
    if (taken[k] === 1) {
      bad(`hdr.freemap[${i}].base`, base, `${length} free bytes; byte ${k * 4} is in use`);
      return;
    }
}

/**
 * Checks one block of a remote value: it must hold bytes `offset` to `offset + bytes` of it, where `bytes` is
 * at most what a block has room for.
 */
export function verifyAttrRemote(
  g: Geometry,
  block: Uint8Array,
  place: Place,
  offset: number,
  bytes: number,
  report: Report,
): void {
  const piece = { offset, bytes: Math.min(bytes, attrRemoteSpace(g.blocksize)) };
  const bad = badAt('attr remote', place, report);
  verifyPiece(g, block, ATTR3_RMT_HDR.at, XFS_ATTR3_RMT_MAGIC, 'hdr.', place, piece, bad);
}
