/**
 * Extended attributes, changed: set, replaced and removed, in the inode, in a leaf, or under a hash btree,
 * with values too long for a leaf in blocks of their own. An attribute is replaced in one transaction, so
 * none is ever seen incomplete. Times are the caller's. Rules: xfs_attr.c, xfs_attr_leaf.c,
 * xfs_attr_remote.c.
 */
import {
  ATTR_FLAG,
  ATTR_NAMESPACE_MASK,
  ATTR3_RMT_HDR,
  attrHash,
  attrLocalSize,
  attrRemoteBlocks,
  attrRemoteSpace,
  XATTR_SIZE_MAX,
  XFS_ATTR3_LEAF_MAGIC,
  XFS_ATTR3_RMT_MAGIC,
} from '../format/attr.js';
import { verifyAttrRemote } from '../format/attrcheck.js';
import { sealCrc } from '../format/checksum.js';
import { FORK_FORMAT, S_IF } from '../format/dinode.js';
import { throwFault } from '../format/fault.js';
import { blockOffset, fsblockOffset } from '../format/geometry.js';
import { BLFT, ILOG } from '../format/logitems.js';
import { setU64, viewOf } from '../format/structure.js';
import { UnsupportedError } from '../volume/volume.js';
import { addBlockFork, forkoffFor, markAttributes, moveFork } from './attrfork.js';
import { type AttrFound, AttrTree, localRaw, localValue, remoteRaw, remoteValue } from './attrleaf.js';
import { attrShortSize, readAttrShort, type ShortAttr, writeAttrShort } from './attrshort.js';
import { allocateExtent, forkMap, unmapExtent } from './bmap.js';
import { ForkSpace } from './forkspace.js';
import { initBlkinfo } from './hashtree.js';
import type { LiveInode } from './inode.js';
import type { Transaction } from './transaction.js';

const same = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);

function check(tx: Transaction, namespace: number, name: Uint8Array): void {
  if (tx.engine.g.features.parent)
    throw new UnsupportedError('attributes of filesystems with parent pointers');
  if (namespace !== 0 && namespace !== ATTR_FLAG.ROOT && namespace !== ATTR_FLAG.SECURE)
    throw new RangeError(`${namespace} is no namespace of attributes that can be set`);
  if (name.length === 0 || name.length > 255 || name.includes(0))
    throw new RangeError('the name of an attribute has 1 to 255 bytes, none of them zero');
}

/** Whether two are one attribute. Parent pointers of one name differ in their value, the parent. */
const isSame = (a: ShortAttr, b: ShortAttr): boolean =>
  a.flags === b.flags && same(a.name, b.name) && (a.flags !== ATTR_FLAG.PARENT || same(a.value, b.value));

const hashOf = (a: ShortAttr): number => attrHash(a.flags, a.name, a.value);

const NO_VALUE = new Uint8Array(0);

/** The attributes stand in the inode, or there are none. */
const isShort = (inode: LiveInode): boolean =>
  !inode.hasAttrFork || inode.aformat === FORK_FORMAT.LOCAL || inode.naextents === 0;

const readShort = (tx: Transaction, inode: LiveInode): ShortAttr[] =>
  inode.hasAttrFork && inode.aformat === FORK_FORMAT.LOCAL ? readAttrShort(tx.engine.g, inode) : [];

const openTree = (tx: Transaction, inode: LiveInode): AttrTree =>
  new AttrTree(new ForkSpace(tx, inode, 'attr'));

/**
 * Sets an attribute, new or not. `namespace`: 0 (user), ATTR_FLAG.ROOT or ATTR_FLAG.SECURE; `name` without
 * prefix, 1 to 255 bytes; `value` up to 64 KiB. Throws RangeError for what the format does not hold,
 * NoSpaceError, CorruptionError.
 */
export function setAttr(
  tx: Transaction,
  inode: LiveInode,
  namespace: number,
  name: Uint8Array,
  value: Uint8Array,
): void {
  check(tx, namespace, name);
  if (value.length > XATTR_SIZE_MAX)
    throw new RangeError(`an attribute value of ${value.length} bytes: at most ${XATTR_SIZE_MAX}`);
  writeAttr(tx, inode, { flags: namespace, name, value });
}

