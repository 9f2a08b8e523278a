/**
 * What is to be put into an image, in columns: one row a name. Row 0 is the root; names are bytes. Rows come
 * in any order; `children` groups them by directory in the order of their names, so that the same files give
 * the same image whatever order they were met in.
 */
import { daHash } from '../../format/da.js';
import { S_IF, S_IFMT } from '../../format/dinode.js';
import { showBytes } from '../../format/text.js';
import { MkfsError } from '../error.js';

/** A file cannot be taken in: what, and why. */
export const sourceError = (message: string): MkfsError => new MkfsError('source', message);

/** A path for a message: its ends where it is long. */
export const showPath = (path: Uint8Array): string =>
  path.length <= 2 * SHOWN
    ? showBytes(path)
    : `${showBytes(path.subarray(0, SHOWN))}...${showBytes(path.subarray(-SHOWN))}`;

/** Bytes shown of either end. */
const SHOWN = 128;

/** An attribute by its full name: "user.comment", "system.posix_acl_access". */
export interface SourceXattr {
  readonly name: Uint8Array;
  readonly value: Uint8Array;
}

type Column = Float64Array | Int32Array | Uint32Array | Uint16Array | Uint8Array;

/** Metadata of one name. Times are seconds since 1970 and nanoseconds. */
export interface NodeFields {
  /** S_IF type and permissions. */
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: number;
  mtimeNsec: number;
  atime: number;
  atimeNsec: number;
  /** Of devices. */
  major: number;
  minor: number;
}

/** What is known of a file's holes. */
export const SPARSE = {
  /** It has none. */
  NO: 0,
  /** It has some: blocks of zeros are taken for them. */
  UNKNOWN: 1,
  /** The source tells where they are. */
  MAPPED: 2,
} as const;

/** In the column of sizes: told when the file is opened, or by `measure`. */
export const SIZE_UNKNOWN = -1;

/** The run at or behind byte `from` in a list of starts and ends. */
export function nextRun(runs: Float64Array, from: number): readonly [number, number] | undefined {
  let low = 0;
  let high = runs.length / 2;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (runs[middle * 2 + 1] <= from) low = middle + 1;
    else high = middle;
  }
  return low * 2 < runs.length ? [Math.max(from, runs[low * 2]), runs[low * 2 + 1]] : undefined;
}

const FIRST = 1024;

export class SourceTree {
  count = 0;
  parent = new Int32Array(FIRST);
  mode = new Uint16Array(FIRST);
  uid = new Uint32Array(FIRST);
  gid = new Uint32Array(FIRST);
  size = new Float64Array(FIRST);
  mtime = new Float64Array(FIRST);
  mtimeNsec = new Uint32Array(FIRST);
  atime = new Float64Array(FIRST);
  atimeNsec = new Uint32Array(FIRST);
  /** Major << 18 | minor, as Linux keeps device numbers in 32 bits. */
  rdev = new Uint32Array(FIRST);
  /** Another name of the row given; -1: a file of its own. Never a chain. */
  link = new Int32Array(FIRST);
  /** Where the source finds the contents again: what it likes. */
  handle = new Float64Array(FIRST);
  /** SPARSE. */
  sparse = new Uint8Array(FIRST);
  /** Names, and targets of symbolic links. */
  pool = new Uint8Array(FIRST * 16);
  nameStart = new Uint32Array(FIRST);
  nameLength = new Uint8Array(FIRST);
  targetStart = new Uint32Array(FIRST);
  targetLength = new Uint16Array(FIRST);
  readonly xattrs = new Map<number, SourceXattr[]>();
  #poolUsed = 0;
  /** Rows by parent and name: open addressing, -1 empty. */
  #slots = new Int32Array(FIRST * 4).fill(-1);

