/**
 * The index of a directory held against its names: every name is found under its hash, no entry of the index
 * leads elsewhere, and the lists of free space say what the data blocks have. Block-form directories carry
 * their index in the block, and short ones have none; both are checked whenever they are read.
 */
import { DA_AT, daHash } from '../format/da.js';
import { FORK_FORMAT } from '../format/dinode.js';
import {
  DIR3_DATA_HDR,
  DIR3_FREE_HDR,
  DIR3_LEAF_HDR,
  freeSpaceBlock,
  LEAF_ENTRY,
  LEAF_TAIL,
  leafSpaceBlock,
  maxFreeBests,
  NULL_DATAPTR,
  NULLDATAOFF,
  XFS_DIR3_FREE_MAGIC,
  XFS_DIR3_LEAF1_MAGIC,
  XFS_DIR3_LEAFN_MAGIC,
} from '../format/dir.js';
import { verifyDirFree, verifyDirLeaf } from '../format/dircheck.js';
import { hex, type Report } from '../format/fault.js';
import { walkDaTree } from './datree.js';
import { walkDir } from './dir.js';
import { ForkBlocks } from './forkblocks.js';
import type { Inode } from './inode.js';
import type { Volume } from './volume.js';

/**
 * Names of one directory, by address: the hash each must be found under. And what its data blocks say is their
 * longest free region. Used again after `clear`.
 */
export class NameTable {
  #address = new Uint32Array(256);
  #hash = new Uint32Array(256);
  #taken = new Uint8Array(256);
  #count = 0;
  #left = 0;
  /** Addresses in steps of 2 ** shift, about one name each: the first name of step i, once `take` needs it. */
  #steps = new Uint32Array(0);
  #shift = -1;
  readonly #bests = new Map<number, number>();

  clear(): void {
    this.#count = 0;
    this.#left = 0;
    this.#shift = -1;
    this.#bests.clear();
  }

  /** Adds a name. Addresses come in ascending order, as the names stand in the directory. */
  add(address: number, hash: number): void {
    const i = this.#count++;
    if (i === this.#address.length) {
      const grown = <T extends Uint32Array | Uint8Array>(from: T, to: T): T => {
        to.set(from);
        return to;
      };
      this.#address = grown(this.#address, new Uint32Array(i * 2));
      this.#hash = grown(this.#hash, new Uint32Array(i * 2));
      this.#taken = grown(this.#taken, new Uint8Array(i * 2));
    }
    this.#address[i] = address;
    this.#hash[i] = hash;
    this.#taken[i] = 0;
    this.#left++;
  }

  /** Adds data block `db` (counted in directory blocks). */
  addBlock(db: number, block: DataView): void {
    this.#bests.set(db, block.getUint16(DIR3_DATA_HDR.at.bestfree + 2));
  }

  /** Longest free region of data block `db`, by its header; NULLDATAOFF where there is no such block. */
  best(db: number): number {
    return this.#bests.get(db) ?? NULLDATAOFF;
  }

  /** The data blocks there are. */
  blocks(): Iterable<number> {
    return this.#bests.keys();
  }

