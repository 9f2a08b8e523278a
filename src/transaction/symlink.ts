/**
 * Targets of symbolic links while the filesystem is being changed: in the inode where they fit it, else in
 * blocks, each extent one buffer behind a header of its own. Rules: xfs_symlink.c.
 */
import { FORK_FORMAT } from '../format/dinode.js';
import { CorruptionError, throwFault } from '../format/fault.js';
import { agbnoOfFsblock, agnoOfFsblock, fsblockOffset } from '../format/geometry.js';
import { BLFT, ILOG } from '../format/logitems.js';
import { setU64 } from '../format/structure.js';
import {
  SYMLINK_HDR,
  SYMLINK_MAXLEN,
  symlinkSpace,
  verifySymlink,
  XFS_SYMLINK_MAGIC,
} from '../format/symlink.js';
import { allocateExtent, type Extent, forkMap } from './bmap.js';
import type { LiveInode } from './inode.js';
import type { Transaction } from './transaction.js';

/** Gives a new link, whose data fork is empty, its target of 1 to 1023 bytes. Throws NoSpaceError. */
export function setTarget(tx: Transaction, link: LiveInode, target: Uint8Array): void {
  if (target.length < 1 || target.length >= SYMLINK_MAXLEN || target.includes(0))
    throw new RangeError(`a target of ${target.length} bytes: 1 to ${SYMLINK_MAXLEN - 1}, none of them zero`);
  if (target.length <= link.dataSize) {
    tx.editInode(link, ILOG.DDATA);
    tx.onAbort(() => link.forget());
    link.setFormat('data', FORK_FORMAT.LOCAL);
    link.buffer.bytes.fill(0, link.dataAt, link.dataAt + link.dataSize);
    link.buffer.bytes.set(target, link.dataAt);
    link.forget();
  } else writeTarget(tx, link, target);
  link.setSize(target.length);
}

/** Puts a target into blocks; the data fork must be an empty list of extents. Throws NoSpaceError. */
export function writeTarget(tx: Transaction, link: LiveInode, target: Uint8Array): void {
  const { g } = tx.engine;
  const blocks = Math.ceil(target.length / symlinkSpace(g.blocksize));
  let written = 0;
  for (let at = 0; at < blocks; ) {
    const e = allocateExtent(tx, link, 'data', at, blocks - at, { metadata: true });
    const b = tx.fresh(fsblockOffset(g, e.fsblock), e.blocks * g.blocksize, BLFT.SYMLINK);
    const part = target.subarray(written, written + symlinkSpace(b.length));
    b.view.setUint32(SYMLINK_HDR.at.magic, XFS_SYMLINK_MAGIC);
    b.view.setUint32(SYMLINK_HDR.at.offset, written);
    b.view.setUint32(SYMLINK_HDR.at.bytes, part.length);
    b.bytes.set(g.metaUuidBytes, SYMLINK_HDR.at.uuid);
    setU64(b.view, SYMLINK_HDR.at.owner, link.ino);
    setU64(b.view, SYMLINK_HDR.at.bno, b.daddr);
    b.bytes.set(part, SYMLINK_HDR.size);
    written += part.length;
    at += e.blocks;
  }
}

/** The target of a link. Throws CorruptionError. */
export function targetOf(tx: Transaction, link: LiveInode): Uint8Array {
  const { engine } = tx;
  const { g } = engine;
  const { size, ino } = link;
  const bad = (field: string, value: number, expected: string): never => {
    throw new CorruptionError({ structure: 'symlink', ino, field, value, expected });
  };
  if (size < 1 || size > SYMLINK_MAXLEN) bad('size', size, `1 to ${SYMLINK_MAXLEN}`);
  if (link.format === FORK_FORMAT.LOCAL) {
    if (size > link.dataSize) bad('size', size, `at most ${link.dataSize} in the inode itself`);
    return link.buffer.bytes.slice(link.dataAt, link.dataAt + size);
  }
  const target = new Uint8Array(size);
  let done = 0;
  for (const e of forkMap(tx, link, 'data').extents) {
    if (done === size) break;
    const part = Math.min(symlinkSpace(e.blocks * g.blocksize), size - done);
    target.set(readPart(tx, ino, e, done, part), done);
    done += part;
  }
  if (done < size) bad('size', size, `${done}, the bytes its blocks hold`);
  return target;
}

function readPart(tx: Transaction, ino: number, e: Extent, offset: number, bytes: number): Uint8Array {
  const { engine } = tx;
  const { g } = engine;
  const at = fsblockOffset(g, e.fsblock);
  // As long as it is not in place its checksum is not either.
  const held = engine.buffers.peek(at, e.blocks * g.blocksize);
  const b = engine.buffers.get(at, e.blocks * g.blocksize, BLFT.SYMLINK);
  if (held === undefined) {
    const place = { ino, agno: agnoOfFsblock(g, e.fsblock), agbno: agbnoOfFsblock(g, e.fsblock) };
    verifySymlink(g, b.bytes, place, offset, bytes, throwFault);
  }
  return b.bytes.subarray(SYMLINK_HDR.size, SYMLINK_HDR.size + bytes);
}
