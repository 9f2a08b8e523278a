/** Another filesystem as a source: what `copy` makes a compact one from. */
import { S_IF } from '../../format/dinode.js';
import { throwFault } from '../../format/fault.js';
import { shownAttrs } from '../../volume/attr.js';
import { FileReader } from '../../volume/file.js';
import { type Inode, readInode } from '../../volume/inode.js';
import { walkTree } from '../../volume/path.js';
import { readSymlink } from '../../volume/symlink.js';
import type { Volume } from '../../volume/volume.js';
import { type NodeFields, SourceTree, SPARSE, sourceError, type TreeSource } from './tree.js';

export class VolumeSource implements TreeSource {
  readonly tree = new SourceTree();
  readonly warnings: string[] = [];
  readonly #volume: Volume;
  #reader: FileReader | undefined;
  /** Starts and ends of the runs of data of the file that is open. */
  #runs: readonly (readonly [number, number])[] = [];

  /** Reads the whole tree. Throws CorruptionError at the first damage: a copy must be of a whole filesystem. */
  constructor(volume: Volume) {
    this.#volume = volume;
    const { tree } = this;
    const root = readInode(volume, volume.g.rootino);
    tree.add(-1, new Uint8Array(0), fieldsOf(root));
    this.#attrs(0, root);
    const rows = new Map<number, number>([[root.ino, 0]]);
    walkTree(
      volume,
      root,
      (entry) => {
        const parent = rows.get(entry.parent);
        if (parent === undefined)
          throw sourceError(`inode ${entry.ino}: its directory was not met before it`);
        const inode = readInode(volume, entry.ino);
        const row = tree.add(parent, entry.name, fieldsOf(inode));
        if (inode.isDir || inode.nlink > 1) {
          const first = rows.get(entry.ino);
          if (first !== undefined) {
            if (inode.isDir) throw sourceError(`inode ${entry.ino}: a directory with two names`);
            tree.link[row] = first;
            return;
          }
          rows.set(entry.ino, row);
        }
        tree.handle[row] = entry.ino;
        if (inode.type === S_IF.LNK) tree.setTarget(row, readSymlink(volume, inode));
        if (inode.isRegular) tree.sparse[row] = SPARSE.MAPPED;
        this.#attrs(row, inode);
      },
      { report: throwFault },
    );
  }

  #attrs(row: number, inode: Inode): void {
    const out = shownAttrs(this.#volume, inode, throwFault).map(([name, value]) => ({ name, value }));
    if (out.length > 0) this.tree.xattrs.set(row, out);
  }

  open(file: number, _as: number): void {
    const reader = new FileReader(this.#volume, readInode(this.#volume, this.tree.handle[file]));
    this.#reader = reader;
    const runs: [number, number][] = [];
    for (const s of reader.segments()) {
      if (s.zeros) continue;
      const last = runs.at(-1);
      if (last !== undefined && last[1] === s.offset) last[1] += s.length;
      else runs.push([s.offset, s.offset + s.length]);
    }
    this.#runs = runs;
  }

  nextData(from: number): readonly [number, number] | undefined {
    const run = this.#runs.find(([, end]) => end > from);
    return run === undefined ? undefined : [Math.max(run[0], from), run[1]];
  }

  read(offset: number, into: Uint8Array): number {
    return this.#reader?.read(offset, into) ?? 0;
  }

  shut(): void {
    this.#reader = undefined;
  }

  close(): void {}
}

function fieldsOf(inode: Inode): NodeFields {
  const isDevice = inode.type === S_IF.CHR || inode.type === S_IF.BLK;
  const { mtime, atime } = inode;
  const rdev = isDevice ? inode.rdev : { major: 0, minor: 0 };
  return {
    mode: inode.mode,
    uid: inode.uid,
    gid: inode.gid,
    size: inode.isRegular ? inode.size : 0,
    mtime: mtime.sec,
    mtimeNsec: mtime.nsec,
    atime: atime.sec,
    atimeNsec: atime.nsec,
    major: rdev.major,
    minor: rdev.minor,
  };
}