  /** Makes the steps: no more of them than twice the names. */
  #step(): void {
    const count = this.#count;
    const last = this.#address[count - 1];
    let shift = 0;
    while (last >>> shift > count * 2) shift++;
    const steps = (last >>> shift) + 2;
    if (steps > this.#steps.length) this.#steps = new Uint32Array(steps * 2);
    let step = 0;
    for (let i = 0; i < count; i++)
      for (const own = this.#address[i] >>> shift; step <= own; step++) this.#steps[step] = i;
    this.#steps[step] = count;
    this.#shift = shift;
  }

  /** Takes out the name at an address: its hash, or -1 where there is none or it was taken before. */
  take(address: number): number {
    const count = this.#count;
    if (count === 0 || address > this.#address[count - 1]) return -1;
    if (this.#shift < 0) this.#step();
    const step = address >>> this.#shift;
    let low = this.#steps[step];
    let high = this.#steps[step + 1];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#address[middle] < address) low = middle + 1;
      else high = middle;
    }
    if (low === count || this.#address[low] !== address || this.#taken[low] === 1) return -1;
    this.#taken[low] = 1;
    this.#left--;
    return this.#hash[low];
  }

  /** All names, and those not taken out yet. */
  get count(): number {
    return this.#count;
  }
  get left(): number {
    return this.#left;
  }

  /** Address of the first name that was not taken out. */
  firstLeft(): number {
    return this.#address[this.#taken.subarray(0, this.#count).indexOf(0)];
  }
}

/**
 * Checks the index of a directory, which takes memory for one hash a name. Faults of its data blocks, which are
 * read for that, go to `dataReport`: a caller that has just listed the directory knows them. One that has kept
 * its names, '.' and '..' among them, and its data blocks gives them as `known`; the names are used up.
 */
export function checkDirIndex(
  volume: Volume,
  inode: Inode,
  report: Report = volume.report,
  dataReport: Report = report,
  known?: NameTable,
): void {
  const names = known ?? new NameTable();
  if (known === undefined)
    walkDir(
      volume,
      inode,
      (block, from, to, _ino, _ftype, address) => names.add(address, daHash(block, from, to)),
      { dots: true, report: dataReport, block: (v, db) => names.addBlock(db, v) },
    );
  if (inode.format === FORK_FORMAT.LOCAL) return;
  const blocks = new ForkBlocks(volume, inode, 'data', () => {});
  if (blocks.end <= leafSpaceBlock(volume.g)) return;
  new IndexCheck(volume, inode, blocks, names, report).run();
}

class IndexCheck {
  readonly #volume: Volume;
  readonly #inode: Inode;
  readonly #blocks: ForkBlocks;
  readonly #names: NameTable;
  readonly #report: Report;
  readonly #dataBlocks: number;

  constructor(volume: Volume, inode: Inode, blocks: ForkBlocks, names: NameTable, report: Report) {
    this.#volume = volume;
    this.#inode = inode;
    this.#blocks = blocks;
    this.#names = names;
    this.#report = report;
    this.#dataBlocks = Math.ceil(inode.size / volume.g.dirblksize);
  }

  run(): void {
    const { g } = this.#volume;
    const first = leafSpaceBlock(g);
    const end = Math.min(this.#blocks.end, freeSpaceBlock(g));
    const tree = { blocks: this.#blocks, of: 'dir', root: first, end } as const;
    let nodes = false;
    walkDaTree(
      tree,
      (leaf, at, maxHash) => {
        const single = leaf.getUint16(DA_AT.magic) === XFS_DIR3_LEAF1_MAGIC && maxHash === undefined;
        const expect = { dataBlocks: this.#dataBlocks, maxHash, first, end };
        const form = single ? 'leaf1' : 'leafn';
        this.#blocks.verify(
          leaf,
          at,
          (b, place, r) => verifyDirLeaf(g, b, form, place, expect, r),
          this.#report,
        );
        const magic = leaf.getUint16(DA_AT.magic);
        if (magic !== XFS_DIR3_LEAF1_MAGIC && magic !== XFS_DIR3_LEAFN_MAGIC) return;
        nodes ||= magic === XFS_DIR3_LEAFN_MAGIC;
        this.#checkLeaf(leaf, at);
        if (single) this.#checkLeafBests(leaf, at);
      },
      this.#report,
    );
    const { count, left } = this.#names;
    if (left > 0) {
      this.#report({
        structure: 'directory',
        ino: this.#inode.ino,
        field: 'index',
        value: count - left,
        expected: `${count} names; the first it misses is at address ${hex(this.#names.firstLeft())}`,
      });
    }
    this.#checkFreeBlocks(nodes);
  }

  #bad(structure: string, at: number, field: string, value: number | string, expected: string): void {
    this.#report({ structure, ino: this.#inode.ino, ...this.#blocks.place(at), field, value, expected });
  }

  #checkLeaf(leaf: DataView, at: number): void {
    const room = Math.floor((leaf.byteLength - DIR3_LEAF_HDR.size) / LEAF_ENTRY.size);
    const count = Math.min(leaf.getUint16(DIR3_LEAF_HDR.at.count), room);
    for (let i = 0; i < count; i++) {
      const entry = DIR3_LEAF_HDR.size + i * LEAF_ENTRY.size;
      const hashval = leaf.getUint32(entry);
      const address = leaf.getUint32(entry + LEAF_ENTRY.at.address);
      if (address === NULL_DATAPTR) continue;
      const hash = this.#names.take(address);
      if (hash < 0)
        this.#bad('dir leaf', at, `lents[${i}].address`, hex(address), 'a name no other entry leads to');
      else if (hash !== hashval)
        this.#bad('dir leaf', at, `lents[${i}].hashval`, hex(hashval), `${hex(hash)}, the hash of its name`);
    }
  }

  #checkLeafBests(leaf: DataView, at: number): void {
    const count = leaf.getUint32(leaf.byteLength - LEAF_TAIL.size);
    if (count !== this.#dataBlocks) return; // reported by the leaf's check
    for (let db = 0; db < count; db++) {
      const best = leaf.getUint16(leaf.byteLength - LEAF_TAIL.size - (count - db) * 2);
      if (best !== this.#names.best(db))
        this.#bad(
          'dir leaf',
          at,
          `lbests[${db}]`,
          best,
          `${this.#names.best(db)}, which data block ${db} says`,
        );
    }
  }

  /** Node-form directories list the free space of their data blocks in blocks of their own: all that there are. */
  #checkFreeBlocks(nodes: boolean): void {
    const { g } = this.#volume;
    const first = freeSpaceBlock(g);
    const room = maxFreeBests(g.dirblksize);
    const { extents } = this.#blocks;
    const found = new Set<number>();
    for (let i = 0; i < extents.count; i++) {
      const start = Math.max(extents.offset[i], first);
      const end = extents.offset[i] + extents.blocks[i];
      for (let at = Math.ceil(start / g.dirblkfsbs) * g.dirblkfsbs; at < end; at += g.dirblkfsbs) {
        const index = (at - first) / g.dirblkfsbs;
        if (index * room >= this.#dataBlocks) {
          this.#bad('dir free', at, 'fhdr.firstdb', index * room, `a data block below ${this.#dataBlocks}`);
          return;
        }
        this.#checkFreeBlock(at, index, room);
        found.add(index);
      }
    }
    if (!nodes) return;
    // Of the blocks there are: a damaged size can speak of 2^51.
    for (const db of this.#names.blocks()) {
      const index = Math.floor(db / room);
      if (found.has(index) || db >= this.#dataBlocks) continue;
      const expected = `a block at file block ${first + index * g.dirblkfsbs}, for data block ${db}`;
      this.#bad('dir free', first + index * g.dirblkfsbs, 'fhdr', 'missing', expected);
      return;
    }
  }

  #checkFreeBlock(at: number, index: number, room: number): void {
    const { g } = this.#volume;
    const v = this.#blocks.read(at);
    if (v === undefined) return;
    this.#blocks.verify(v, at, (b, place, r) => verifyDirFree(g, b, place, index, r), this.#report);
    if (v.getUint32(0) !== XFS_DIR3_FREE_MAGIC) return;
    const nvalid = v.getUint32(DIR3_FREE_HDR.at.nvalid);
    if (nvalid > room) return; // reported by the block's check
    const known = Math.min(room, this.#dataBlocks - index * room);
    if (nvalid !== known)
      this.#bad('dir free', at, 'fhdr.nvalid', nvalid, `${known}, the data blocks there are`);
    for (let i = 0; i < Math.min(nvalid, known); i++) {
      const best = v.getUint16(DIR3_FREE_HDR.size + i * 2);
      const db = index * room + i;
      if (best !== this.#names.best(db))
        this.#bad(
          'dir free',
          at,
          `fbests[${i}]`,
          best,
          `${this.#names.best(db)}, which data block ${db} says`,
        );
    }
  }
}