/** The same for parent pointers too, without a look at what may be set: for what the log asks for. */
export function writeAttr(tx: Transaction, inode: LiveInode, attr: ShortAttr): void {
  if (isShort(inode)) {
    const attrs = readShort(tx, inode).filter((a) => !isSame(a, attr));
    const all = [...attrs, attr];
    const forkoff = forkoffFor(tx, inode, attrShortSize(all));
    markAttributes(tx);
    if (forkoff !== undefined) {
      if (forkoff * 8 !== inode.attrAt - inode.dataAt) moveFork(tx, inode, forkoff);
      writeAttrShort(tx, inode, all);
      return;
    }
    shortToLeaf(tx, inode);
    for (const a of attrs) insert(tx, inode, a);
  } else {
    const tree = openTree(tx, inode);
    const found = findIn(tree, attr);
    if (found !== undefined) {
      tx.editInode(inode);
      const old = remoteValue(found.attrs[found.index]);
      if (old !== undefined) readValue(tx, tree.space, old);
      tree.remove(found);
      if (old !== undefined) freeValue(tx, inode, old);
    }
  }
  insert(tx, inode, attr);
}

const findIn = (tree: AttrTree, attr: ShortAttr): AttrFound | undefined =>
  tree.find(
    hashOf(attr),
    attr.flags,
    attr.name,
    ATTR_NAMESPACE_MASK,
    attr.flags === ATTR_FLAG.PARENT ? attr.value : undefined,
  );

/** Removes an attribute. False where it is not there. Throws CorruptionError. */
export function removeAttr(tx: Transaction, inode: LiveInode, namespace: number, name: Uint8Array): boolean {
  check(tx, namespace, name);
  return dropAttr(tx, inode, { flags: namespace, name, value: NO_VALUE });
}

/** The same for parent pointers too, told by their value. */
export function dropAttr(tx: Transaction, inode: LiveInode, attr: ShortAttr): boolean {
  if (isShort(inode)) {
    const attrs = readShort(tx, inode);
    const left = attrs.filter((a) => !isSame(a, attr));
    if (left.length === attrs.length) return false;
    if (left.length > 0) writeAttrShort(tx, inode, left);
    else removeFork(tx, inode);
    return true;
  }
  const tree = openTree(tx, inode);
  const found = findIn(tree, attr);
  if (found === undefined) return false;
  tx.editInode(inode);
  const old = remoteValue(found.attrs[found.index]);
  if (old !== undefined) readValue(tx, tree.space, old);
  const empty = tree.remove(found);
  if (old !== undefined) freeValue(tx, inode, old);
  if (empty) {
    tree.space.remove(0);
    removeFork(tx, inode);
  }
  return true;
}

/** The value of an attribute as it is now; undefined where it is not there. Throws CorruptionError. */
export function getAttr(
  tx: Transaction,
  inode: LiveInode,
  namespace: number,
  name: Uint8Array,
): Uint8Array | undefined {
  check(tx, namespace, name);
  if (isShort(inode))
    return readShort(tx, inode).find((a) => a.flags === namespace && same(a.name, name))?.value;
  const tree = openTree(tx, inode);
  const found = findIn(tree, { flags: namespace, name, value: NO_VALUE });
  if (found === undefined) return undefined;
  const attr = found.attrs[found.index];
  const remote = remoteValue(attr);
  return remote === undefined ? localValue(attr) : readValue(tx, tree.space, remote);
}

/** Reads a value from its blocks, which must be blocks of this value. Throws CorruptionError. */
function readValue(
  tx: Transaction,
  space: ForkSpace,
  { valueblk, valuelen }: { valueblk: number; valuelen: number },
): Uint8Array {
  const { source, g } = tx.engine;
  const room = attrRemoteSpace(g.blocksize);
  const value = new Uint8Array(valuelen);
  const block = new Uint8Array(g.blocksize);
  for (let i = 0; i < attrRemoteBlocks(valuelen, g.blocksize); i++) {
    const place = space.placeOf(valueblk + i);
    source.read(blockOffset(g, place.agno, place.agbno), block);
    const bytes = Math.min(room, valuelen - i * room);
    verifyAttrRemote(g, block, place, i * room, bytes, throwFault);
    value.set(block.subarray(ATTR3_RMT_HDR.size, ATTR3_RMT_HDR.size + bytes), i * room);
  }
  return value;
}

