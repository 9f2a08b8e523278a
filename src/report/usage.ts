/**
 * What every block of a filesystem is in use for: the claims that repair's observation gathered, swept once
 * into sorted runs, in columns.
 *
 * A block with one claim is what the claim says. Several claims are sharing where all of them are file data and
 * the refcount btree has a record; else they are `contested`, and so is a claim on a free block. What nobody
 * claims and no btree calls free is `lost`. On a healthy image there is neither, and the sums per kind are the
 * counters of the headers: free is the sum of agf_freeblks, agfl of agf_flcount; bnobt, cntbt and rmapbt
 * together are agf_btreeblks and their roots; sb_fdblocks is agf_freeblks, agf_flcount and agf_btreeblks.
 */
import { USE, USE_NAMES } from '../dump/rows/usage.js';
import { RMAP_OWN } from '../format/btree.js';
import { AG_TREES, type AgLook } from '../repair/observe/aglook.js';
import { CLAIM, type Claims, orderBy, Runs } from '../repair/observe/columns.js';
import type { Observation } from '../repair/observe/observe.js';

/** The runs of one AG in order of place, side by side from block 0 to its end. */
export class AgUsage {
  readonly agno: number;
  readonly length: number;
  count = 0;
  start = new Uint32Array(256);
  blocks = new Uint32Array(256);
  use = new Uint8Array(256);
  /** Owners of each run: see the table `map`. */
  owners = new Uint32Array(256);
  /** Blocks of each kind. */
  readonly sums = new Float64Array(USE_NAMES.length);
  /** Blocks times owners of what is shared: what its files map. */
  sharedTimesOwners = 0;

  constructor(agno: number, length: number) {
    this.agno = agno;
    this.length = length;
  }

  /** Adds a run behind the last, or lengthens that where it is the same. */
  add(start: number, blocks: number, use: number, owners: number): void {
    this.sums[use] += blocks;
    if (use === USE.shared) this.sharedTimesOwners += blocks * owners;
    const last = this.count - 1;
    if (last >= 0 && this.use[last] === use && this.owners[last] === owners) {
      this.blocks[last] += blocks;
      return;
    }
    if (this.count === this.start.length) this.#grow();
    this.start[this.count] = start;
    this.blocks[this.count] = blocks;
    this.use[this.count] = use;
    this.owners[this.count++] = owners;
  }

  #grow(): void {
    const longer = <T extends Uint32Array | Uint8Array>(from: T): T => {
      const to = new (from.constructor as new (n: number) => T)(from.length * 2);
      to.set(from);
      return to;
    };
    this.start = longer(this.start);
    this.blocks = longer(this.blocks);
    this.use = longer(this.use);
    this.owners = longer(this.owners);
  }

  /** Index of the run that holds block `agbno`. */
  at(agbno: number): number {
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.start[middle] <= agbno) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

export interface Usage {
  readonly ags: readonly AgUsage[];
  /** Blocks of each kind, in all. */
  readonly sums: Float64Array;
  readonly sharedTimesOwners: number;
}

export function usageOf({ ags }: Observation): Usage {
  const out = ags.map(agUsage);
  const sums = new Float64Array(USE_NAMES.length);
  for (const ag of out) for (let use = 0; use < sums.length; use++) sums[use] += ag.sums[use];
  return { ags: out, sums, sharedTimesOwners: out.reduce((n, ag) => n + ag.sharedTimesOwners, 0) };
}

/** What a claim of an inode, or of the filesystem apart from its btrees, says of its blocks. */
function useOfClaim(owner: number, info: number): number {
  if (owner < 0) {
    if (owner === RMAP_OWN.FS) return USE.header;
    if (owner === RMAP_OWN.LOG) return USE.log;
    if (owner === RMAP_OWN.INODES) return USE.inodes;
    return owner === RMAP_OWN.COW ? USE.cow : -1;
  }
  if (info & CLAIM.BMBT) return USE.bmbt;
  if (info & CLAIM.ATTR) return USE.attr;
  if (info & CLAIM.SYSTEM) return USE.quota;
  if (info & CLAIM.DIR) return USE.dir;
  if (info & CLAIM.SYMLINK) return USE.symlink;
  return info & CLAIM.UNWRITTEN ? USE.unwritten : USE.data;
}

/** All claims on an AG's blocks, free space among them: `value` is the kind. */
function claimsOf(look: AgLook): Runs {
  const { claims, treeBlocks, freeList, trees } = look;
  const all = new Runs();
  addClaims(all, claims);
  for (let i = 0; i < treeBlocks.count; i++)
    all.add(treeBlocks.start[i], treeBlocks.blocks[i], USE[AG_TREES[treeBlocks.value[i]]]);
  for (const agbno of freeList) if (agbno > 0 && agbno < look.length) all.add(agbno, 1, USE.agfl);
  // Either btree has all free space: where one is damaged, the other tells it.
  const free = trees.bnobt?.sound !== true && trees.cntbt?.sound === true ? look.bySize : look.byStart;
  for (let i = 0; i < free.count; i++) all.add(free.start[i], free.blocks[i], USE.free);
  return all;
}

function addClaims(all: Runs, claims: Claims): void {
  for (let i = 0; i < claims.count; i++) {
    const use = useOfClaim(claims.owner[i], claims.info[i]);
    // The btrees' own blocks and the free list come apart from the rest, each by its name.
    if (use >= 0) all.add(claims.start[i], claims.blocks[i], use);
  }
}

const isFileData = (use: number): boolean => use === USE.data || use === USE.unwritten;

/** Sweeps over the begins and ends of all claims, each in order, and counts what is open in between. */
function agUsage(look: AgLook): AgUsage {
  const { length, shared } = look;
  const all = claimsOf(look);
  const end = new Uint32Array(all.count);
  for (let i = 0; i < all.count; i++) end[i] = all.start[i] + all.blocks[i];
  const begins = orderBy(all.start, all.count);
  const ends = orderBy(end, all.count);
  const out = new AgUsage(look.agno, length);
  let open = 0;
  let openData = 0;
  /** Sum of the kinds that are open: of one alone, its kind. */
  let kinds = 0;
  let b = 0;
  let e = 0;
  let record = 0;
  for (let at = 0; at < length; ) {
    for (; e < all.count && end[ends[e]] <= at; e++) {
      const use = all.value[ends[e]];
      open--;
      kinds -= use;
      if (isFileData(use)) openData--;
    }
    for (; b < all.count && all.start[begins[b]] <= at; b++) {
      const use = all.value[begins[b]];
      open++;
      kinds += use;
      if (isFileData(use)) openData++;
    }
    while (record < shared.count && shared.start[record] + shared.blocks[record] <= at) record++;
    const inRecord = record < shared.count && shared.start[record] <= at;
    let next = length;
    if (b < all.count) next = Math.min(next, all.start[begins[b]]);
    if (e < all.count) next = Math.min(next, end[ends[e]]);
    if (record < shared.count)
      next = Math.min(next, inRecord ? shared.start[record] + shared.blocks[record] : shared.start[record]);
    const blocks = next - at;
    if (open === 0) out.add(at, blocks, USE.lost, 0);
    else if (inRecord && openData === open) out.add(at, blocks, USE.shared, shared.value[record]);
    else if (open === 1 && !inRecord) out.add(at, blocks, kinds, kinds === USE.free ? 0 : 1);
    else out.add(at, blocks, USE.contested, open);
    at = next;
  }
  return out;
}
