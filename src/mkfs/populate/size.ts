/** How large a filesystem has to be for a tree: counted from metadata, before anything is written. */
import { planAttrs, shortFormAttrSize } from '../../build/attr.js';
import { btreeShape } from '../../build/btree.js';
import { planDir } from '../../build/dir.js';
import { symlinkBlocks } from '../../build/symlink.js';
import { BTREES } from '../../format/btree.js';
import { S_IF } from '../../format/dinode.js';
import { type Geometry, geometryOf, INODES_PER_CHUNK } from '../../format/geometry.js';
import { badOption } from '../error.js';
import { type Layout, planLayout } from '../layout.js';
import type { OptionValues } from '../options.js';
import type { FeatureChoice } from '../profiles.js';
import { initialFreelist } from '../spaces.js';
import { encodeSuperblock } from '../superblock.js';
import { storedAttr } from './attrs.js';
import { forkRooms } from './forks.js';
import { agReserve } from './space.js';
import { SPARSE, type TreeSource } from './tree.js';

/** "auto", "auto+10%": free space beside the files, as a part of what they take; undefined for a plain size. */
export function parseAuto(size: string): number | undefined {
  const match = /^auto(?:\+(\d+(?:\.\d+)?)%)?$/.exec(size);
  return match === null ? undefined : Number(match[1] ?? 0) / 100;
}

const MIB = 2 ** 20;
const SMALLEST = 32;
const UUID = '00000000-0000-0000-0000-000000000000';

/**
 * Bytes of the smallest filesystem with these options that holds the tree and `free` times as much again, in
 * steps of 1 MiB. `saved` blocks of it are known to be shared.
 */
export function smallestSize(
  source: TreeSource,
  options: OptionValues,
  base: FeatureChoice,
  free: number,
  saved: number,
): number {
  const geometry = (bytes: number): { layout: Layout; g: Geometry } => {
    const layout = planLayout(options, base, bytes);
    const counters = { icount: 0, ifree: 0, fdblocks: 0 };
    return { layout, g: geometryOf(encodeSuperblock(layout, UUID, new Uint8Array(0), counters, {}, true)) };
  };
  // With less there would be one AG, and no second superblock to hold the first against.
  let low = SMALLEST;
  let high = SMALLEST;
  // What files take depends on block and inode sizes alone, which no size changes.
  let needed: number | undefined;
  const holds = (mib: number): boolean => {
    let planned: { layout: Layout; g: Geometry };
    try {
      planned = geometry(mib * MIB);
    } catch (error) {
      if (mib >= 2 ** 30) throw error;
      return false;
    }
    needed ??= Math.ceil((neededBlocks(source, planned.g) - saved) * (1 + free));
    return usableBlocks(planned.g, planned.layout) >= needed;
  };
  while (!holds(high)) {
    low = high + 1;
    high *= 2;
    if (high > 2 ** 30) throw badOption('--size auto: no filesystem of up to 1 PiB holds these files');
  }
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return high * MIB;
}

/** Blocks that files, directories and inodes may take. */
function usableBlocks(g: Geometry, l: Layout): number {
  let blocks = 0;
  for (let agno = 0; agno < g.agcount; agno++) {
    const length = agno < g.agcount - 1 ? g.agblocks : g.dblocks - (g.agcount - 1) * g.agblocks;
    const log = agno === l.logAg ? l.logblocks : 0;
    blocks += Math.max(0, length - l.headBlocks - initialFreelist(g) - log - agReserve(g, agno, l.logAg));
  }
  // The first inodes stand aligned; so do runs of chunks in the last AG that is used.
  return blocks - 4 * Math.max(1, g.inoalignmt) - g.unit;
}

/** Blocks the tree takes, its inodes included. */
function neededBlocks(source: TreeSource, g: Geometry): number {
  const { tree } = source;
  const { order, first } = tree.children();
  const blocksOf = (bytes: number): number => Math.ceil(bytes / g.blocksize);
  let blocks = 0;
  let inodes = 0;
  let runs = 0;
  for (let i = 0; i < tree.count; i++) {
    if (tree.link[i] >= 0) continue;
    inodes++;
    const all = tree.xattrs.get(i) ?? [];
    const attrs = all.flatMap((x) => storedAttr(x, all, () => tree.showPath(i)) ?? []);
    const attrBytes = attrs.length === 0 ? 0 : shortFormAttrSize(attrs);
    const type = tree.type(i);
    const rooms = forkRooms(g, attrBytes, type !== S_IF.REG && type !== S_IF.DIR && type !== S_IF.LNK);
    if (!rooms.attrsInside) blocks += planAttrs(g, attrs).blocks;
    if (type === S_IF.DIR) {
      const names = order.subarray(first[i], first[i + 1]);
      const entries = {
        count: names.length,
        pool: tree.pool,
        start: names,
        length: Uint8Array.from(names, (n) => tree.nameLength[n]),
        ino: new Uint8Array(names.length),
        ftype: new Uint8Array(names.length),
      };
      for (const run of planDir(g, entries, 0, rooms.local).blocks) blocks += run.count;
    } else if (type === S_IF.LNK) {
      if (tree.size[i] > rooms.local) blocks += symlinkBlocks(tree.size[i], g.blocksize);
    } else if (type === S_IF.REG && tree.size[i] > 0) {
      if (tree.sparse[i] !== SPARSE.MAPPED) {
        blocks += blocksOf(
          tree.sparse[i] === SPARSE.UNKNOWN ? Math.min(tree.handle[i], tree.size[i]) : tree.size[i],
        );
        continue;
      }
      let extents = 0;
      source.open(i, i);
      let done = 0;
      for (let run = source.nextData(0); run !== undefined; run = source.nextData(run[1])) {
        const from = Math.max(done, Math.floor(run[0] / g.blocksize));
        const to = blocksOf(run[1]);
        if (to > from) {
          blocks += to - from;
          extents++;
        }
        done = Math.max(done, to);
      }
      source.shut();
      if (extents > 3) runs += btreeShape(BTREES.bmbt, g.blocksize, extents, 3).total;
    }
  }
  const unit = Math.max(INODES_PER_CHUNK, g.inopblock);
  // Chunks taken in groups leave at most a block's worth of gaps each, which small files fill.
  const groups = Math.ceil(inodes / 256);
  return blocks + runs + (Math.ceil(inodes / unit) * unit) / g.inopblock + groups * Math.min(2, g.inoalignmt);
}
