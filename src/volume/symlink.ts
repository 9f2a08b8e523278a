/** Targets of symbolic links. */
import { FORK_FORMAT, S_IF } from '../format/dinode.js';
import { CorruptionError, throwFault } from '../format/fault.js';
import { agbnoOfFsblock, agnoOfFsblock, fsblockOffset } from '../format/geometry.js';
import { SYMLINK_HDR, SYMLINK_MAXLEN, symlinkSpace, verifySymlink } from '../format/symlink.js';
import { readExtents } from './fork.js';
import type { Inode } from './inode.js';
import type { Volume } from './volume.js';

/**
 * The target's bytes. Throws CorruptionError where the inode is no symbolic link, or a block of it does not
 * verify.
 */
export function readSymlink(volume: Volume, inode: Inode): Uint8Array {
  const { g } = volume;
  const fail = (field: string, value: number | string, expected: string): never => {
    throw new CorruptionError({ structure: 'symlink', ino: inode.ino, field, value, expected });
  };
  const { size } = inode;
  if (inode.type !== S_IF.LNK) fail('mode', `0${inode.mode.toString(8)}`, 'a symbolic link');
  if (size < 1 || size > SYMLINK_MAXLEN) fail('size', size, `1 to ${SYMLINK_MAXLEN}`);
  const target = new Uint8Array(size);
  if (inode.format === FORK_FORMAT.LOCAL) {
    if (size > inode.dataSize) fail('size', size, `at most ${inode.dataSize} in the inode itself`);
    target.set(new Uint8Array(inode.view.buffer as ArrayBuffer, inode.view.byteOffset + inode.dataAt, size));
  } else {
    const list = readExtents(volume, inode, 'data');
    let rest = Math.ceil(size / symlinkSpace(g.blocksize)); // blocks the target takes
    let done = 0;
    for (let i = 0; i < list.count && rest > 0; i++) {
      if (list.offset[i] !== Math.ceil(size / symlinkSpace(g.blocksize)) - rest)
        fail(`bmx[${i}].startoff`, list.offset[i], 'no hole in a target');
      const blocks = Math.min(list.blocks[i], rest);
      const block = new Uint8Array(blocks * g.blocksize);
      volume.source.read(fsblockOffset(g, list.fsblock[i]), block);
      const place = {
        ino: inode.ino,
        agno: agnoOfFsblock(g, list.fsblock[i]),
        agbno: agbnoOfFsblock(g, list.fsblock[i]),
      };
      const bytes = Math.min(symlinkSpace(block.length), size - done);
      verifySymlink(g, block, place, done, bytes, throwFault);
      target.set(block.subarray(SYMLINK_HDR.size, SYMLINK_HDR.size + bytes), done);
      done += bytes;
      rest -= blocks;
    }
    if (done < size) fail('size', size, `${done}, the bytes its blocks hold`);
  }
  const zero = target.indexOf(0);
  if (zero >= 0) fail('target', `a zero byte at ${zero}`, 'no zero byte');
  return target;
}
