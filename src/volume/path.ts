/**
 * Paths, as bytes: from a path to an inode, from a directory to everything below it, and from any inode to
 * the path it was first met under.
 */
import { S_IF } from '../format/dinode.js';
import { FTYPE } from '../format/dir.js';
import { CorruptionError, type Report } from '../format/fault.js';
import { showBytes, textToBytes } from '../format/text.js';
import { type DirListing, lookup, readDir } from './dir.js';
import { type Inode, readInode } from './inode.js';
import { readSymlink } from './symlink.js';
import type { Volume } from './volume.js';

const SLASH = 0x2f;
/** Symbolic links followed on the way to one file, as in Linux. */
const MAX_SYMLINKS = 40;

/** A path that leads nowhere, for the reason an operating system would give. */
export class PathError extends Error {
  readonly code: 'ENOENT' | 'ENOTDIR' | 'ELOOP' | 'ENAMETOOLONG';
  readonly path: Uint8Array;
  constructor(code: PathError['code'], path: Uint8Array) {
    super(`${showBytes(path)}: ${REASON[code]}`);
    this.name = 'PathError';
    this.code = code;
    this.path = path;
  }
}

const REASON: Record<PathError['code'], string> = {
  ENOENT: 'no such file or directory in this image',
  ENOTDIR: 'not a directory',
  ELOOP: 'too many levels of symbolic links',
  ENAMETOOLONG: 'a name of more than 255 bytes',
};

/** A path as bytes; strings as format/text.ts makes them of bytes. */
export const pathBytes = (path: string | Uint8Array): Uint8Array =>
  typeof path === 'string' ? textToBytes(path) : path;

/** The names of a path, without empty ones and '.'. */
function components(path: Uint8Array): Uint8Array[] {
  const out: Uint8Array[] = [];
  for (let from = 0; from < path.length; ) {
    let to = path.indexOf(SLASH, from);
    if (to < 0) to = path.length;
    if (to > from && !(to - from === 1 && path[from] === 0x2e)) out.push(path.subarray(from, to));
    from = to + 1;
  }
  return out;
}

export interface ResolveOptions {
  /** Follow a symbolic link at the end of the path too. Default true; those on the way always are. */
  readonly follow?: boolean;
}

/** What finding a path asks for: of a filesystem on disk, or of one that is being changed. */
export interface PathReader<I extends Inode> {
  /** Throws CorruptionError. */
  inode(ino: number): I;
  /** Where the entry `name` of a directory leads; undefined where there is none. Throws CorruptionError. */
  lookup(dir: I, name: Uint8Array): { readonly ino: number } | undefined;
  /** The target of a symbolic link. Throws CorruptionError. */
  target(link: I): Uint8Array;
}

/**
 * The inode a path names; relative and absolute paths both start at the root of the filesystem, and so do the
 * targets of absolute links. Throws PathError, or CorruptionError on damage in the way.
 */
export function resolvePath(volume: Volume, path: string | Uint8Array, options: ResolveOptions = {}): Inode {
  const reader: PathReader<Inode> = {
    inode: (ino) => readInode(volume, ino),
    lookup: (dir, name) => lookup(volume, dir, name),
    target: (link) => readSymlink(volume, link),
  };
  return resolveWith(reader, volume.g.rootino, pathBytes(path), options);
}

/** The same through any reader. */
export function resolveWith<I extends Inode>(
  reader: PathReader<I>,
  rootino: number,
  path: Uint8Array,
  options: ResolveOptions = {},
): I {
  const follow = options.follow !== false || path[path.length - 1] === SLASH;
  let here = reader.inode(rootino);
  // Names still to go, the next one last; whether a name is the path's last is whether any are left.
  const todo = components(path).reverse();
  let links = 0;
  while (todo.length > 0) {
    const name = todo.pop()!;
    if (!here.isDir) throw new PathError('ENOTDIR', path);
    if (name.length > 255) throw new PathError('ENAMETOOLONG', path);
    const found = reader.lookup(here, name);
    if (found === undefined) throw new PathError('ENOENT', path);
    const next = reader.inode(found.ino);
    if (next.type === S_IF.LNK && (todo.length > 0 || follow)) {
      if (++links > MAX_SYMLINKS) throw new PathError('ELOOP', path);
      const target = reader.target(next);
      if (target[0] === SLASH) here = reader.inode(rootino);
      todo.push(...components(target).reverse());
      continue;
    }
    here = next;
  }
  if (path[path.length - 1] === SLASH && !here.isDir) throw new PathError('ENOTDIR', path);
  return here;
}

