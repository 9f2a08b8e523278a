/** What an image holds before it is filled: free space, owners, the first inodes, what files inherit. */
import { AGF, AGI } from '../../format/ag.js';
import {
  AG_BTREE_ROOT,
  type AgBtreeName,
  rmapAttrFork,
  rmapBmbtBlock,
  rmapOffset,
  rmapOwner,
} from '../../format/btree.js';
import { DIFLAG, DIFLAG2 } from '../../format/dinode.js';
import { throwFault } from '../../format/fault.js';
import { agnoOfFsblock, type Geometry, INODES_PER_CHUNK, inoOf } from '../../format/geometry.js';
import type { Source } from '../../image/source.js';
import { agTree, walkLeaves } from '../../volume/btree.js';
import { newChunk, readChunk, readInode } from '../../volume/inode.js';
import { agflBlocks, openVolume, type Volume } from '../../volume/volume.js';
import { type AgSpaceState, agReserve, RmapColumns, type Run, Space } from './space.js';
import { sourceError } from './tree.js';

export interface EmptyAg {
  readonly agno: number;
  readonly roots: { readonly [K in AgBtreeName]?: number };
  readonly freelist: readonly number[];
}

/** What mkfs's options gave the root directory for all below it. */
export interface Inherited {
  readonly dirFlags: number;
  readonly fileFlags: number;
  readonly flags2: number;
  readonly extsize: number;
  readonly cowextsize: number;
  readonly projid: number;
}

export interface EmptyImage {
  readonly g: Geometry;
  /** The primary superblock's sector. */
  readonly superblock: DataView;
  readonly ags: readonly EmptyAg[];
  readonly space: Space;
  /** Runs of inodes that are there, the first of each in use. */
  readonly chunks: readonly { readonly first: number; readonly count: number; readonly used: number }[];
  readonly inherited: Inherited;
}

/** Reads it. Throws MkfsError where the filesystem is not empty. */
export function readEmptyImage(image: Source): EmptyImage {
  const volume = openVolume(image, { cacheBytes: 2 ** 20 });
  const { g } = volume;
  const logAg = agnoOfFsblock(g, g.logstart);
  const ags: EmptyAg[] = [];
  const states: AgSpaceState[] = [];
  const chunks: { first: number; count: number; used: number }[] = [];
  for (let agno = 0; agno < g.agcount; agno++) {
    const agf = volume.agf(agno, throwFault);
    const agi = volume.agi(agno, throwFault);
    const roots: { [K in AgBtreeName]?: number } = {};
    for (const name of treeNames(g)) {
      const at = AG_BTREE_ROOT[name];
      const header = at.header === 'agf' ? agf : agi;
      roots[name] = header.getUint32(at.root);
      if (header.getUint32(at.level) !== 1) throw notEmpty();
    }
    ags.push({ agno, roots, freelist: agflBlocks(g, agf, volume.agfl(agno, agf, throwFault)) });
    const free = readFree(volume, agno);
    const blocks = free.reduce((n, run) => n + run.blocks, 0);
    if (blocks !== agf.getUint32(AGF.at.freeblks)) throw notEmpty();
    states.push({
      agno,
      free,
      usable: Math.max(0, blocks - agReserve(g, agno, logAg)),
      rmaps: readRmaps(volume, agno),
    });
    const before = chunks.length;
    readChunks(volume, agno, chunks);
    if (agi.getUint32(AGI.at.count) !== chunks.slice(before).reduce((n, c) => n + c.count, 0))
      throw notEmpty();
  }
  const root = readInode(volume, g.rootino);
  const { flags, flags2 } = root;
  const extszInherit = (flags & DIFLAG.EXTSZINHERIT) !== 0;
  return {
    g,
    superblock: volume.superblock,
    ags,
    space: new Space(g, states),
    chunks,
    inherited: {
      dirFlags: flags,
      fileFlags: extszInherit ? DIFLAG.EXTSIZE : 0,
      flags2: flags2 & (DIFLAG2.BIGTIME | DIFLAG2.NREXT64 | DIFLAG2.COWEXTSIZE | DIFLAG2.DAX),
      extsize: root.extsize,
      cowextsize: root.cowextsize,
      projid: (flags & DIFLAG.PROJINHERIT) !== 0 ? root.projid : 0,
    },
  };
}

const notEmpty = (): Error => sourceError('only an empty filesystem can be filled');

const treeNames = (g: Geometry): AgBtreeName[] => {
  const names: AgBtreeName[] = ['bnobt', 'cntbt', 'inobt'];
  if (g.features.finobt) names.push('finobt');
  if (g.features.rmapbt) names.push('rmapbt');
  if (g.features.reflink) names.push('refcountbt');
  return names;
};

function readFree(volume: Volume, agno: number): Run[] {
  const free: Run[] = [];
  walkLeaves(
    volume,
    agTree(volume, agno, 'bnobt', throwFault),
    (leaf, count, first) => {
      for (let i = 0; i < count; i++)
        free.push({ agbno: leaf.getUint32(first + i * 8), blocks: leaf.getUint32(first + i * 8 + 4) });
    },
    throwFault,
  );
  return free;
}

function readRmaps(volume: Volume, agno: number): RmapColumns {
  const rmaps = new RmapColumns();
  if (!volume.g.features.rmapbt) return rmaps;
  walkLeaves(
    volume,
    agTree(volume, agno, 'rmapbt', throwFault),
    (leaf, count, first) => {
      for (let i = 0; i < count; i++) {
        const at = first + i * 24;
        const flags = (rmapAttrFork(leaf, at) ? 2 : 0) | (rmapBmbtBlock(leaf, at) ? 1 : 0);
        rmaps.add(
          leaf.getUint32(at),
          leaf.getUint32(at + 4),
          rmapOwner(leaf, at),
          rmapOffset(leaf, at),
          flags,
        );
      }
    },
    throwFault,
  );
  return rmaps;
}

function readChunks(
  volume: Volume,
  agno: number,
  into: { first: number; count: number; used: number }[],
): void {
  const { g } = volume;
  const chunk = newChunk();
  walkLeaves(
    volume,
    agTree(volume, agno, 'inobt', throwFault),
    (leaf, count, first) => {
      for (let i = 0; i < count; i++) {
        readChunk(g, leaf, first + i * 16, chunk);
        if (chunk.holemask !== 0) throw notEmpty();
        const used = INODES_PER_CHUNK - chunk.freecount;
        const ino = inoOf(g, agno, chunk.agino);
        const last = into.at(-1);
        // Chunks of one large block are one run, used from its front.
        if (last !== undefined && last.first + last.count === ino && used === 0)
          last.count += INODES_PER_CHUNK;
        else into.push({ first: ino, count: INODES_PER_CHUNK, used });
      }
    },
    throwFault,
  );
}
