/**
 * Attribute forks saved attribute by attribute: a name is believed where the hash stored for it is its own, a
 * value where its bytes are bounded on both sides. The hash btree above the leaves is not needed for that, and
 * is built anew.
 */
import { type NewAttr, planAttrs, shortFormAttrSize, shortFormAttrs, writeAttrs } from '../../build/attr.js';
import { isAclName, isAclValue } from '../../format/acl.js';
import { sameUuid } from '../../format/ag.js';
import {
  ATTR_FLAG,
  ATTR_LEAF_ENTRY,
  ATTR_NAME_LOCAL,
  ATTR_NAME_REMOTE,
  ATTR_NAMESPACE_MASK,
  ATTR3_LEAF_HDR,
  ATTR3_RMT_HDR,
  attrHash,
  attrLocalSize,
  attrNamespace,
  attrRemoteBlocks,
  attrRemoteSize,
  attrRemoteSpace,
  PARENT_REC,
  XATTR_SIZE_MAX,
  XFS_ATTR3_LEAF_MAGIC,
  XFS_ATTR3_RMT_MAGIC,
} from '../../format/attr.js';
import { crcHolds } from '../../format/checksum.js';
import { DA_AT, daHash, XFS_DA3_NODE_MAGIC } from '../../format/da.js';
import { FORK_FORMAT } from '../../format/dinode.js';
import { blockOffset } from '../../format/geometry.js';
import { getU64 } from '../../format/structure.js';
import { ForkBlocks } from '../../volume/forkblocks.js';
import { type Inode, readInode } from '../../volume/inode.js';
import { bytesOf, type Volume } from '../../volume/volume.js';
import { buildNewFork, replaceFork, takeBlocks, targetOf } from './newfork.js';
import { FIXED_NAMESPACE, isPlain, salvageShortForm } from './shortattrs.js';
import type { FreeSpace } from './space.js';

/** What was saved of a fork, and the names of what was not. */
export interface SalvagedAttrs {
  readonly attrs: NewAttr[];
  /** Names of attributes that could not be saved, as far as they can be read. */
  readonly lost: string[];
}

/** All attributes that can be believed. */
export function salvageAttrs(volume: Volume, ino: number): SalvagedAttrs {
  const inode = readInode(volume, ino, { verify: false });
  const out = new Collector();
  if (inode.hasAttrFork && inode.aformat === FORK_FORMAT.LOCAL) {
    const from = inode.view.byteOffset + inode.attrAt;
    salvageShortForm(new Uint8Array(inode.view.buffer as ArrayBuffer, from, inode.attrSize), out);
  } else if (inode.hasAttrFork) new LeafSalvage(volume, inode, out).run();
  return out;
}

class Collector implements SalvagedAttrs {
  readonly attrs: NewAttr[] = [];
  readonly lost: string[] = [];
  readonly #names = new Set<string>();

