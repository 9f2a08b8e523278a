/**
 * Random edits of the contents of files, with a model of what must come out. The files are made by Linux:
 * dense, sparse, preallocated within and behind their end, shared, with extent size hints.
 */
import { closeSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Deduper } from '../../src/edit/dedupe.js';
import type { Edit } from '../../src/edit/edit.js';
import type { CowProtocol } from '../../src/edit/hold.js';
import { BytesInput } from '../../src/edit/input.js';
import { checkRange, cloneOver, cloneRange } from '../../src/edit/share.js';
import { punchFile, truncateFile, writeFile } from '../../src/edit/write.js';
import { NoSpaceError } from '../../src/transaction/alloc.js';
import { withMount } from '../support/mount.js';
import { run } from '../support/oracle.js';
import { random } from '../support/random.js';

export interface ModelFile {
  readonly name: string;
  readonly ino: number;
  bytes: Buffer;
}

const FILES = 8;
/** Files are kept below this many bytes. */
const MOST = 400_000;

/** Bytes that tell where they come from. */
export function pattern(seed: number, length: number): Buffer {
  const out = Buffer.alloc(length);
  let x = (seed * 2_654_435_761) >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    out[i] = x | 1;
  }
  return out;
}

/** Makes the files through Linux. Returns what they hold. */
export function makeDataFiles(image: string, seed: number, reflink: boolean): ModelFile[] {
  return withMount(image, (root) => {
    mkdirSync(join(root, 'data'));
    const path = (i: number): string => join(root, 'data', `f${i}`);
    const xfsio = (file: string, ...commands: string[]): void => {
      run('xfs_io', ['-f', ...commands.flatMap((c) => ['-c', c]), file]);
    };
    writeFileSync(path(0), pattern(seed, 150_001));
    const fd = openSync(path(1), 'w');
    for (const at of [0, 70_000, 131_072, 200_000]) writeSync(fd, pattern(seed + at, 9000), 0, 9000, at);
    closeSync(fd);
    xfsio(path(2), 'falloc 0 200k', 'pwrite -S 0x41 20k 9k');
    writeFileSync(path(3), pattern(seed + 3, 40_000));
    xfsio(path(3), 'falloc -k 64k 200k');
    writeFileSync(path(4), '');
    xfsio(path(4), 'extsize 64k', 'pwrite -S 0x42 100k 10k');
    if (reflink) {
      run('cp', ['--reflink=always', path(0), path(5)]);
      xfsio(path(5), 'cowextsize 32k', 'pwrite -S 0x43 50k 1k');
      xfsio(path(6), `reflink ${path(0)} 65536 0 65536`, `reflink ${path(1)} 65536 131072 65536`);
    } else {
      writeFileSync(path(5), pattern(seed + 5, 100_000));
      writeFileSync(path(6), pattern(seed + 6, 33_000));
    }
    writeFileSync(path(7), '');
    return Array.from({ length: FILES }, (_, i) => ({
      name: `data/f${i}`,
      ino: statSync(path(i)).ino,
      bytes: readFileSync(path(i)),
    }));
  });
}

export class DataWork {
  readonly edit: Edit;
  readonly files: ModelFile[];
  readonly counts: Record<string, number> = {};
  readonly #random: () => number;

  constructor(edit: Edit, files: readonly ModelFile[], seed: number) {
    this.edit = edit;
    this.files = files.map((f) => ({ ...f }));
    this.#random = random(seed);
  }

  #below(n: number): number {
    return Math.floor(this.#random() * n);
  }

  /** One operation; its name. */
  step(): string {
    const { reflink } = this.edit.g.features;
    const names = ['write', 'write', 'write', 'append', 'truncate', 'punch', 'inplace'];
    if (reflink) names.push('clone', 'cloneover', 'linuxcow', 'write', 'dedupe');
    const name = names[this.#below(names.length)];
    try {
      this.do(name);
      this.counts[name] = (this.counts[name] ?? 0) + 1;
    } catch (error) {
      if (!(error instanceof NoSpaceError)) throw error;
      this.counts.enospc = (this.counts.enospc ?? 0) + 1;
    }
    return name;
  }

  #position(limit: number): number {
    const { blocksize } = this.edit.g;
    const at = this.#below(limit + 1);
    return this.#below(3) === 0 ? at - (at % blocksize) : at;
  }

