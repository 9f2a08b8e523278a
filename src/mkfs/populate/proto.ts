/**
 * A protofile as mkfs.xfs reads it (mkfs.xfs(8), proto.c): two first words that are skipped, two numbers that
 * are skipped, then the root directory's "d--755 0 0" and its entries up to "$". Words are parted by blanks;
 * a colon begins a comment.
 */
import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
} from 'node:fs';
import { S_IF, S_IFMT } from '../../format/dinode.js';
import { reason } from '../../image/source.js';
import { excluder, type Rules } from './rules.js';
import { type NodeFields, SIZE_UNKNOWN, SourceTree, sourceError, type TreeSource } from './tree.js';

const TYPES: Record<string, number> = {
  '-': S_IF.REG,
  // A file whose blocks are set aside as well as written; here every file lies in one piece.
  r: S_IF.REG,
  d: S_IF.DIR,
  b: S_IF.BLK,
  c: S_IF.CHR,
  p: S_IF.FIFO,
  l: S_IF.LNK,
};

/** Most of a file that is read when it is opened: a file that is all in it tells its size so, without being asked. */
const HEAD = 2 ** 18;

export function openProto(path: string, rules: Rules): ProtoSource {
  return new ProtoSource(path, rules);
}

export class ProtoSource implements TreeSource {
  readonly tree = new SourceTree();
  readonly warnings: string[] = [];
  readonly #now: number;
  readonly #path: string;
  readonly #words: Words;
  readonly #modes = new Map<string, number>();
  readonly #excluded: ((path: string) => boolean) | undefined;
  readonly #head = new Uint8Array(HEAD);
  /** Bytes of the open file that are in `#head`. */
  #headSize = 0;
  #fd = -1;
  #size = 0;

  constructor(path: string, rules: Rules) {
    this.#path = path;
    this.#excluded = excluder(rules.exclude);
    // Times are not in a protofile: without a time to hold to, all is from now.
    this.#now = rules.clamp ?? (rules.dropAtime ? 0 : Math.floor(Date.now() / 1000));
    this.#words = new Words(readFileSync(path));
    const head = [this.#words.next(), this.#words.next(), this.#words.next()];
    if (!head.slice(1).every((word) => word !== undefined && /^\d+$/.test(latin1(word))))
      throw this.#bad('is neither a directory, a tar archive nor a protofile');
    const root = this.#fields();
    if ((root.mode & S_IFMT) !== S_IF.DIR) throw this.#bad('the root is no directory');
    this.tree.add(-1, new Uint8Array(0), root);
    this.#entries();
    this.#check();
  }

  /** What is missing is told before there is an image. To ask for no more than that takes half the time of stat. */
  #check(): void {
    const { tree } = this;
    for (let i = 0; i < tree.count; i++) {
      if (tree.size[i] !== SIZE_UNKNOWN) continue;
      try {
        accessSync(this.#words.wordFrom(tree.handle[i]), constants.R_OK);
      } catch (error) {
        throw this.#unreadable(i, error);
      }
    }
  }

  /** Entries of one directory after the other, each up to "$"; the root's may end with the protofile. */
  #entries(): void {
    const { tree } = this;
    const open: Folder[] = [{ row: 0, path: '', leftOut: false }];
    for (let folder = open.at(-1); folder !== undefined; folder = open.at(-1)) {
      const { row } = folder;
      const name = open.length === 1 ? this.#words.next() : this.#next();
      if (name === undefined || (name.length === 1 && name[0] === 0x24)) {
        open.pop();
        continue;
      }
      const path = this.#excluded === undefined ? '' : `${folder.path}${latin1(name)}`;
      const leftOut = folder.leftOut || this.#excluded?.(path) === true;
      const fields = this.#fields();
      const type = fields.mode & S_IFMT;
      // A directory inherits setgid from the one it is in, as everywhere.
      if (type === S_IF.DIR) fields.mode |= tree.mode[row] & 0o2000;
      const target = type === S_IF.LNK || type === S_IF.REG ? this.#next() : undefined;
      const targetAt = this.#words.wordAt;
      if (type === S_IF.REG) fields.size = SIZE_UNKNOWN;
      if (type === S_IF.CHR || type === S_IF.BLK) {
        fields.major = this.#number();
        fields.minor = this.#number();
      }
      let child = row;
      if (!leftOut) {
        if (tree.find(row, name) >= 0) throw this.#bad(`${latin1(name)} comes twice`);
        child = tree.add(row, name, fields);
        if (type === S_IF.REG) tree.handle[child] = targetAt;
        else if (target !== undefined) tree.setTarget(child, target);
      }
      if (type === S_IF.DIR) open.push({ row: child, path: `${path}/`, leftOut });
    }
  }