/**
 * An entry met on a walk. The object, and the bytes of `name` and `path`, are used again for the next one: copy
 * what you keep.
 */
export interface TreeEntry {
  readonly ino: number;
  /** As the directory has it; 0 where it does not say. */
  readonly ftype: number;
  /** 0 for the entries of the directory the walk started in. */
  readonly depth: number;
  /** The directory that holds the entry. */
  readonly parent: number;
  /** The entry's name: bytes [nameFrom, nameTo) of `names`. */
  readonly names: Uint8Array;
  readonly nameFrom: number;
  readonly nameTo: number;
  /** The same as a view, made when asked for. */
  readonly name: Uint8Array;
  /** Path from where the walk started, behind the walk's `prefix`; put together when asked for. */
  readonly path: Uint8Array;
}

export interface WalkTreeOptions {
  /** Takes faults; default the volume's. What cannot be read is reported and left out. */
  readonly report?: Report;
  /** Goes before every path, with a slash where it does not end in one. Default empty. */
  readonly prefix?: Uint8Array;
  /** Called with each directory's listing and its order, before its entries are visited. Paths as in TreeEntry. */
  readonly onDirectory?: (
    listing: DirListing,
    order: Uint32Array | undefined,
    path: Uint8Array,
    inode: Inode,
    depth: number,
  ) => void;
  /** Order of a listing's entries: indices, for instance sorted by name. Default disk order. */
  readonly order?: (listing: DirListing) => Uint32Array;
}

interface Frame {
  readonly listing: DirListing;
  readonly order: Uint32Array | undefined;
  readonly ino: number;
  next: number;
  /** Length of the path up to this directory, its slash included. */
  readonly prefix: number;
}

/** Whether an entry may be a directory, so that its inode is worth a look. */
const maybeDir = (ftype: number): boolean => ftype === FTYPE.DIR || ftype === FTYPE.UNKNOWN;

/** The walk's way down, and the entry it is at. */
class TreeWalk implements TreeEntry {
  readonly #volume: Volume;
  readonly #options: WalkTreeOptions;
  readonly #report: Report;
  readonly #entered = new Set<number>();
  readonly #frames: Frame[] = [];
  #path: Uint8Array = new Uint8Array(4096);
  /** Length of the current directory's path, its slash included. */
  #prefix = 0;
  ino = 0;
  ftype = 0;
  depth = 0;
  parent = 0;
  names: Uint8Array = this.#path;
  nameFrom = 0;
  nameTo = 0;

  constructor(volume: Volume, options: WalkTreeOptions) {
    this.#volume = volume;
    this.#options = options;
    this.#report = options.report ?? volume.report;
  }

  get name(): Uint8Array {
    return this.names.subarray(this.nameFrom, this.nameTo);
  }

  get path(): Uint8Array {
    return this.#path.subarray(0, this.#appendName());
  }

  /** Puts the name behind the directory's path; the whole length. */
  #appendName(): number {
    const { names, nameTo } = this;
    const length = this.#prefix + nameTo - this.nameFrom;
    this.#grow(length + 1);
    const path = this.#path;
    for (let k = this.nameFrom, to = this.#prefix; k < nameTo; k++) path[to++] = names[k];
    return length;
  }

