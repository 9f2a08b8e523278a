/** Replay of icreate items: a chunk of inodes written anew, all of them free. */
import { DINODE, XFS_DINODE_MAGIC } from '../format/dinode.js';
import { blockOffset, type Geometry, INODES_PER_CHUNK, inoOf } from '../format/geometry.js';
import { ICREATE_LOG } from '../format/logitems.js';
import { setU64, viewOf } from '../format/structure.js';
import { NULLAGINO } from '../format/superblock.js';
import type { LogError } from './error.js';
import type { LogItem } from './logitem.js';
import type { RecoverySet } from './recoverset.js';

/** Bytes of an inode cluster for inodes of 256 bytes; larger ones keep the number of inodes (xfs_ialloc.c). */
const CLUSTER_256 = 8192;

/** Filesystem blocks of an inode cluster, the buffer inodes are read and written by. */
export function clusterBlocks(g: Geometry): number {
  const scaled = CLUSTER_256 * (g.inodesize / 256);
  const size = g.inoalignmt >= Math.floor(scaled / g.blocksize) ? scaled : CLUSTER_256;
  return Math.max(1, Math.floor(size / g.blocksize));
}

/** What chunks are made in: there can be thousands, and new memory costs more than filling it. */
let scratch = new Uint8Array(0);

/**
 * Replays an item. Returns false where buffers of the chunk were cancelled: it was freed again. Throws what
 * `bad` makes for an item that cannot be true.
 */
export function replayIcreate(
  item: LogItem,
  g: Geometry,
  set: RecoverySet,
  isCancelled: (blkno: number, blocks: number) => boolean,
  isInside: (agno: number, agbno: number, blocks: number) => boolean,
  bad: (reason: string) => LogError,
): boolean {
  const v = item.view;
  const at = ICREATE_LOG.at;
  const agno = v.getUint32(at.ag);
  const agbno = v.getUint32(at.agbno);
  const count = v.getUint32(at.count);
  const isize = v.getUint32(at.isize);
  const blocks = v.getUint32(at.length);
  const gen = v.getUint32(at.gen);
  if (isize !== g.inodesize) throw bad(`ICREATE item with inodes of ${isize} bytes, expected ${g.inodesize}`);
  if (count === 0 || count > INODES_PER_CHUNK * Math.max(1, g.inopblock / INODES_PER_CHUNK))
    throw bad(`ICREATE item of ${count} inodes`);
  if (blocks * g.inopblock !== count) throw bad(`ICREATE item of ${count} inodes in ${blocks} blocks`);
  if (agbno === 0 || !isInside(agno, agbno, blocks))
    throw bad(`ICREATE item at AG ${agno} block ${agbno}, outside the filesystem`);

  const cluster = clusterBlocks(g);
  for (let done = 0; done < blocks; done += cluster)
    if (isCancelled(blockOffset(g, agno, agbno + done) / 512, (cluster * g.blocksize) / 512)) return false;

  const offset = blockOffset(g, agno, agbno);
  const bytes = blocks * g.blocksize;
  if (scratch.length < bytes) scratch = new Uint8Array(bytes);
  const chunk = scratch.subarray(0, bytes);
  chunk.fill(0);
  const c = viewOf(chunk);
  for (let i = 0; i < count; i++) {
    const base = i * isize;
    c.setUint16(base + DINODE.at.magic, XFS_DINODE_MAGIC);
    c.setUint8(base + DINODE.at.version, 3);
    c.setUint32(base + DINODE.at.gen, gen);
    c.setUint32(base + DINODE.at.next_unlinked, NULLAGINO);
    setU64(c, base + DINODE.at.inumber, inoOf(g, agno, agbno * g.inopblock + i));
    chunk.set(g.metaUuidBytes, base + DINODE.at.uuid);
    set.inode(offset + base);
  }
  set.write(offset, chunk);
  return true;
}
