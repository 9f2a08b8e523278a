/** A directory of this machine as a source. */
import {
  type BigIntStats,
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  statSync,
} from 'node:fs';
import { basename, dirname } from 'node:path';
import { S_IF, S_IFMT } from '../../format/dinode.js';
import { reason } from '../../image/source.js';
import { dataRuns } from './holes.js';
import { excluder, type Rules } from './rules.js';
import {
  type NodeFields,
  nextRun,
  SourceTree,
  SPARSE,
  showPath,
  sourceError,
  type TreeSource,
} from './tree.js';
import { startXattrs } from './xattrs.js';

const SLASH = Buffer.from('/');
const NANO = 1_000_000_000n;

/** Reads names and metadata of everything below `path`, without `image` if that is there. Throws MkfsError. */
export async function openDirectory(path: string, rules: Rules, image?: string): Promise<DirectorySource> {
  const xattrs = startXattrs(path);
  try {
    const source = new DirectorySource(path);
    source.scan(excluder(rules.exclude), image);
    await xattrs.addTo(source.tree, source.warnings);
    return source;
  } finally {
    xattrs.close();
  }
}

/** The same for one file that is no directory: row 1, in a directory of nothing else. Throws MkfsError. */
export async function openFile(path: string): Promise<DirectorySource> {
  const folder = dirname(path);
  const name = basename(path);
  const xattrs = startXattrs(folder, name);
  try {
    const source = new DirectorySource(folder);
    source.scanOnly(Buffer.from(name));
    await xattrs.addTo(source.tree, source.warnings);
    return source;
  } finally {
    xattrs.close();
  }
}

export class DirectorySource implements TreeSource {
  readonly tree = new SourceTree();
  readonly warnings: string[] = [];
  readonly #root: Buffer;
  #fd = -1;
  #size = 0;
  #file = 0;
  /** Path of the directory whose files are being read. */
  #folder: Buffer;
  #folderRow = 0;
  /** Runs of data of sparse files, by row. */
  readonly #runs = new Map<number, Float64Array>();

  constructor(path: string) {
    this.#root = Buffer.from(path);
    this.#folder = this.#root;
  }

