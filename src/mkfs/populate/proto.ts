/**
 * A protofile as mkfs.xfs reads it (mkfs.xfs(8), proto.c): two first words that are skipped, two numbers that
 * are skipped, then the root directory's "d--755 0 0" and its entries up to "$". Words are parted by blanks;
 * a colon begins a comment. In names a slash stands for a blank where `-p ...,slashes_are_spaces=1` asks so.
 */
import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { S_IF } from '../../format/dinode.js';
import { excluder, type Rules } from './rules.js';
import { type NodeFields, SourceTree, sourceError, type TreeSource } from './tree.js';

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

export function openProto(path: string, rules: Rules): ProtoSource {
  return new ProtoSource(path, rules);
}

export class ProtoSource implements TreeSource {
  readonly tree = new SourceTree();
  readonly warnings: string[] = [];
  readonly #files: string[] = [];
  readonly #now: number;
  readonly #path: string;
  readonly #words: Generator<{ word: string; line: number }>;
  readonly #excluded: ((path: string) => boolean) | undefined;
  #line = 0;
  #fd = -1;
  #size = 0;

  constructor(path: string, rules: Rules) {
    this.#path = path;
    this.#excluded = excluder(rules.exclude);
    // Times are not in a protofile: without a time to hold to, all is from now.
    this.#now = rules.clamp ?? (rules.dropAtime ? 0 : Math.floor(Date.now() / 1000));
    this.#words = words(readFileSync(path, 'latin1'));
    this.#next();
    if (!/^\d+$/.test(this.#next()) || !/^\d+$/.test(this.#next()))
      throw this.#bad('is neither a directory, a tar archive nor a protofile');
    const root = this.#fields(this.#next());
    if ((root.mode & 0o170000) !== S_IF.DIR) throw this.#bad('the root is no directory');
    this.tree.add(-1, new Uint8Array(0), root);
    this.#entries(0, '', false);
  }

  /** Entries of directory `row` up to "$". `skip`: it was left out. */
  #entries(row: number, below: string, skip: boolean): void {
    for (;;) {
      const name = this.#next(row === 0);
      if (name === '' || name === '$') return;
      const path = `${below}${name}`;
      const leftOut = skip || this.#excluded?.(path) === true;
      const fields = this.#fields(this.#next());
      const type = fields.mode & 0o170000;
      // A directory inherits setgid from the one it is in, as everywhere.
      if (type === S_IF.DIR) fields.mode |= this.tree.mode[row] & 0o2000;
      const target = type === S_IF.LNK || type === S_IF.REG ? this.#next() : '';
      let size = 0;
      if (type === S_IF.REG) size = leftOut ? 0 : this.#sizeOf(target);
      if (type === S_IF.CHR || type === S_IF.BLK) {
        fields.major = this.#number(this.#next());
        fields.minor = this.#number(this.#next());
      }
      let child = row;
      if (!leftOut) {
        const bytes = Buffer.from(name, 'latin1');
        if (this.tree.find(row, bytes) >= 0) throw this.#bad(`${path} comes twice`);
        child = this.tree.add(row, bytes, { ...fields, size });
        if (type === S_IF.LNK) this.tree.setTarget(child, Buffer.from(target, 'latin1'));
        if (type === S_IF.REG) this.tree.handle[child] = this.#files.push(target) - 1;
      }
      if (type === S_IF.DIR) this.#entries(child, `${path}/`, leftOut);
    }
  }

  /** "-u-644 0 0", the mode given: type, setuid, setgid, permissions; then the owners. */
  #fields(mode: string): NodeFields {
    const match = /^([-rdbcpl])([-u])([-g])([0-7]{3})$/.exec(mode);
    if (match === null) throw this.#bad(`${JSON.stringify(mode)} is no mode such as d--755`);
    const [, type, setuid, setgid, permissions] = match;
    const uid = this.#number(this.#next());
    const gid = this.#number(this.#next());
    return {
      mode:
        TYPES[type] |
        (setuid === 'u' ? 0o4000 : 0) |
        (setgid === 'g' ? 0o2000 : 0) |
        Number.parseInt(permissions, 8),
      uid,
      gid,
      size: 0,
      mtime: this.#now,
      mtimeNsec: 0,
      atime: this.#now,
      atimeNsec: 0,
      major: 0,
      minor: 0,
    };
  }

  #sizeOf(path: string): number {
    try {
      return statSync(Buffer.from(path, 'latin1')).size;
    } catch (error) {
      throw this.#bad(`${path}: ${(error as Error).message}`);
    }
  }

  #number(word: string): number {
    const n = Number(word);
    if (!/^(\d+|0x[0-9a-f]+)$/i.test(word) || n >= 2 ** 32)
      throw this.#bad(`${word} is no number that can be`);
    return n;
  }

  #next(orEnd = false): string {
    const { value } = this.#words.next() as IteratorResult<{ word: string; line: number }>;
    if (value === undefined) {
      if (orEnd) return '';
      throw this.#bad('ends too early');
    }
    this.#line = value.line;
    return value.word;
  }

  #bad(why: string): Error {
    return sourceError(`${this.#path}: line ${this.#line}: ${why}`);
  }

  open(file: number, _as: number): void {
    const path = this.#files[this.tree.handle[file]];
    try {
      this.#fd = openSync(Buffer.from(path, 'latin1'), 'r');
    } catch (error) {
      throw sourceError(`${path}: cannot be read: ${(error as Error).message}`);
    }
    this.#size = this.tree.size[file];
  }

  nextData(from: number): readonly [number, number] | undefined {
    return from < this.#size ? [from, this.#size] : undefined;
  }

  read(offset: number, into: Uint8Array): number {
    let done = 0;
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

function* words(text: string): Generator<{ word: string; line: number }> {
  let line = 0;
  for (const row of text.split('\n')) {
    line++;
    for (const word of row.split(/[ \t\r]+/)) {
      if (word.startsWith(':')) break;
      if (word !== '') yield { word, line };
    }
  }
}
