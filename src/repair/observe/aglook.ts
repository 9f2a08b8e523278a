/**
 * One AG as its headers and btrees tell of it: free space, inode chunks, reference counts, reverse mappings,
 * and which blocks the trees themselves stand in. Nothing is judged here.
 */
import { AGF, AGI, AGI_UNLINKED_BUCKETS } from '../../format/ag.js';
import {
  AG_BTREE_ROOT,
  type AgBtreeName,
  BTREES,
  maxRecords,
  RMAP_OWN,
  recordAt,
  refcountIsCow,
  refcountStart,
  rmapAttrFork,
  rmapBmbtBlock,
  rmapOffset,
  rmapOwner,
  rmapUnwritten,
  SHORT_BLOCK,
} from '../../format/btree.js';
import { hex, type Report } from '../../format/fault.js';
import { agbnoOfFsblock, agLength, agnoOfFsblock, firstFreeAgbno } from '../../format/geometry.js';
import { NULLAGINO } from '../../format/superblock.js';
import { agTreeOf, hasBtree, walkBlocks } from '../../volume/btree.js';
import { type InodeChunk, newChunk, readChunk, verifyChunk } from '../../volume/inode.js';
import { agflBlocks, type Volume } from '../../volume/volume.js';
import { CLAIM, Claims, RmapRecords, Runs } from './columns.js';
import type { InodeTable } from './inodetable.js';

/** What one btree came to. */
export interface TreeLook {
  /** Blocks it stands in, the root included. */
  blocks: number;
  records: number;
  /** Nothing wrong was found in it: what it does not have, is not there. */
  sound: boolean;
}

export interface AgLook {
  readonly agno: number;
  readonly length: number;
  readonly agf: DataView;
  readonly agi: DataView;
  readonly agfl: DataView;
  /** Blocks of the free list. */
  readonly freeList: number[];
  readonly claims: Claims;
  /** Free extents by the bnobt and by the cntbt, each in the tree's own order. */
  readonly byStart: Runs;
  readonly bySize: Runs;
  /** Refcount records of the shared domain; those for CoW staging are claims, and stand in `cow` too. */
  readonly shared: Runs;
  readonly cow: Runs;
  readonly rmaps: RmapRecords;
  readonly trees: Partial<Record<AgBtreeName, TreeLook>>;
  /** Blocks of the trees, in runs; the value is the tree's index in AG_TREES. */
  readonly treeBlocks: Runs;
  /** Inodes by the inobt, and those of them free. */
  inodes: number;
  freeInodes: number;
  /** Heads of the unlinked lists: inodes within the AG. */
  readonly unlinked: number[];
}

/** The trees that say where inodes are, and those that say whose blocks are whose. */
const INODE_TREES = ['inobt', 'finobt'] as const;
const SPACE_TREES = ['bnobt', 'cntbt', 'refcountbt', 'rmapbt'] as const;
type SpaceTree = (typeof SPACE_TREES)[number];
export const AG_TREES: readonly AgBtreeName[] = [...INODE_TREES, ...SPACE_TREES];

/** The rmap owner of each tree's own blocks. */
export const TREE_OWNER: Record<AgBtreeName, number> = {
  bnobt: RMAP_OWN.AG,
  cntbt: RMAP_OWN.AG,
  rmapbt: RMAP_OWN.AG,
  inobt: RMAP_OWN.INOBT,
  finobt: RMAP_OWN.INOBT,
  refcountbt: RMAP_OWN.REFC,
};