  /** Adds a row. `fields` is copied. Throws MkfsError for a name no directory can hold. */
  add(parent: number, name: Uint8Array, fields: NodeFields): number {
    if (this.count > 0) checkName(name);
    if (this.count === this.parent.length) this.#grow();
    const i = this.count++;
    this.parent[i] = parent;
    this.nameStart[i] = this.#store(name);
    this.nameLength[i] = name.length;
    this.link[i] = -1;
    this.set(i, fields);
    if (this.count * 2 > this.#slots.length) this.#rehash();
    else this.#insert(i);
    return i;
  }

  /** Overwrites a row's metadata. */
  set(i: number, f: NodeFields): void {
    if (f.major >= 2 ** 14 || f.minor >= 2 ** 18 || f.major < 0 || f.minor < 0)
      throw sourceError(
        `${this.showPath(i)}: device ${f.major},${f.minor} is out of range (at most 16383,262143)`,
      );
    this.mode[i] = f.mode;
    this.uid[i] = f.uid;
    this.gid[i] = f.gid;
    this.size[i] = f.size;
    this.mtime[i] = f.mtime;
    this.mtimeNsec[i] = f.mtimeNsec;
    this.atime[i] = f.atime;
    this.atimeNsec[i] = f.atimeNsec;
    this.rdev[i] = f.major * 2 ** 18 + f.minor;
  }

  setTarget(i: number, target: Uint8Array): void {
    if (target.length < 1 || target.length > 1024)
      throw sourceError(
        `${this.showPath(i)}: a symbolic link of ${target.length} bytes; XFS holds 1 to 1024`,
      );
    if (target.indexOf(0) >= 0) throw sourceError(`${this.showPath(i)}: a symbolic link with a zero byte`);
    this.targetStart[i] = this.#store(target);
    this.targetLength[i] = target.length;
    this.size[i] = target.length;
  }

  /** Makes row `to` a file of its own with all that row `from` has but its name. */
  copyRow(from: number, to: number): void {
    this.link[to] = -1;
    for (const column of [
      this.mode,
      this.uid,
      this.gid,
      this.size,
      this.mtime,
      this.mtimeNsec,
      this.atime,
      this.atimeNsec,
      this.rdev,
      this.handle,
      this.sparse,
      this.targetStart,
      this.targetLength,
    ])
      column[to] = column[from];
    const xattrs = this.xattrs.get(from);
    if (xattrs !== undefined) this.xattrs.set(to, xattrs);
  }

  name(i: number): Uint8Array {
    return this.pool.subarray(this.nameStart[i], this.nameStart[i] + this.nameLength[i]);
  }

  target(i: number): Uint8Array {
    return this.pool.subarray(this.targetStart[i], this.targetStart[i] + this.targetLength[i]);
  }

  type(i: number): number {
    return this.mode[i] & S_IFMT;
  }

  isDir(i: number): boolean {
    return (this.mode[i] & S_IFMT) === S_IF.DIR;
  }

  /** The row that holds the file: itself, or what it is a link to. */
  file(i: number): number {
    return this.link[i] < 0 ? i : this.link[i];
  }

  /** The entry `name` of directory `parent`, -1 where there is none. */
  find(parent: number, name: Uint8Array): number {
    const mask = this.#slots.length - 1;
    for (let s = slotHash(parent, name, 0, name.length) & mask; ; s = (s + 1) & mask) {
      const i = this.#slots[s];
      if (i < 0) return -1;
      if (this.parent[i] === parent && this.#hasName(i, name)) return i;
    }
  }

  /** Bytes of the path below the root, without a leading slash; empty for the root. */
  path(i: number): Uint8Array {
    let length = -1;
    for (let k = i; k > 0; k = this.parent[k]) length += this.nameLength[k] + 1;
    const out = new Uint8Array(Math.max(0, length));
    let at = out.length;
    for (let k = i; k > 0; k = this.parent[k]) {
      at -= this.nameLength[k];
      out.set(this.name(k), at);
      if (--at > 0) out[at] = 0x2f;
    }
    return out;
  }

  showPath(i: number): string {
    return showPath(Buffer.concat([Buffer.from('/'), this.path(i)]));
  }

  /** Rows grouped by directory: those of directory d are order[first[d] .. first[d + 1]), by name. */
  children(): { readonly order: Int32Array; readonly first: Uint32Array } {
    const n = this.count;
    const first = new Uint32Array(n + 2);
    for (let i = 1; i < n; i++) first[this.parent[i] + 1]++;
    for (let i = 0; i < n; i++) first[i + 1] += first[i];
    const next = first.slice();
    const order = new Int32Array(Math.max(0, n - 1));
    for (let i = 1; i < n; i++) order[next[this.parent[i]]++] = i;
    const { pool, nameStart, nameLength } = this;
    const byName = (a: number, b: number): number => {
      const m = Math.min(nameLength[a], nameLength[b]);
      const p = nameStart[a];
      const q = nameStart[b];
      for (let k = 0; k < m; k++) if (pool[p + k] !== pool[q + k]) return pool[p + k] - pool[q + k];
      return nameLength[a] - nameLength[b];
    };
    for (let d = 0; d < n; d++)
      if (first[d + 1] - first[d] > 1) order.subarray(first[d], first[d + 1]).sort(byName);
    return { order, first };
  }

  #hasName(i: number, name: Uint8Array): boolean {
    if (this.nameLength[i] !== name.length) return false;
    const from = this.nameStart[i];
    for (let k = 0; k < name.length; k++) if (this.pool[from + k] !== name[k]) return false;
    return true;
  }

  #insert(i: number): void {
    const mask = this.#slots.length - 1;
    const from = this.nameStart[i];
    let s = slotHash(this.parent[i], this.pool, from, from + this.nameLength[i]) & mask;
    while (this.#slots[s] >= 0) s = (s + 1) & mask;
    this.#slots[s] = i;
  }

  #rehash(): void {
    this.#slots = new Int32Array(this.#slots.length * 2).fill(-1);
    for (let i = 0; i < this.count; i++) this.#insert(i);
  }