  #length(): number {
    const r = this.#below(4);
    return 1 + this.#below(r === 0 ? 100_000 : r === 1 ? 20_000 : 3000);
  }

  do(name: string): void {
    const { edit } = this;
    const file = this.files[this.#below(this.files.length)];
    const { ino, bytes } = file;
    const { blocksize } = edit.g;
    switch (name) {
      case 'write':
      case 'append':
      case 'inplace':
      case 'linuxcow': {
        const at =
          name === 'append'
            ? bytes.length
            : Math.min(MOST, this.#position(bytes.length + (this.#below(3) === 0 ? 50_000 : 0)));
        const data = pattern(this.#below(1e9), Math.min(this.#length(), MOST + 50_000 - at));
        const cow: CowProtocol = name === 'linuxcow' ? 'refcountbt' : 'efi';
        writeFile(edit, ino, BigInt(at), new BytesInput(data), { cow, inPlace: name === 'inplace' });
        const now = Buffer.alloc(Math.max(bytes.length, at + data.length));
        bytes.copy(now);
        data.copy(now, at);
        file.bytes = now;
        return;
      }
      case 'truncate': {
        const size = this.#position(this.#below(3) === 0 ? 50_000 : bytes.length + 20_000);
        truncateFile(edit, ino, BigInt(size));
        const now = Buffer.alloc(size);
        bytes.copy(now);
        file.bytes = now;
        return;
      }
      case 'punch': {
        const at = this.#position(bytes.length);
        const end = at + this.#length();
        punchFile(edit, ino, BigInt(at), BigInt(end));
        file.bytes = Buffer.from(bytes).fill(0, at, Math.min(end, bytes.length));
        return;
      }
      case 'clone': {
        const from = this.files[this.#below(this.files.length)];
        const align = (n: number): number => n - (n % blocksize);
        const at = align(this.#below(from.bytes.length + 1));
        const to = align(this.#below(bytes.length + 50_000));
        let length = Math.min(from.bytes.length - at, align(this.#length()) + blocksize);
        if (at + length < from.bytes.length || to + length < bytes.length) length = align(length);
        if (length === 0 || to > MOST) return;
        const range = { from: BigInt(at), to: BigInt(to), length: BigInt(length) };
        const wrong = checkRange(edit, edit.inode(from.ino), edit.inode(ino), range);
        if (wrong !== undefined) {
          if (!/overlap/.test(wrong.why)) throw new Error(wrong.why);
          return;
        }
        cloneRange(edit, from.ino, ino, range);
        const now = Buffer.alloc(Math.max(bytes.length, to + length));
        bytes.copy(now);
        from.bytes.copy(now, to, at, at + length);
        file.bytes = now;
        return;
      }
      case 'cloneover': {
        const from = this.files[this.#below(this.files.length)];
        if (from === file) return;
        cloneOver(edit, from.ino, ino);
        file.bytes = Buffer.from(from.bytes);
        return;
      }
      case 'dedupe': {
        const deduper = new Deduper(edit);
        for (const f of this.files) deduper.add(f.ino);
      }
    }
  }
}

/** What Linux reads of the files, against the model. Returns the differences. */
export function dataDifferences(root: string, files: readonly ModelFile[]): string[] {
  const out: string[] = [];
  for (const { name, bytes } of files) {
    const found = readFileSync(join(root, name));
    if (found.length !== bytes.length) out.push(`${name}: ${found.length} bytes, not ${bytes.length}`);
    else if (!found.equals(bytes)) {
      const at = found.findIndex((b, i) => b !== bytes[i]);
      out.push(`${name}: byte ${at} is ${found[at]}, not ${bytes[at]}`);
    }
  }
  return out;
}
