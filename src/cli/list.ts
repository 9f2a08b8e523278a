/** What `xfsimg ls` does. */
import { emitFile, FILES, isDevice } from '../dump/files.js';
import { S_IF } from '../format/dinode.js';
import { isInoInRange } from '../format/geometry.js';
import { type FileType, fileType, fileTypeOfFtype, modeString } from '../format/mode.js';
import { bytesToText, textToBytes } from '../format/text.js';
import { showFullTime, showTime } from '../format/time.js';
import { type DirListing, listingName, readDir } from '../volume/dir.js';
import { type Inode, readInode } from '../volume/inode.js';
import { byName, walkTree } from '../volume/path.js';
import { readSymlink } from '../volume/symlink.js';
import type { Volume } from '../volume/volume.js';
import { Damage } from './damage.js';
import { openImage } from './image.js';
import type { LsOptions } from './ls.js';
import { NameWriter } from './names.js';
import { findOperand } from './operands.js';
import { Output, stdoutIsTerminal } from './render/output.js';
import { openTable, wantsRows } from './render/table.js';
import type { TableWriter } from './render/writer.js';

const DOT = 0x2e;
const NEWLINE = 10;
const SPACE = 32;

/** Columns that a directory entry alone can fill; all others need the inode. */
const FROM_ENTRY = new Set(['path', 'ino', 'type']);

export async function list(image: string, paths: string[], options: LsOptions): Promise<void> {
  const volume = openImage(image, options);
  try {
    const damage = new Damage(volume, image);
    const out = new Output();
    // Opened before anything is read: wrong --columns must be said first.
    const rows = wantsRows(options) ? await openTable(FILES, options, { image, volume }) : undefined;
    const lister = new Lister(volume, damage, out, options, rows);
    lister.run(paths.length > 0 ? paths : ['/']);
    if (rows !== undefined) rows.finish();
    out.flush();
    damage.finish();
  } finally {
    volume.close();
  }
}

/** A path with one more name. */
function join(path: Uint8Array, name: Uint8Array): Uint8Array {
  const slash = path.length > 0 && path[path.length - 1] !== 0x2f ? 1 : 0;
  const whole = new Uint8Array(path.length + slash + name.length);
  whole.set(path);
  if (slash === 1) whole[path.length] = 0x2f;
  whole.set(name, path.length + slash);
  return whole;
}

class Lister {
  readonly #volume: Volume;
  readonly #damage: Damage;
  readonly #out: Output;
  readonly #names: NameWriter;
  readonly #options: LsOptions;
  readonly #rows: TableWriter | undefined;
  readonly #long: boolean;
  readonly #hidden: boolean;
  readonly #needInode: boolean;
  readonly #width: number;
  /** Whether something was written already: a blank line goes before the next directory. */
  #started = false;

  constructor(
    volume: Volume,
    damage: Damage,
    out: Output,
    options: LsOptions,
    rows: TableWriter | undefined,
  ) {
    this.#volume = volume;
    this.#damage = damage;
    this.#out = out;
    this.#names = new NameWriter(out);
    this.#options = options;
    this.#rows = rows;
    this.#long = options.long === true || options.fullTime === true;
    this.#hidden = options.all === true || options.almostAll === true;
    const columns = options.columns?.split(',').map((c) => c.trim());
    this.#needInode =
      rows === undefined ? this.#long : columns === undefined || !columns.every((c) => FROM_ENTRY.has(c));
    this.#width = stdoutIsTerminal() ? (process.stdout.columns ?? 80) : 0;
  }

