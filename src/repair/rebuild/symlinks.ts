/** Targets of symbolic links, saved from their blocks and written anew. */
import { symlinkBlocks, writeSymlink } from '../../build/symlink.js';
import { sameUuid } from '../../format/ag.js';
import { crcHolds } from '../../format/checksum.js';
import { FORK_FORMAT } from '../../format/dinode.js';
import { fsblockOffset } from '../../format/geometry.js';
import { getU64 } from '../../format/structure.js';
import { SYMLINK_HDR, SYMLINK_MAXLEN, symlinkSpace, XFS_SYMLINK_MAGIC } from '../../format/symlink.js';
import { readExtents } from '../../volume/fork.js';
import { readInode } from '../../volume/inode.js';
import type { Volume } from '../../volume/volume.js';
import { buildNewFork, replaceFork, takeBlocks, targetOf } from './newfork.js';
import type { FreeSpace } from './space.js';

const AT = SYMLINK_HDR.at;

/** Signs of a target's header that must hold: one of them may be damaged, not two. */
const SIGNS = 6;

/**
 * The target as its blocks have it; undefined where it cannot be told whole. Of a header one field may be
 * wrong: the others, and the place of the block, vouch for what stands behind it.
 */
export function salvageTarget(volume: Volume, ino: number): Uint8Array | undefined {
  const { g } = volume;
  const inode = readInode(volume, ino, { verify: false });
  if (inode.format === FORK_FORMAT.LOCAL) {
    const from = inode.view.byteOffset + inode.dataAt;
    const fork = new Uint8Array(inode.view.buffer as ArrayBuffer, from, inode.dataSize);
    const zero = fork.indexOf(0);
    const end = zero < 0 ? fork.length : zero;
    return end > 0 ? fork.slice(0, end) : undefined;
  }
  const list = readExtents(volume, inode, 'data', () => {});
  const parts: Uint8Array[] = [];
  let done = 0;
  for (let i = 0; i < list.count && done < SYMLINK_MAXLEN; i++) {
    const block = new Uint8Array(list.blocks[i] * g.blocksize);
    volume.source.read(fsblockOffset(g, list.fsblock[i]), block);
    const v = new DataView(block.buffer);
    const space = symlinkSpace(block.length);
    const stored = v.getUint32(AT.bytes);
    const fits = stored > 0 && stored <= space && done + stored <= SYMLINK_MAXLEN;
    const text = block.subarray(SYMLINK_HDR.size);
    const zero = text.indexOf(0);
    // The rest of the block behind a target is not said to be zero: the length is the header's or the inode's.
    const bytes = fits ? stored : Math.min(inode.size - done, space);
    const signs = [
      v.getUint32(AT.magic) === XFS_SYMLINK_MAGIC,
      v.getUint32(AT.offset) === done,
      fits && (done + stored === inode.size || stored === space),
      crcHolds(block, AT.crc),
      sameUuid(g, block, AT.uuid),
      getU64(v, AT.owner) === ino,
      getU64(v, AT.bno) === fsblockOffset(g, list.fsblock[i]) / 512,
    ].filter((s) => s).length;
    if (signs < SIGNS || bytes <= 0 || (zero >= 0 && zero < bytes)) return undefined;
    parts.push(text.slice(0, bytes));
    done += bytes;
    if (done >= inode.size && bytes < space) break;
  }
  return done > 0 ? Buffer.concat(parts) : undefined;
}

/** Writes a target into the inode, or into blocks of its own. */
export function writeTarget(volume: Volume, space: FreeSpace, ino: number, target: Uint8Array): void {
  const { g } = volume;
  const room = readInode(volume, ino, { verify: false }).dataSize;
  const size = target.length;
  if (size <= room) {
    replaceFork(volume, space, ino, 'data', {
      format: FORK_FORMAT.LOCAL,
      bytes: target,
      extents: 0,
      blocks: 0,
      size,
    });
    return;
  }
  const list = takeBlocks(volume, space, ino, 'data', [
    { offset: 0, count: symlinkBlocks(size, g.blocksize) },
  ]);
  writeSymlink(g, ino, target, list, targetOf(volume, list));
  const built = buildNewFork(volume, space, { ino, fork: 'data' }, list, room);
  const blocks = list.total + built.treeBlocks;
  replaceFork(volume, space, ino, 'data', { ...built, blocks, size });
}
