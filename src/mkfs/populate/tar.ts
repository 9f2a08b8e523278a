/**
 * A tar archive as a source: ustar, pax and GNU headers, attributes in SCHILY and LIBARCHIVE form, ACLs,
 * sparse files of all four kinds. Headers are read first; contents are found again by their place, so a
 * stream is kept in a temporary file. An archive is not to be trusted: nothing of it leaves the image's root,
 * and every length is held against what is there.
 */
import { S_IF, S_IFMT } from '../../format/dinode.js';
import {
  isTarHeader,
  readPax,
  TAR_BLOCK,
  TAR_HEADER,
  TAR_TYPE,
  tarNumber,
  tarText,
} from '../../format/tar.js';
import { Archive } from './archive.js';
import { excluder, type Rules } from './rules.js';
import { IdNames, mergePax, type PaxFields, takePax } from './tarpax.js';
import { type SparseMap, sparseMap } from './tarsparse.js';
import {
  type NodeFields,
  nextRun,
  SourceTree,
  SPARSE,
  showPath,
  sourceError,
  type TreeSource,
} from './tree.js';

const AT = TAR_HEADER.at;
/** Longest pax header or long name taken in: attributes of 64 KiB, several of them. */
const MAX_EXTENDED = 16 * 2 ** 20;
/** Longest path and target of a link: more than any system call takes. */
const MAX_PATH = 2 ** 16;

/** What extended headers say of the member behind them. */
interface Ahead {
  pax?: PaxFields;
  longName?: Uint8Array;
  longLink?: Uint8Array;
}

