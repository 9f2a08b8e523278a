/**
 * How inodes lie on disk: in chunks of 64 (the unit of the inode btrees), read and written in clusters. The
 * log names inodes by the cluster they are in, so its size must be the one Linux works with. Rules:
 * xfs_ialloc_setup_geometry in xfs_ialloc.c.
 */
import { type Geometry, INODES_PER_CHUNK } from '../format/geometry.js';

export interface InodeGeometry {
  /** Inodes allocated together, and the blocks they take. */
  readonly inodes: number;
  readonly blocks: number;
  /** Fewest blocks of a chunk: less than `blocks` where chunks may be sparse. */
  readonly minBlocks: number;
  readonly clusterBlocks: number;
  /** Chunks begin at multiples of this many blocks (1: anywhere). */
  readonly align: number;
  /** Most inodes the filesystem may have; Infinity where nothing limits them. */
  readonly maxInodes: number;
}

const CLUSTER_SIZE = 8192;
const MIN_INODE_SIZE = 256;

export function inodeGeometry(g: Geometry): InodeGeometry {
  const inodes = Math.max(INODES_PER_CHUNK, g.inopblock);
  const blocks = inodes / g.inopblock;
  let cluster = CLUSTER_SIZE;
  const scaled = (cluster * g.inodesize) / MIN_INODE_SIZE;
  if (g.inoalignmt >= Math.floor(scaled / g.blocksize)) cluster = scaled;
  const clusterBlocks = Math.max(1, Math.floor(cluster / g.blocksize));
  const align = g.inoalignmt >= clusterBlocks ? Math.max(1, g.inoalignmt) : 1;
  const units = Math.floor(Math.floor((g.dblocks * g.imaxPct) / 100) / blocks);
  return {
    inodes,
    blocks,
    minBlocks: g.features.sparseInodes && g.spinoAlign > 0 ? g.spinoAlign : blocks,
    clusterBlocks,
    align,
    maxInodes: g.imaxPct > 0 ? units * blocks * g.inopblock : Number.POSITIVE_INFINITY,
  };
}

/** First block of the cluster that holds block `agbno`; `chunk`: where its chunk begins. */
export const clusterStart = (ig: InodeGeometry, chunk: number, agbno: number): number =>
  chunk + Math.floor((agbno - chunk) / ig.clusterBlocks) * ig.clusterBlocks;
