/** An image as a library shows it: see `openImage`. */
import { DiskUsage } from '../dump/du.js';
import { dumpExtents, dumpShared, EXTENTS, SHARED_PATHS } from '../dump/extents.js';
import { emitFile, FILES } from '../dump/files.js';
import { dumpInodes, INODES } from '../dump/inodes.js';
import { ATTR, DIR, dumpAttr, dumpDir } from '../dump/names.js';
import { DU } from '../dump/rows/du.js';
import {
  dumpLogItems,
  dumpLogRecords,
  dumpLogTransactions,
  LOG_ITEMS,
  LOG_RECORDS,
  LOG_TRANSACTIONS,
} from '../dump/rows/log.js';
import { RowCollector, type RowOf } from '../dump/table.js';
import { dumpFree, dumpRefcount, dumpRmap, FREE, REFCOUNT, RMAP } from '../dump/trees.js';
import type { Edit, EditOptions } from '../edit/edit.js';
import { openEdit } from '../edit/edit.js';
import type { Fault } from '../format/fault.js';
import type { Geometry } from '../format/geometry.js';
import { SUPERBLOCK } from '../format/superblock.js';
import { bytesToText } from '../format/text.js';
import type { OpenOptions } from '../image/open.js';
import { OverlaySource } from '../image/overlay.js';
import type { Source } from '../image/source.js';
import { scanLog } from '../journal/scan.js';
import { summarizeLog } from '../journal/status.js';
import { examine } from '../repair/examine.js';
import type { Finding } from '../repair/finding.js';
import { restoreSuperblock, settleLog } from '../repair/prepare.js';
import { FileReader } from '../volume/file.js';
import { type Inode, readInode } from '../volume/inode.js';
import { PathMap, pathBytes, resolvePath, walkTree } from '../volume/path.js';
import { openVolume, type Volume } from '../volume/volume.js';
import { type RowOptions, rowsOf } from './rows.js';
import { EditScope } from './scope.js';
import { type Disk, sourceOf } from './source.js';

/** A file by path, by inode number, or an inode that was read. */
export type FileName = string | Uint8Array | number;

export type FileRow = RowOf<typeof FILES>;

export interface UsageOptions {
  /** Levels of directories below the path; default all. */
  readonly depth?: number;
  /** A row for every file too. */
  readonly files?: boolean;
}

/** Bytes of a stream's pieces. */
const PIECE = 256 * 1024;

export class Image {
  readonly #source: Source;
  #volume: Volume;

  constructor(source: Source) {
    this.#source = source;
    this.#volume = openVolume(source);
  }

  /** The filesystem below, for what this class does not show. It is another one after an edit. */
  get volume(): Volume {
    return this.#volume;
  }

  get geometry(): Geometry {
    return this.#volume.g;
  }

  get uuid(): string {
    return this.#volume.g.uuid;
  }