/** The headers of AG `agno`; faults go to `report`. */
export function lookAtHeaders(volume: Volume, agno: number, report: Report): AgLook {
  const { g } = volume;
  const agf = volume.agf(agno, report);
  const agi = volume.agi(agno, report);
  const agfl = volume.agfl(agno, agf, report);
  const look: AgLook = {
    agno,
    length: agLength(g, agno),
    agf,
    agi,
    agfl,
    freeList: agflBlocks(g, agf, agfl),
    claims: new Claims(),
    byStart: new Runs(),
    bySize: new Runs(),
    shared: new Runs(),
    cow: new Runs(),
    rmaps: new RmapRecords(),
    trees: {},
    treeBlocks: new Runs(),
    inodes: 0,
    freeInodes: 0,
    unlinked: [],
  };
  for (let i = 0; i < AGI_UNLINKED_BUCKETS; i++) {
    const agino = agi.getUint32(AGI.at.unlinked + i * 4);
    if (agino !== NULLAGINO) look.unlinked.push(agino);
  }
  const { claims } = look;
  claims.add(0, firstFreeAgbno(g), RMAP_OWN.FS, 0, 0);
  if (agnoOfFsblock(g, g.logstart) === agno)
    claims.add(agbnoOfFsblock(g, g.logstart), g.logblocks, RMAP_OWN.LOG, 0, 0);
  for (const agbno of look.freeList)
    if (agbno > 0 && agbno < look.length) claims.add(agbno, 1, RMAP_OWN.AG, 0, 0);
  return look;
}

/**
 * Reads the inode btrees of an AG: its chunks go to `table`. AGs are to be read in ascending order. `known` are the
 * chunks of an AG whose inobt is not to be believed: what differs from it is a fault.
 */
export function readInodeTrees(
  volume: Volume,
  look: AgLook,
  table: InodeTable,
  report: Report,
  known?: readonly InodeChunk[],
): void {
  const enter = chunkEntry(volume, look, table);
  const stands = new Map<number, InodeChunk>();
  const take = known === undefined ? enter : (c: InodeChunk) => stands.set(c.agino, { ...c });
  readTree(volume, look, 'inobt', report, (fault) => inobtReader(volume, look.agno, fault, take));
  if (known !== undefined) {
    for (const c of known) enter(c);
    reportChunks(look.agno, known, stands, report);
  }
  if (hasBtree(volume.g, 'finobt'))
    readTree(volume, look, 'finobt', report, (fault) => finobtReader(volume, look, table, fault));
}

/** Says where the inobt's records are not what the chunks on disk are. */
function reportChunks(
  agno: number,
  known: readonly InodeChunk[],
  stands: ReadonlyMap<number, InodeChunk>,
  report: Report,
): void {
  const bad = (agino: number, value: string, expected: string): void =>
    report({ structure: 'inobt', agno, field: `record of inode ${agino}`, value, expected });
  const text = (c: InodeChunk): string =>
    `holemask ${hex(c.holemask)}, free ${hex(c.freeHigh)} ${hex(c.freeLow)}`;
  const rest = new Set(stands.keys());
  for (const c of known) {
    const record = stands.get(c.agino);
    rest.delete(c.agino);
    if (record === undefined) bad(c.agino, 'missing', `${text(c)}, by what stands on disk`);
    else if (text(record) !== text(c)) bad(c.agino, text(record), `${text(c)}, by what stands on disk`);
  }
  for (const agino of rest) bad(agino, text(stands.get(agino)!), 'no record: no inodes stand there');
}

/** Room that is made on the word of a header alone: records. */
const MAX_RESERVED = 2 ** 21;

/** Reads an AG's other btrees. */
export function readSpaceTrees(volume: Volume, look: AgLook, report: Report): void {
  const leaves = Math.min(agfField(look, 'rmapblocks'), look.length);
  const records = leaves * maxRecords(BTREES.rmapbt, volume.g.blocksize, 0);
  look.rmaps.reserve(Math.min(records, MAX_RESERVED));
  for (const name of SPACE_TREES)
    if (hasBtree(volume.g, name))
      readTree(volume, look, name, report, (fault) => spaceReader(look, name, fault));
}

