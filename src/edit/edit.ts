/**
 * A filesystem being changed: any number of operations, each atomic, with one write-back of the log at the
 * end.
 *
 *     const edit = openEdit(source);
 *     mkdir(edit, '/etc/conf.d', { parents: true });
 *     edit.close();
 *
 * Operations are functions of this room that take the edit first. Each checks everything it can before it
 * changes anything, and does its work in `edit.run`: what throws in there leaves no trace. A crash at any
 * moment leaves each operation done or not done. Where Linux keeps something (times, link counts, inherited
 * flags), so do they, as root's calls would.
 */
import type { Timespec } from '../format/dinode.js';
import type { Geometry } from '../format/geometry.js';
import { QFLAGS_ACCOUNTING, SUPERBLOCK } from '../format/superblock.js';
import { systemTime } from '../format/time.js';
import { PowerCut } from '../image/cut.js';
import type { Source } from '../image/source.js';
import { scanLog } from '../journal/scan.js';
import { type DirEntry, findEntry, listEntries } from '../transaction/dir.js';
import { Engine, type EngineOptions } from '../transaction/engine.js';
import type { LiveInode } from '../transaction/inode.js';
import { type RecoveryResult, recoverLog } from '../transaction/recovery/recover.js';
import { targetOf } from '../transaction/symlink.js';
import type { Transaction } from '../transaction/transaction.js';
import { type PathReader, pathBytes, type ResolveOptions, resolveWith } from '../volume/path.js';
import { openVolume, UnsupportedError, type Volume } from '../volume/volume.js';
import { EditError } from './error.js';

/** Paths are bytes, or strings as format/text.ts makes them of bytes; all begin at the root. */
export type Path = string | Uint8Array;

export interface EditOptions {
  /** The clock of timestamps. Default the system's. */
  readonly now?: () => Timespec;
  /** Owner of new files. Default root. */
  readonly uid?: number;
  readonly gid?: number;
  /** Permissions new files do not get where nothing says otherwise. Default 022. */
  readonly umask?: number;
  readonly engine?: EngineOptions;
  /**
   * Called when a step of an operation is done: 'T1', 'T2'... when a transaction is in the log and what it
   * defers announced there, 'data' when file data is on stable storage. Every transaction is a checkpoint of
   * its own then. What it throws goes through to the caller of the operation, with nothing undone.
   */
  readonly onStep?: (step: string) => void;
}

/** A place a name stands at, or could: a directory and a name in it. */
export interface Slot {
  readonly dir: LiveInode;
  readonly name: Uint8Array;
  /** The path it was given as. */
  readonly path: Uint8Array;
  /** The path ended in a slash: it can only be a directory. */
  readonly slash: boolean;
  /** What stands there. */
  readonly entry: { readonly ino: number; readonly ftype: number } | undefined;
}

const SLASH = 0x2f;
const DOT = 0x2e;

export { pathBytes };

export class Edit {
  readonly source: Source;
  readonly engine: Engine;
  readonly g: Geometry;
  /** What was replayed of a dirty log when it was opened; `clean` where it was not. */
  readonly recovery: RecoveryResult;
  readonly now: () => Timespec;
  readonly uid: number;
  readonly gid: number;
  readonly umask: number;
  /** AG of the next new directory: see create.ts. */
  nextAg: number;
  readonly #onStep: ((step: string) => void) | undefined;
  #transactions = 0;
  readonly #reader: PathReader<LiveInode>;

