/** Checks of directory structures (dir.ts). Field names are those of xfs_db. */
import { badAt, DA_AT, daHash, type Place, verifyBlkinfo, verifyIdentity, verifySiblings } from './da.js';
import {
  addressToByte,
  BESTFREE_COUNT,
  BLOCK_TAIL,
  blockEntriesEnd,
  DATA_ENTRY,
  DATA_FREE,
  DATA_FREE_TAG,
  DIR3_BLK_HDR,
  DIR3_DATA_HDR,
  DIR3_FREE_HDR,
  DIR3_LEAF_HDR,
  dataEntryFtype,
  dataEntrySize,
  FTYPE_MAX,
  firstDataOffset,
  LEAF_ENTRY,
  LEAF_TAIL,
  MAX_SHORT_INUM,
  maxFreeBests,
  maxLeafEntries,
  NULL_DATAPTR,
  NULLDATAOFF,
  SF_ENTRY,
  sfEntrySize,
  sfHdrSize,
  sfIno,
  sfInoSize,
  XFS_DIR3_BLOCK_MAGIC,
  XFS_DIR3_DATA_MAGIC,
  XFS_DIR3_FREE_MAGIC,
  XFS_DIR3_LEAF1_MAGIC,
  XFS_DIR3_LEAFN_MAGIC,
} from './dir.js';
import { hex, type Report } from './fault.js';
import { agLength, agnoOfIno, firstFreeAgbno, type Geometry, inoOf, isInoInRange } from './geometry.js';
import { getU64, viewOf } from './structure.js';

const SLASH = 0x2f;

/** Position of the first byte a name may not hold ('/' or 0), or -1. */
function illegalByte(b: Uint8Array, from: number, to: number): number {
  for (let i = from; i < to; i++) if (b[i] === SLASH || b[i] === 0) return i - from;
  return -1;
}

/**
 * Checks a short-form directory: `fork` is exactly di_size bytes of the data fork.
 */
export function verifyShortForm(g: Geometry, fork: Uint8Array, ino: number, report: Report): void {
  const bad = (field: string, value: number | string, expected: string): void =>
    report({ structure: 'short form dir', ino, field, value, expected });
  if (fork.length < sfHdrSize(false)) {
    bad('size', fork.length, `at least ${sfHdrSize(false)} bytes`);
    return;
  }
  const v = viewOf(fork);
  const ftype = g.features.ftype;
  const count = v.getUint8(0);
  const i8count = v.getUint8(1);
  const i8 = i8count !== 0;
  if (fork.length < sfHdrSize(i8)) {
    bad('size', fork.length, `at least ${sfHdrSize(i8)} bytes`);
    return;
  }
  const parent = sfIno(v, 2, i8);
  const iname = i8 ? 'i8' : 'i4';
  if (!isInoInRange(g, parent)) bad(`hdr.parent.${iname}`, parent, 'an inode of the filesystem');
  let big = parent > MAX_SHORT_INUM ? 1 : 0;
  let at = sfHdrSize(i8);
  let offset = firstDataOffset(ftype);
  for (let i = 0; i < count; i++) {
    const namelen = at < fork.length ? v.getUint8(at) : 0;
    if (at >= fork.length) {
      bad('hdr.count', count, `${i}, the entries that the fork's ${fork.length} bytes hold`);
      return;
    }
    const next = at + sfEntrySize(namelen, i8, ftype);
    if (namelen === 0 || next > fork.length) {
      bad(`list[${i}].namelen`, namelen, `1 to 255, within the fork's ${fork.length} bytes`);
      return;
    }
    const own = v.getUint16(at + SF_ENTRY.at.offset);
    if (own < offset || own % 8 !== 0)
      bad(`list[${i}].offset`, own, `a multiple of 8 from ${offset} on, behind the entry before`);
    offset = Math.max(offset, own) + dataEntrySize(namelen, ftype);
    const name = at + SF_ENTRY.size;
    const wrong = illegalByte(fork, name, name + namelen);
    if (wrong >= 0)
      bad(`list[${i}].name`, hex(fork[name + wrong]), `no '/' and no zero byte (byte ${wrong})`);
    const child = sfIno(v, next - sfInoSize(i8), i8);
    if (!isInoInRange(g, child)) bad(`list[${i}].inumber.${iname}`, child, 'an inode of the filesystem');
    if (child > MAX_SHORT_INUM) big++;
    if (ftype && fork[name + namelen] >= FTYPE_MAX)
      bad(`list[${i}].filetype`, fork[name + namelen], `0 to ${FTYPE_MAX - 1}`);
    at = next;
  }
  if (i8count !== big) bad('hdr.i8count', i8count, `${big}, the inode numbers that pass 32 bits`);
  if (at !== fork.length) bad('hdr.count', count, `entries that fill ${fork.length} bytes; these fill ${at}`);
  const converted = offset + (count + 2) * LEAF_ENTRY.size + BLOCK_TAIL.size;
  if (converted > g.dirblksize)
    bad('hdr.count', count, `entries that fit a directory block of ${g.dirblksize} bytes`);
}