  take(flags: number, name: Uint8Array, value: Uint8Array): void {
    const namespace = flags & ATTR_NAMESPACE_MASK;
    if (isAclName(namespace, name) && !isAclValue(value)) {
      this.lose(name);
      return;
    }
    // Parent pointers repeat names: the value is part of what they are known by.
    const more = namespace === ATTR_FLAG.PARENT ? Buffer.from(value).toString('hex') : '';
    const key = `${namespace} ${Buffer.from(name).toString('latin1')} ${more}`;
    if (this.#names.has(key)) return;
    this.#names.add(key);
    this.attrs.push({ flags: namespace, name: name.slice(), value: value.slice() });
  }

  lose(name: Uint8Array): void {
    this.lost.push(Buffer.from(name).toString('utf8'));
  }
}

/** Writes attributes into the inode where they fit, else into blocks of the fork. */
export function writeAttrFork(
  volume: Volume,
  space: FreeSpace,
  ino: number,
  attrs: readonly NewAttr[],
): void {
  const { g } = volume;
  const room = readInode(volume, ino, { verify: false }).attrSize;
  if (attrs.length === 0) {
    const bytes = new Uint8Array(0);
    replaceFork(volume, space, ino, 'attr', { format: FORK_FORMAT.EXTENTS, bytes, extents: 0, blocks: 0 });
    return;
  }
  const size = shortFormAttrSize(attrs);
  if (size !== undefined && size <= room) {
    const bytes = shortFormAttrs(attrs);
    replaceFork(volume, space, ino, 'attr', { format: FORK_FORMAT.LOCAL, bytes, extents: 0, blocks: 0 });
    return;
  }
  const plan = planAttrs(g, attrs);
  const list = takeBlocks(volume, space, ino, 'attr', [{ offset: 0, count: plan.blocks }]);
  writeAttrs(g, ino, plan, targetOf(volume, list));
  const built = buildNewFork(volume, space, { ino, fork: 'attr' }, list, room);
  replaceFork(volume, space, ino, 'attr', { ...built, blocks: list.total + built.treeBlocks });
}

// Leaves.

/** A stretch of remote value blocks that continue each other from offset 0. */
interface RemoteRun {
  readonly start: number;
  bytes: number;
  blocks: number;
}

interface Pending {
  readonly flags: number;
  readonly name: Uint8Array;
  readonly valueblk: number;
  readonly valuelen: number;
}

class LeafSalvage {
  readonly #volume: Volume;
  readonly #ino: number;
  readonly #blocks: ForkBlocks;
  readonly #out: Collector;
  readonly #runs = new Map<number, RemoteRun>();
  readonly #used = new Set<number>();
  /** Whether the filesystem has parent pointers. */
  readonly #parents: boolean;

  constructor(volume: Volume, inode: Inode, out: Collector) {
    this.#volume = volume;
    this.#ino = inode.ino;
    this.#out = out;
    this.#parents = volume.g.features.parent;
    this.#blocks = new ForkBlocks(volume, inode, 'attr', () => {});
  }

  run(): void {
    const { extents } = this.#blocks;
    const remote: Pending[] = [];
    let run: RemoteRun | undefined;
    for (let i = 0; i < extents.count; i++)
      for (let at = extents.offset[i]; at < extents.offset[i] + extents.blocks[i]; at++) {
        const v = this.#blocks.read(at);
        if (v === undefined) continue;
        run = this.#remoteBlock(v, at, run);
        if (run === undefined && this.#isLeaf(v, at)) this.#leaf(v, remote);
      }
    const left: Pending[] = [];
    for (const p of remote) {
      const value = this.#valueAt(p);
      if (value === undefined) left.push(p);
      else this.#out.take(p.flags, p.name, value);
    }
    for (const p of left) {
      const value = this.#valueElsewhere(p);
      if (value === undefined) this.#out.lose(p.name);
      else this.#out.take(p.flags, p.name, value);
    }
  }

  /** Identity of a block of the fork: how many of UUID, owner and own address hold. */
  #identity(v: DataView, at: number, where: { uuid: number; owner: number; bno: number }): number {
    const { g } = this.#volume;
    const place = this.#blocks.place(at);
    if (place === undefined) return 0;
    return [
      sameUuid(g, bytesOf(v), where.uuid),
      getU64(v, where.owner) === this.#ino,
      getU64(v, where.bno) === blockOffset(g, place.agno, place.agbno) / 512,
    ].filter((s) => s).length;
  }

  /** One sign of five may be damaged, and a node of the tree above the leaves is none. */
  #isLeaf(v: DataView, at: number): boolean {
    if (v.getUint16(DA_AT.magic) === XFS_DA3_NODE_MAGIC) return false;
    const magic = v.getUint16(DA_AT.magic) === XFS_ATTR3_LEAF_MAGIC ? 1 : 0;
    const crc = crcHolds(bytesOf(v), DA_AT.crc) ? 1 : 0;
    return this.#identity(v, at, DA_AT) + magic + crc >= 4;
  }

