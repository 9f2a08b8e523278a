/**
 * All btrees and headers of one AG anew, from who claims its blocks: free space is what nobody claims, reverse
 * mappings are the claims themselves, reference counts the number of data claims on a block, inode records
 * the chunks. The new trees go where nothing stands, and the old ones become free space with the new headers; in an
 * AG without room for that they go in place of the old.
 */
import { encodeAgf, encodeAgfl, encodeAgi, freelistMinimum, type TreeRoot } from '../../build/ag.js';
import { type BtreeShape, btreeShape, bulkLoad } from '../../build/btree.js';
import { maxHeights } from '../../build/heights.js';
import {
  compareRmaps,
  type Rmap,
  writeAllocRecord,
  writeInodeRecord,
  writeRefcountRecord,
  writeRmapRecord,
} from '../../build/records.js';
import { AG_SECTOR, AGI, AGI_UNLINKED_BUCKETS, agflSize } from '../../format/ag.js';
import { type AgBtreeName, BTREES, RMAP_OWN } from '../../format/btree.js';
import { sealCrc } from '../../format/checksum.js';
import { DINODE } from '../../format/dinode.js';
import { aginoOfIno, blockOffset, inodeOffset, inoOf } from '../../format/geometry.js';
import { viewOf } from '../../format/structure.js';
import { NULLAGINO } from '../../format/superblock.js';
import { hasBtree } from '../../volume/btree.js';
import { sharedRuns } from '../judge/compare.js';
import { type AgLook, TREE_OWNER } from '../observe/aglook.js';
import { CLAIM, type Claims, type Runs } from '../observe/columns.js';
import { SLOT } from '../observe/inodetable.js';
import type { Observation } from '../observe/observe.js';
import { intersect, type Run, runsHold, subtract, takeRuns } from './runlist.js';
import { claimsBut, gapsIn, NoSpaceError } from './space.js';

/** Owners whose claims are remade: the trees, the free list, and staging that no file refers to. */
const REMADE = new Set<number>([RMAP_OWN.AG, RMAP_OWN.INOBT, RMAP_OWN.REFC, RMAP_OWN.COW]);

const TREES: readonly AgBtreeName[] = ['bnobt', 'cntbt', 'rmapbt', 'inobt', 'finobt', 'refcountbt'];

/**
 * Rebuilds AG `agno` into the observation's source; `unused` is what nobody used in the image as it is. Returns whether
 * the new trees stand where the old ones do. Throws NoSpaceError where the AG has no room for them there
 * either; nothing has been written then.
 */
