/**
 * Files brought in from outside: one, or a tree with all that belongs to it (owners, times, attributes, holes,
 * hard links). Each file is an operation of its own: it has its name when all of it is there, and a file of
 * that name is replaced in the same moment.
 */
import { S_IF, type Timespec } from '../format/dinode.js';
import { ftypeOfMode } from '../format/dir.js';
import { showBytes } from '../format/text.js';
import { storedAttr } from '../mkfs/populate/attrs.js';
import { type SourceTree, SPARSE, type TreeSource } from '../mkfs/populate/tree.js';
import { NoSpaceError } from '../transaction/alloc.js';
import { setAttr } from '../transaction/attr.js';
import { replaceEntry } from '../transaction/dir.js';
import type { LiveInode } from '../transaction/inode.js';
import { setTarget } from '../transaction/symlink.js';
import type { Transaction } from '../transaction/transaction.js';
import { inactivate } from '../transaction/truncate.js';
import { type Contents, checkSpace, Filling, inputContents } from './contents.js';
import { addName, linkInode, type NewFile, newInode } from './create.js';
import { type Edit, type Path, pathBytes, type Slot } from './edit.js';
import { EditError } from './error.js';
import { hide, show } from './hidden.js';
import { checkDirectory, checkFlags, markModified } from './inode.js';
import type { Input } from './input.js';
import { dropName } from './remove.js';
import { joinPath } from './walk.js';

/** A new file, and how it is completed before it gets its name. */
interface Incoming {
  readonly file: NewFile;
  readonly contents?: Contents;
  /** Attributes, target, times. */
  fill(tx: Transaction, inode: LiveInode): void;
}

/** Names free of directories and flags in the way: what stands there will be replaced. */
function checkReplace(edit: Edit, slot: Slot): void {
  if (slot.slash) throw new EditError('ENOTDIR', slot.path);
  if (slot.entry === undefined) {
    checkDirectory(slot.dir, slot.path, 'add');
    return;
  }
  checkDirectory(slot.dir, slot.path, 'remove');
  const there = edit.inode(slot.entry.ino);
  if (there.isDir) throw new EditError('EISDIR', slot.path);
  checkFlags(there, slot.path);
}

/** Gives a complete file its name. Returns the inode it takes the name from, if that has no other left. */
function nameIt(edit: Edit, tx: Transaction, slot: Slot, inode: LiveInode, now: Timespec): number {
  if (slot.entry === undefined) {
    addName(tx, slot.dir, slot.name, inode, now);
    return 0;
  }
  replaceEntry(tx, slot.dir, slot.name, inode.ino, ftypeOfMode(inode.mode));
  markModified(tx, slot.dir, now);
  return dropName(tx, edit.inode(slot.entry.ino), now) ? slot.entry.ino : 0;
}

/** Makes a file that is no directory. Returns its inode number. Throws EditError, NoSpaceError. */
function bringIn(edit: Edit, slot: Slot, incoming: Incoming): number {
  const filling = new Filling(edit, incoming.contents);
  const start = filling.mark();
  let replaced = 0;
  let named = false;
  const ino = edit.run((tx, now) => {
    filling.back(start);
    const inode = newInode(edit, tx, slot.dir, incoming.file, now);
    const extents = filling.step(tx, inode);
    if (incoming.contents !== undefined) inode.setSize(incoming.contents.size);
    incoming.fill(tx, inode);
    named = filling.isDone;
    if (named) replaced = nameIt(edit, tx, slot, inode, now);
    else {
      // Too much for one transaction: until it is complete it has no name, and a crash frees it.
      hide(tx, inode);
    }
    filling.write(extents);
    return inode.ino;
  });
  if (!named) replaced = fillRest(edit, slot, ino, filling);
  if (replaced > 0) inactivate(edit.engine, replaced);
  return ino;
}

/** The rest of a file that has no name yet, and its name. */
const fillRest = (edit: Edit, slot: Slot, ino: number, filling: Filling): number =>
  show(
    edit,
    ino,
    () => {
      while (!filling.isDone) {
        const mark = filling.mark();
        edit.run((tx) => {
          filling.back(mark);
          const extents = filling.step(tx, edit.inode(ino));
          filling.write(extents);
        });
      }
    },
    (tx, inode, now) => nameIt(edit, tx, slot, inode, now),
  );