  constructor(source: Source, engine: Engine, recovery: RecoveryResult, options: EditOptions) {
    this.source = source;
    this.engine = engine;
    this.g = engine.g;
    this.recovery = recovery;
    this.now = options.now ?? systemTime;
    this.uid = options.uid ?? 0;
    this.gid = options.gid ?? 0;
    this.umask = options.umask ?? 0o022;
    this.nextAg = engine.random() % this.g.agcount;
    this.#onStep = options.onStep;
    this.#reader = {
      inode: (ino) => engine.inode(ino),
      lookup: (dir, name) => findEntry(engine.begin(), dir, name),
      target: (link) => targetOf(engine.begin(), link),
    };
  }

  /**
   * One operation, atomic: changes and what they defer. Where `work` throws nothing of it is done; it may be
   * called a second time when space was short. Throws NoSpaceError, CorruptionError.
   */
  run<T>(work: (tx: Transaction, now: Timespec) => T): T {
    const now = this.now();
    const onStep = this.#onStep;
    if (onStep !== undefined) {
      const step = `T${++this.#transactions}`;
      this.engine.onCommit = () => {
        this.engine.onCommit = undefined;
        onStep(step);
      };
    }
    return this.engine.run((tx) => work(tx, now));
  }

  /**
   * Takes back earlier transactions of an operation whose later ones cannot be done, because of `error`. Not
   * after a power cut: nothing can be done then.
   */
  undo(error: unknown, work: () => void): void {
    if (error instanceof PowerCut) return;
    try {
      work();
    } catch (second) {
      if (error instanceof Error) error.cause ??= second;
    }
  }

  /** File data was written: what was written is on stable storage before the step is called done. */
  dataWritten(): void {
    if (this.#onStep === undefined) return;
    this.source.sync();
    this.#onStep('data');
  }

  /** Inode `ino`. Throws CorruptionError. */
  inode(ino: number): LiveInode {
    return this.engine.inode(ino);
  }

  /** The file a path names. Throws PathError where there is none, CorruptionError. */
  resolve(path: Path, options: ResolveOptions = {}): LiveInode {
    return resolveWith(this.#reader, this.g.rootino, pathBytes(path), options);
  }

  /**
   * The directory and name a path ends in, whether anything stands there or not; a link there is not
   * followed. Throws PathError where the directory is not there, EditError for a path that has no last name
   * ('/', '.', '..') or one too long, CorruptionError.
   */
  slot(path: Path): Slot {
    const bytes = pathBytes(path);
    let end = bytes.length;
    while (end > 0 && bytes[end - 1] === SLASH) end--;
    const start = bytes.lastIndexOf(SLASH, end - 1) + 1;
    const name = bytes.subarray(end === 0 ? 0 : start, end);
    if (name.length === 0)
      throw new EditError('EINVAL', bytes, 'the root directory cannot be made, moved or removed');
    if (name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT)))
      throw new EditError('EINVAL', bytes);
    if (name.length > 255) throw new EditError('ENAMETOOLONG', bytes);
    const dir = this.#directory(bytes, start);
    return { dir, name, path: bytes, slash: end < bytes.length, entry: this.lookup(dir, name) };
  }

  /** The directory named by the first `end` bytes of a path; errors name the whole path. */
  #directory(path: Uint8Array, end: number): LiveInode {
    const dir = resolveWith(this.#reader, this.g.rootino, path.subarray(0, end));
    if (!dir.isDir) throw new EditError('ENOTDIR', path);
    return dir;
  }

  /** Entries of a directory, without '.' and '..', in no order. Throws CorruptionError. */
  list(dir: LiveInode): DirEntry[] {
    return listEntries(this.engine.begin(), dir);
  }

  /** What stands under a name of a directory. Throws CorruptionError. */
  lookup(dir: LiveInode, name: Uint8Array): { readonly ino: number; readonly ftype: number } | undefined {
    return findEntry(this.engine.begin(), dir, name);
  }

  /** The filesystem to be read as it is now: what was done so far is put in place first. */
  settled(): Volume {
    this.engine.settle();
    return openVolume(this.source);
  }

  /**
   * Writes everything back and leaves the log clean. Without changes nothing is written. To be called once,
   * after a failed operation too: what was done before it is kept.
   */
  close(): void {
    this.engine.close();
  }
}

/** The features and states of a filesystem that edits would not keep right, by name. */
function refuse(source: Source): void {
  const volume = openVolume(source);
  const { features } = volume.g;
  const no = (what: string): never => {
    throw new UnsupportedError(what);
  };
  if (features.needsrepair) no('the filesystem is marked as needing repair: run xfsimg repair first');
  if ((volume.superblock.getUint16(SUPERBLOCK.at.qflags) & QFLAGS_ACCOUNTING) !== 0)
    no('the filesystem counts quotas, which edits do not: mount it once without quota options first');
  if (features.parent) no('edits of filesystems with parent pointers are not supported');
  if (features.metadir) no('edits of filesystems with a metadata directory are not supported');
}

/**
 * Opens a filesystem for changes. A dirty log is replayed first. Throws UnsupportedError where the filesystem
 * is none that can be edited, LogError where its log cannot be replayed: nothing has been written then.
 */
export function openEdit(source: Source, options: EditOptions = {}): Edit {
  refuse(source);
  const recovery = recoverLog(source);
  // The replay can have changed the superblock.
  if (!recovery.clean) refuse(source);
  const { g } = openVolume(source);
  const engine = new Engine(source, g, scanLog(source, g), {
    eager: options.onStep !== undefined,
    ...options.engine,
  });
  return new Edit(source, engine, recovery, options);
}
