/**
 * Checks of btree records, one after another in tree order: bounds within the AG, lengths, overlap with the
 * records before, flags and owners that cannot go together, and neighbours that Linux would have merged. The
 * rules are those of the kernel's record checks (xfs_alloc.c, xfs_refcount.c, xfs_rmap.c) and of its online
 * scrub. Records of the inode btrees are checked in volume/inode.ts, those of the bmbt in volume/fork.ts.
 *
 * Records are read in place: nothing is allocated for one that holds.
 */
import { type AgBtreeName, REFC_COWFLAG, RMAP_OWN, rmapOffset, rmapOwner } from './btree.js';
import { MAX_FILE_OFFSET } from './extent.js';
import type { Report } from './fault.js';
import { agLength, firstFreeAgbno, type Geometry, isInoInRange } from './geometry.js';

/** Longest run one refcount record speaks of, and so the limit of merging (xfs_format.h MAXREFCEXTLEN). */
const MAX_REFC_BLOCKS = 2 ** 21 - 1;
const MAX_REFCOUNT = 0xffff_ffff;

export abstract class RecordCheck {
  protected readonly g: Geometry;
  protected readonly agno: number;
  /** Blocks of the AG, and the first block behind its headers. */
  protected readonly length: number;
  protected readonly first: number;
  readonly #tree: AgBtreeName;
  readonly #report: Report;
  #ok = true;

  constructor(tree: AgBtreeName, g: Geometry, agno: number, report: Report) {
    this.g = g;
    this.agno = agno;
    this.length = agLength(g, agno);
    this.first = firstFreeAgbno(g);
    this.#tree = tree;
    this.#report = report;
  }

  /**
   * Checks the record at byte `at` of a leaf: number `index` (from 0) of block `agbno`. Faults are reported.
   * Returns whether the record can be true.
   */
  take(v: DataView, at: number, index: number, agbno: number): boolean {
    this.#ok = true;
    this.check(v, at, index, agbno);
    return this.#ok;
  }

  protected abstract check(v: DataView, at: number, index: number, agbno: number): void;

  protected bad(agbno: number, index: number, field: string, value: number | string, expected: string): void {
    this.#ok = false;
    const where = { structure: this.#tree, agno: this.agno, agbno };
    this.#report({ ...where, field: `recs[${index + 1}].${field}`, value, expected });
  }

  /** Whether [start, start + blocks) lies in the AG behind its headers; reports the field that spoils it. */
  protected range(agbno: number, index: number, start: number, blocks: number): boolean {
    if (start < this.first || start >= this.length) {
      this.bad(agbno, index, 'startblock', start, `a block of the AG, ${this.first} to ${this.length - 1}`);
      return false;
    }
    if (blocks === 0 || start + blocks > this.length) {
      this.bad(agbno, index, 'blockcount', blocks, `1 to ${this.length - start}, within the AG`);
      return false;
    }
    return true;
  }
}

/** bnobt (by start) and cntbt (by length): the tree's own order is checked where blocks are walked. */
export class AllocCheck extends RecordCheck {
  readonly #byStart: boolean;
  #end = 0;

  constructor(tree: 'bnobt' | 'cntbt', g: Geometry, agno: number, report: Report) {
    super(tree, g, agno, report);
    this.#byStart = tree === 'bnobt';
  }