  #grow(length: number): void {
    if (length <= this.#path.length) return;
    const longer = new Uint8Array(length * 2);
    longer.set(this.#path);
    this.#path = longer;
  }

  // biome-ignore lint/suspicious/noConfusingVoidType: a visitor that never prunes returns nothing
  run(start: Inode, visit: (entry: TreeEntry) => boolean | void): void {
    const prefix = this.#options.prefix ?? new Uint8Array(0);
    this.#grow(prefix.length + 1);
    this.#path.set(prefix);
    this.#entered.add(start.ino);
    this.#enter(start, prefix.length, -1);
    const frames = this.#frames;
    while (frames.length > 0) {
      const frame = frames[frames.length - 1];
      const { listing } = frame;
      if (frame.next === listing.count) {
        frames.pop();
        continue;
      }
      const i = frame.order === undefined ? frame.next : frame.order[frame.next];
      frame.next++;
      this.#prefix = frame.prefix;
      this.names = listing.names;
      this.nameFrom = i === 0 ? 0 : listing.nameEnd[i - 1];
      this.nameTo = listing.nameEnd[i];
      this.ino = listing.ino[i];
      this.ftype = listing.ftype[i];
      this.depth = frames.length - 1;
      this.parent = frame.ino;
      if (visit(this) !== false && maybeDir(this.ftype)) this.#enterEntry();
    }
  }

  /** Reads a directory, whose path is the first `length` bytes. `parent` is -1 for the walk's start. */
  #enter(inode: Inode, length: number, parent: number): void {
    const listing = readDir(this.#volume, inode, { report: this.#report });
    if (parent >= 0 && listing.parent !== parent)
      this.#report({
        structure: 'directory',
        ino: inode.ino,
        field: "'..'",
        value: listing.parent,
        expected: `${parent}, the directory that holds it`,
      });
    const order = this.#options.order?.(listing);
    const path = this.#path;
    this.#options.onDirectory?.(listing, order, path.subarray(0, length), inode, this.#frames.length);
    let prefix = length;
    if (length > 0 && path[length - 1] !== SLASH) path[prefix++] = SLASH;
    this.#frames.push({ listing, order, ino: inode.ino, next: 0, prefix });
  }

  #enterEntry(): void {
    const { ino, parent } = this;
    try {
      const inode = readInode(this.#volume, ino);
      if (!inode.isDir) {
        if (this.ftype === FTYPE.UNKNOWN) return;
        throw new CorruptionError({
          structure: 'dinode',
          ino,
          field: 'mode',
          value: `0${inode.mode.toString(8)}`,
          expected: 'a directory, as the entry for it says',
        });
      }
      if (this.#entered.has(ino))
        throw new CorruptionError({
          structure: 'directory',
          ino: parent,
          field: showBytes(this.name),
          value: ino,
          expected: 'a directory not met before on this walk',
        });
      this.#entered.add(ino);
      this.#enter(inode, this.#appendName(), parent);
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      this.#report(error.fault);
    }
  }
}

/**
 * Visits everything below a directory, depth first, each directory before its entries. Each directory is
 * entered once: one met again (a loop, or two entries for one directory) is reported, visited as an entry,
 * and not entered. `visit` may return false to keep the walk out of a directory.
 */
export function walkTree(
  volume: Volume,
  start: Inode,
  // biome-ignore lint/suspicious/noConfusingVoidType: a visitor that never prunes returns nothing
  visit: (entry: TreeEntry) => boolean | void,
  options: WalkTreeOptions = {},
): void {
  new TreeWalk(volume, options).run(start, visit);
}

/** Compares two names of a listing byte by byte. */
function compareNames({ names, nameEnd }: DirListing, a: number, b: number): number {
  let i = a === 0 ? 0 : nameEnd[a - 1];
  let k = b === 0 ? 0 : nameEnd[b - 1];
  const iEnd = nameEnd[a];
  const kEnd = nameEnd[b];
  for (; i < iEnd && k < kEnd; i++, k++) if (names[i] !== names[k]) return names[i] - names[k];
  return iEnd - i - (kEnd - k);
}

/** Bytes that all names of a listing begin with. */
function commonPrefix({ count, names, nameEnd }: DirListing): number {
  let common = nameEnd[0];
  for (let i = 1; i < count; i++) {
    const from = nameEnd[i - 1];
    const length = Math.min(common, nameEnd[i] - from);
    let k = 0;
    while (k < length && names[from + k] === names[k]) k++;
    common = k;
  }
  return common;
}

/** Entries up to which 32 bits of name and an index fit the 53 bits of a number. */
const MAX_PACKED = 2 ** 21;

/** The four bytes from `from`, zeros behind `to`, as one number. */
function fourBytes(b: Uint8Array, from: number, to: number): number {
  if (to - from >= 4) return ((b[from] << 24) | (b[from + 1] << 16) | (b[from + 2] << 8) | b[from + 3]) >>> 0;
  let head = 0;
  for (let k = 0; k < 4; k++) head = (head << 8) | (from + k < to ? b[from + k] : 0);
  return head >>> 0;
}