  get label(): string {
    return String(SUPERBLOCK.decode(this.#volume.superblock).fname);
  }

  /** What verifiers found wrong in what was read so far; `findings` looks at everything. */
  get faults(): readonly Fault[] {
    return this.#volume.faults;
  }

  // ---- tables: the rows of xfsimg dump and xfsimg log, in the same order

  /** Inodes in use. Throws nothing for damage: see `faults`. */
  inodes(options: RowOptions = {}): Iterable<RowOf<typeof INODES>> {
    return rowsOf(INODES, this.#ags(options), (sink, agno) => dumpInodes(this.#volume, sink, { agno }));
  }

  /** Extents of files, cut where the number of owners changes. */
  extents(options: RowOptions = {}): Iterable<RowOf<typeof EXTENTS>> {
    const { inos } = options;
    return rowsOf(EXTENTS, this.#ags(options), (sink, agno) =>
      dumpExtents(this.#volume, sink, { agno, inos }),
    );
  }

  /** Records of the refcount btree; none where the filesystem has no reflink. */
  refcounts(options: RowOptions = {}): Iterable<RowOf<typeof REFCOUNT>> {
    const agnos = this.geometry.features.reflink ? this.#ags(options) : [];
    return rowsOf(REFCOUNT, agnos, (sink, agno) => dumpRefcount(this.#volume, sink, { agno }));
  }

  /** Records of the rmap btree; none where the filesystem has none. */
  rmaps(options: RowOptions = {}): Iterable<RowOf<typeof RMAP>> {
    const agnos = this.geometry.features.rmapbt ? this.#ags(options) : [];
    return rowsOf(RMAP, agnos, (sink, agno) => dumpRmap(this.#volume, sink, { agno }));
  }

  /** Runs of free blocks. */
  free(options: RowOptions = {}): Iterable<RowOf<typeof FREE>> {
    return rowsOf(FREE, this.#ags(options), (sink, agno) => dumpFree(this.#volume, sink, { agno }));
  }

  /** Shared runs with each of their owners, and a path of it. */
  shared(options: Pick<RowOptions, 'agno'> = {}): Iterable<RowOf<typeof SHARED_PATHS>> {
    const paths = new PathMap(this.#volume);
    const pathOf = (ino: number): string | null => {
      const path = paths.get(ino);
      return path === undefined ? null : bytesToText(path);
    };
    return rowsOf(SHARED_PATHS, [options.agno], (sink, agno) =>
      dumpShared(this.#volume, sink, { agno, pathOf }),
    );
  }

  /** Bytes that files below a path take, share, and would free: total, exclusive, shared, set-shared. */
  usage(path: FileName = '/', options: UsageOptions = {}): Iterable<RowOf<typeof DU>> {
    const { ino } = this.inode(path, { follow: false });
    const how = { depth: options.depth ?? Number.POSITIVE_INFINITY, files: options.files ?? false };
    return rowsOf(DU, [undefined], (sink) => {
      const usage = new DiskUsage(this.#volume);
      usage.emit(sink, usage.node(ino), how);
    });
  }

  /** The journal: its state, and what waits in it to be replayed; `all` shows also what was written back. */
  log(options: { readonly all?: boolean } = {}) {
    const state = scanLog(this.#source, this.geometry);
    const all = options.all ?? false;
    return {
      clean: state.clean,
      head: state.head,
      tail: state.tail,
      summary: () => summarizeLog(state),
      records: () => rowsOf(LOG_RECORDS, [undefined], (sink) => dumpLogRecords(state, sink, all)),
      transactions: () =>
        rowsOf(LOG_TRANSACTIONS, [undefined], (sink) => dumpLogTransactions(state, sink, all)),
      items: () => rowsOf(LOG_ITEMS, [undefined], (sink) => dumpLogItems(state, sink, all)),
    };
  }

  /**
   * What is wrong with the filesystem, each with its evidence and what repair would do. Reads all metadata.
   * Nothing is written: a dirty log is replayed in memory. Throws LogError where it cannot be.
   */
  findings(): Finding[] {
    const overlay = new OverlaySource(this.#source);
    const restored = restoreSuperblock(overlay);
    settleLog(overlay, false);
    return [...restored, ...examine(openVolume(overlay)).findings];
  }

  // ---- files

  /** The inode of a file. Throws PathError, CorruptionError. */
  inode(file: FileName, options: { readonly follow?: boolean } = {}): Inode {
    if (typeof file === 'number') return readInode(this.#volume, file);
    return resolvePath(this.#volume, pathBytes(file), options);
  }

  /** Everything of a file that `stat` shows. Throws PathError, CorruptionError. */
  stat(file: FileName, options: { readonly follow?: boolean } = {}): FileRow {
    const inode = this.inode(file, options);
    return this.#row(inode, typeof file === 'number' ? new Uint8Array(0) : pathBytes(file));
  }

  /** Entries of a directory, without '.' and '..'. */
  *list(directory: FileName = '/'): Generator<RowOf<typeof DIR>, void, undefined> {
    const inos = [this.inode(directory).ino];
    for (const entry of rowsOf(DIR, [undefined], (sink) => dumpDir(this.#volume, sink, { inos })))
      if (entry.name !== '.' && entry.name !== '..') yield entry;
  }

  /** Extended attributes of a file, ACLs among them. */
  attributes(file: FileName): Iterable<RowOf<typeof ATTR>> {
    const inos = [this.inode(file, { follow: false }).ino];
    return rowsOf(ATTR, [undefined], (sink) => dumpAttr(this.#volume, sink, { inos }));
  }

  /** Everything below a directory, a directory at a time; what cannot be read is in `faults`. */
  *walk(path: string | Uint8Array = '/'): Generator<FileRow, void, undefined> {
    const start = resolvePath(this.#volume, pathBytes(path));
    const found: { ino: number; path: Uint8Array }[] = [];
    walkTree(
      this.#volume,
      start,
      (entry) => {
        found.push({ ino: entry.ino, path: entry.path.slice() });
      },
      { prefix: pathBytes(path) },
    );
    for (const { ino, path: at } of found) yield this.#row(readInode(this.#volume, ino), at);
  }

  #row(inode: Inode, path: Uint8Array): FileRow {
    const sink = new RowCollector(FILES);
    emitFile(sink, this.#volume, inode, path);
    return sink.rows[0] as FileRow;
  }

  /** A file's bytes, or a part of them. Throws PathError, CorruptionError, RangeError above 1 GiB. */
  readFile(file: FileName, from = 0, to = Number.POSITIVE_INFINITY): Uint8Array {
    const reader = new FileReader(this.#volume, this.inode(file));
    const length = Math.max(0, Math.min(to, reader.size) - from);
    if (length > 2 ** 30) throw new RangeError(`${length} bytes in one piece: use stream`);
    const bytes = new Uint8Array(length);
    reader.read(from, bytes);
    return bytes;
  }

  /** A file's bytes in [start, end), in pieces of 256 KiB. */
  *pieces(file: FileName, start = 0, end = Number.POSITIVE_INFINITY): Generator<Uint8Array, void, undefined> {
    const reader = new FileReader(this.#volume, this.inode(file));
    const to = Math.min(end, reader.size);
    for (let at = start; at < to; at += PIECE) {
      const piece = new Uint8Array(Math.min(PIECE, to - at));
      reader.read(at, piece);
      yield piece;
    }
  }

  /** The same as a stream, which Node and browsers know: `for await`, pipeTo, Readable.fromWeb. */
  stream(file: FileName, start?: number, end?: number): ReadableStream<Uint8Array> {
    const pieces = this.pieces(file, start, end);
    return new ReadableStream({
      pull(controller) {
        const { done, value } = pieces.next();
        if (done === true) controller.close();
        else controller.enqueue(value);
      },
    });
  }

  // ---- changes

  /**
   * Changes files. A dirty log is replayed first. Where `work` throws, nothing of it is done, unless it was so
   * much that a part had to be written to the log before: that is kept then, and the error has `kept: true`.
   * Whatever happens, each operation is done as a whole or not at all. Throws UnsupportedError, LogError before
   * anything is written; then what `work` throws.
   */
  edit<T>(work: (edit: EditScope) => T, options?: EditOptions): T {
    const edit = openEdit(this.#source, options);
    try {
      let result: T;
      try {
        result = work(new EditScope(edit));
        if (result instanceof Promise) throw new TypeError('edits are synchronous: await before them');
      } catch (error) {
        this.#abandon(edit, error);
        throw error;
      }
      edit.close();
      return result;
    } finally {
      this.#volume = openVolume(this.#source);
    }
  }

  /** What is in memory alone is forgotten; what a checkpoint holds is finished. */
  #abandon(edit: Edit, error: unknown): void {
    if (edit.engine.checkpoints.counts.checkpoints === 0) return;
    edit.close();
    if (error instanceof Error) Object.assign(error, { kept: true });
  }

  close(): void {
    this.#source.close();
  }

  #ags(options: RowOptions): Iterable<number | undefined> {
    if (options.inos !== undefined) return [undefined];
    if (options.agno !== undefined) return [options.agno];
    return Array.from({ length: this.geometry.agcount }, (_, agno) => agno);
  }
}

/**
 * Opens the filesystem in an image: a path, its bytes, or anything with `size` and `read`.
 *
 *     const image = openImage('disk.img', { write: true });
 *     for (const { path, size } of image.walk('/etc')) console.log(path, size);
 *     image.edit((edit) => edit.put('/etc/motd', 'hello\n'));
 *     image.close();
 *
 * Throws ImageError (missing, short, no such partition), UnsupportedError (no XFS, or a feature that is not
 * supported: named), CorruptionError (the superblock contradicts itself).
 */
export function openImage(image: string | Uint8Array | Disk, options: OpenOptions = {}): Image {
  const source = sourceOf(image, options);
  try {
    return new Image(source);
  } catch (error) {
    source.close();
    throw error;
  }
}