export interface PutOptions {
  /** Permissions; default 644 without the umask, or what a default ACL says. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

/** Puts an input into a file, new or replaced as a whole. Throws PathError, EditError, NoSpaceError. */
export function putInput(edit: Edit, path: Path, input: Input, options: PutOptions = {}): void {
  const slot = edit.slot(path);
  checkReplace(edit, slot);
  checkSpace(edit, Math.ceil(input.size / edit.g.blocksize));
  const { mode, uid, gid } = options;
  bringIn(edit, slot, {
    file: { mode: S_IF.REG | (mode ?? 0o666), exact: mode !== undefined, uid, gid },
    contents: inputContents(input),
    fill: () => {},
  });
}

/** Milliseconds of work between two chances to stop. */
const BETWEEN_PAUSES = 50;

/** A tree on its way in. */
class Put {
  readonly #edit: Edit;
  readonly #source: TreeSource;
  readonly #tree: SourceTree;
  /** Inode of each row that is in. */
  readonly #ino: Float64Array;
  readonly #order: Int32Array;
  readonly #first: Uint32Array;
  /** Rows that are in, and when to say so next. */
  #done = 0;
  #pause = performance.now() + BETWEEN_PAUSES;

  constructor(edit: Edit, source: TreeSource) {
    this.#edit = edit;
    this.#source = source;
    this.#tree = source.tree;
    this.#ino = new Float64Array(source.tree.count);
    const { order, first } = source.tree.children();
    this.#order = order;
    this.#first = first;
  }

  /** The entries of row `dir` in the directory `ino`, whose times are as its source's in the end. */
  *#below(dir: number, ino: number, path: Uint8Array): Generator<number> {
    const edit = this.#edit;
    const from = this.#first[dir];
    const to = this.#first[dir + 1];
    for (let k = from; k < to; k++) {
      const row = this.#order[k];
      const name = this.#tree.name(row).slice();
      const into = edit.inode(ino);
      const slot = {
        dir: into,
        name,
        path: joinPath(path, name),
        slash: false,
        entry: edit.lookup(into, name),
      };
      yield* this.row(row, slot);
    }
    if (from === to) return;
    edit.run((tx) => {
      const inode = edit.inode(ino);
      tx.editInode(inode);
      this.#times(inode, dir);
    });
  }

  /** One row, and what is below it. Yields now and then how many rows are in. */
  *row(row: number, slot: Slot): Generator<number> {
    const edit = this.#edit;
    const file = this.#tree.file(row);
    if (this.#tree.isDir(file)) {
      yield* this.#directory(row, slot);
      return;
    }
    checkReplace(edit, slot);
    try {
      if (this.#ino[file] > 0) this.#link(this.#ino[file], slot);
      else this.#ino[file] = this.#file(row, file, slot);
    } catch (error) {
      if (!(error instanceof NoSpaceError)) throw error;
      throw new NoSpaceError(`${showBytes(slot.path)}: ${error.message}; what was put before it is kept`);
    }
    yield* this.#rowIsIn();
  }

  *#rowIsIn(): Generator<number> {
    this.#done++;
    const now = performance.now();
    if (now < this.#pause) return;
    yield this.#done;
    this.#pause = performance.now() + BETWEEN_PAUSES;
  }

  #newFile(file: number): NewFile {
    const { mode, uid, gid, rdev } = this.#tree;
    return {
      mode: mode[file],
      exact: true,
      noAcl: true,
      uid: uid[file],
      gid: gid[file],
      rdev: rdev[file],
    };
  }