/** The last attribute is gone, and its fork, which maps nothing, with it. */
function removeFork(tx: Transaction, inode: LiveInode): void {
  // Beside a bmbt the fork stays, for its size is what the root is laid out by; and xfs_repair takes a link
  // for damaged whose target has left the inode and would fit it.
  if (inode.format === FORK_FORMAT.BTREE || (inode.type === S_IF.LNK && inode.format !== FORK_FORMAT.LOCAL)) {
    writeAttrShort(tx, inode, []);
    return;
  }
  tx.editInode(inode, ILOG.CORE);
  tx.onAbort(() => inode.forget());
  inode.buffer.bytes.fill(0, inode.attrAt, inode.base + inode.inodesize);
  inode.setFormat('attr', FORK_FORMAT.EXTENTS);
  inode.setExtentCount('attr', 0);
  moveFork(tx, inode, 0);
  inode.forget();
}

/** The attributes leave the inode: the fork maps one leaf, with nothing in it. */
function shortToLeaf(tx: Transaction, inode: LiveInode): void {
  addBlockFork(tx, inode);
  tx.editInode(inode, ILOG.AEXT);
  tx.onAbort(() => inode.forget());
  inode.buffer.bytes.fill(0, inode.attrAt, inode.base + inode.inodesize);
  inode.setFormat('attr', FORK_FORMAT.EXTENTS);
  inode.setExtentCount('attr', 0);
  inode.forget();
  const space = new ForkSpace(tx, inode, 'attr');
  const leaf = space.add(0, BLFT.ATTR_LEAF);
  initBlkinfo(space, leaf, XFS_ATTR3_LEAF_MAGIC, 0, 0);
}

/** Puts an attribute that is not there into the tree; what takes three quarters of a block is remote. */
function insert(tx: Transaction, inode: LiveInode, a: ShortAttr): void {
  const { blocksize } = tx.engine.g;
  tx.editInode(inode);
  const tree = openTree(tx, inode);
  const hash = hashOf(a);
  if (attrLocalSize(a.name.length, a.value.length) < (blocksize >> 1) + (blocksize >> 2))
    tree.insert({ hash, flags: a.flags | ATTR_FLAG.LOCAL, raw: localRaw(a.name, a.value) });
  else {
    const valueblk = writeValue(tx, inode, a.value);
    tree.insert({ hash, flags: a.flags, raw: remoteRaw(a.name, valueblk, a.value.length) });
  }
}

/**
 * Writes a value into blocks of the fork that follow each other there. Like file data it is not logged, but
 * is in place before the transaction is. Returns the first block.
 */
function writeValue(tx: Transaction, inode: LiveInode, value: Uint8Array): number {
  const { engine } = tx;
  const { g } = engine;
  const room = attrRemoteSpace(g.blocksize);
  const count = attrRemoteBlocks(value.length, g.blocksize);
  let first = 1;
  for (const e of forkMap(tx, inode, 'attr').extents) {
    if (e.offset >= first + count) break;
    first = Math.max(first, e.offset + e.blocks);
  }
  for (let done = 0; done < count; ) {
    const got = allocateExtent(tx, inode, 'attr', first + done, count - done);
    for (let i = 0; i < got.blocks; i++, done++) {
      const block = new Uint8Array(g.blocksize);
      const v = viewOf(block);
      const part = value.subarray(done * room, (done + 1) * room);
      v.setUint32(ATTR3_RMT_HDR.at.magic, XFS_ATTR3_RMT_MAGIC);
      v.setUint32(ATTR3_RMT_HDR.at.offset, done * room);
      v.setUint32(ATTR3_RMT_HDR.at.bytes, part.length);
      block.set(g.metaUuidBytes, ATTR3_RMT_HDR.at.uuid);
      setU64(v, ATTR3_RMT_HDR.at.owner, inode.ino);
      setU64(v, ATTR3_RMT_HDR.at.bno, fsblockOffset(g, got.fsblock + i) / 512);
      // No checkpoint holds it: an LSN of all ones, as Linux writes.
      block.fill(0xff, ATTR3_RMT_HDR.at.lsn, ATTR3_RMT_HDR.at.lsn + 8);
      block.set(part, ATTR3_RMT_HDR.size);
      sealCrc(block, ATTR3_RMT_HDR.at.crc);
      engine.writeData(got.fsblock + i, block);
    }
  }
  return first;
}

/** Gives the blocks of a value back. They were never logged: nothing has to be cancelled. */
function freeValue(tx: Transaction, inode: LiveInode, value: { valueblk: number; valuelen: number }): void {
  if (value.valueblk === 0 || value.valuelen === 0) return;
  const blocks = attrRemoteBlocks(Math.min(value.valuelen, XATTR_SIZE_MAX), tx.engine.g.blocksize);
  unmapExtent(tx, inode, 'attr', value.valueblk, blocks);
}