/** A member as its headers tell it. */
interface Member {
  /** Where its header stands, and the header itself. */
  readonly at: number;
  readonly header: Uint8Array;
  readonly type: string;
  readonly pax: PaxFields;
  readonly name: Uint8Array;
  readonly link: Uint8Array;
  /** Where its data begins, and their bytes. */
  readonly dataAt: number;
  readonly bytes: number;
}

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
    const header = new Uint8Array(TAR_BLOCK);
    const global: PaxFields = { xattrs: new Map() };
    let ahead: Ahead = {};
    this.tree.add(-1, new Uint8Array(0), impliedDirectory(0));
    this.#implied.add(0);
    const { size } = this.#archive;
    if (size === 0) throw this.#bad(0, 'is empty: no tar archive');
    for (let at = 0; ; ) {
      if (at + TAR_BLOCK > size) throw this.#bad(at, 'truncated: the mark of its end is missing');
      this.#archive.read(at, header);
      if (isZero(header)) break;
      if (!isTarHeader(header))
        throw this.#bad(at, at === 0 ? 'not a tar archive' : 'not a member (checksum)');
      const type = String.fromCharCode(header[AT.typeflag] || 0x30);
      const isExtended = EXTENDED.includes(type);
      const pax = ahead.pax === undefined ? global : mergePax(global, ahead.pax);
      let bytes = this.#number(header, 'size', 12, at);
      if (!isExtended) bytes = pax.size ?? bytes;
      // Directories and links may carry a size without having data.
      if ('123456'.includes(type) && !(type === TAR_TYPE.LINK && ahead.pax?.size !== undefined)) bytes = 0;
      const dataAt = at + TAR_BLOCK;
      if (dataAt + bytes > size)
        throw this.#bad(at, `truncated: a member of ${bytes} bytes, but only ${size - dataAt} are left`);
      const next = dataAt + Math.ceil(bytes / TAR_BLOCK) * TAR_BLOCK;
      if (isExtended) {
        this.#extended(type, at, bytes, ahead, global);
        at = next;
        continue;
      }
      const name = pax.path ?? ahead.longName ?? ustarName(header);
      const link = pax.linkpath ?? ahead.longLink ?? tarText(header, AT.linkname, 100);
      const end = this.#member({ at, header, type, pax, name, link, dataAt, bytes }, excluded);
      at = Math.max(next, end);
      ahead = {};
    }
  }

  /** Takes in a header that tells of the member behind it, or of all. */
  #extended(type: string, at: number, bytes: number, ahead: Ahead, global: PaxFields): void {
    if (bytes > MAX_EXTENDED) throw this.#bad(at, `a header of ${bytes} bytes`);
    const data = new Uint8Array(bytes);
    this.#archive.read(at + TAR_BLOCK, data);
    if (type === TAR_TYPE.GNU_LONGNAME) ahead.longName = tarText(data, 0, bytes);
    else if (type === TAR_TYPE.GNU_LONGLINK) ahead.longLink = tarText(data, 0, bytes);
    else {
      const into = type === TAR_TYPE.PAX ? { xattrs: new Map<string, Uint8Array>() } : global;
      if (!readPax(data, (key, value) => takePax(into, key, value)))
        throw this.#bad(at, 'a pax header that is not well formed');
      if (type === TAR_TYPE.PAX) ahead.pax = into;
    }
  }

  /** Takes one member in. Returns where the next one begins, if that is further than its size says. */
  #member(m: Member, excluded: ((path: string) => boolean) | undefined): number {
    const { at, header, type, pax, name } = m;
    if (type === TAR_TYPE.GNU_VOLUME) return 0;
    if (type === TAR_TYPE.GNU_MULTIVOLUME) throw this.#bad(at, 'a part of an archive of several volumes');
    const longest = Math.max(name.length, m.link.length);
    if (longest > MAX_PATH) throw this.#bad(at, `a path of ${longest} bytes; at most ${MAX_PATH} are taken`);
    const path = parts(name);
    if (path === undefined) throw this.#bad(at, `${showPath(name)}: a path with ".." leaves the archive`);
    const sparse = sparseMap(this.#archive, m, (why) => this.#bad(at, why));
    const end = sparse?.end ?? 0;
    if (excluded !== undefined && isExcluded(path, excluded)) return end;
    const uid = pax.uid ?? this.#number(header, 'uid', 8, at);
    const gid = pax.gid ?? this.#number(header, 'gid', 8, at);
    for (const id of [uid, gid])
      if (id >= 2 ** 32) throw this.#bad(at, `${showPath(name)}: owner ${id} is out of range`);
    this.#ids.note('user', tarText(header, AT.uname, 32), uid);
    this.#ids.note('group', tarText(header, AT.gname, 32), gid);
    const mode = this.#mode(m);
    const mtime = pax.mtime?.sec ?? this.#number(header, 'mtime', 12, at, true);
    const mtimeNsec = pax.mtime?.nsec ?? 0;
    const isDevice = type === TAR_TYPE.CHR || type === TAR_TYPE.BLK;
    const hasData = (mode & S_IFMT) === S_IF.REG && type !== TAR_TYPE.LINK;
    const target = type === TAR_TYPE.LINK ? this.#linkTarget(m) : -1;
    const row = this.#place(path, m, {
      mode,
      uid,
      gid,
      size: hasData ? (sparse?.size ?? m.bytes) : 0,
      mtime,
      mtimeNsec,
      atime: pax.atime?.sec ?? mtime,
      atimeNsec: pax.atime?.nsec ?? mtimeNsec,
      major: isDevice ? this.#number(header, 'devmajor', 8, at) : 0,
      minor: isDevice ? this.#number(header, 'devminor', 8, at) : 0,
    });
    if (target >= 0) {
      if (target !== row) {
        this.tree.link[row] = target;
        this.#linked.add(target);
      }
      return end;
    }
    if (type === TAR_TYPE.SYMLINK) this.tree.setTarget(row, m.link);
    this.tree.handle[row] = m.dataAt;
    if (sparse !== undefined && hasData) {
      this.#maps.set(row, sparse);
      this.tree.sparse[row] = SPARSE.MAPPED;
    }
    if (pax.xattrs.size > 0) {
      const xattrs = this.#ids.xattrs(pax, (why) => this.#bad(at, `${showPath(name)}: ${why}`));
      this.tree.xattrs.set(row, xattrs);
    }
    return end;
  }

  #mode({ header, type, name, at }: Member): number {
    const permissions = this.#number(header, 'mode', 8, at) & 0o7777;
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
        return (name.at(-1) === SLASH ? S_IF.DIR : S_IF.REG) | permissions;
      case TAR_TYPE.LINK:
      case TAR_TYPE.CONTIGUOUS:
      case TAR_TYPE.GNU_SPARSE:
        return S_IF.REG | permissions;
    }
    throw this.#bad(at, `a member of unknown type ${JSON.stringify(type)}`);
  }

  #number(b: Uint8Array, field: keyof typeof AT, length: number, header: number, signed = false): number {
    const value = tarNumber(b, AT[field], length);
    if (!Number.isSafeInteger(value) || (value < 0 && !signed))
      throw this.#bad(header, `${field} is no number that can be`);
    return value;
  }

  #linkTarget({ link, name, at }: Member): number {
    const path = parts(link);
    let row = path === undefined ? -1 : 0;
    for (const part of path ?? []) {
      row = this.tree.find(row, part);
      if (row < 0) break;
    }
    if (row <= 0 || this.tree.isDir(row))
      throw this.#bad(at, `${showPath(name)}: a hard link to ${showPath(link)}, which is no file before it`);
    return this.tree.file(row);
  }

  /** The row of a path, made or overwritten. */
  #place(path: readonly Uint8Array[], { name, at }: Member, fields: NodeFields): number {
    const { tree } = this;
    const last = path.at(-1);
    const parent = this.#parent(path, name, at, fields.mtime);
    const old = last === undefined ? 0 : tree.find(parent, last);
    if (old < 0) return tree.add(parent, last as Uint8Array, fields);
    const wasDir = tree.isDir(tree.file(old));
    if (wasDir !== ((fields.mode & S_IFMT) === S_IF.DIR))
      throw this.#bad(at, `${showPath(name)}: is there already, as ${wasDir ? 'a' : 'no'} directory`);
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

  /** The directory a path is in; directories above it that were left out are made. */
  #parent(path: readonly Uint8Array[], name: Uint8Array, at: number, mtime: number): number {
    const { tree } = this;
    let parent = 0;
    for (let i = 0; i < path.length - 1; i++) {
      let row = tree.find(parent, path[i]);
      if (row < 0) {
        row = tree.add(parent, path[i], impliedDirectory(mtime));
        this.#implied.add(row);
      } else if (!tree.isDir(tree.file(row)))
        throw this.#bad(at, `${showPath(name)}: its path goes through ${tree.showPath(row)}, no directory`);
      parent = row;
    }
    return parent;
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

const SLASH = 0x2f;

/** Headers that tell of others. */
const EXTENDED: readonly string[] = [
  TAR_TYPE.PAX,
  TAR_TYPE.PAX_GLOBAL,
  TAR_TYPE.GNU_LONGNAME,
  TAR_TYPE.GNU_LONGLINK,
];

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
    let to = path.indexOf(SLASH, from);
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