  #store(bytes: Uint8Array): number {
    if (this.#poolUsed + bytes.length > this.pool.length) {
      const pool = new Uint8Array(Math.max(this.pool.length * 2, this.#poolUsed + bytes.length));
      pool.set(this.pool);
      this.pool = pool;
    }
    const at = this.#poolUsed;
    this.pool.set(bytes, at);
    this.#poolUsed += bytes.length;
    return at;
  }

  #grow(): void {
    const n = this.parent.length * 2;
    const grow = <T extends Column>(from: T, to: T): T => {
      to.set(from);
      return to;
    };
    this.parent = grow(this.parent, new Int32Array(n));
    this.mode = grow(this.mode, new Uint16Array(n));
    this.uid = grow(this.uid, new Uint32Array(n));
    this.gid = grow(this.gid, new Uint32Array(n));
    this.size = grow(this.size, new Float64Array(n));
    this.mtime = grow(this.mtime, new Float64Array(n));
    this.mtimeNsec = grow(this.mtimeNsec, new Uint32Array(n));
    this.atime = grow(this.atime, new Float64Array(n));
    this.atimeNsec = grow(this.atimeNsec, new Uint32Array(n));
    this.rdev = grow(this.rdev, new Uint32Array(n));
    this.link = grow(this.link, new Int32Array(n));
    this.handle = grow(this.handle, new Float64Array(n));
    this.sparse = grow(this.sparse, new Uint8Array(n));
    this.nameStart = grow(this.nameStart, new Uint32Array(n));
    this.nameLength = grow(this.nameLength, new Uint8Array(n));
    this.targetStart = grow(this.targetStart, new Uint32Array(n));
    this.targetLength = grow(this.targetLength, new Uint16Array(n));
  }
}

const slotHash = (parent: number, b: Uint8Array, from: number, to: number): number =>
  (daHash(b, from, to) ^ Math.imul(parent, 0x9e37_79b1)) >>> 0;

function checkName(name: Uint8Array): void {
  const shown = (): string => JSON.stringify(Buffer.from(name).toString('utf8'));
  if (name.length < 1 || name.length > 255)
    throw sourceError(`a name of ${name.length} bytes: XFS holds 1 to 255 (${shown().slice(0, 60)})`);
  for (let i = 0; i < name.length; i++)
    if (name[i] === 0x2f || name[i] === 0) throw sourceError(`${shown()}: a name with a slash or zero byte`);
  if (name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e)))
    throw sourceError(`${shown()}: not a name a directory can hold`);
}

/** Where a tree's contents come from. Rows are those of `tree`. */
export interface TreeSource {
  readonly tree: SourceTree;
  /** Things to say on stderr. */
  readonly warnings: readonly string[];
  /** Learns the sizes that are unknown. Throws MkfsError. */
  measure?(): void;
  /**
   * Makes ready to read the contents of row `file`, which has the name of row `as` (a link to it, or itself).
   * Throws MkfsError.
   */
  open(file: number, as: number): void;
  /**
   * The next part with data at or behind byte `from`: [start, end), or undefined where there is none. What
   * lies between is a hole.
   */
  nextData(from: number): readonly [number, number] | undefined;
  /** Reads at byte `offset`; returns the bytes read, fewer than asked for only at the end of the file. */
  read(offset: number, into: Uint8Array): number;
  /** Done with the file. */
  shut(): void;
  close(): void;
}