  run(operands: string[]): void {
    const directories: [string, Inode][] = [];
    const files: [Uint8Array, Inode][] = [];
    for (const operand of operands) {
      const follow = !this.#long && this.#options.directory !== true;
      const inode = findOperand(this.#volume, operand, this.#damage, { follow });
      if (inode === undefined) continue;
      if (inode.isDir && this.#options.directory !== true) directories.push([operand, inode]);
      else files.push([textToBytes(operand), inode]);
    }
    this.#listFiles(files);
    const titled = operands.length > 1 || this.#options.recursive === true;
    for (const [operand, inode] of directories) {
      if (this.#options.recursive === true) this.#listTree(textToBytes(operand), inode);
      else this.#listDirectory(textToBytes(operand), inode, titled);
    }
  }

  /** Operands that are no directories, or with -d all of them. */
  #listFiles(files: [Uint8Array, Inode][]): void {
    if (files.length === 0) return;
    if (this.#rows !== undefined) {
      for (const [path, inode] of files) this.#row(path, inode.ino, fileType(inode.mode));
      return;
    }
    this.#started = true;
    if (this.#long) {
      this.#writeLong(files.length, (k) => {
        const [name, inode] = files[k];
        return { name, ino: inode.ino, type: fileType(inode.mode) };
      });
      return;
    }
    for (const [path, inode] of files) {
      if (this.#options.inode === true) this.#number(inode.ino);
      this.#names.write(path);
      this.#out.byte(NEWLINE);
    }
  }

  #listDirectory(path: Uint8Array, inode: Inode, titled: boolean): void {
    const listing = this.#damage.guard(() =>
      readDir(this.#volume, inode, { dots: this.#options.all === true }),
    );
    if (listing === undefined) return;
    if (titled) this.#title(path);
    this.#writeListing(listing, path, this.#orderOf(listing));
  }