  #times(inode: LiveInode, file: number): void {
    const { atime, atimeNsec, mtime, mtimeNsec } = this.#tree;
    inode.setTime('atime', { sec: atime[file], nsec: atimeNsec[file] });
    inode.setTime('mtime', { sec: mtime[file], nsec: mtimeNsec[file] });
  }

  #attributes(tx: Transaction, inode: LiveInode, file: number): void {
    const all = this.#tree.xattrs.get(file);
    if (all === undefined) return;
    for (const x of all) {
      const attr = storedAttr(x, all, () => this.#tree.showPath(file));
      if (attr !== undefined) setAttr(tx, inode, attr.flags, attr.name, attr.value);
    }
  }

  #file(row: number, file: number, slot: Slot): number {
    const tree = this.#tree;
    const isFile = tree.type(file) === S_IF.REG;
    const hasData = isFile && tree.size[file] > 0;
    if (hasData) this.#source.open(file, row);
    try {
      return bringIn(this.#edit, slot, {
        file: this.#newFile(file),
        contents: hasData ? this.#contents(file) : undefined,
        fill: (tx, inode) => {
          if (tree.type(file) === S_IF.LNK) setTarget(tx, inode, tree.target(file));
          this.#attributes(tx, inode, file);
          this.#times(inode, file);
        },
      });
    } finally {
      if (hasData) this.#source.shut();
    }
  }

  #contents(file: number): Contents {
    const source = this.#source;
    return {
      size: this.#tree.size[file],
      findHoles: this.#tree.sparse[file] === SPARSE.UNKNOWN,
      nextData: (from) => source.nextData(from),
      read: (offset, into) => source.read(offset, into),
    };
  }

  #link(ino: number, slot: Slot): void {
    const edit = this.#edit;
    const inode = edit.inode(ino);
    if (slot.entry === undefined) {
      linkInode(edit, inode, slot, slot.path);
      return;
    }
    if (slot.entry.ino === ino) return;
    const replaced = edit.run((tx, now) => {
      tx.editInode(inode);
      inode.setNlink(inode.nlink + 1);
      return nameIt(edit, tx, slot, inode, now);
    });
    if (replaced > 0) inactivate(edit.engine, replaced);
  }

  *#directory(row: number, slot: Slot): Generator<number> {
    const edit = this.#edit;
    if (slot.entry !== undefined) {
      if (!edit.inode(slot.entry.ino).isDir) throw new EditError('ENOTDIR', slot.path);
      yield* this.merge(row, slot.entry.ino, slot.path);
      return;
    }
    checkDirectory(slot.dir, slot.path, 'add');
    const ino = edit.run((tx, now) => {
      const inode = newInode(edit, tx, slot.dir, this.#newFile(row), now);
      this.#attributes(tx, inode, row);
      this.#times(inode, row);
      addName(tx, slot.dir, slot.name, inode, now);
      return inode.ino;
    });
    yield* this.#rowIsIn();
    yield* this.#below(row, ino, slot.path);
  }

  /** Puts directory `row` over one that is there, which takes its permissions, owner and attributes. */
  *merge(row: number, ino: number, path: Uint8Array): Generator<number> {
    this.#edit.run((tx, now) => {
      const inode = this.#edit.inode(ino);
      tx.editInode(inode);
      inode.setMode(this.#tree.mode[row]);
      inode.setOwner(this.#tree.uid[row], this.#tree.gid[row]);
      this.#attributes(tx, inode, row);
      this.#times(inode, row);
      inode.setTime('ctime', now);
    });
    yield* this.#rowIsIn();
    yield* this.#below(row, ino, path);
  }

  /**
   * Refuses what cannot be before anything is done: directories and files in each other's way, flags, more data
   * than there is room for.
   */
  check(row: number, entry: { readonly ino: number } | undefined, path: Uint8Array): void {
    this.#checkRow(row, entry, path);
    checkSpace(this.#edit, this.#blocks());
  }

  #checkRow(row: number, entry: { readonly ino: number } | undefined, path: Uint8Array): void {
    if (entry === undefined) return;
    const edit = this.#edit;
    const there = edit.inode(entry.ino);
    const isDir = this.#tree.isDir(this.#tree.file(row));
    if (there.isDir !== isDir) throw new EditError(isDir ? 'ENOTDIR' : 'EISDIR', path);
    checkFlags(there, path, isDir);
    if (!isDir) return;
    for (let k = this.#first[row]; k < this.#first[row + 1]; k++) {
      const child = this.#order[k];
      const name = this.#tree.name(child);
      this.#checkRow(child, edit.lookup(there, name), joinPath(path, name));
    }
  }

  /** Blocks all of it can take at most: data, inodes, directories, attributes. */
  #blocks(): number {
    const { g } = this.#edit;
    const tree = this.#tree;
    let blocks = 0;
    let files = 0;
    let names = 0;
    for (let i = 0; i < tree.count; i++) {
      names += tree.nameLength[i] + 24;
      if (tree.file(i) !== i) continue;
      files++;
      if (tree.type(i) === S_IF.LNK) blocks += tree.size[i] > g.inodesize - 176 ? 2 : 0;
      else if (tree.type(i) === S_IF.REG)
        blocks += Math.ceil((tree.sparse[i] === SPARSE.NO ? tree.size[i] : tree.handle[i]) / g.blocksize);
      for (const x of tree.xattrs.get(i) ?? [])
        if (x.value.length > g.inodesize / 4) blocks += Math.ceil(x.value.length / (g.blocksize - 56));
    }
    return blocks + Math.ceil((files * g.inodesize + names) / g.blocksize);
  }
}

/**
 * Puts row `row` of a source at a path: a file new or replaced, a directory with all that is below it, merged
 * with one that is there. Yields now and then how many files are in; one who stops there has those, whole, and no
 * other. Throws PathError, EditError, NoSpaceError, and MkfsError for a source that cannot be read.
 */
export function* puttingTree(edit: Edit, source: TreeSource, row: number, path: Path): Generator<number> {
  const put = new Put(edit, source);
  const bytes = pathBytes(path);
  if (row === 0 && bytes.every((b) => b === 0x2f || b === 0x2e)) {
    put.check(0, { ino: edit.g.rootino }, bytes);
    yield* put.merge(0, edit.g.rootino, bytes);
    return;
  }
  const slot = edit.slot(path);
  put.check(row, slot.entry, slot.path);
  yield* put.row(row, slot);
}

/** The same without a stop. */
export function putTree(edit: Edit, source: TreeSource, row: number, path: Path): void {
  for (const _ of puttingTree(edit, source, row, path));
}
