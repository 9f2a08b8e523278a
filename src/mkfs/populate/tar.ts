/**
 * A tar archive as a source: ustar, pax and GNU headers, attributes in SCHILY and LIBARCHIVE form, ACLs,
 * sparse files of all four kinds. Headers are read first; contents are found again by their place, so a
 * stream is kept in a temporary file. An archive is not to be trusted: nothing of it leaves the image's root,
 * and every length is held against what is there.
 */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { S_IF, S_IFMT } from '../../format/dinode.js';
import {
  GNU_SPARSE,
  GNU_SPARSE_ENTRY,
  GNU_SPARSE_MORE,
  isTarHeader,
  readPax,
  TAR_BLOCK,
  TAR_HEADER,
  TAR_TYPE,
  tarNumber,
  tarText,
} from '../../format/tar.js';
import { showBytes } from '../../format/text.js';
import { excluder, type Rules } from './rules.js';
import { IdNames, type PaxFields, takePax } from './tarpax.js';
import { type NodeFields, nextRun, SourceTree, SPARSE, sourceError, type TreeSource } from './tree.js';

const AT = TAR_HEADER.at;
/** Longest pax header or long name taken in: attributes of 64 KiB, several of them. */
const MAX_EXTENDED = 16 * 2 ** 20;
/** Most runs of a sparse file. */
const MAX_RUNS = 2 ** 22;

/**
 * Reads the members of an archive. A stream that cannot be read twice is spooled beside `image`.
 *
 * @throws MkfsError: not a tar archive, truncated, a member that cannot be; one line
 */
export function openTar(fd: number, name: string, image: string, rules: Rules): TarSource {
  const archive = Archive.open(fd, name, image);
  try {
    const source = new TarSource(archive);
    source.scan(rules);
    return source;
  } catch (error) {
    archive.close();
    throw error;
  }
}

/** The archive's bytes by position. */
class Archive {
  readonly name: string;
  readonly size: number;
  readonly #fd: number;
  readonly #base: number;
  readonly #window = Buffer.alloc(2 ** 16);
  #windowAt = 0;
  #windowSize = 0;

  private constructor(fd: number, name: string, base: number, size: number) {
    this.#fd = fd;
    this.name = name;
    this.#base = base;
    this.size = size;
  }

  static open(fd: number, name: string, image: string): Archive {
    const stat = fstatSync(fd);
    if (stat.isFile()) return new Archive(fd, name, 0, stat.size);
    const folder = mkdtempSync(join(dirname(image), '.xfsimg-'));
    const path = join(folder, 'stream');
    const spool = openSync(path, 'wx+');
    // Without its name the file goes away with the last that has it open.
    rmSync(folder, { recursive: true });
    const piece = Buffer.alloc(2 ** 20);
    let size = 0;
    for (;;) {
      const n = readPiece(fd, piece, name);
      if (n === 0) break;
      for (let done = 0; done < n; ) done += writeSync(spool, piece, done, n - done, size + done);
      size += n;
    }
    ftruncateSync(spool, size);
    closeSync(fd);
    return new Archive(spool, name, 0, size);
  }