/**
 * Indices of a listing's entries sorted by name, byte by byte. The first four bytes in which names can differ
 * are packed into one number with the index behind them, for numbers sort many times faster than a comparison
 * function is called; names that agree in those bytes are put in order after that.
 */
export function byName(listing: DirListing): Uint32Array {
  const { count, names, nameEnd } = listing;
  const order = new Uint32Array(count);
  if (count < 2) return order;
  if (count > MAX_PACKED) {
    for (let i = 0; i < count; i++) order[i] = i;
    return order.sort((a, b) => compareNames(listing, a, b));
  }
  const common = commonPrefix(listing);
  const indices = 2 ** Math.ceil(Math.log2(count));
  const keys = new Float64Array(count);
  let from = 0;
  for (let i = 0; i < count; i++) {
    const to = nameEnd[i];
    keys[i] = fourBytes(names, from + common, to) * indices + i;
    from = to;
  }
  keys.sort();
  let tie = 0;
  let last = -1;
  for (let i = 0; i < count; i++) {
    const head = Math.floor(keys[i] / indices);
    order[i] = keys[i] - head * indices;
    if (head === last) continue;
    last = head;
    if (i - tie > 1) order.subarray(tie, i).sort((a, b) => compareNames(listing, a, b));
    tie = i;
  }
  if (count - tie > 1) order.subarray(tie).sort((a, b) => compareNames(listing, a, b));
  return order;
}

/**
 * A path for every inode of the tree, from one walk. Of several names of one file it knows the one met first.
 * About 60 bytes an inode.
 */
export class PathMap {
  readonly #index = new Map<number, number>();
  readonly #rootino: number;
  #parent = new Float64Array(1024);
  #nameEnd = new Uint32Array(1024);
  #names = new Uint8Array(16384);
  #count = 0;
  #used = 0;

  constructor(volume: Volume, options: { report?: Report } = {}) {
    this.#rootino = volume.g.rootino;
    const root = readInode(volume, this.#rootino);
    walkTree(volume, root, (entry) => this.#add(entry), options);
  }

  #add(entry: TreeEntry): void {
    if (this.#index.has(entry.ino) || entry.ino === this.#rootino) return;
    if (this.#count === this.#parent.length) {
      const n = this.#count * 2;
      const parent = new Float64Array(n);
      parent.set(this.#parent);
      this.#parent = parent;
      const nameEnd = new Uint32Array(n);
      nameEnd.set(this.#nameEnd);
      this.#nameEnd = nameEnd;
    }
    const { names, nameFrom, nameTo } = entry;
    if (this.#used + nameTo - nameFrom > this.#names.length) {
      const longer = new Uint8Array(this.#names.length * 2);
      longer.set(this.#names);
      this.#names = longer;
    }
    for (let k = nameFrom; k < nameTo; k++) this.#names[this.#used++] = names[k];
    this.#nameEnd[this.#count] = this.#used;
    this.#parent[this.#count] = entry.parent;
    this.#index.set(entry.ino, this.#count++);
  }

  /** Inodes that have a path, the root not counted. */
  get size(): number {
    return this.#count;
  }

  has(ino: number): boolean {
    return ino === this.#rootino || this.#index.has(ino);
  }

  /** The absolute path of an inode; undefined where no directory of the tree names it. */
  get(ino: number): Uint8Array | undefined {
    if (ino === this.#rootino) return Uint8Array.of(SLASH);
    const parts: number[] = [];
    let length = 0;
    for (let at = ino; at !== this.#rootino; ) {
      const i = this.#index.get(at);
      // A parent was entered before its entries were met, so the way up ends at the root; the bound is for
      // an entry that names one of its own ancestors.
      if (i === undefined || parts.length > this.#count) return undefined;
      parts.push(i);
      length += 1 + this.#nameEnd[i] - this.#start(i);
      at = this.#parent[i];
    }
    const out = new Uint8Array(length);
    let to = 0;
    for (const i of parts.reverse()) {
      out[to++] = SLASH;
      out.set(this.#names.subarray(this.#start(i), this.#nameEnd[i]), to);
      to += this.#nameEnd[i] - this.#start(i);
    }
    return out;
  }

  /** The same as text, for tables and messages. */
  show(ino: number): string | undefined {
    const path = this.get(ino);
    return path === undefined ? undefined : showBytes(path);
  }

  #start(i: number): number {
    return i === 0 ? 0 : this.#nameEnd[i - 1];
  }
}