/** One mark for each 8 bytes of a directory block: 1 where an active entry starts, 2 once a leaf entry came. */
const starts = new Uint8Array(65536 / 8);

/**
 * Checks a data block or a block-form directory (`form`). In the block form every name is held against its
 * leaf entry.
 */
export function verifyDirData(
  g: Geometry,
  block: Uint8Array,
  form: 'block' | 'data',
  place: Place,
  report: Report,
): void {
  const bad = badAt(form === 'block' ? 'dir block' : 'dir data', place, report);
  const hdr = form === 'block' ? 'bhdr' : 'dhdr';
  const magic = form === 'block' ? XFS_DIR3_BLOCK_MAGIC : XFS_DIR3_DATA_MAGIC;
  const v = viewOf(block);
  if (v.getUint32(0) !== magic) {
    bad(`${hdr}.hdr.magic`, hex(v.getUint32(0)), hex(magic));
    return;
  }
  verifyIdentity(g, block, DIR3_BLK_HDR.at, `${hdr}.hdr.`, place, bad);

  const size = block.length;
  let end = size;
  if (form === 'block') {
    const count = v.getUint32(size - BLOCK_TAIL.size);
    const stale = v.getUint32(size - BLOCK_TAIL.size + 4);
    const most = Math.floor((size - DIR3_DATA_HDR.size - BLOCK_TAIL.size) / LEAF_ENTRY.size);
    if (count > most) {
      bad('btail.count', count, `at most ${most}`);
      return;
    }
    if (stale > count) bad('btail.stale', stale, `at most count ${count}`);
    end = blockEntriesEnd(size, count);
  }
  const active = verifyEntries(g, block, v, end, form, hdr, bad);
  if (active >= 0 && form === 'block') verifyBlockLeaf(block, v, active, bad);
}

/** Checks entries, free regions and the bestfree table; counts active entries, -1 where the chain breaks. */
function verifyEntries(
  g: Geometry,
  block: Uint8Array,
  v: DataView,
  end: number,
  form: 'block' | 'data',
  hdr: string,
  bad: (field: string, value: number | string, expected: string) => void,
): number {
  const ftype = g.features.ftype;
  const u = form === 'block' ? 'bu' : 'du';
  const bestAt = DIR3_DATA_HDR.at.bestfree;
  const bestOffset = (i: number): number => v.getUint16(bestAt + i * DATA_FREE.size);
  const bestLength = (i: number): number => v.getUint16(bestAt + i * DATA_FREE.size + 2);
  let seen = 0;
  for (let i = 0; i < BESTFREE_COUNT; i++) {
    if (bestLength(i) === 0) {
      seen |= 1 << i;
      if (bestOffset(i) !== 0) bad(`${hdr}.bestfree[${i}].offset`, bestOffset(i), '0 where length is 0');
    }
    if (i > 0 && bestLength(i) > bestLength(i - 1))
      bad(`${hdr}.bestfree[${i}].length`, bestLength(i), `at most ${bestLength(i - 1)}, the one before`);
  }
  if (form === 'block') starts.fill(0, 0, block.length >>> 3);
  // Entries of a directory mostly lead into one AG: the range of the last one looked at saves the divisions.
  let inoFrom = 0;
  let inoTo = 0;
  let active = 0;
  let wasFree = false;
  let at: number = DIR3_DATA_HDR.size;
  for (let index = 0; at < end; index++) {
    if (v.getUint16(at) === DATA_FREE_TAG) {
      const length = v.getUint16(at + 2);
      if (length < 8 || length % 8 !== 0 || at + length > end) {
        bad(`${u}[${index}].length`, length, `a multiple of 8 from 8 to ${end - at}`);
        return -1;
      }
      const tag = v.getUint16(at + length - 2);
      if (tag !== at) bad(`${u}[${index}].tag`, tag, `its own offset ${at}`);
      if (wasFree) bad(`${u}[${index}].freetag`, hex(DATA_FREE_TAG), 'an entry: free regions are merged');
      let listed = false;
      for (let i = 0; i < BESTFREE_COUNT; i++) {
        if (bestLength(i) === 0 || bestOffset(i) !== at) continue;
        if (listed) bad(`${hdr}.bestfree[${i}].offset`, at, 'a region of its own');
        listed = true;
        seen |= 1 << i;
        if (bestLength(i) !== length)
          bad(`${hdr}.bestfree[${i}].length`, bestLength(i), `${length}, the free region's`);
      }
      if (!listed && length > bestLength(BESTFREE_COUNT - 1)) {
        const i = BESTFREE_COUNT - 1;
        bad(`${hdr}.bestfree[${i}].length`, bestLength(i), `at least ${length}, free at offset ${at}`);
      }
      at += length;
      wasFree = true;
      continue;
    }
    wasFree = false;
    // The fixed part and the tag must stand inside before their bytes are believed.
    const namelen = at + DATA_ENTRY.size <= end ? v.getUint8(at + DATA_ENTRY.at.namelen) : 0;
    const length = dataEntrySize(namelen, ftype);
    if (namelen === 0 || at + length > end) {
      bad(`${u}[${index}].namelen`, namelen, `1 to 255, within the ${end - at} bytes left`);
      return -1;
    }
    const ino = getU64(v, at);
    if (ino < inoFrom || ino >= inoTo) {
      if (!isInoInRange(g, ino)) bad(`${u}[${index}].inumber`, ino, 'an inode of the filesystem');
      else {
        const agno = agnoOfIno(g, ino);
        inoFrom = inoOf(g, agno, firstFreeAgbno(g) * g.inopblock);
        inoTo = inoOf(g, agno, agLength(g, agno) * g.inopblock);
      }
    }
    const name = at + DATA_ENTRY.size;
    const wrong = illegalByte(block, name, name + namelen);
    if (wrong >= 0)
      bad(`${u}[${index}].name`, hex(block[name + wrong]), `no '/' and no zero byte (byte ${wrong})`);
    const filetype = dataEntryFtype(v, at, ftype);
    if (filetype >= FTYPE_MAX) bad(`${u}[${index}].filetype`, filetype, `0 to ${FTYPE_MAX - 1}`);
    const tag = v.getUint16(at + length - 2);
    if (tag !== at) bad(`${u}[${index}].tag`, tag, `its own offset ${at}`);
    if (form === 'block') starts[at >>> 3] = 1;
    active++;
    at += length;
  }
  for (let i = 0; i < BESTFREE_COUNT; i++)
    if ((seen & (1 << i)) === 0)
      bad(`${hdr}.bestfree[${i}].offset`, bestOffset(i), 'the offset of a free region');
  return active;
}

