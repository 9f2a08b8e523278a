/**
 * Log items as a transaction holds them: columns of numbers and places in the memory the log was read into. A
 * checkpoint can have ten thousand items that live until it commits; an object is made only of the item looked at.
 */
import { viewOf } from '../format/structure.js';

/**
 * What one transaction says of one buffer, inode, intent... Its regions, the format structure first, are places in
 * one piece of memory: the record they were logged in or, where they came in several records, memory of their own.
 */
export class LogItem {
  /** One of LI, unless the log is corrupt. */
  type = 0;
  /** Regions the item says it has. */
  size = 0;
  /** Regions there are. */
  count = 0;
  /** Byte order of the format structure and of logged inode cores. */
  littleEndian = true;
  /** What the regions lie in. */
  memory: Uint8Array = NO_MEMORY;
  data: DataView = NO_DATA;
  /** Start and length of each region, two numbers a region, from `first` on. */
  spans: Int32Array = NO_SPANS;
  first = 0;

  /** Where region `i` begins in `memory`, and its length. */
  start(i: number): number {
    return this.spans[this.first + 2 * i];
  }
  length(i: number): number {
    return this.spans[this.first + 2 * i + 1];
  }

  /** Region `i`; undefined where there is none. */
  region(i: number): Uint8Array | undefined {
    return i < this.count ? this.memory.subarray(this.start(i), this.start(i) + this.length(i)) : undefined;
  }

  get regions(): Uint8Array[] {
    return Array.from({ length: this.count }, (_, i) => this.region(i)!);
  }

  /** The format structure. */
  get view(): DataView {
    return viewOf(this.region(0)!);
  }
  /** Numbers of the format structure. The item has passed itemFault, or is known to be long enough. */
  u16(at: number): number {
    return this.data.getUint16(this.spans[this.first] + at, this.littleEndian);
  }
  u32(at: number): number {
    return this.data.getUint32(this.spans[this.first] + at, this.littleEndian);
  }
  i32(at: number): number {
    return this.data.getInt32(this.spans[this.first] + at, this.littleEndian);
  }

  /** The same item in memory of its own. */
  copy(): LogItem {
    return LogItem.of(this.type, this.littleEndian, this.regions, this.size);
  }

  /** An item of copies of these regions; `size`: how many it says it has. */
  static of(
    type: number,
    littleEndian: boolean,
    regions: readonly Uint8Array[],
    size = regions.length,
  ): LogItem {
    const items = new ItemList(littleEndian);
    items.begin(type, size);
    for (const region of regions) items.add(region, viewOf(region), 0, region.length);
    items.compact();
    return items.at(0);
  }
}

const NO_MEMORY = new Uint8Array(0);
const NO_DATA = viewOf(NO_MEMORY);
const NO_SPANS = new Int32Array(0);

/** Columns of an item: type, size, first span, regions, number of its memory. */
const TYPE = 0;
const SIZE = 1;
const FIRST = 2;
const COUNT = 3;
const MEMORY = 4;
const COLUMNS = 5;

const grown = (of: Int32Array): Int32Array => {
  const larger = new Int32Array(2 * of.length);
  larger.set(of);
  return larger;
};

/** The items of a transaction, in the order they were logged. */
export class ItemList implements Iterable<LogItem> {
  littleEndian: boolean;
  length = 0;
  #columns: Int32Array = new Int32Array(4 * COLUMNS);
  #spans: Int32Array = new Int32Array(16);
  #used = 0;
  readonly #memories: Uint8Array[] = [];
  readonly #views: DataView[] = [];
  /** Items before this one have been copied out of the records they came in. */
  #compacted = 0;
  /** Bytes in use of the last item's own memory; -1 while it lies where it was logged. */
  #own = -1;

  constructor(littleEndian: boolean) {
    this.littleEndian = littleEndian;
  }

  /** Empties the list, to be filled with those of another transaction. */
  reset(littleEndian: boolean): void {
    this.littleEndian = littleEndian;
    this.length = 0;
    this.#used = 0;
    this.#memories.length = 0;
    this.#views.length = 0;
    this.#compacted = 0;
    this.#own = -1;
  }

  /** Item `i`, of those there are. Holds as long as what the log was read into. */
  at(i: number): LogItem {
    const item = new LogItem();
    this.load(i, item);
    return item;
  }

  /** Makes `item` item `i`. */
  load(i: number, item: LogItem): void {
    const base = i * COLUMNS;
    const columns = this.#columns;
    item.type = columns[base + TYPE];
    item.size = columns[base + SIZE];
    item.count = columns[base + COUNT];
    item.first = columns[base + FIRST];
    item.littleEndian = this.littleEndian;
    item.spans = this.#spans;
    const memory = columns[base + MEMORY];
    item.memory = this.#memories[memory] ?? NO_MEMORY;
    item.data = this.#views[memory] ?? NO_DATA;
  }

  type(i: number): number {
    return this.#columns[i * COLUMNS + TYPE];
  }