export function rebuildAg(o: Observation, agno: number, unused: readonly Run[]): boolean {
  const { volume } = o;
  const { g } = volume;
  const look = o.ags[agno];
  const names = TREES.filter((name) => hasBtree(g, name));

  // Claims that stay, and the room they leave.
  const { claims, length } = look;
  const fixed = claimsBut(claims, (i) => REMADE.has(claims.owner[i]));
  const data = claimsBut(fixed, (i) => (fixed.info[i] & CLAIM.DATA) === 0);
  const free = gapsIn(fixed, length);
  const shared = g.features.reflink
    ? sharedRuns({ ...look, claims: data } as AgLook, data.order())
    : undefined;
  const owned = mergedRmaps(fixedRmaps(o, fixed));
  const chunks = chunksOf(o, agno);

  const gaps = gapsIn(claims, length);
  const plan = layOutIn(intersect(gaps, unused)) ?? layOutIn(gaps);
  const instead = plan ?? layOutIn(free);
  if (instead === undefined)
    throw new NoSpaceError(
      `AG ${agno} is full: its btrees must be written anew, and do not fit into ${runsHold(free)} blocks`,
    );
  write(instead);
  return plan === undefined;

  /** The trees take blocks, which changes what they record: settles on a size that holds itself. */
  function layOutIn(room: readonly Run[]): Plan | undefined {
    let want = 0;
    for (let attempt = 0; attempt < 20; attempt++) {
      const taken = takeRuns(room, want);
      if (taken === undefined) return undefined;
      const plan = layOut(subtract(free, taken), taken);
      if (plan.needed <= want) return plan;
      want = plan.needed;
    }
    return undefined;
  }

  /** Shapes for a given free space; blocks left over go to the free list. */
  function layOut(left: Run[], taken: Run[]): Plan {
    const counts: Record<AgBtreeName, number> = {
      bnobt: left.length,
      cntbt: left.length,
      // Each stretch of taken blocks is at most three records: trees on the free list, inode trees, refcounts.
      rmapbt: owned.length + taken.length + 4,
      inobt: chunks.all.length,
      finobt: chunks.free.length,
      refcountbt: shared?.count ?? 0,
    };
    const shapes = {} as Record<AgBtreeName, BtreeShape>;
    let needed = 0;
    for (const name of names) {
      shapes[name] = btreeShape(BTREES[name], g.blocksize, counts[name]);
      needed += shapes[name].total;
    }
    const heights = maxHeights(g);
    const list = freelistMinimum(
      {
        bnobt: shapes.bnobt.levels,
        cntbt: shapes.cntbt.levels,
        ...(g.features.rmapbt ? { rmapbt: shapes.rmapbt.levels } : {}),
      },
      { alloc: heights.alloc, rmap: heights.rmap },
    );
    needed += list;
    return { left, taken, shapes, needed };
  }

  function write(p: Plan): void {
    const blocks: number[] = [];
    for (const r of p.taken) for (let b = 0; b < r.blocks; b++) blocks.push(r.start + b);
    // Trees that live on the free list first, so that their blocks and the free list's run together.
    let next = 0;
    const place = {} as Record<AgBtreeName, number>;
    for (const name of ['bnobt', 'cntbt', 'rmapbt'] as const)
      if (names.includes(name)) {
        place[name] = next;
        next += p.shapes[name].total;
      }
    const others = (['inobt', 'finobt', 'refcountbt'] as const).filter((name) => names.includes(name));
    const othersTotal = others.reduce((sum, name) => sum + p.shapes[name].total, 0);
    const listTo = blocks.length - othersTotal;
    next = listTo;
    for (const name of others) {
      place[name] = next;
      next += p.shapes[name].total;
    }
    const rmaps = [...owned];
    const own = (from: number, to: number, owner: number): void => {
      for (let i = from; i < to; i++) rmaps.push({ agbno: blocks[i], blocks: 1, owner });
    };
    own(0, listTo, RMAP_OWN.AG);
    for (const name of others) own(place[name], place[name] + p.shapes[name].total, TREE_OWNER[name]);
    const records = mergedRmaps(rmaps);
    // The rmap btree's room was reckoned with a few records more than there are: what it does not take goes to
    // the free list, which has the same owner.
    const last = names.includes('rmapbt') ? 'rmapbt' : 'cntbt';
    if (last === 'rmapbt') p.shapes.rmapbt = btreeShape(BTREES.rmapbt, g.blocksize, records.length);
    const listFrom = place[last] + p.shapes[last].total;
    const freelist = blocks.slice(listFrom, listTo);
    if (freelist.length > agflSize(g.sectsize))
      throw new NoSpaceError(`AG ${agno}: ${freelist.length} blocks are too many for the free list`);
    const bySize = [...p.left].sort((a, b) => a.blocks - b.blocks || a.start - b.start);
    const trees: Partial<Record<AgBtreeName, TreeRoot>> = {};
    const load = (
      name: AgBtreeName,
      count: number,
      writeRecord: (i: number, v: DataView, at: number) => void,
    ) => {
      if (!names.includes(name)) return;
      const shape = p.shapes[name];
      const tree = bulkLoad({
        kind: BTREES[name],
        blocksize: g.blocksize,
        count,
        shape,
        owner: agno,
        uuid: g.metaUuidBytes,
        writeRecord,
        block: (n) => blocks[place[name] + n],
        daddr: (agbno) => blockOffset(g, agno, agbno) / 512,
        emit: (agbno, bytes) => volume.source.write(blockOffset(g, agno, agbno), bytes),
      });
      trees[name] = { root: tree.root, levels: tree.levels, blocks: shape.total };
    };
    load('bnobt', p.left.length, (i, v, at) => writeAllocRecord(v, at, p.left[i].start, p.left[i].blocks));
    load('cntbt', bySize.length, (i, v, at) => writeAllocRecord(v, at, bySize[i].start, bySize[i].blocks));
    load('rmapbt', records.length, (i, v, at) => writeRmapRecord(v, at, records[i]));
    const sparse = g.features.sparseInodes;
    load('inobt', chunks.all.length, (i, v, at) => writeInodeRecord(v, at, chunks.all[i], sparse));
    load('finobt', chunks.free.length, (i, v, at) => writeInodeRecord(v, at, chunks.free[i], sparse));
    const refcounts = shared as Runs;
    load('refcountbt', shared?.count ?? 0, (i, v, at) =>
      writeRefcountRecord(v, at, refcounts.start[i], refcounts.blocks[i], refcounts.value[i], false),
    );
    const freeblks = p.left.reduce((sum, r) => sum + r.blocks, 0);
    const longest = p.left.reduce((most, r) => Math.max(most, r.blocks), 0);
    const inodes = chunks.all.reduce((sum, c) => sum + c.count, 0);
    const freeInodes = chunks.all.reduce((sum, c) => sum + c.freecount, 0);
    const header = (which: keyof typeof AG_SECTOR, sector: Uint8Array): void =>
      volume.source.write(blockOffset(g, agno, 0) + AG_SECTOR[which] * g.sectsize, sector);
    const newino = look.agi.getUint32(AGI.at.newino);
    const known = chunks.all.some((c) => c.startino === newino);
    const unlinked = unlinkedHeads(o, look);
    header('agf', encodeAgf(g, { agno, trees, freelist, freeblks, longest }));
    header('agfl', encodeAgfl(g, { agno, freelist }));
    header(
      'agi',
      encodeAgi(g, {
        agno,
        trees,
        count: inodes,
        freecount: freeInodes,
        newino: known ? newino : undefined,
        unlinked,
      }),
    );
  }
}

