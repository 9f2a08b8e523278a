import { createHash } from 'node:crypto';
import {
  type BigIntStats,
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { run, tmpdir } from './oracle.js';

export type NodeType = 'file' | 'dir' | 'symlink' | 'fifo' | 'socket' | 'block' | 'char';

/** One file as Linux shows it. Times are nanoseconds since 1970 (negative before). */
export interface TreeNode {
  type: NodeType;
  ino: number;
  /** Permission bits with setuid, setgid and sticky: mode & 0o7777. */
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  size: bigint;
  /** Blocks in use, in 512-byte units, as stat(2) counts them. */
  blocks: number;
  atime: bigint;
  mtime: bigint;
  ctime: bigint;
  btime: bigint;
  /** Device files: [major, minor]. */
  device?: [number, number];
  /** Symlinks: the target as latin1. */
  target?: string;
  /** Regular files: see `ContentHash`. */
  content?: string;
  /**
   * Extended attributes of all namespaces: name with namespace (latin1) -> value in hex. An ACL is there
   * twice: as Linux translates it (system.posix_acl_access) and as it is on disk (trusted.SGI_ACL_FILE).
   */
  xattrs: Map<string, string>;
}

/** Path below the root -> what is there. A path's bytes are the key's latin1 characters; '' is the root. */
export type Tree = Map<string, TreeNode>;

export interface DescribeOptions {
  /** Hash the contents of regular files; default true. */
  content?: boolean;
  /** Read extended attributes; default true. */
  xattrs?: boolean;
}

/** Everything Linux shows of a mounted tree. Mount it read-only to leave access times alone. */
export function describeTree(folder: string, { content = true, xattrs = true }: DescribeOptions = {}): Tree {
  const root = resolve(folder);
  const tree: Tree = new Map();
  const hashes = new Map<number, string>();
  const visit = (path: string) => {
    const bytes = path === '' ? Buffer.from(root) : Buffer.from(`${latin1(root)}/${path}`, 'latin1');
    const stats = lstatSync(bytes, { bigint: true });
    const node = describe(stats);
    tree.set(path, node);
    if (node.type === 'symlink') node.target = readlinkSync(bytes, { encoding: 'buffer' }).toString('latin1');
    if (node.type === 'file' && content) {
      // Hard links share their contents.
      const known = hashes.get(node.ino) ?? hashFile(bytes, stats);
      hashes.set(node.ino, known);
      node.content = known;
    }
    if (node.type !== 'dir') return;
    for (const name of readdirSync(bytes, { encoding: 'buffer' })) {
      visit(path === '' ? name.toString('latin1') : `${path}/${name.toString('latin1')}`);
    }
  };
  visit('');
  if (!xattrs) return tree;
  for (const [path, attrs] of readXattrs(root)) {
    const node = tree.get(path);
    if (!node) throw new Error(`getfattr names a file that is not there: ${JSON.stringify(path)}`);
    node.xattrs = attrs;
  }
  return tree;
}

function latin1(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/** By the file type bits of a mode. (Pairs, because biome miscomputes octal numbers as object keys.) */
const types = new Map<number, NodeType>([
  [0o010000, 'fifo'],
  [0o020000, 'char'],
  [0o040000, 'dir'],
  [0o060000, 'block'],
  [0o100000, 'file'],
  [0o120000, 'symlink'],
  [0o140000, 'socket'],
]);

function describe(stats: BigIntStats): TreeNode {
  const mode = Number(stats.mode);
  const type = types.get(mode & 0o170000)!;
  const node: TreeNode = {
    type,
    ino: Number(stats.ino),
    mode: mode & 0o7777,
    nlink: Number(stats.nlink),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    size: stats.size,
    blocks: Number(stats.blocks),
    atime: stats.atimeNs,
    mtime: stats.mtimeNs,
    ctime: stats.ctimeNs,
    btime: stats.birthtimeNs,
    xattrs: new Map(),
  };
  if (type === 'block' || type === 'char') node.device = splitDevice(stats.rdev);
  return node;
}

/** glibc's 64-bit dev_t into major and minor. */
function splitDevice(rdev: bigint): [number, number] {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return [Number(major), Number(minor)];
}

/** The grain of a content hash: 64 KiB. */
const GRAIN = 65_536;

/**
 * SHA-256 of a file's contents that costs nothing for holes: of the size (u64 little-endian) and then, for
 * each 64 KiB of the file that is not all zeros, its offset (u64 little-endian) and its bytes (the last
 * piece shorter). Two files hash alike if and only if they read alike, however their holes lie.
 * Feed contents in ascending order; what is left out reads as zeros.
 */
export class ContentHash {
  readonly #hash = createHash('sha256');
  readonly #size: bigint;
  readonly #grain = Buffer.alloc(GRAIN);
  #index = 0n;
  #used = false;

  constructor(size: bigint | number) {
    this.#size = BigInt(size);
    this.#hash.update(u64(this.#size));
  }

  /** Take the bytes at `offset`; offsets must not go backwards. */
  update(offset: bigint | number, bytes: Uint8Array): void {
    let at = BigInt(offset);
    let taken = 0;
    while (taken < bytes.length) {
      const index = at / BigInt(GRAIN);
      if (index !== this.#index) this.#flush(index);
      const start = Number(at % BigInt(GRAIN));
      const count = Math.min(GRAIN - start, bytes.length - taken);
      this.#grain.set(bytes.subarray(taken, taken + count), start);
      this.#used = true;
      taken += count;
      at += BigInt(count);
    }
  }

  /** The hash in hex. */
  digest(): string {
    this.#flush(0n);
    return this.#hash.digest('hex');
  }

  #flush(next: bigint): void {
    if (this.#used) {
      const offset = this.#index * BigInt(GRAIN);
      const rest = this.#size - offset;
      const length = rest < BigInt(GRAIN) ? Math.max(0, Number(rest)) : GRAIN;
      const bytes = this.#grain.subarray(0, length);
      if (!isZero(bytes)) this.#hash.update(u64(offset)).update(bytes);
      this.#grain.fill(0);
    }
    this.#index = next;
    this.#used = false;
  }
}

const zeros = Buffer.alloc(GRAIN);

function isZero(bytes: Buffer): boolean {
  return bytes.equals(zeros.subarray(0, bytes.length));
}

function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}

/** Files up to this size are read from end to end; of larger ones only what SEEK_DATA finds. */
const READ_WHOLE = 4n << 20n;

function hashFile(path: Buffer, { size }: BigIntStats): string {
  const hash = new ContentHash(size);
  if (size === 0n) return hash.digest();
  const ranges: [bigint, bigint][] = size <= READ_WHOLE ? [[0n, size]] : dataRanges(path, size);
  const buffer = Buffer.alloc(1 << 20);
  const fd = openSync(path, 'r');
  try {
    for (const [start, end] of ranges) {
      for (let at = start; at < end; ) {
        const wanted = end - at < BigInt(buffer.length) ? Number(end - at) : buffer.length;
        const count = readSync(fd, buffer, { length: wanted, position: at as unknown as number });
        if (count === 0) break;
        hash.update(at, buffer.subarray(0, count));
        at += BigInt(count);
      }
    }
  } finally {
    closeSync(fd);
  }
  return hash.digest();
}

/** Where a file has data, [start, end) in bytes, as lseek(SEEK_DATA) tells. */
function dataRanges(path: Buffer, size: bigint): [bigint, bigint][] {
  // xfs_io splits its arguments at spaces and cannot take every byte, so it gets a plain name.
  const alias = join(tmpdir(), 'file');
  symlinkSync(path, alias);
  const said = run('xfs_io', ['-r', '-c', 'seek -a -r 0', alias]).stdout;
  unlinkSync(alias);
  const ranges: [bigint, bigint][] = [];
  let start = -1n;
  for (const [, what, where] of said.matchAll(/^(DATA|HOLE)\s+(\d+|EOF)/gm)) {
    if (what === 'DATA' && where !== 'EOF') start = BigInt(where);
    if (what === 'HOLE' && start >= 0n) {
      ranges.push([start, where === 'EOF' ? size : BigInt(where)]);
      start = -1n;
    }
  }
  if (start >= 0n) ranges.push([start, size]);
  return ranges;
}

/** All attributes below a folder, in one getfattr process. Only files that have some are listed. */
function readXattrs(root: string): Map<string, Map<string, string>> {
  const found = new Map<string, Map<string, string>>();
  const said = run('getfattr', ['-R', '-P', '-h', '-d', '-m', '-', '-e', 'hex', '.'], {
    cwd: root,
    encoding: 'latin1',
  }).stdout;
  let attrs = new Map<string, string>();
  for (const line of said.split('\n')) {
    if (line.startsWith('# file: ')) {
      attrs = new Map();
      found.set(unquote(line.slice(8)).replace(/^\.(\/|$)/, ''), attrs);
    } else if (line) {
      const at = line.lastIndexOf('=0x');
      // An empty value may be printed without a value at all.
      if (at < 0) attrs.set(unquote(line.replace(/=("")?$/, '')), '');
      else attrs.set(unquote(line.slice(0, at)), line.slice(at + 3));
    }
  }
  return found;
}

/** getfattr prints awkward bytes of names as a backslash and three octal digits. */
function unquote(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)));
}