  /** Fills `into`; throws where the archive ends before. */
  read(at: number, into: Uint8Array): void {
    let done = 0;
    if (into.length <= TAR_BLOCK * 2) {
      if (at < this.#windowAt || at + into.length > this.#windowAt + this.#windowSize) {
        this.#windowAt = at;
        this.#windowSize = readSync(this.#fd, this.#window, 0, this.#window.length, this.#base + at);
      }
      if (at + into.length <= this.#windowAt + this.#windowSize) {
        into.set(this.#window.subarray(at - this.#windowAt, at - this.#windowAt + into.length));
        return;
      }
    }
    while (done < into.length) {
      const n = readSync(this.#fd, into, done, into.length - done, this.#base + at + done);
      if (n === 0) throw sourceError(`${this.name}: truncated: it ends at byte ${at + done}`);
      done += n;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function readPiece(fd: number, piece: Buffer, name: string): number {
  for (;;) {
    try {
      return readSync(fd, piece, 0, piece.length, null);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EOF') return 0;
      // A terminal or pipe in non-blocking mode: wait a little and ask again.
      if (code !== 'EAGAIN') throw sourceError(`${name}: cannot be read: ${(error as Error).message}`);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
}

interface SparseMap {
  /** Starts and ends of the runs of data, in turn. */
  readonly runs: Float64Array;
  /** Where the data of each run begins in the archive. */
  readonly at: Float64Array;
}

export class TarSource implements TreeSource {
  readonly tree = new SourceTree();
  readonly warnings: string[] = [];
  readonly #archive: Archive;
  readonly #maps = new Map<number, SparseMap>();
  /** Rows that others are links to. */
  readonly #linked = new Set<number>();
  readonly #implied = new Set<number>();
  readonly #ids = new IdNames();
  #file = 0;

  constructor(archive: Archive) {
    this.#archive = archive;
  }

  scan(rules: Rules): void {
    const excluded = excluder(rules.exclude);
    const block = new Uint8Array(TAR_BLOCK);
    const global: PaxFields = { xattrs: new Map() };
    let pax: PaxFields | undefined;
    let longName: Uint8Array | undefined;
    let longLink: Uint8Array | undefined;
    this.tree.add(-1, new Uint8Array(0), impliedDirectory(0));
    this.#implied.add(0);
    const { size } = this.#archive;
    let at = 0;
    for (;;) {
      if (at + TAR_BLOCK > size) throw this.#bad(at, 'truncated: the mark of its end is missing');
      this.#archive.read(at, block);
      if (isZero(block)) break;
      if (!isTarHeader(block))
        throw this.#bad(at, at === 0 ? 'not a tar archive' : 'not a member (checksum)');
      const type = String.fromCharCode(block[AT.typeflag] || 0x30);
      const header = at;
      at += TAR_BLOCK;
      let bytes = this.#number(block, 'size', 12, header);
      const isExtended =
        type === TAR_TYPE.PAX ||
        type === TAR_TYPE.PAX_GLOBAL ||
        type === TAR_TYPE.GNU_LONGNAME ||
        type === TAR_TYPE.GNU_LONGLINK;
      if (!isExtended) bytes = pax?.size ?? global.size ?? bytes;
      // Directories and links may carry a size without having data.
      if ('123456'.includes(type) && !(type === TAR_TYPE.LINK && pax?.size !== undefined)) bytes = 0;
      if (at + bytes > size)
        throw this.#bad(header, `truncated: a member of ${bytes} bytes, but only ${size - at} are left`);
      const next = at + Math.ceil(bytes / TAR_BLOCK) * TAR_BLOCK;
      if (isExtended) {
        if (bytes > MAX_EXTENDED) throw this.#bad(header, `a header of ${bytes} bytes`);
        const data = new Uint8Array(bytes);
        this.#archive.read(at, data);
        if (type === TAR_TYPE.GNU_LONGNAME) longName = tarText(data, 0, bytes);
        else if (type === TAR_TYPE.GNU_LONGLINK) longLink = tarText(data, 0, bytes);
        else {
          const into = type === TAR_TYPE.PAX ? { xattrs: new Map<string, Uint8Array>() } : global;
          if (!readPax(data, (key, value) => takePax(into, key, value)))
            throw this.#bad(header, 'a pax header that is not well formed');
          if (type === TAR_TYPE.PAX) pax = into;
        }
        at = next;
        continue;
      }
      const fields: PaxFields = {
        ...global,
        ...pax,
        xattrs: new Map([...global.xattrs, ...(pax?.xattrs ?? [])]),
      };
      const moved = this.#member(block, header, at, bytes, type, fields, longName, longLink, excluded);
      at = Math.max(next, moved);
      pax = undefined;
      longName = undefined;
      longLink = undefined;
    }
  }

  /** Takes one member in. Returns where the next one begins, if that is further than its size says. */
  #member(
    block: Uint8Array,
    header: number,
    dataAt: number,
    bytes: number,
    type: string,
    pax: PaxFields,
    longName: Uint8Array | undefined,
    longLink: Uint8Array | undefined,
    excluded: ((path: string) => boolean) | undefined,
  ): number {
    if (type === TAR_TYPE.GNU_VOLUME) return 0;
    if (type === TAR_TYPE.GNU_MULTIVOLUME) throw this.#bad(header, 'a part of an archive of several volumes');
    const name = pax.path ?? longName ?? ustarName(block);
    const path = parts(name);
    if (path === undefined)
      throw this.#bad(header, `${showBytes(name)}: a path with ".." leaves the archive`);
    let moved = 0;
    const sparse = this.#sparseMap(block, type, pax, dataAt, bytes, header);
    if (sparse !== undefined) moved = sparse.end;
    if (excluded !== undefined && isExcluded(path, excluded)) return moved;
    this.#ids.note('user', tarText(block, AT.uname, 32), pax.uid ?? tarNumber(block, AT.uid, 8));
    this.#ids.note('group', tarText(block, AT.gname, 32), pax.gid ?? tarNumber(block, AT.gid, 8));
    const slash = name.length > 0 && name[name.length - 1] === 0x2f;
    const mode = this.#mode(block, type, slash, header);
    const fields: NodeFields = {
      mode,
      uid: pax.uid ?? this.#number(block, 'uid', 8, header),
      gid: pax.gid ?? this.#number(block, 'gid', 8, header),
      size: (mode & S_IFMT) === S_IF.REG && type !== TAR_TYPE.LINK ? (sparse?.realsize ?? bytes) : 0,
      mtime: pax.mtime?.sec ?? this.#number(block, 'mtime', 12, header, true),
      mtimeNsec: pax.mtime?.nsec ?? 0,
      atime: 0,
      atimeNsec: 0,
      major: 0,
      minor: 0,
    };
    fields.atime = pax.atime?.sec ?? fields.mtime;
    fields.atimeNsec = pax.atime?.nsec ?? (pax.atime === undefined ? fields.mtimeNsec : 0);
    for (const id of [fields.uid, fields.gid])
      if (id < 0 || id >= 2 ** 32) throw this.#bad(header, `${showBytes(name)}: owner ${id} is out of range`);
    if (type === TAR_TYPE.CHR || type === TAR_TYPE.BLK) {
      fields.major = this.#number(block, 'devmajor', 8, header);
      fields.minor = this.#number(block, 'devminor', 8, header);
    }
    const link = pax.linkpath ?? longLink ?? tarText(block, AT.linkname, 100);
    const target = type === TAR_TYPE.LINK ? this.#linkTarget(link, name, header) : -1;
    const row = this.#place(path, name, fields, header);
    if (target >= 0) {
      if (target === row) return moved;
      this.tree.link[row] = target;
      this.#linked.add(target);
      return moved;
    }
    if (type === TAR_TYPE.SYMLINK) this.tree.setTarget(row, link);
    this.tree.handle[row] = dataAt;
    if (sparse !== undefined) {
      this.#maps.set(row, sparse.map);
      this.tree.sparse[row] = SPARSE.MAPPED;
    }
    const xattrs = this.#ids.xattrs(pax, (why) => this.#bad(header, `${showBytes(name)}: ${why}`));
    if (xattrs.length > 0) this.tree.xattrs.set(row, xattrs);
    return moved;
  }

  #mode(block: Uint8Array, type: string, slash: boolean, header: number): number {
    const permissions = this.#number(block, 'mode', 8, header) & 0o7777;
    switch (type) {
      case TAR_TYPE.SYMLINK:
        return S_IF.LNK | 0o777;
      case TAR_TYPE.CHR:
        return S_IF.CHR | permissions;
      case TAR_TYPE.BLK:
        return S_IF.BLK | permissions;
      case TAR_TYPE.FIFO:
        return S_IF.FIFO | permissions;
      case TAR_TYPE.DIR:
      case TAR_TYPE.GNU_DUMPDIR:
        return S_IF.DIR | permissions;
      case TAR_TYPE.FILE:
        // Before ustar a directory was a file with a slash behind its name.
        return (slash ? S_IF.DIR : S_IF.REG) | permissions;
      case TAR_TYPE.LINK:
      case TAR_TYPE.CONTIGUOUS:
      case TAR_TYPE.GNU_SPARSE:
        return S_IF.REG | permissions;
    }
    throw this.#bad(header, `a member of unknown type ${JSON.stringify(type)}`);
  }

  #number(b: Uint8Array, field: keyof typeof AT, length: number, header: number, signed = false): number {
    const value = tarNumber(b, AT[field], length);
    if (!Number.isSafeInteger(value) || (value < 0 && !signed))
      throw this.#bad(header, `${field} is no number that can be`);
    return value;
  }

  #linkTarget(link: Uint8Array, name: Uint8Array, header: number): number {
    const path = parts(link);
    let row = path === undefined ? -1 : 0;
    for (const part of path ?? []) {
      row = this.tree.find(row, part);
      if (row < 0) break;
    }
    if (row <= 0 || this.tree.isDir(row))
      throw this.#bad(
        header,
        `${showBytes(name)}: a hard link to ${showBytes(link)}, which is no file before it`,
      );
    return this.tree.file(row);
  }

  /** The row of a path, made or overwritten; directories above it that were left out are made. */
  #place(path: readonly Uint8Array[], name: Uint8Array, fields: NodeFields, header: number): number {
    const { tree } = this;
    let parent = 0;
    for (const part of path.slice(0, -1)) {
      let row = tree.find(parent, part);
      if (row < 0) {
        row = tree.add(parent, part, impliedDirectory(fields.mtime));
        this.#implied.add(row);
      } else if (!tree.isDir(tree.file(row)))
        throw this.#bad(
          header,
          `${showBytes(name)}: its path goes through ${tree.showPath(row)}, no directory`,
        );
      parent = row;
    }
    const last = path.at(-1);
    const old = last === undefined ? 0 : tree.find(parent, last);
    if (old < 0) return tree.add(parent, last as Uint8Array, fields);
    const wasDir = tree.isDir(tree.file(old));
    if (wasDir !== ((fields.mode & S_IFMT) === S_IF.DIR))
      throw this.#bad(header, `${showBytes(name)}: is there already, as ${wasDir ? 'a' : 'no'} directory`);
    // The later member counts, except for a file's other names: they keep what they had.
    if (this.#linked.has(old)) this.#handOver(old);
    tree.link[old] = -1;
    tree.sparse[old] = SPARSE.NO;
    tree.xattrs.delete(old);
    this.#maps.delete(old);
    this.#implied.delete(old);
    tree.set(old, fields);
    return old;
  }

  /** Makes the first link to `row` the file itself. */
  #handOver(row: number): void {
    const { tree } = this;
    let heir = -1;
    for (let i = 1; i < tree.count; i++) {
      if (tree.link[i] !== row) continue;
      if (heir < 0) {
        heir = i;
        tree.copyRow(row, heir);
        const map = this.#maps.get(row);
        if (map !== undefined) this.#maps.set(heir, map);
        this.#linked.add(heir);
      } else tree.link[i] = heir;
    }
    this.#linked.delete(row);
  }