  /** "-u-644 0 0": type, setuid, setgid, permissions; then the owners. */
  #fields(): NodeFields {
    const mode = this.#mode(this.#text());
    return {
      mode,
      uid: this.#number(),
      gid: this.#number(),
      size: 0,
      mtime: this.#now,
      mtimeNsec: 0,
      atime: this.#now,
      atimeNsec: 0,
      major: 0,
      minor: 0,
    };
  }

  #mode(word: string): number {
    const known = this.#modes.get(word);
    if (known !== undefined) return known;
    const match = /^([-rdbcpl])([-u])([-g])([0-7]{3})$/.exec(word);
    if (match === null) throw this.#bad(`${JSON.stringify(word)} is no mode such as d--755`);
    const [, type, setuid, setgid, permissions] = match;
    const mode =
      TYPES[type] |
      (setuid === 'u' ? 0o4000 : 0) |
      (setgid === 'g' ? 0o2000 : 0) |
      Number.parseInt(permissions, 8);
    this.#modes.set(word, mode);
    return mode;
  }

  #number(): number {
    const word = this.#text();
    const n = Number(word);
    if (!/^(\d+|0x[0-9a-f]+)$/i.test(word) || n >= 2 ** 32)
      throw this.#bad(`${word} is no number that can be`);
    return n;
  }

  #next(): Buffer {
    const word = this.#words.next();
    if (word === undefined) throw this.#bad('ends too early');
    return word;
  }

  #text(): string {
    return latin1(this.#next());
  }

  #bad(why: string): Error {
    return sourceError(`${this.#path}: line ${this.#words.line}: ${why}`);
  }

  measure(): void {
    const { tree } = this;
    for (let i = 0; i < tree.count; i++) {
      if (tree.size[i] !== SIZE_UNKNOWN) continue;
      try {
        tree.size[i] = statSync(this.#words.wordFrom(tree.handle[i])).size;
      } catch (error) {
        throw this.#unreadable(i, error);
      }
    }
  }

  #unreadable(file: number, error: unknown): Error {
    const at = this.tree.handle[file];
    const where = `${this.#path}: line ${this.#words.lineOf(at)}`;
    return sourceError(`${where}: ${latin1(this.#words.wordFrom(at))}: cannot be read: ${reason(error)}`);
  }

  open(file: number, _as: number): void {
    const { tree } = this;
    try {
      this.#fd = openSync(this.#words.wordFrom(tree.handle[file]), 'r');
      this.#headSize = readSync(this.#fd, this.#head, 0, HEAD, 0);
      if (tree.size[file] === SIZE_UNKNOWN)
        tree.size[file] = this.#headSize < HEAD ? this.#headSize : fstatSync(this.#fd).size;
    } catch (error) {
      this.shut();
      throw this.#unreadable(file, error);
    }
    this.#size = tree.size[file];
  }

  nextData(from: number): readonly [number, number] | undefined {
    return from < this.#size ? [from, this.#size] : undefined;
  }

  read(offset: number, into: Uint8Array): number {
    let done = Math.max(0, Math.min(into.length, this.#headSize - offset));
    into.set(this.#head.subarray(offset, offset + done));
    while (done < into.length) {
      const n = readSync(this.#fd, into, done, into.length - done, offset + done);
      if (n === 0) break;
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

/** A directory whose "$" has not come yet. */
interface Folder {
  readonly row: number;
  /** With a slash behind it, where names are left out. */
  readonly path: string;
  /** It is left out itself; `row` is then that of what it is in. */
  readonly leftOut: boolean;
}

const latin1 = (b: Buffer): string => b.toString('latin1');

/** The words of a protofile, as bytes. */
class Words {
  /** Where the last word begins. */
  wordAt = 0;
  readonly #text: Buffer;
  #at = 0;

  constructor(text: Buffer) {
    this.#text = text;
  }

  /** Line of the last word. */
  get line(): number {
    return this.lineOf(this.wordAt);
  }

  /** The next word; undefined at the end. */
  next(): Buffer | undefined {
    const b = this.#text;
    for (; this.#at < b.length; this.#at++) {
      if (b[this.#at] === COLON) {
        // A comment, to the end of its line.
        const end = b.indexOf(LINE_END, this.#at);
        this.#at = end < 0 ? b.length : end;
      } else if (!isBlank(b[this.#at])) break;
    }
    if (this.#at >= b.length) return undefined;
    this.wordAt = this.#at;
    const word = this.wordFrom(this.#at);
    this.#at += word.length;
    return word;
  }

  wordFrom(at: number): Buffer {
    const b = this.#text;
    let to = at;
    while (to < b.length && !isBlank(b[to])) to++;
    return b.subarray(at, to);
  }

  lineOf(at: number): number {
    let line = 1;
    for (let i = 0; i < at; i++) if (this.#text[i] === LINE_END) line++;
    return line;
  }
}

const LINE_END = 0x0a;
const COLON = 0x3a;
const isBlank = (c: number): boolean => c === 0x20 || c === 0x09 || c === 0x0d || c === LINE_END;