/** Walks a tree: its blocks become claims, its leaves go to what `reader` makes. */
function readTree(
  volume: Volume,
  look: AgLook,
  name: AgBtreeName,
  report: Report,
  reader: (fault: Report) => LeafReader,
): void {
  const { g } = volume;
  const { agno, claims } = look;
  const tree = agTreeOf(g, agno, name, AG_BTREE_ROOT[name].header === 'agf' ? look.agf : look.agi);
  const state: TreeLook = { blocks: 0, records: 0, sound: true };
  look.trees[name] = state;
  const kind = BTREES[name];
  const owner = TREE_OWNER[name];
  const index = AG_TREES.indexOf(name);
  const fault: Report = (f) => {
    state.sound = false;
    report(f);
  };
  const take = reader(fault);
  walkBlocks(
    volume,
    tree,
    (block, level, _agno, agbno) => {
      state.blocks++;
      claims.add(agbno, 1, owner, 0, 0);
      look.treeBlocks.merge(agbno, 1, index);
      if (level > 0) return;
      const numrecs = block.getUint16(SHORT_BLOCK.at.numrecs);
      state.records += numrecs;
      take(block, recordAt(kind, 0), numrecs, agbno);
    },
    fault,
  );
}

type LeafReader = (leaf: DataView, at: number, numrecs: number, agbno: number) => void;

/** Records of free space, sharing and reverse mappings. */
function spaceReader(look: AgLook, name: SpaceTree, report: Report): LeafReader {
  const { length, agno, claims } = look;
  const bad = (agbno: number, index: number, field: string, value: number, expected: string): void =>
    report({ structure: name, agno, agbno, field: `recs[${index + 1}].${field}`, value, expected });
  /** Whether [start, start + blocks) lies inside the AG; reports where not. */
  const inside = (agbno: number, i: number, start: number, blocks: number): boolean => {
    if (start >= length) bad(agbno, i, 'startblock', start, `a block of the AG, below ${length}`);
    else if (blocks === 0 || start + blocks > length)
      bad(agbno, i, 'blockcount', blocks, `1 to ${length - start}, inside the AG`);
    else return true;
    return false;
  };
  switch (name) {
    case 'bnobt':
    case 'cntbt': {
      const into = name === 'bnobt' ? look.byStart : look.bySize;
      let end = 0;
      return (leaf, first, numrecs, agbno) => {
        for (let i = 0, at = first; i < numrecs; i++, at += 8) {
          const start = leaf.getUint32(at);
          const blocks = leaf.getUint32(at + 4);
          if (!inside(agbno, i, start, blocks)) continue;
          if (name === 'bnobt') {
            if (start < end) bad(agbno, i, 'startblock', start, `${end} or more, past the record before`);
            end = start + blocks;
          }
          into.add(start, blocks, 0);
        }
      };
    }
    case 'refcountbt': {
      let sharedEnd = 0;
      let cowEnd = 0;
      return (leaf, first, numrecs, agbno) => {
        for (let i = 0, at = first; i < numrecs; i++, at += 12) {
          const cow = refcountIsCow(leaf, at);
          const start = refcountStart(leaf, at);
          const blocks = leaf.getUint32(at + 4);
          const refcount = leaf.getUint32(at + 8);
          if (!inside(agbno, i, start, blocks)) continue;
          const end = cow ? cowEnd : sharedEnd;
          if (start < end) bad(agbno, i, 'startblock', start, `${end} or more, past the record before`);
          if (cow) {
            cowEnd = start + blocks;
            if (refcount !== 1) bad(agbno, i, 'refcount', refcount, '1 in the CoW domain');
            look.cow.add(start, blocks, refcount);
            claims.add(start, blocks, RMAP_OWN.COW, 0, 0);
          } else {
            sharedEnd = start + blocks;
            if (refcount < 2) bad(agbno, i, 'refcount', refcount, '2 or more: single owners have no record');
            look.shared.add(start, blocks, refcount);
          }
        }
      };
    }
    case 'rmapbt':
      return (leaf, first, numrecs, agbno) => {
        const { rmaps } = look;
        for (let i = 0, at = first; i < numrecs; i++, at += 24) {
          const start = leaf.getUint32(at);
          const blocks = leaf.getUint32(at + 4);
          if (!inside(agbno, i, start, blocks)) continue;
          const owner = rmapOwner(leaf, at);
          if (owner === 0 || owner < RMAP_OWN.COW)
            bad(agbno, i, 'owner', owner, 'an inode number or a special owner');
          if (owner < 0 && rmapOffset(leaf, at) !== 0)
            bad(agbno, i, 'offset', rmapOffset(leaf, at), '0: the owner is no inode');
          const info =
            (rmapAttrFork(leaf, at) ? CLAIM.ATTR : 0) |
            (rmapBmbtBlock(leaf, at) ? CLAIM.BMBT : 0) |
            (rmapUnwritten(leaf, at) ? CLAIM.UNWRITTEN : 0);
          rmaps.add(start, blocks, owner, rmapOffset(leaf, at), info);
        }
      };
  }
}