  #sparseMap(
    block: Uint8Array,
    type: string,
    pax: PaxFields,
    dataAt: number,
    bytes: number,
    header: number,
  ): { map: SparseMap; realsize: number; end: number } | undefined {
    let pairs: number[] | undefined;
    let realsize = pax.sparseSize;
    let at = dataAt;
    let end = 0;
    if (type === TAR_TYPE.GNU_SPARSE) {
      pairs = [];
      realsize = tarNumber(block, GNU_SPARSE.realsize, 12);
      const more = new Uint8Array(TAR_BLOCK);
      const take = (b: Uint8Array, from: number, count: number): void => {
        for (let i = 0; i < count; i++) {
          const entry = from + i * GNU_SPARSE_ENTRY;
          if (b[entry] === 0) return;
          pairs?.push(tarNumber(b, entry, 12), tarNumber(b, entry + 12, 12));
        }
      };
      take(block, GNU_SPARSE.map, GNU_SPARSE.entries);
      let going = block[GNU_SPARSE.isextended] !== 0;
      while (going) {
        this.#archive.read(at, more);
        at += TAR_BLOCK;
        take(more, 0, GNU_SPARSE_MORE.entries);
        going = more[GNU_SPARSE_MORE.isextended] !== 0;
        if (pairs.length > MAX_RUNS * 2) throw this.#bad(header, 'too many runs in a sparse file');
      }
      end = at + Math.ceil(bytes / TAR_BLOCK) * TAR_BLOCK;
      if (end > this.#archive.size) throw this.#bad(header, 'truncated: a sparse file');
    } else if (pax.sparseMajor === 1) {
      const text = this.#sparseText(dataAt, bytes, header);
      pairs = text.pairs;
      at += text.bytes;
    } else if (pax.sparsePairs !== undefined && realsize !== undefined) pairs = pax.sparsePairs;
    if (pairs === undefined) return undefined;
    if (realsize === undefined || !Number.isSafeInteger(realsize) || realsize < 0)
      throw this.#bad(header, 'a sparse file without its size');
    const left = dataAt + bytes - at + (type === TAR_TYPE.GNU_SPARSE ? at - dataAt : 0);
    const runs: number[] = [];
    const places: number[] = [];
    let used = 0;
    let last = 0;
    for (let i = 0; i + 1 < pairs.length; i += 2) {
      const [from, length] = [pairs[i], pairs[i + 1]];
      if (!(from >= last) || !(length >= 0) || !(from + length <= realsize) || used + length > left)
        throw this.#bad(header, 'a sparse file whose map does not fit its size');
      last = from + length;
      if (length > 0) {
        runs.push(from, last);
        places.push(at + used);
      }
      used += length;
    }
    return { map: { runs: Float64Array.from(runs), at: Float64Array.from(places) }, realsize, end };
  }

  /** The map of format 1.0, in front of the data: lines with a count, then offset and length of each run. */
  #sparseText(dataAt: number, bytes: number, header: number): { pairs: number[]; bytes: number } {
    const block = new Uint8Array(TAR_BLOCK);
    const numbers: number[] = [];
    let wanted = 1;
    let value = -1;
    for (let at = 0; at < bytes; at += TAR_BLOCK) {
      this.#archive.read(dataAt + at, block);
      for (const c of block) {
        if (c >= 0x30 && c <= 0x39) value = Math.max(value, 0) * 10 + (c - 0x30);
        else if (c === 0x0a && value >= 0 && Number.isSafeInteger(value)) {
          if (numbers.length === 0) {
            if (value > MAX_RUNS) break;
            wanted = 1 + value * 2;
          }
          numbers.push(value);
          value = -1;
          if (numbers.length === wanted) return { pairs: numbers.slice(1), bytes: at + TAR_BLOCK };
        } else throw this.#bad(header, 'a sparse file whose map is not one');
      }
    }
    throw this.#bad(header, 'a sparse file whose map is not one');
  }

  #bad(at: number, why: string): Error {
    return sourceError(`${this.#archive.name}: byte ${at}: ${why}`);
  }

  open(file: number, _as: number): void {
    this.#file = file;
  }

  nextData(from: number): readonly [number, number] | undefined {
    const map = this.#maps.get(this.#file);
    if (map !== undefined) return nextRun(map.runs, from);
    const size = this.tree.size[this.#file];
    return from < size ? [from, size] : undefined;
  }

  read(offset: number, into: Uint8Array): number {
    const length = Math.max(0, Math.min(into.length, this.tree.size[this.#file] - offset));
    const map = this.#maps.get(this.#file);
    if (map === undefined) {
      this.#archive.read(this.tree.handle[this.#file] + offset, into.subarray(0, length));
      return length;
    }
    into.fill(0, 0, length);
    const { runs, at } = map;
    for (let i = 0; i < at.length; i++) {
      const from = Math.max(runs[i * 2], offset);
      const to = Math.min(runs[i * 2 + 1], offset + length);
      if (from < to)
        this.#archive.read(at[i] + (from - runs[i * 2]), into.subarray(from - offset, to - offset));
    }
    return length;
  }

  shut(): void {}

  close(): void {
    this.#archive.close();
  }
}

const impliedDirectory = (mtime: number): NodeFields => ({
  mode: S_IF.DIR | 0o755,
  uid: 0,
  gid: 0,
  size: 0,
  mtime,
  mtimeNsec: 0,
  atime: mtime,
  atimeNsec: 0,
  major: 0,
  minor: 0,
});

const isZero = (block: Uint8Array): boolean => block.every((b) => b === 0);

/** The name in the header; GNU's format has other things where ustar has the prefix. */
function ustarName(block: Uint8Array): Uint8Array {
  const name = tarText(block, AT.name, 100);
  const isUstar = block[AT.magic + 5] === 0 && block[AT.magic] === 0x75;
  const prefix = isUstar ? tarText(block, AT.prefix, 155) : new Uint8Array(0);
  return prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name]);
}

/** A path's names, from the root whether it is absolute or not; undefined where it has a "..". */
function parts(path: Uint8Array): Uint8Array[] | undefined {
  const out: Uint8Array[] = [];
  for (let from = 0; from <= path.length; ) {
    let to = path.indexOf(0x2f, from);
    if (to < 0) to = path.length;
    const part = path.subarray(from, to);
    if (part.length === 2 && part[0] === 0x2e && part[1] === 0x2e) return undefined;
    if (part.length > 0 && !(part.length === 1 && part[0] === 0x2e)) out.push(part);
    from = to + 1;
  }
  return out;
}

/** Whether a member or a directory above it is left out. */
function isExcluded(path: readonly Uint8Array[], excluded: (path: string) => boolean): boolean {
  let below = '';
  for (const part of path) {
    below += `${below === '' ? '' : '/'}${Buffer.from(part).toString('latin1')}`;
    if (excluded(below)) return true;
  }
  return false;
}
