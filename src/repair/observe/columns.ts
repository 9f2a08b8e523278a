/**
 * Growable columns of numbers: hundreds of thousands of claims and records stand side by side in typed arrays,
 * with no object for any of them.
 */

/** What to grow into: twice the room, the contents kept. */
function grown<T extends Uint32Array | Int32Array | Float64Array | Uint8Array>(from: T, capacity: number): T {
  const to = new (from.constructor as new (length: number) => T)(capacity);
  to.set(from);
  return to;
}

/** Makes room for `total` in all five columns: memory that is not written to costs nothing. */
function makeRoom(columns: Claims | RmapRecords, total: number): void {
  if (total <= columns.start.length) return;
  const capacity = Math.max(total, columns.start.length * 2);
  columns.start = grown(columns.start, capacity);
  columns.blocks = grown(columns.blocks, capacity);
  columns.owner = grown(columns.owner, capacity);
  columns.offset = grown(columns.offset, capacity);
  columns.info = grown(columns.info, capacity);
}

/** Who a claim is made by, where it is no inode: the rmap btree's special owners (RMAP_OWN), negative. */
export const CLAIM = {
  /** Attribute fork; the rmap btree keeps these bits too. */
  ATTR: 1 << 0,
  /** A block of the fork's own btree. */
  BMBT: 1 << 1,
  UNWRITTEN: 1 << 2,
  /** Data fork of a regular file: the only kind that may share. */
  DATA: 1 << 3,
  /** Made by an inode or a bmbt block that did not verify. */
  DOUBTFUL: 1 << 4,
  DIR: 1 << 5,
  SYMLINK: 1 << 6,
  /** Quota and realtime inodes: file data that nobody may share. */
  SYSTEM: 1 << 7,
} as const;

/**
 * Who claims which blocks of one AG. Element i of each column is one claim: `blocks` blocks from `start`
 * (agbno), made by inode slot `owner` (see InodeTable) at file block `offset`, or by a special owner.
 */
export class Claims {
  count = 0;
  start = new Uint32Array(256);
  blocks = new Uint32Array(256);
  owner = new Int32Array(256);
  offset = new Float64Array(256);
  info = new Uint8Array(256);

  add(start: number, blocks: number, owner: number, offset: number, info: number): void {
    const i = this.count++;
    if (i === this.start.length) this.reserve(i + 1);
    this.start[i] = start;
    this.blocks[i] = blocks;
    this.owner[i] = owner;
    this.offset[i] = offset;
    this.info[i] = info;
  }

  /** Adds all claims of another set, in their order. */
  append(from: Claims): void {
    if (from.count === 0) return;
    const total = this.count + from.count;
    this.reserve(total);
    for (const name of ['start', 'blocks', 'owner', 'offset', 'info'] as const)
      this[name].set(from[name].subarray(0, from.count), this.count);
    this.count = total;
  }

  /** Makes room for `total` claims in all. */
  reserve(total: number): void {
    makeRoom(this, total);
  }

  /** Indices in order of start; claims that start on one block stay in the order they were added. */
  order(): Uint32Array {
    return orderBy(this.start, this.count);
  }
}

/** Records of one AG's rmap btree, in its order. `info` has the CLAIM bits ATTR, BMBT and UNWRITTEN. */
export class RmapRecords {
  count = 0;
  start = new Uint32Array(64);
  blocks = new Uint32Array(64);
  /** Inode number, or a special owner. */
  owner = new Float64Array(64);
  offset = new Float64Array(64);
  info = new Uint8Array(64);

  add(start: number, blocks: number, owner: number, offset: number, info: number): void {
    const i = this.count++;
    if (i === this.start.length) this.reserve(i + 1);
    this.start[i] = start;
    this.blocks[i] = blocks;
    this.owner[i] = owner;
    this.offset[i] = offset;
    this.info[i] = info;
  }

  /** Makes room for `total` records in all. */
  reserve(total: number): void {
    makeRoom(this, total);
  }
}

/** Runs of blocks with a number each: refcount records of one domain (the count), free space (unused). */
export class Runs {
  count = 0;
  start = new Uint32Array(64);
  blocks = new Uint32Array(64);
  value = new Uint32Array(64);

  add(start: number, blocks: number, value: number): void {
    const i = this.count++;
    if (i === this.start.length) {
      const capacity = i * 2;
      this.start = grown(this.start, capacity);
      this.blocks = grown(this.blocks, capacity);
      this.value = grown(this.value, capacity);
    }
    this.start[i] = start;
    this.blocks[i] = blocks;
    this.value[i] = value;
  }

  /** Adds all runs of another list. */
  append(other: Runs): void {
    for (let i = 0; i < other.count; i++) this.add(other.start[i], other.blocks[i], other.value[i]);
  }

  /** Adds a run, or lengthens the last one where this one continues it with the same value. */
  merge(start: number, blocks: number, value: number): void {
    const last = this.count - 1;
    if (last >= 0 && this.start[last] + this.blocks[last] === start && this.value[last] === value)
      this.blocks[last] += blocks;
    else this.add(start, blocks, value);
  }
}

const DIGIT = 11;
const RADIX = 1 << DIGIT;

/** Indices 0 .. count-1 ordered by `key`, equal keys in their order (radix sort, 11 bits a pass). */
export function orderBy(key: Uint32Array, count: number): Uint32Array {
  let from = new Uint32Array(count);
  let sorted = true;
  let max = 0;
  for (let i = 0; i < count; i++) {
    from[i] = i;
    if (i > 0 && key[i] < key[i - 1]) sorted = false;
    if (key[i] > max) max = key[i];
  }
  if (sorted) return from;
  let to = new Uint32Array(count);
  const counts = new Uint32Array(RADIX);
  for (let shift = 0; shift < 32 && (shift === 0 || max >>> shift > 0); shift += DIGIT) {
    counts.fill(0);
    for (let i = 0; i < count; i++) counts[(key[i] >>> shift) & (RADIX - 1)]++;
    let sum = 0;
    for (let d = 0; d < RADIX; d++) {
      const n = counts[d];
      counts[d] = sum;
      sum += n;
    }
    for (let i = 0; i < count; i++) to[counts[(key[from[i]] >>> shift) & (RADIX - 1)]++] = from[i];
    [from, to] = [to, from];
  }
  return from;
}