/** Chunks with free inodes: into the table. */
function finobtReader(volume: Volume, look: AgLook, table: InodeTable, report: Report): LeafReader {
  const { agno } = look;
  const chunk = newChunk();
  return (leaf, first, numrecs, agbno) => {
    for (let i = 0, at = first; i < numrecs; i++, at += 16) {
      readChunk(volume.g, leaf, at, chunk);
      if (verifyChunk(volume.g, 'finobt', agno, agbno, i, chunk, report)) table.addFree(agno, chunk);
    }
  };
}

/** Inode chunks, those that can be: to `take`, which must copy what it keeps. */
function inobtReader(
  volume: Volume,
  agno: number,
  report: Report,
  take: (c: InodeChunk) => void,
): LeafReader {
  const chunk = newChunk();
  let end = 0;
  return (leaf, first, numrecs, agbno) => {
    for (let i = 0, at = first; i < numrecs; i++, at += 16) {
      readChunk(volume.g, leaf, at, chunk);
      if (!verifyChunk(volume.g, 'inobt', agno, agbno, i, chunk, report)) continue;
      if (chunk.agino < end) {
        const expected = `${end} or more, past the chunk before`;
        const field = `recs[${i + 1}].startino`;
        report({ structure: 'inobt', agno, agbno, field, value: chunk.agino, expected });
        continue;
      }
      end = chunk.agino + 64;
      take(chunk);
    }
  };
}

/** Enters a chunk into the table, and as claims on the blocks it has. */
function chunkEntry({ g }: Volume, look: AgLook, table: InodeTable): (chunk: InodeChunk) => void {
  const { agno, claims } = look;
  // In blocks of more than 64 inodes two chunks share one block, claimed once.
  const perBlock = Math.min(g.inopblock, 64);
  let lastBlock = -1;
  return (chunk) => {
    table.add(agno, chunk);
    look.inodes += chunk.count;
    look.freeInodes += chunk.freecount;
    for (let k = 0; k < 64; k += perBlock) {
      if ((chunk.holemask >>> (k >> 2)) & 1) continue;
      const block = Math.floor((chunk.agino + k) / g.inopblock);
      if (block === lastBlock) continue;
      const last = claims.count - 1;
      if (claims.owner[last] === RMAP_OWN.INODES && claims.start[last] + claims.blocks[last] === block)
        claims.blocks[last]++;
      else claims.add(block, 1, RMAP_OWN.INODES, 0, 0);
      lastBlock = block;
    }
  };
}

/** Free blocks of an AG's free list and trees that the AGF counts apart from `freeblks`. */
export const agfBtreeblks = (look: AgLook): number =>
  (look.trees.bnobt?.blocks ?? 1) -
  1 +
  (look.trees.cntbt?.blocks ?? 1) -
  1 +
  ((look.trees.rmapbt?.blocks ?? 1) - 1);

export const agfField = (look: AgLook, name: keyof typeof AGF.at): number => look.agf.getUint32(AGF.at[name]);
export const agiField = (look: AgLook, name: keyof typeof AGI.at): number => look.agi.getUint32(AGI.at[name]);