/** Holds the leaf entries of a block-form directory against its names. Needs `starts` of the same block. */
function verifyBlockLeaf(
  block: Uint8Array,
  v: DataView,
  active: number,
  bad: (field: string, value: number | string, expected: string) => void,
): void {
  const count = v.getUint32(block.length - BLOCK_TAIL.size);
  const stale = v.getUint32(block.length - BLOCK_TAIL.size + 4);
  const from = blockEntriesEnd(block.length, count);
  let last = 0;
  let nulls = 0;
  for (let i = 0; i < count; i++) {
    const hashval = v.getUint32(from + i * LEAF_ENTRY.size);
    const address = v.getUint32(from + i * LEAF_ENTRY.size + 4);
    if (hashval < last) bad(`bleaf[${i}].hashval`, hex(hashval), `at least ${hex(last)}, the one before`);
    last = hashval;
    if (address === NULL_DATAPTR) {
      nulls++;
      continue;
    }
    const at = addressToByte(address);
    if (at >= from || starts[address] === 0) {
      bad(`bleaf[${i}].address`, hex(address), 'the address of an entry');
      continue;
    }
    if (starts[address] === 2) bad(`bleaf[${i}].address`, hex(address), 'an entry of its own');
    starts[address] = 2;
    const name = at + DATA_ENTRY.size;
    const hash = daHash(block, name, name + v.getUint8(at + DATA_ENTRY.at.namelen));
    if (hash !== hashval) bad(`bleaf[${i}].hashval`, hex(hashval), `${hex(hash)}, the hash of its name`);
  }
  if (nulls !== stale) bad('btail.stale', stale, `${nulls}, the stale leaf entries there are`);
  if (count - nulls !== active)
    bad('btail.count', count, `${active + nulls}, for ${active} entries and ${nulls} stale`);
}

/** What a leaf is held against besides itself. */
export interface LeafExpectations {
  /** Data blocks of the directory, by di_size: bounds addresses and, in a single leaf, gives bestcount. */
  readonly dataBlocks: number;
  /** Highest hash its parent gives it, for leaves of a node-form directory. */
  readonly maxHash?: number;
  /** Fork blocks siblings may have: [first, end). */
  readonly first: number;
  readonly end: number;
}

