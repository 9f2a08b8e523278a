/**
 * Inodes while an image is filled: taken one after another from chunks that stand among the files, several
 * chunks together. A group's bytes are in memory while its files are written; an inode that is finished later
 * goes to the image by itself.
 */
import { encodeFreeInode } from '../../build/inode.js';
import {
  aginoOfIno,
  agnoOfIno,
  type Geometry,
  INODES_PER_CHUNK,
  inodeOffset,
  inoOf,
} from '../../format/geometry.js';
import type { Output } from './output.js';
import { noSpace, type Space } from './space.js';

/** A run of inodes, side by side on disk. */
interface Group {
  readonly first: number;
  readonly count: number;
  used: number;
  bytes: Uint8Array | undefined;
}

/** Inodes of a group where a directory asks for few, and the most. */
const GROUP = 256;
const LARGE_GROUP = 1024;
/** Groups kept in memory. */
const RESIDENT = 8;

export class InodeTable {
  readonly #g: Geometry;
  readonly #space: Space;
  readonly #output: Output;
  readonly #groups: Group[] = [];
  readonly #resident: Group[] = [];
  /** Memory of groups that have gone to the image, by its size: fresh memory is dear. */
  readonly #idle = new Map<number, Uint8Array[]>();
  /** Groups before it are used up. */
  #current = 0;
  #hint = 0;

  constructor(g: Geometry, space: Space, output: Output) {
    this.#g = g;
    this.#space = space;
    this.#output = output;
  }

  /** Takes over inodes that stand on disk, the first `used` of them in use. */
  adopt(first: number, count: number, used: number): void {
    const bytes = this.#memory(count);
    this.#output.read(inodeOffset(this.#g, first), bytes);
    this.#keep({ first, count, used, bytes });
  }

  /**
   * The next free inode.
   *
   * @param near inodes its directory is going to take, this one included
   * @param left inodes all that is still to come will take
   */
  take(near: number, left: number): number {
    while (this.#current < this.#groups.length && full(this.#groups[this.#current])) this.#current++;
    if (this.#current === this.#groups.length) this.#allocate(near, left);
    const group = this.#groups[this.#current];
    return group.first + group.used++;
  }

  #allocate(near: number, left: number): void {
    const g = this.#g;
    const unit = Math.max(INODES_PER_CHUNK, g.inopblock);
    const align = Math.max(1, g.inoalignmt);
    const wanted = Math.min(left, near <= GROUP ? GROUP : LARGE_GROUP);
    for (let units = Math.ceil(wanted / unit); units >= 1; units = Math.floor(units / 2)) {
      const blocks = (units * unit) / g.inopblock;
      const place = this.#space.takeAligned(blocks, align);
      if (place === undefined) continue;
      this.#space.ownInodes(place.agno, place.agbno, blocks);
      const first = inoOf(g, place.agno, place.agbno * g.inopblock);
      const bytes = this.#memory(units * unit);
      this.#keep({ first, count: units * unit, used: 0, bytes });
      return;
    }
    throw noSpace(unit / g.inopblock);
  }

  #keep(group: Group): void {
    this.#groups.push(group);
    this.#enter(group);
  }

  #enter(group: Group): void {
    if (this.#resident.length === RESIDENT) this.#evict(this.#resident.shift() as Group);
    this.#resident.push(group);
  }

  #evict(group: Group): void {
    const { inodesize } = this.#g;
    const bytes = group.bytes as Uint8Array;
    // Those in use are all put sooner or later.
    for (let i = group.used; i < group.count; i++)
      encodeFreeInode(this.#g, bytes.subarray(i * inodesize, (i + 1) * inodesize), group.first + i);
    this.#output.flush();
    this.#output.write(inodeOffset(this.#g, group.first), bytes);
    this.#output.flush();
    group.bytes = undefined;
    const idle = this.#idle.get(bytes.length);
    if (idle === undefined) this.#idle.set(bytes.length, [bytes]);
    else idle.push(bytes);
  }

  /** Room for `count` inodes; what stands in it is written over before it goes out. */
  #memory(count: number): Uint8Array {
    const size = count * this.#g.inodesize;
    return this.#idle.get(size)?.pop() ?? new Uint8Array(size);
  }

  /**
   * Stores a finished inode.
   *
   * @param alone its neighbours are not about to follow: a group that is not in memory stays on disk
   */
  put(ino: number, inode: Uint8Array, alone: boolean): void {
    const { inodesize } = this.#g;
    let group = this.#resident.find((r) => ino >= r.first && ino < r.first + r.count);
    if (group === undefined && !alone) group = this.#load(ino);
    if (group?.bytes !== undefined) group.bytes.set(inode, (ino - group.first) * inodesize);
    else this.#output.write(inodeOffset(this.#g, ino), inode);
  }

  #load(ino: number): Group | undefined {
    const n = this.#groups.length;
    for (let i = 0; i < n; i++) {
      const k = (this.#hint + i) % n;
      const group = this.#groups[k];
      if (ino < group.first || ino >= group.first + group.count) continue;
      this.#hint = k;
      group.bytes = this.#memory(group.count);
      this.#output.read(inodeOffset(this.#g, group.first), group.bytes);
      this.#enter(group);
      return group;
    }
    return undefined;
  }

  /** Changes an inode that has been stored. */
  patch(ino: number, change: (inode: Uint8Array) => void): void {
    const inode = new Uint8Array(this.#g.inodesize);
    this.#output.read(inodeOffset(this.#g, ino), inode);
    change(inode);
    this.#output.write(inodeOffset(this.#g, ino), inode);
  }

  /** Writes what is in memory. */
  flush(): void {
    for (const group of this.#resident.splice(0)) this.#evict(group);
  }

  /** Every chunk of 64: its AG, first inode within the AG, and how many of it are in use, from the first. */
  *chunks(): Generator<{ agno: number; agino: number; used: number }> {
    for (const group of this.#groups)
      for (let i = 0; i < group.count; i += INODES_PER_CHUNK)
        yield {
          agno: agnoOfIno(this.#g, group.first),
          agino: aginoOfIno(this.#g, group.first) + i,
          used: Math.max(0, Math.min(INODES_PER_CHUNK, group.used - i)),
        };
  }
}

const full = (group: Group): boolean => group.used === group.count;