/**
 * Heads of an AG's unlinked lists, by bucket: a list ends before an inode that cannot be on it, and one that cannot
 * be a head is none. What a list no longer leads to is put into lost+found.
 */
function unlinkedHeads(o: Observation, look: AgLook): number[] {
  const { table, inodes, volume } = o;
  const { g } = volume;
  const heads: number[] = [];
  const seen = new Set<number>();
  const isOpen = (agino: number): boolean => {
    const slot = table.slot(inoOf(g, look.agno, agino));
    return slot >= 0 && (table.flags[slot] & SLOT.USED) !== 0 && inodes.nextUnlinked.has(slot);
  };
  for (const head of look.unlinked) {
    const bucket = head % AGI_UNLINKED_BUCKETS;
    if (seen.has(head) || heads[bucket] !== undefined || !isOpen(head)) continue;
    heads[bucket] = head;
    for (let at = head; ; ) {
      seen.add(at);
      const ino = inoOf(g, look.agno, at);
      const next = inodes.nextUnlinked.get(table.slot(ino)) ?? NULLAGINO;
      if (next === NULLAGINO) break;
      if (seen.has(next) || next % AGI_UNLINKED_BUCKETS !== bucket || !isOpen(next)) {
        const core = new Uint8Array(g.inodesize);
        volume.source.read(inodeOffset(g, ino), core);
        viewOf(core).setUint32(DINODE.at.next_unlinked, NULLAGINO);
        sealCrc(core, DINODE.at.crc);
        volume.source.write(inodeOffset(g, ino), core);
        break;
      }
      at = next;
    }
  }
  return heads;
}

interface Plan {
  readonly left: Run[];
  readonly taken: Run[];
  readonly shapes: Record<AgBtreeName, BtreeShape>;
  readonly needed: number;
}

/** The claims that stay, as rmap records. */
function fixedRmaps(o: Observation, fixed: Claims): Rmap[] {
  const out: Rmap[] = [];
  if (!o.volume.g.features.rmapbt) return out;
  for (let i = 0; i < fixed.count; i++) {
    const owner = fixed.owner[i];
    const info = fixed.info[i];
    out.push({
      agbno: fixed.start[i],
      blocks: fixed.blocks[i],
      owner: owner < 0 ? owner : o.table.ino(owner),
      offset: fixed.offset[i],
      attrFork: (info & CLAIM.ATTR) !== 0,
      bmbtBlock: (info & CLAIM.BMBT) !== 0,
      unwritten: (info & CLAIM.UNWRITTEN) !== 0,
    });
  }
  return out;
}

/** Records in the tree's order, those that continue each other made one. */
function mergedRmaps(records: Rmap[]): Rmap[] {
  const group = (a: Rmap, b: Rmap): number =>
    a.owner - b.owner ||
    Number(a.attrFork ?? false) - Number(b.attrFork ?? false) ||
    Number(a.bmbtBlock ?? false) - Number(b.bmbtBlock ?? false) ||
    Number(a.unwritten ?? false) - Number(b.unwritten ?? false);
  // By diagonal first: pieces of one mapping lie next to each other however many claims share their blocks.
  const diagonal = (r: Rmap): number => (r.owner < 0 || r.bmbtBlock ? 0 : (r.offset ?? 0) - r.agbno);
  records.sort((a, b) => group(a, b) || diagonal(a) - diagonal(b) || a.agbno - b.agbno);
  const out: { -readonly [K in keyof Rmap]: Rmap[K] }[] = [];
  for (const r of records) {
    const last = out[out.length - 1];
    if (
      last !== undefined &&
      group(last, r) === 0 &&
      diagonal(last) === diagonal(r) &&
      last.agbno + last.blocks === r.agbno
    )
      last.blocks += r.blocks;
    else out.push({ ...r });
  }
  return out.sort(compareRmaps);
}

interface Chunk {
  startino: number;
  holemask: number;
  count: number;
  freecount: number;
  freeHigh: number;
  freeLow: number;
}

/** The AG's inode chunks, and those of them with a free inode. */
function chunksOf(o: Observation, agno: number): { all: Chunk[]; free: Chunk[] } {
  const { table, volume } = o;
  const all: Chunk[] = [];
  const free: Chunk[] = [];
  for (let i = table.firstChunk[agno]; i < table.firstChunk[agno + 1]; i++) {
    const holemask = table.holemask[i];
    let count = 0;
    let freecount = 0;
    for (let k = 0; k < 64; k++) {
      if ((holemask >>> (k >> 2)) & 1) continue;
      count++;
      if (((k < 32 ? table.freeLow[i] : table.freeHigh[i]) >>> (k & 31)) & 1) freecount++;
    }
    const [freeHigh, freeLow] = [table.freeHigh[i], table.freeLow[i]];
    const startino = aginoOfIno(volume.g, table.chunkIno[i]);
    const chunk = { startino, holemask, count, freecount, freeHigh, freeLow };
    all.push(chunk);
    if (freecount > 0) free.push(chunk);
  }
  return { all, free };
}