/** Checks a leaf: the single one of a leaf-form directory (`leaf1`) or one of many (`leafn`). */
export function verifyDirLeaf(
  g: Geometry,
  block: Uint8Array,
  form: 'leaf1' | 'leafn',
  place: Place,
  expect: LeafExpectations,
  report: Report,
): void {
  const bad = badAt('dir leaf', place, report);
  const magic = form === 'leaf1' ? XFS_DIR3_LEAF1_MAGIC : XFS_DIR3_LEAFN_MAGIC;
  if (!verifyBlkinfo(g, block, magic, 'lhdr.info.', place, bad)) return;
  const v = viewOf(block);
  const size = block.length;
  const count = v.getUint16(DIR3_LEAF_HDR.at.count);
  const stale = v.getUint16(DIR3_LEAF_HDR.at.stale);
  let room = maxLeafEntries(size);
  if (form === 'leaf1') {
    for (const link of ['forw', 'back'] as const)
      if (v.getUint32(DA_AT[link]) !== 0)
        bad(`lhdr.info.hdr.${link}`, v.getUint32(DA_AT[link]), '0 in a single leaf');
    const bestcount = v.getUint32(size - LEAF_TAIL.size);
    if (bestcount !== expect.dataBlocks) {
      bad('ltail.bestcount', bestcount, `${expect.dataBlocks}, the directory's data blocks`);
      return;
    }
    const free = size - DIR3_LEAF_HDR.size - LEAF_TAIL.size - bestcount * 2;
    room = Math.floor(free / LEAF_ENTRY.size);
    if (room < 0) {
      bad('ltail.bestcount', bestcount, `as many as fit ${size} bytes`);
      return;
    }
    for (let i = 0; i < bestcount; i++) {
      const best = v.getUint16(size - LEAF_TAIL.size - (bestcount - i) * 2);
      // A hole in the data space has all ones; a block has at most its size less the header.
      if (best !== NULLDATAOFF && (best > size - DIR3_DATA_HDR.size || best % 8 !== 0))
        bad(`lbests[${i}]`, best, `a multiple of 8 up to ${size - DIR3_DATA_HDR.size}`);
    }
  } else verifySiblings(v, 'lhdr', expect, bad);
  if (count > room) {
    bad('lhdr.count', count, `at most ${room}`);
    return;
  }
  if (stale > count) bad('lhdr.stale', stale, `at most count ${count}`);
  const dataEnd = expect.dataBlocks * g.dirblksize;
  let last = 0;
  let nulls = 0;
  for (let i = 0; i < count; i++) {
    const at = DIR3_LEAF_HDR.size + i * LEAF_ENTRY.size;
    const hashval = v.getUint32(at);
    const address = v.getUint32(at + 4);
    if (hashval < last) bad(`lents[${i}].hashval`, hex(hashval), `at least ${hex(last)}, the one before`);
    last = hashval;
    if (address === NULL_DATAPTR) nulls++;
    else if (addressToByte(address) >= dataEnd || addressToByte(address) % g.dirblksize < DIR3_DATA_HDR.size)
      bad(`lents[${i}].address`, hex(address), `an entry's address below ${hex(dataEnd / 8)}`);
  }
  if (nulls !== stale) bad('lhdr.stale', stale, `${nulls}, the stale entries there are`);
  if (expect.maxHash !== undefined && count > 0 && last > expect.maxHash)
    bad(`lents[${count - 1}].hashval`, hex(last), `at most ${hex(expect.maxHash)}, which its parent says`);
}

/** Checks a free-space block; `index` counts them from the start of the free space. */
export function verifyDirFree(
  g: Geometry,
  block: Uint8Array,
  place: Place,
  index: number,
  report: Report,
): void {
  const bad = badAt('dir free', place, report);
  const v = viewOf(block);
  if (v.getUint32(0) !== XFS_DIR3_FREE_MAGIC) {
    bad('fhdr.hdr.magic', hex(v.getUint32(0)), hex(XFS_DIR3_FREE_MAGIC));
    return;
  }
  verifyIdentity(g, block, DIR3_BLK_HDR.at, 'fhdr.hdr.', place, bad);
  const at = DIR3_FREE_HDR.at;
  const room = maxFreeBests(block.length);
  const firstdb = v.getUint32(at.firstdb);
  const nvalid = v.getUint32(at.nvalid);
  const nused = v.getUint32(at.nused);
  if (firstdb !== index * room) bad('fhdr.firstdb', firstdb, `${index * room}, for free block ${index}`);
  if (nused > nvalid) bad('fhdr.nused', nused, `at most nvalid ${nvalid}`);
  if (nvalid > room) {
    bad('fhdr.nvalid', nvalid, `at most ${room}`);
    return;
  }
  let used = 0;
  for (let i = 0; i < nvalid; i++) {
    const best = v.getUint16(DIR3_FREE_HDR.size + i * 2);
    if (best === NULLDATAOFF) continue;
    used++;
    if (best > block.length - DIR3_DATA_HDR.size || best % 8 !== 0)
      bad(`fbests[${i}]`, best, `a multiple of 8 up to ${block.length - DIR3_DATA_HDR.size}`);
  }
  if (used !== nused) bad('fhdr.nused', nused, `${used}, the data blocks it knows`);
}