  /** Follows the runs of value blocks; the run this block belongs to, if any. */
  #remoteBlock(v: DataView, at: number, run: RemoteRun | undefined): RemoteRun | undefined {
    const A = ATTR3_RMT_HDR.at;
    const magic = v.getUint32(A.magic) === XFS_ATTR3_RMT_MAGIC ? 1 : 0;
    if (this.#identity(v, at, A) + magic < 3) return undefined;
    const offset = v.getUint32(A.offset);
    const bytes = v.getUint32(A.bytes);
    if (bytes === 0 || bytes > attrRemoteSpace(this.#volume.g.blocksize)) return undefined;
    if (run !== undefined && run.start + run.blocks === at && run.bytes === offset) {
      run.bytes += bytes;
      run.blocks++;
      return run;
    }
    const next = { start: at, bytes, blocks: 1 };
    if (offset === 0) this.#runs.set(at, next);
    return next;
  }

  /** The value where the leaf says it is: of each block's seven signs one may be damaged. */
  #valueAt(p: Pending): Uint8Array | undefined {
    const length = this.#length(p);
    if (length === undefined) return undefined;
    const { g } = this.#volume;
    const A = ATTR3_RMT_HDR.at;
    const space = attrRemoteSpace(g.blocksize);
    for (let i = 0; i * space < length; i++) {
      const v = this.#blocks.read(p.valueblk + i);
      if (v === undefined) return undefined;
      const signs = [
        v.getUint32(A.magic) === XFS_ATTR3_RMT_MAGIC,
        v.getUint32(A.offset) === i * space,
        v.getUint32(A.bytes) === Math.min(space, length - i * space),
        crcHolds(bytesOf(v), A.crc),
      ].filter((s) => s).length;
      if (this.#identity(v, p.valueblk + i, A) + signs < 6) return undefined;
    }
    return this.#gather(p.valueblk, length);
  }

  /**
   * How long a value is: the leaf says it, and the headers of its blocks. Where they do not agree, what stands
   * behind the value tells: it is zeros.
   */
  #length(p: Pending): number | undefined {
    const { blocksize } = this.#volume.g;
    const run = this.#runs.get(p.valueblk);
    const inLeaf = p.valuelen > 0 && p.valuelen <= XATTR_SIZE_MAX ? p.valuelen : undefined;
    if (run === undefined || run.bytes === inLeaf || run.bytes > XATTR_SIZE_MAX) return inLeaf;
    if (inLeaf === undefined) return run.bytes;
    const space = attrRemoteSpace(blocksize);
    const blocks = attrRemoteBlocks(inLeaf, blocksize);
    // A header that is wrong in the middle of a value cuts its run short.
    if (blocks !== run.blocks) return run.blocks < blocks && run.bytes % space !== 0 ? inLeaf : run.bytes;
    const last = this.#blocks.read(p.valueblk + blocks - 1);
    if (last === undefined) return undefined;
    let end = last.byteLength;
    while (end > ATTR3_RMT_HDR.size && last.getUint8(end - 1) === 0) end--;
    const least = (blocks - 1) * space + end - ATTR3_RMT_HDR.size;
    if (run.bytes === least) return run.bytes;
    return inLeaf >= least ? inLeaf : run.bytes;
  }

  /** A value of the right length that no name leads to, where there is one such. */
  #valueElsewhere(p: Pending): Uint8Array | undefined {
    const free = [...this.#runs.values()].filter((r) => !this.#used.has(r.start) && r.bytes === p.valuelen);
    return free.length === 1 ? this.#gather(free[0].start, free[0].bytes) : undefined;
  }

  #gather(start: number, length: number): Uint8Array {
    const value = new Uint8Array(length);
    const space = attrRemoteSpace(this.#volume.g.blocksize);
    for (let i = 0; i * space < length; i++) {
      const v = this.#blocks.read(start + i);
      const bytes = Math.min(space, length - i * space);
      if (v !== undefined)
        value.set(bytesOf(v).subarray(ATTR3_RMT_HDR.size, ATTR3_RMT_HDR.size + bytes), i * space);
    }
    this.#used.add(start);
    return value;
  }

  #leaf(v: DataView, remote: Pending[]): void {
    const size = v.byteLength;
    const bytes = bytesOf(v);
    const count = v.getUint16(ATTR3_LEAF_HDR.at.count);
    const room = Math.floor((size - ATTR3_LEAF_HDR.size) / ATTR_LEAF_ENTRY.size);
    const entryAt = (i: number): number => ATTR3_LEAF_HDR.size + i * ATTR_LEAF_ENTRY.size;
    // Where names start: a value that has no other end reaches to the next.
    const starts: number[] = [];
    let n = 0;
    for (; n < room; n++) {
      const nameidx = v.getUint16(entryAt(n) + ATTR_LEAF_ENTRY.at.nameidx);
      const empty = nameidx === 0 && v.getUint32(entryAt(n)) === 0;
      if (empty || (n >= count && readName(bytes, v, entryAt(n), nameidx, this.#parents) === undefined))
        break;
      starts.push(nameidx);
    }
    const found: (Placed | undefined)[] = [];
    for (let i = 0; i < n; i++) found.push(this.#entry(bytes, v, entryAt(i), starts, i, n));
    // Behind the last entry others may stand that were moved to another leaf.
    const sum = new UsedBytes(found, count, v.getUint16(ATTR3_LEAF_HDR.at.usedbytes));
    found.length = sum.count;
    const places = found.flatMap((f) => (f === undefined ? [] : [f.at])).sort((a, b) => a - b);
    found.forEach((f, i) => {
      const flags = v.getUint8(entryAt(i) + ATTR_LEAF_ENTRY.at.flags);
      const doubtful = f !== undefined && sum.doubts(f, places.find((p) => p > f.at) ?? bytes.length);
      const name = doubtful ? boundValue(bytes, f.name, f.at, places) : f?.name;
      // One that was being made or removed goes; Linux marks those alone that have a twin or a remote value.
      if (name !== undefined && isUnfinished(flags, name, found)) return;
      if (name === undefined) {
        const nameidx = v.getUint16(entryAt(i) + ATTR_LEAF_ENTRY.at.nameidx);
        this.#out.lose(bytes.subarray(nameidx + 3, nameidx + 3 + (bytes[nameidx + 2] ?? 0)));
      } else if (name.value !== undefined) this.#out.take(name.flags, name.name, name.value);
      else remote.push(name);
    });
  }

  #entry(
    bytes: Uint8Array,
    v: DataView,
    entry: number,
    starts: readonly number[],
    i: number,
    n: number,
  ): Placed | undefined {
    const nameidx = v.getUint16(entry + ATTR_LEAF_ENTRY.at.nameidx);
    const straight =
      readName(bytes, v, entry, nameidx, this.#parents) ??
      withNamelen(bytes, v, entry, nameidx, this.#parents);
    if (straight !== undefined) return { name: straight, at: nameidx };
    // The name may stand elsewhere: its hash tells it among the bytes that are nobody's.
    for (let at = ATTR3_LEAF_HDR.size + n * ATTR_LEAF_ENTRY.size; at < bytes.length; at += 4) {
      if (starts.includes(at)) continue;
      const moved = readName(bytes, v, entry, at, this.#parents);
      if (moved !== undefined) return { name: moved, at };
    }
    // The hash itself may be the damaged field: the name's own must lie between those of its neighbours.
    const name = parseName(bytes, v, nameidx, v.getUint8(entry + ATTR_LEAF_ENTRY.at.flags), this.#parents);
    if (name === undefined || !isPlain(name.name)) return undefined;
    const hash = attrHash(name.flags, name.name, name.value);
    const before = i > 0 ? v.getUint32(entry - ATTR_LEAF_ENTRY.size) : 0;
    const after = i < n - 1 ? v.getUint32(entry + ATTR_LEAF_ENTRY.size) : 0xffff_ffff;
    return hash >= before && hash <= after ? { name, at: nameidx } : undefined;
  }
}

const KNOWN = ATTR_NAMESPACE_MASK | ATTR_FLAG.LOCAL | ATTR_FLAG.INCOMPLETE;

interface Name {
  readonly flags: number;
  readonly name: Uint8Array;
  /** The value, where it stands beside the name. */
  readonly value: Uint8Array | undefined;
  readonly valueblk: number;
  readonly valuelen: number;
}

/** A name and the byte of its leaf at which it stands. */
interface Placed {
  readonly name: Name;
  readonly at: number;
}

const sizeOf = ({ name, value, valuelen }: Name): number =>
  value === undefined ? attrRemoteSize(name.length) : attrLocalSize(name.length, valuelen);

/** What the header says that names and values take in all: it vouches for their lengths, and for their count. */
class UsedBytes {
  /** Entries of the leaf, of those that could be. */
  readonly count: number;
  /** Bytes that the lengths are short of; undefined where they do not add up for another reason. */
  readonly #missing: number | undefined;

  constructor(found: readonly (Placed | undefined)[], count: number, used: number) {
    let sum = 0;
    const sums = [0, ...found.map((f) => (sum += f === undefined ? Number.NaN : sizeOf(f.name)))];
    const fits = sums[count] === used ? count : sums.lastIndexOf(used);
    this.count = fits > 0 ? fits : found.length;
    const missing = fits > 0 ? 0 : used - (sums[count] ?? Number.NaN);
    this.#missing = Number.isNaN(missing) ? undefined : missing;
  }

  /** Whether the length of a value may be wrong that has room up to `next`. */
  doubts({ name, at }: Placed, next: number): boolean {
    const size = sizeOf(name);
    if (at + size > next || this.#missing === undefined) return true;
    // One length is wrong if with what is missing it would fit; none is where the sum cannot be one.
    const should = size + this.#missing;
    return this.#missing !== 0 && this.#missing % 4 === 0 && should > 0 && at + should <= next;
  }
}

/** Whether Linux can have left an attribute unfinished: see xfs_attr_leaf.c for when it sets the flag. */
function isUnfinished(flags: number, name: Name, all: readonly (Placed | undefined)[]): boolean {
  if ((flags & ATTR_FLAG.INCOMPLETE) === 0 || (flags & ~KNOWN) !== 0) return false;
  if (name.value === undefined) return true;
  return all.some((o) => o !== undefined && o.name !== name && Buffer.compare(o.name.name, name.name) === 0);
}

/** The namespace that flags mean; undefined where more of them is damaged than one bit. */
function namespaceOf(flags: number, parents: boolean): number | undefined {
  const known = parents ? KNOWN : KNOWN & ~ATTR_FLAG.PARENT;
  const strange = flags & ~known;
  if ((strange & (strange - 1)) !== 0) return undefined;
  const namespace = flags & known & ATTR_NAMESPACE_MASK;
  return attrNamespace(namespace) === undefined ? undefined : namespace;
}

/** A name and value as `flags` say they stand at `at`; `length` in place of the stored length of the name. */
function parseName(
  bytes: Uint8Array,
  v: DataView,
  at: number,
  flags: number,
  parents: boolean,
  length?: number,
): Name | undefined {
  const local = (flags & ATTR_FLAG.LOCAL) !== 0;
  const fixed = local ? ATTR_NAME_LOCAL.size : ATTR_NAME_REMOTE.size;
  if (at % 4 !== 0 || at < ATTR3_LEAF_HDR.size || at + fixed >= bytes.length) return undefined;
  const namelen = length ?? bytes[at + fixed - 1];
  const end = at + fixed + namelen;
  if (namelen === 0 || end > bytes.length) return undefined;
  const name = bytes.subarray(at + fixed, end);
  const namespace = FIXED_NAMESPACE.get(Buffer.from(name).toString('latin1')) ?? namespaceOf(flags, parents);
  if (namespace === undefined) return undefined;
  if (!local) {
    const valueblk = v.getUint32(at);
    return { flags: namespace, name, value: undefined, valueblk, valuelen: v.getUint32(at + 4) };
  }
  const valuelen = v.getUint16(at);
  if (namespace === ATTR_FLAG.PARENT && valuelen !== PARENT_REC.size) return undefined;
  return { flags: namespace, name, value: bytes.subarray(end, end + valuelen), valueblk: 0, valuelen };
}

/** The name at `at` if the entry's hash is its own, with the flags as they are or the place of the value turned. */
function readName(
  bytes: Uint8Array,
  v: DataView,
  entry: number,
  at: number,
  parents: boolean,
): Name | undefined {
  const hash = v.getUint32(entry);
  const flags = v.getUint8(entry + ATTR_LEAF_ENTRY.at.flags);
  for (const f of [flags, flags ^ ATTR_FLAG.LOCAL]) {
    const name = parseName(bytes, v, at, f, parents);
    if (name !== undefined && attrHash(name.flags, name.name, name.value) === hash) return name;
  }
  return undefined;
}

/** The same where the length of the name is the damaged field: the hash tells it. */
function withNamelen(
  bytes: Uint8Array,
  v: DataView,
  entry: number,
  at: number,
  parents: boolean,
): Name | undefined {
  const hash = v.getUint32(entry);
  const flags = v.getUint8(entry + ATTR_LEAF_ENTRY.at.flags);
  for (let length = 1; length <= 255; length++) {
    const name = parseName(bytes, v, at, flags, parents, length);
    if (name === undefined) return undefined;
    if (daHash(name.name) === hash) return name;
  }
  return undefined;
}

/**
 * Holds a value against the room it has up to the next name. Where its length is wrong, the right one is taken
 * if it differs from it in one bit or by one; undefined where that does not tell.
 */
function boundValue(bytes: Uint8Array, name: Name, at: number, starts: readonly number[]): Name | undefined {
  if (name.value === undefined) return name;
  const next = starts.find((s) => s > at) ?? bytes.length;
  const head = ATTR_NAME_LOCAL.size + name.name.length;
  const size = attrLocalSize(name.name.length, name.valuelen);
  if (at + size === next) return name;
  // A gap before the next name is where another was removed: zeros.
  if (at + size < next && bytes.subarray(at + size, next).every((b) => b === 0)) return name;
  const fits = [0, 1, 2, 3]
    .map((pad) => next - at - head - pad)
    .filter((n) => n >= 0 && bytes.subarray(at + head + n, next).every((b) => b === 0));
  const nearly = fits.filter((n) => isNearly(n, name.valuelen));
  // Text ends before the zeros that fill up its room.
  const acls = isAclName(name.flags, name.name)
    ? fits.filter((n) => isAclValue(bytes.subarray(at + head, at + head + n)))
    : [];
  const shortest = Math.min(...fits);
  const isText = fits.length > 0 && bytes.subarray(at + head, at + head + shortest).every((b) => b >= 0x20);
  const near =
    acls.length === 1
      ? acls
      : fits.length === 1
        ? fits
        : nearly.length === 1
          ? nearly
          : isText
            ? [shortest]
            : [];
  if (near.length !== 1) return undefined;
  const from = at + head;
  return { ...name, value: bytes.subarray(from, from + near[0]), valuelen: near[0] };
}

const isNearly = (a: number, b: number): boolean => {
  const x = a ^ b;
  return Math.abs(a - b) === 1 || (x & (x - 1)) === 0;
};