  #listTree(path: Uint8Array, inode: Inode): void {
    const { all, unsorted } = this.#options;
    this.#damage.guard(() =>
      walkTree(
        this.#volume,
        inode,
        // A hidden directory is not listed, and so not entered.
        (entry) => this.#hidden || entry.names[entry.nameFrom] !== DOT,
        {
          order: unsorted === true ? undefined : byName,
          prefix: path,
          onDirectory: (listing, order, whole, directory) => {
            this.#title(whole);
            if (all !== true) this.#writeListing(listing, whole, order);
            else {
              // '.' and '..' are no part of a walk's listing. Faults have been reported with that.
              const dots = readDir(this.#volume, directory, { dots: true, report: () => {} });
              this.#writeListing(dots, whole, this.#orderOf(dots));
            }
          },
        },
      ),
    );
  }

  #orderOf(listing: DirListing): Uint32Array | undefined {
    return this.#options.unsorted === true ? undefined : byName(listing);
  }

  #title(path: Uint8Array): void {
    if (this.#rows !== undefined) return;
    if (this.#started) this.#out.byte(NEWLINE);
    this.#started = true;
    this.#names.write(path);
    this.#out.text(':\n');
  }

  #writeListing(listing: DirListing, path: Uint8Array, order: Uint32Array | undefined): void {
    const { names, nameEnd, ino, ftype, count } = listing;
    this.#started = true;
    if (this.#rows !== undefined || this.#long) {
      const shown: number[] = [];
      for (let k = 0; k < count; k++) {
        const i = order === undefined ? k : order[k];
        if (this.#hidden || names[i === 0 ? 0 : nameEnd[i - 1]] !== DOT) shown.push(i);
      }
      const entryAt = (k: number): Entry => {
        const i = shown[k];
        return { name: listingName(listing, i), ino: ino[i], type: fileTypeOfFtype(ftype[i]) };
      };
      if (this.#rows === undefined) this.#writeLong(shown.length, entryAt);
      else
        for (let k = 0; k < shown.length; k++) {
          const entry = entryAt(k);
          this.#row(join(path, entry.name), entry.ino, entry.type);
        }
      return;
    }
    if (this.#width > 0) {
      this.#writeColumns(listing, order);
      return;
    }
    for (let k = 0; k < count; k++) {
      const i = order === undefined ? k : order[k];
      const from = i === 0 ? 0 : nameEnd[i - 1];
      if (!this.#hidden && names[from] === DOT) continue;
      if (this.#options.inode === true) this.#number(ino[i]);
      this.#names.write(names, from, nameEnd[i]);
      this.#out.byte(NEWLINE);
    }
  }

  /** Names side by side on a terminal, down each column. */
  #writeColumns(listing: DirListing, order: Uint32Array | undefined): void {
    const { names, nameEnd, ino, count } = listing;
    const shown: number[] = [];
    const widths: number[] = [];
    for (let k = 0; k < count; k++) {
      const i = order === undefined ? k : order[k];
      const from = i === 0 ? 0 : nameEnd[i - 1];
      if (!this.#hidden && names[from] === DOT) continue;
      shown.push(i);
      const number = this.#options.inode === true ? String(ino[i]).length + 1 : 0;
      widths.push(this.#names.width(names, from, nameEnd[i]) + number);
    }
    if (shown.length === 0) return;
    const cell = widths.reduce((a, b) => Math.max(a, b), 0) + 2;
    const columns = Math.max(1, Math.floor((this.#width + 2) / cell));
    const lines = Math.ceil(shown.length / columns);
    for (let line = 0; line < lines; line++) {
      for (let k = line; k < shown.length; k += lines) {
        const i = shown[k];
        if (this.#options.inode === true) this.#number(ino[i]);
        this.#names.write(names, i === 0 ? 0 : nameEnd[i - 1], nameEnd[i]);
        if (k + lines < shown.length) this.#out.text(' '.repeat(cell - widths[k]));
      }
      this.#out.byte(NEWLINE);
    }
  }

  #number(ino: number): void {
    this.#out.text(String(ino));
    this.#out.byte(SPACE);
  }

  /** A row of the table, as much of it as the chosen columns need. */
  #row(path: Uint8Array, ino: number, type: string): void {
    const rows = this.#rows!;
    if (!this.#needInode) {
      rows.text[FILES.at.path] = bytesToText(path);
      rows.num[FILES.at.ino] = ino;
      rows.text[FILES.at.type] = type;
      rows.emit();
      return;
    }
    const inode = this.#inode(ino, type);
    if (inode !== undefined) this.#damage.guard(() => emitFile(rows, this.#volume, inode, path));
  }

  /** An entry's inode; undefined where it cannot be read, which is shown. */
  #inode(ino: number, type: string): Inode | undefined {
    return this.#damage.guard(() => {
      const inode = readInode(this.#volume, ino);
      this.#checkType(inode, type);
      return inode;
    });
  }

  /** A directory entry says the type of its file too: the two must agree. */
  #checkType(inode: Inode, type: string): void {
    const actual = fileType(inode.mode);
    if (type === 'unknown' || type === actual) return;
    this.#damage.fault({
      structure: 'dinode',
      ino: inode.ino,
      field: 'mode',
      value: `0${inode.mode.toString(8)} (${actual})`,
      expected: `a ${type}, as its directory entry says`,
    });
  }

  /** An inode as it stands, for the widths of columns: faults are shown when its line is written. */
  #peek(ino: number): Inode | undefined {
    return isInoInRange(this.#volume.g, ino) ? readInode(this.#volume, ino, { verify: false }) : undefined;
  }

  /**
   * Lines of -l, in columns as wide as this directory needs: one pass over the inodes measures, another
   * writes, so that a directory of any size takes no memory.
   */
  #writeLong(count: number, entryAt: (k: number) => Entry): void {
    const widths = [0, 0, 0, 0, 0, 0, 0];
    for (let k = 0; k < count; k++) {
      const { ino } = entryAt(k);
      const row = this.#cells(ino, this.#peek(ino));
      for (let i = 0; i < row.length; i++) widths[i] = Math.max(widths[i], row[i].length);
    }
    for (let k = 0; k < count; k++) {
      const { name, ino, type } = entryAt(k);
      const inode = this.#inode(ino, type);
      const row = this.#cells(ino, inode);
      let line = '';
      for (let i = this.#options.inode === true ? 0 : 1; i < row.length; i++) {
        // Mode and time to the left, numbers to the right.
        const left = i === 1 || i === 6;
        line += `${left ? row[i].padEnd(widths[i]) : row[i].padStart(widths[i])} `;
      }
      this.#out.text(line);
      this.#names.write(name);
      if (inode?.type === S_IF.LNK) {
        const target = this.#damage.guard(() => readSymlink(this.#volume, inode));
        this.#out.text(' -> ');
        if (target === undefined) this.#out.byte(0x3f);
        else this.#names.write(target);
      }
      this.#out.byte(NEWLINE);
    }
  }

  /** Cells of a line: question marks where the inode cannot be read. */
  #cells(ino: number, inode: Inode | undefined): string[] {
    if (inode === undefined) return [String(ino), '??????????', '?', '?', '?', '?', '?'];
    const { rdev } = inode;
    return [
      String(ino),
      modeString(inode.mode),
      String(inode.nlink),
      String(inode.uid),
      String(inode.gid),
      isDevice(inode) ? `${rdev.major}, ${rdev.minor}` : String(inode.exactSize),
      this.#options.fullTime === true ? showFullTime(inode.mtime) : showTime(inode.mtime),
    ];
  }
}

/** A name to list. */
interface Entry {
  readonly name: Uint8Array;
  readonly ino: number;
  /** As the directory entry has it. */
  readonly type: FileType;
}