  *[Symbol.iterator](): Generator<LogItem> {
    for (let i = 0; i < this.length; i++) yield this.at(i);
  }

  /** A new item; what is added from here on are its regions. */
  begin(type: number, size: number): void {
    if (this.length * COLUMNS === this.#columns.length) this.#columns = grown(this.#columns);
    const base = this.length++ * COLUMNS;
    this.#columns[base + TYPE] = type;
    this.#columns[base + SIZE] = size;
    this.#columns[base + FIRST] = this.#used;
    this.#columns[base + COUNT] = 0;
    this.#own = -1;
  }

  /** Adds a region to the last item. */
  add(memory: Uint8Array, data: DataView, at: number, length: number): void {
    const base = (this.length - 1) * COLUMNS;
    if (this.#columns[base + COUNT]++ === 0) {
      this.#columns[base + MEMORY] = this.#number(memory, data);
      this.#compacted = Math.min(this.#compacted, this.length - 1);
    } else if (this.#memories[this.#columns[base + MEMORY]] !== memory) {
      const to = this.#room(length, this.#columns[base + COUNT] - 1);
      this.#memories[this.#columns[base + MEMORY]].set(memory.subarray(at, at + length), to);
      this.#push(to, length);
      return;
    }
    this.#push(at, length);
  }

  /** Makes the last region of the last item longer: its beginning was in a record before. */
  extend(more: Uint8Array): void {
    const base = (this.length - 1) * COLUMNS;
    const to = this.#room(more.length, this.#columns[base + COUNT]);
    this.#memories[this.#columns[base + MEMORY]].set(more, to);
    this.#spans[this.#used - 1] += more.length;
  }

  /** Copies all regions, so that what the log was read into is needed no more. */
  compact(): void {
    const last = this.#own >= 0 ? this.length - 1 : this.length;
    if (last > this.#compacted) this.#copy(this.#compacted, last, last < this.length ? -1 : this.#used, 0);
    this.#compacted = last;
    // Records that nothing lies in any more are not to be held.
    const needed = new Set<number>();
    for (let i = 0; i < this.length; i++) needed.add(this.#columns[i * COLUMNS + MEMORY]);
    for (let m = 0; m < this.#memories.length; m++)
      if (!needed.has(m)) {
        this.#memories[m] = NO_MEMORY;
        this.#views[m] = NO_DATA;
      }
  }

  /** Number of a piece of memory: regions come in runs out of one record. */
  #number(memory: Uint8Array, data: DataView): number {
    const last = this.#memories.length - 1;
    if (last >= 0 && this.#memories[last] === memory) return last;
    this.#memories.push(memory);
    this.#views.push(data);
    return last + 1;
  }

  #push(start: number, length: number): void {
    if (this.#used + 2 > this.#spans.length) this.#spans = grown(this.#spans);
    this.#spans[this.#used++] = start;
    this.#spans[this.#used++] = length;
  }

  /** Takes `length` bytes at the end of the last item's own memory, behind its first `count` regions. Returns where. */
  #room(length: number, count: number): number {
    const i = this.length - 1;
    const base = i * COLUMNS;
    if (this.#own < 0) {
      const end = this.#columns[base + FIRST] + 2 * count;
      this.#own = this.#copy(i, i + 1, end, length);
      this.#compacted = Math.min(this.#compacted, i);
    }
    const at = this.#own;
    const memory = this.#columns[base + MEMORY];
    if (at + length > this.#memories[memory].length) {
      const larger = new Uint8Array(2 * (at + length));
      larger.set(this.#memories[memory]);
      this.#memories[memory] = larger;
      this.#views[memory] = viewOf(larger);
    }
    this.#own = at + length;
    return at;
  }

  /**
   * Copies the regions of items `from` to `to`, whose spans end before `end` (-1: where those of item `to` begin),
   * into one new piece of memory with `spare` bytes behind them. Returns their bytes.
   */
  #copy(from: number, to: number, end: number, spare: number): number {
    const columns = this.#columns;
    const spans = this.#spans;
    const stop = end < 0 ? columns[to * COLUMNS + FIRST] : end;
    let bytes = 0;
    for (let at = columns[from * COLUMNS + FIRST]; at < stop; at += 2) bytes += spans[at + 1];
    const own = new Uint8Array(bytes + spare);
    let position = 0;
    const number = this.#memories.length;
    for (let i = from; i < to; i++) {
      const base = i * COLUMNS;
      const memory = this.#memories[columns[base + MEMORY]];
      const regions = i === to - 1 ? (stop - columns[base + FIRST]) / 2 : columns[base + COUNT];
      for (let r = 0, at = columns[base + FIRST]; r < regions; r++, at += 2) {
        own.set(memory.subarray(spans[at], spans[at] + spans[at + 1]), position);
        spans[at] = position;
        position += spans[at + 1];
      }
      columns[base + MEMORY] = number;
    }
    this.#memories.push(own);
    this.#views.push(viewOf(own));
    return bytes;
  }
}