  scan(excluded: ((path: string) => boolean) | undefined, image?: string): void {
    const { tree } = this;
    const self = image === undefined ? undefined : statSync(image, { bigint: true, throwIfNoEntry: false });
    const sparse: number[] = [];
    const links = new Map<string, number>();
    const root = stat(this.#root);
    if (!root.isDirectory()) throw sourceError(`${showPath(this.#root)}: is not a directory`);
    tree.add(-1, Buffer.alloc(0), fieldsOf(root));
    const folders: { row: number; path: Buffer; below: string }[] = [{ row: 0, path: this.#root, below: '' }];
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      for (const name of list(folder.path)) {
        const below = excluded === undefined ? '' : `${folder.below}${name.toString('latin1')}`;
        if (excluded?.(below)) continue;
        const path = Buffer.concat([folder.path, SLASH, name]);
        const s = stat(path);
        if (s.ino === self?.ino && s.dev === self.dev) {
          this.warnings.push(`${showPath(path)}: is the image itself: left out`);
          continue;
        }
        const row = tree.add(folder.row, name, fieldsOf(s));
        const type = Number(s.mode) & S_IFMT;
        if (type === S_IF.DIR) {
          folders.push({ row, path, below: `${below}/` });
          continue;
        }
        if (s.nlink > 1n) {
          const key = `${s.dev}:${s.ino}`;
          const first = links.get(key);
          if (first !== undefined) {
            tree.link[row] = first;
            continue;
          }
          links.set(key, row);
        }
        this.#look(row, path, s, sparse);
      }
    }
    this.#findHoles(sparse);
  }

  scanOnly(name: Buffer): void {
    const path = Buffer.concat([this.#root, SLASH, name]);
    const s = stat(path);
    this.tree.add(-1, Buffer.alloc(0), fieldsOf(stat(this.#root)));
    const sparse: number[] = [];
    this.#look(this.tree.add(0, name, fieldsOf(s)), path, s, sparse);
    this.#findHoles(sparse);
  }

  /** Target of a link, and whether a file has holes. */
  #look(row: number, path: Buffer, s: BigIntStats, sparse: number[]): void {
    const { tree } = this;
    const type = Number(s.mode) & S_IFMT;
    if (type === S_IF.LNK) tree.setTarget(row, readlinkSync(path, { encoding: 'buffer' }));
    if (type !== S_IF.REG) return;
    tree.handle[row] = Number(s.blocks) * 512;
    if (tree.handle[row] >= tree.size[row]) return;
    tree.sparse[row] = SPARSE.UNKNOWN;
    sparse.push(row);
  }

  #findHoles(rows: readonly number[]): void {
    if (rows.length === 0) return;
    const runs = dataRuns(rows.map((row) => this.#path(row)));
    rows.forEach((row, i) => {
      const found = runs?.[i];
      if (found === undefined) return;
      // Not written back yet, or packed by its filesystem: fewer blocks, but no hole.
      if (found.length === 2 && found[0] === 0 && found[1] >= this.tree.size[row]) {
        this.tree.sparse[row] = SPARSE.NO;
        return;
      }
      this.tree.sparse[row] = SPARSE.MAPPED;
      this.#runs.set(row, found);
    });
  }

  #path(row: number): Buffer {
    const parent = this.tree.parent[row];
    if (parent !== this.#folderRow) {
      this.#folderRow = parent;
      const below = this.tree.path(parent);
      this.#folder = below.length === 0 ? this.#root : Buffer.concat([this.#root, SLASH, below]);
    }
    return Buffer.concat([this.#folder, SLASH, this.tree.name(row)]);
  }

  open(file: number, as: number): void {
    const path = this.#path(as);
    try {
      this.#fd = openSync(path, 'r');
    } catch (error) {
      throw sourceError(`${showPath(path)}: cannot be read: ${reason(error)}`);
    }
    this.#file = file;
    this.#size = this.tree.size[file];
  }

  nextData(from: number): readonly [number, number] | undefined {
    const runs = this.#runs.get(this.#file);
    if (runs === undefined) return from < this.#size ? [from, this.#size] : undefined;
    return nextRun(runs, from);
  }

  read(offset: number, into: Uint8Array): number {
    let done = 0;
    while (done < into.length) {
      let n: number;
      try {
        n = readSync(this.#fd, into, done, into.length - done, offset + done);
      } catch (error) {
        throw sourceError(`${this.tree.showPath(this.#file)}: cannot be read: ${reason(error)}`);
      }
      if (n === 0) {
        this.warnings.push(`${this.tree.showPath(this.#file)} became shorter while it was read`);
        break;
      }
      done += n;
    }
    return done;
  }

  shut(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  close(): void {
    this.shut();
  }
}

function stat(path: Buffer): BigIntStats {
  try {
    return lstatSync(path, { bigint: true });
  } catch (error) {
    throw sourceError(`${showPath(path)}: ${reason(error)}`);
  }
}

function list(path: Buffer): Buffer[] {
  try {
    return readdirSync(path, { encoding: 'buffer' });
  } catch (error) {
    throw sourceError(`${showPath(path)}: cannot be listed: ${reason(error)}`);
  }
}

function fieldsOf(s: BigIntStats): NodeFields {
  const mode = Number(s.mode);
  const type = mode & S_IFMT;
  const isDevice = type === S_IF.CHR || type === S_IF.BLK;
  const nsec = (t: bigint): number => Number(((t % NANO) + NANO) % NANO);
  const mtimeNsec = nsec(s.mtimeNs);
  const atimeNsec = nsec(s.atimeNs);
  return {
    mode,
    uid: Number(s.uid),
    gid: Number(s.gid),
    size: type === S_IF.REG || type === S_IF.LNK ? Number(s.size) : 0,
    mtime: Number((s.mtimeNs - BigInt(mtimeNsec)) / NANO),
    mtimeNsec,
    atime: Number((s.atimeNs - BigInt(atimeNsec)) / NANO),
    atimeNsec,
    // glibc's 64-bit dev_t: two halves of each number.
    major: isDevice ? Number(((s.rdev >> 8n) & 0xfffn) | ((s.rdev >> 32n) & 0xfffff000n)) : 0,
    minor: isDevice ? Number((s.rdev & 0xffn) | ((s.rdev >> 12n) & 0xffffff00n)) : 0,
  };
}