  protected check(v: DataView, at: number, index: number, agbno: number): void {
    const start = v.getUint32(at);
    const blocks = v.getUint32(at + 4);
    if (!this.range(agbno, index, start, blocks) || !this.#byStart) return;
    if (start < this.#end)
      this.bad(agbno, index, 'startblock', start, `${this.#end} or more, past the extent before`);
    else if (start === this.#end)
      this.bad(agbno, index, 'startblock', start, 'a gap to the extent before: free neighbours are merged');
    this.#end = Math.max(this.#end, start + blocks);
  }
}

export class RefcountCheck extends RecordCheck {
  #cow = false;
  #end = 0;
  #blocks = 0;
  #count = 0;

  constructor(g: Geometry, agno: number, report: Report) {
    super('refcountbt', g, agno, report);
  }

  protected check(v: DataView, at: number, index: number, agbno: number): void {
    const word = v.getUint32(at);
    const cow = (word & REFC_COWFLAG) !== 0;
    const start = word & 0x7fff_ffff;
    const blocks = v.getUint32(at + 4);
    const count = v.getUint32(at + 8);
    if (cow && count !== 1) this.bad(agbno, index, 'refcount', count, '1 in the CoW domain');
    if (!cow && count < 2)
      this.bad(agbno, index, 'refcount', count, '2 or more: no record stands for one owner');
    if (!this.range(agbno, index, start, blocks)) return;
    if (blocks > MAX_REFC_BLOCKS)
      this.bad(agbno, index, 'blockcount', blocks, `at most ${MAX_REFC_BLOCKS} in one record`);
    if (cow === this.#cow) {
      if (start < this.#end)
        this.bad(agbno, index, 'startblock', start, `${this.#end} or more, past the record before`);
      else if (
        start === this.#end &&
        count === this.#count &&
        count !== MAX_REFCOUNT &&
        this.#blocks + blocks <= MAX_REFC_BLOCKS
      )
        this.bad(agbno, index, 'refcount', count, 'another count than its neighbour: equal ones are merged');
    }
    this.#cow = cow;
    this.#end = start + blocks;
    this.#blocks = blocks;
    this.#count = count;
  }
}

const ATTR_FORK = 0x8000_0000;
const BMBT_BLOCK = 0x4000_0000;
const UNWRITTEN = 0x2000_0000;
/** Bits of the offset's high half that are neither flags nor offset: always zero. */
const RESERVED = 0x1fc0_0000;

export class RmapCheck extends RecordCheck {
  /** The record before. */
  #start = 0;
  #blocks = 0;
  #owner = 0;
  #offset = 0;
  #flags = 0;
  /** Furthest end of all records so far, and of those that nothing may overlap. */
  #end = 0;
  #exclusiveEnd = 0;

  constructor(g: Geometry, agno: number, report: Report) {
    super('rmapbt', g, agno, report);
  }

  protected check(v: DataView, at: number, index: number, agbno: number): void {
    const start = v.getUint32(at);
    const blocks = v.getUint32(at + 4);
    const owner = rmapOwner(v, at);
    const offset = rmapOffset(v, at);
    const high = v.getUint32(at + 16);
    const flags = (high & (ATTR_FORK | BMBT_BLOCK | UNWRITTEN)) >>> 0;
    const ofInode = owner >= 0;
    if ((high & RESERVED) !== 0)
      this.bad(agbno, index, 'offset', v.getBigUint64(at + 16).toString(), 'below 2^54, reserved bits clear');
    if (ofInode) this.#inode(agbno, index, owner, offset, blocks, flags);
    else this.#special(agbno, index, owner, offset, flags);
    if (owner === RMAP_OWN.FS) {
      if (start !== 0) this.bad(agbno, index, 'startblock', start, '0: the AG headers');
      if (blocks !== this.first)
        this.bad(agbno, index, 'blockcount', blocks, `${this.first}, the AG headers`);
    } else if (!this.range(agbno, index, start, blocks)) return;
    this.#neighbours(agbno, index, start, blocks, owner, offset, flags);
    this.#start = start;
    this.#blocks = blocks;
    this.#owner = owner;
    this.#offset = offset;
    this.#flags = flags;
    const end = start + blocks;
    if (end > this.#end) this.#end = end;
    const shareable = ofInode && flags === 0 && this.g.features.reflink;
    if (!shareable && end > this.#exclusiveEnd) this.#exclusiveEnd = end;
  }

  #inode(agbno: number, index: number, owner: number, offset: number, blocks: number, flags: number): void {
    if (!isInoInRange(this.g, owner))
      this.bad(agbno, index, 'owner', owner, 'an inode of the filesystem, or -9 to -3');
    const bmbt = (flags & BMBT_BLOCK) !== 0;
    if (bmbt && offset !== 0) this.bad(agbno, index, 'offset', offset, '0 for a bmbt block');
    if (!bmbt && offset + blocks > MAX_FILE_OFFSET)
      this.bad(agbno, index, 'offset', offset, 'an end within 2^54 blocks');
    if ((flags & UNWRITTEN) !== 0 && (flags & (BMBT_BLOCK | ATTR_FORK)) !== 0)
      this.bad(agbno, index, 'extentflag', 1, '0 but for data of a file');
  }

  #special(agbno: number, index: number, owner: number, offset: number, flags: number): void {
    if (owner > RMAP_OWN.FS || owner < RMAP_OWN.COW)
      this.bad(agbno, index, 'owner', owner, 'an inode of the filesystem, or -9 to -3');
    if (offset !== 0) this.bad(agbno, index, 'offset', offset, '0 where the owner is no inode');
    if ((flags & ATTR_FORK) !== 0) this.bad(agbno, index, 'attrfork', 1, '0 where the owner is no inode');
    if ((flags & BMBT_BLOCK) !== 0) this.bad(agbno, index, 'bmbtblock', 1, '0 where the owner is no inode');
    if ((flags & UNWRITTEN) !== 0) this.bad(agbno, index, 'extentflag', 1, '0 where the owner is no inode');
  }

  #neighbours(
    agbno: number,
    index: number,
    start: number,
    blocks: number,
    owner: number,
    offset: number,
    flags: number,
  ): void {
    const shareable = owner >= 0 && flags === 0 && this.g.features.reflink;
    const clear = shareable ? this.#exclusiveEnd : this.#end;
    if (start < clear) {
      this.bad(
        agbno,
        index,
        'startblock',
        start,
        `${clear} or more: these blocks have another owner already`,
      );
      return;
    }
    // A bmbt's blocks are merged as if their offsets, which are all 0, followed on each other.
    const follows = owner < 0 || (flags & BMBT_BLOCK) !== 0 || offset === this.#offset + this.#blocks;
    const merged = this.#blocks + blocks <= 0xffff_ffff;
    if (
      start === this.#start + this.#blocks &&
      owner === this.#owner &&
      flags === this.#flags &&
      follows &&
      merged
    )
      if (this.#blocks > 0)
        this.bad(
          agbno,
          index,
          'startblock',
          start,
          'no direct continuation of the record before: those are merged',
        );
  }
}
