/** The AG headers from what is known of an AG: one sector each, sealed and ready to write. */
import {
  AG_HEADER_VERSION,
  AGF,
  AGFL,
  AGI,
  AGI_UNLINKED_BUCKETS,
  agflSize,
  XFS_AGF_MAGIC,
  XFS_AGFL_MAGIC,
  XFS_AGI_MAGIC,
} from '../format/ag.js';
import { AG_BTREE_ROOT, type AgBtreeName } from '../format/btree.js';
import { sealCrc } from '../format/checksum.js';
import { agLength, type Geometry } from '../format/geometry.js';
import { viewOf } from '../format/structure.js';
import { NULLAGBLOCK, NULLAGINO } from '../format/superblock.js';

/** Where a tree stands and how many blocks it has, its root included. */
export interface TreeRoot {
  readonly root: number;
  readonly levels: number;
  readonly blocks: number;
}

export type TreeRoots = { readonly [K in AgBtreeName]?: TreeRoot };

export interface AgSpace {
  readonly agno: number;
  readonly trees: TreeRoots;
  /** Blocks of the free list, in order; they stand in the AGFL from slot `flfirst`. */
  readonly freelist: readonly number[];
  readonly flfirst?: number;
  /** Blocks in the free-space btrees, and the longest run of them. */
  readonly freeblks: number;
  readonly longest: number;
}

export interface AgInodes {
  readonly agno: number;
  readonly trees: TreeRoots;
  readonly count: number;
  readonly freecount: number;
  /** First inode of the chunk allocated last. */
  readonly newino?: number;
  /** Heads of the unlinked lists, by bucket; none where left out. */
  readonly unlinked?: readonly number[];
}

function putRoot(v: DataView, trees: TreeRoots, name: AgBtreeName): void {
  const tree = trees[name];
  if (tree === undefined) return;
  v.setUint32(AG_BTREE_ROOT[name].root, tree.root);
  v.setUint32(AG_BTREE_ROOT[name].level, tree.levels);
}

/** btreeblks counts the blocks beyond the roots of the trees that live on the free list. */
export function encodeAgf(g: Geometry, ag: AgSpace): Uint8Array {
  const sector = new Uint8Array(g.sectsize);
  const v = viewOf(sector);
  const A = AGF.at;
  const slots = agflSize(g.sectsize);
  const flfirst = ag.flfirst ?? 1;
  v.setUint32(A.magicnum, XFS_AGF_MAGIC);
  v.setUint32(A.versionnum, AG_HEADER_VERSION);
  v.setUint32(A.seqno, ag.agno);
  v.setUint32(A.length, agLength(g, ag.agno));
  for (const name of ['bnobt', 'cntbt', 'rmapbt', 'refcountbt'] as const) putRoot(v, ag.trees, name);
  v.setUint32(A.flfirst, flfirst);
  v.setUint32(A.fllast, (flfirst + ag.freelist.length - 1 + slots) % slots);
  v.setUint32(A.flcount, ag.freelist.length);
  v.setUint32(A.freeblks, ag.freeblks);
  v.setUint32(A.longest, ag.longest);
  const beyondRoot = (name: AgBtreeName): number => (ag.trees[name]?.blocks ?? 1) - 1;
  v.setUint32(A.btreeblks, beyondRoot('bnobt') + beyondRoot('cntbt') + beyondRoot('rmapbt'));
  v.setUint32(A.rmapblocks, ag.trees.rmapbt?.blocks ?? 0);
  v.setUint32(A.refcntblocks, ag.trees.refcountbt?.blocks ?? 0);
  sector.set(g.metaUuidBytes, A.uuid);
  sealCrc(sector, A.crc);
  return sector;
}

export function encodeAgi(g: Geometry, ag: AgInodes): Uint8Array {
  const sector = new Uint8Array(g.sectsize);
  const v = viewOf(sector);
  const A = AGI.at;
  v.setUint32(A.magicnum, XFS_AGI_MAGIC);
  v.setUint32(A.versionnum, AG_HEADER_VERSION);
  v.setUint32(A.seqno, ag.agno);
  v.setUint32(A.length, agLength(g, ag.agno));
  v.setUint32(A.count, ag.count);
  v.setUint32(A.freecount, ag.freecount);
  v.setUint32(A.newino, ag.newino ?? NULLAGINO);
  v.setUint32(A.dirino, NULLAGINO);
  for (let i = 0; i < AGI_UNLINKED_BUCKETS; i++)
    v.setUint32(A.unlinked + i * 4, ag.unlinked?.[i] ?? NULLAGINO);
  putRoot(v, ag.trees, 'inobt');
  putRoot(v, ag.trees, 'finobt');
  if (g.features.inobtcount) {
    v.setUint32(A.ino_blocks, ag.trees.inobt?.blocks ?? 0);
    v.setUint32(A.fino_blocks, ag.trees.finobt?.blocks ?? 0);
  }
  sector.set(g.metaUuidBytes, A.uuid);
  sealCrc(sector, A.crc);
  return sector;
}

/** Slots in no use hold the null block. */
export function encodeAgfl(g: Geometry, ag: Pick<AgSpace, 'agno' | 'freelist' | 'flfirst'>): Uint8Array {
  const sector = new Uint8Array(g.sectsize);
  const v = viewOf(sector);
  const slots = agflSize(g.sectsize);
  if (ag.freelist.length > slots)
    throw new RangeError(`free list of ${ag.freelist.length} blocks, ${slots} slots`);
  v.setUint32(AGFL.at.magicnum, XFS_AGFL_MAGIC);
  v.setUint32(AGFL.at.seqno, ag.agno);
  sector.set(g.metaUuidBytes, AGFL.at.uuid);
  for (let i = 0; i < slots; i++) v.setUint32(AGFL.size + i * 4, NULLAGBLOCK);
  const first = ag.flfirst ?? 1;
  ag.freelist.forEach((agbno, i) => {
    v.setUint32(AGFL.size + ((first + i) % slots) * 4, agbno);
  });
  sealCrc(sector, AGFL.at.crc);
  return sector;
}

/**
 * Blocks the free list should hold for trees of these heights: each tree that takes its blocks from it may
 * split at every level and grow by one (xfs_alloc.c, xfs_alloc_min_freelist).
 */
export function freelistMinimum(
  levels: { readonly bnobt: number; readonly cntbt: number; readonly rmapbt?: number },
  maxLevels: { readonly alloc: number; readonly rmap: number },
): number {
  return (
    Math.min(levels.bnobt + 1, maxLevels.alloc) +
    Math.min(levels.cntbt + 1, maxLevels.alloc) +
    (levels.rmapbt === undefined ? 0 : Math.min(levels.rmapbt + 1, maxLevels.rmap))
  );
}
