/**
 * Every kind of edit, cut after every sector it writes. Each cut is recovered by Linux and, separately, by us
 * (replay and repair): the tree must be wholly the one before or the one after, both must agree, and no block
 * may be lost.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { clone, clonePart } from '../../src/edit/clone.js';
import { dedupeStarts, dedupeTree } from '../../src/edit/dedupetree.js';
import { type Edit, openEdit } from '../../src/edit/edit.js';
import { createFilled } from '../../src/edit/hidden.js';
import type { CowProtocol } from '../../src/edit/hold.js';
import { BytesInput } from '../../src/edit/input.js';
import { punchFile, truncateFile, writeFile } from '../../src/edit/write.js';
import { crc32c } from '../../src/format/checksum.js';
import { S_IF } from '../../src/format/dinode.js';
import { fsblockOffset, type Geometry } from '../../src/format/geometry.js';
import { MemorySource, type Source } from '../../src/image/source.js';
import { scanLog } from '../../src/journal/scan.js';
import { repair } from '../../src/repair/repair.js';
import { recoverLog } from '../../src/transaction/recovery/recover.js';
import { openVolume } from '../../src/volume/volume.js';
import { withMount } from '../support/mount.js';
import { run, tmpdir } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { describeTree } from '../support/tree.js';
import { RecordingSource, Replayer } from '../transaction/cut.js';
import { NAME_EDITS } from './cutnames.js';
import { pattern } from './datawork.js';

/** One edit: all of it one operation, unless it says that it has `parts`. */
export interface CutEdit {
  readonly run: (edit: Edit) => void;
  /** Several operations: states between the first and the last are right too. */
  readonly parts?: boolean;
  readonly reflink?: boolean;
}

const ino = (edit: Edit, path: string): number => edit.resolve(path).ino;

const write =
  (path: string, at: number, length: number, options: { cow?: CowProtocol; inPlace?: boolean } = {}) =>
  (edit: Edit): void =>
    writeFile(edit, ino(edit, path), BigInt(at), new BytesInput(pattern(at + length, length)), options);

export const CUT_EDITS: Record<string, CutEdit> = {
  'overwrite shared, efi': { run: write('/b', 9000, 9000), reflink: true },
  'overwrite shared, refcountbt': { run: write('/b', 9000, 9000, { cow: 'refcountbt' }), reflink: true },
  'overwrite partly shared, efi': { run: write('/half', 3000, 40_000), reflink: true },
  'overwrite partly shared, refcountbt': {
    run: write('/half', 3000, 40_000, { cow: 'refcountbt' }),
    reflink: true,
  },
  'overwrite unshared': { run: write('/plain', 5000, 6000) },
  append: { run: write('/plain', 30_001, 5000) },
  'write past the end': { run: write('/plain', 100_000, 3000) },
  'write into a hole': { run: write('/sparse', 20_000, 9000) },
  'write preallocated': { run: write('/prealloc', 9000, 9000) },
  'create with data': {
    run: (edit) => {
      createFilled(edit, edit.slot('/new'), { mode: S_IF.REG | 0o644 }, (made) =>
        writeFile(edit, made, 0n, new BytesInput(pattern(3, 9000))),
      );
    },
  },
  'truncate, unshared': { run: (edit) => truncateFile(edit, ino(edit, '/plain'), 10_001n) },
  'truncate, shared': { run: (edit) => truncateFile(edit, ino(edit, '/b'), 10_001n), reflink: true },
  'truncate to nothing': { run: (edit) => truncateFile(edit, ino(edit, '/plain'), 0n) },
  'truncate, larger': { run: (edit) => truncateFile(edit, ino(edit, '/plain'), 50_001n) },
  punch: { run: (edit) => punchFile(edit, ino(edit, '/plain'), 5000n, 20_000n) },
  'punch, shared': { run: (edit) => punchFile(edit, ino(edit, '/b'), 5000n, 20_000n), reflink: true },
  'clone a file': { run: (edit) => clone(edit, '/plain', '/clone'), reflink: true },
  'clone over a file': { run: (edit) => clone(edit, '/plain', '/sparse'), reflink: true },
  'clone a range': {
    run: (edit) => clonePart(edit, '/plain', '/b', { from: 8192n, to: 16_384n, length: 8192n }),
    reflink: true,
  },
  'clone a tree': { run: (edit) => clone(edit, '/dir', '/copy'), parts: true, reflink: true },
  dedupe: {
    run: (edit) => {
      dedupeTree(edit, dedupeStarts(edit, ['/plain', '/dir']), () => {});
    },
    parts: true,
    reflink: true,
  },
  ...NAME_EDITS,
};

export const CUT_GEOMETRIES: Record<string, readonly string[]> = {
  rmapbt: ['-m', 'rmapbt=1', '-d', 'agcount=2'],
  'no rmapbt': ['-m', 'rmapbt=0', '-d', 'agcount=2'],
  '1 KiB blocks': ['-b', 'size=1024', '-m', 'rmapbt=1', '-d', 'agcount=2'],
  'no reflink': ['-m', 'reflink=0', '-d', 'agcount=2'],
};

/** Makes the image all edits begin with, through Linux. */
export function makeCutBase(path: string, args: readonly string[]): void {
  mkfs(path, { size: 32 << 20, args, tiny: true });
  const reflink = !args.includes('reflink=0');
  withMount(path, (root) => {
    const at = (name: string): string => join(root, name);
    const xfsio = (name: string, ...commands: string[]): void => {
      run('xfs_io', ['-f', ...commands.flatMap((c) => ['-c', c]), at(name)]);
    };
    writeFileSync(at('a'), pattern(1, 60_001));
    writeFileSync(at('plain'), pattern(2, 30_001));
    xfsio('sparse', 'pwrite -S 0x31 0 5000', 'pwrite -S 0x32 60000 5000');
    xfsio('prealloc', 'falloc 0 40k', 'pwrite -S 0x33 12k 1k');
    if (reflink) {
      run('cp', ['--reflink=always', at('a'), at('b')]);
      writeFileSync(at('half'), pattern(4, 50_000));
      xfsio('half', `reflink ${at('a')} 8192 8192 8192`, `reflink ${at('a')} 24576 24576 8192`);
    }
    mkdirSync(at('dir'));
    mkdirSync(at('dir/sub'));
    writeFileSync(at('dir/one'), pattern(2, 30_001));
    writeFileSync(at('dir/sub/two'), pattern(6, 3000));
    symlinkSync('one', at('dir/link'));
    run('setfattr', ['-n', 'user.note', '-v', 'kept', at('dir/one')]);
  });
}

/** Everything Linux shows, as one word. Reading times aside: looking changes them. */
function treeWord(image: string): string {
  return withMount(image, (root) => {
    const nodes = [...describeTree(root)].map(([path, { atime: _, xattrs, ...node }]) => [
      path,
      node,
      [...xattrs].sort(),
    ]);
    const text = JSON.stringify(nodes, (_key, value) => (typeof value === 'bigint' ? `${value}` : value));
    return createHash('sha256').update(text).digest('hex').slice(0, 16);
  });
}

const freeOf = (image: string): number =>
  Number(/= (\d+)/.exec(run('xfs_db', ['-r', '-c', 'sb 0', '-c', 'print fdblocks', image]).stdout)?.[1]);

/** The other half of `xfsimg repair`, behind the replay. Throws where there is anything to repair. */
function repairFindsNothing(source: Source): void {
  const { findings, written } = repair(source, { onDuplicate: 'quarantine' });
  if (written > 0) throw new Error(`repair found ${findings.map((f) => f.code).join(', ')}`);
  if (!scanLog(source, openVolume(source).g).clean) throw new Error('the log is not clean');
}

/** What Linux and its tools say of a recovered image. */
interface Verdict {
  readonly word: string;
  readonly free: number;
  /** What xfs_repair -n complains of. */
  readonly complaint: string | undefined;
}

/** Verdicts by what stands in the image, its log aside: that is all they depend on. */
class Verdicts {
  readonly #known = new Map<string, Verdict>();
  readonly #log: { from: number; to: number };
  readonly #scratch: string;

  constructor(g: Geometry, scratch: string) {
    const from = fsblockOffset(g, g.logstart);
    this.#log = { from, to: from + g.logblocks * g.blocksize };
    this.#scratch = scratch;
  }

  /** `check` is done once for what stands there; it throws what is wrong. */
  of(bytes: Buffer, check: () => void = () => {}): Verdict {
    const key = this.#key(bytes);
    let verdict = this.#known.get(key);
    if (verdict === undefined) {
      check();
      const image = this.#scratch;
      writeFileSync(image, bytes);
      const { status, stdout, stderr } = run('xfs_repair', ['-n', '-f', image], { status: 'any' });
      const complaint = status === 0 ? undefined : essence(stdout + stderr);
      verdict = { complaint, free: freeOf(image), word: treeWord(image) };
      this.#known.set(key, verdict);
    }
    return verdict;
  }

  /** Checksums of all pieces of the image. */
  #key(bytes: Buffer): string {
    const sums: number[] = [];
    const { from, to } = this.#log;
    for (let at = 0; at < bytes.length; at += PIECE)
      if (at < from || at + PIECE > to) {
        const piece = Buffer.from(bytes.subarray(at, at + PIECE));
        piece.fill(0, Math.max(0, Math.min(PIECE, from - at)), Math.max(0, Math.min(PIECE, to - at)));
        sums.push(crc32c(piece));
      }
    return sums.join();
  }
}

const PIECE = 2 ** 16;

/** An image file kept equal to what is in memory by writing the differences. */
class Mirror {
  readonly #path: string;
  readonly #file: Buffer;

  constructor(path: string, bytes: Buffer) {
    this.#path = path;
    writeFileSync(path, bytes);
    this.#file = Buffer.from(bytes);
  }

  set(bytes: Buffer): void {
    const fd = openSync(this.#path, 'r+');
    for (let at = 0; at < bytes.length; at += PIECE) {
      const piece = bytes.subarray(at, at + PIECE);
      if (piece.equals(this.#file.subarray(at, at + PIECE))) continue;
      writeSync(fd, piece, 0, piece.length, at);
    }
    fsyncSync(fd);
    closeSync(fd);
    bytes.copy(this.#file);
  }

  /** What stands in the file now. */
  get(): Buffer {
    const fd = openSync(this.#path, 'r');
    readSync(fd, this.#file, 0, this.#file.length, 0);
    closeSync(fd);
    return this.#file;
  }
}

export interface CutResult {
  /** Sectors the edit writes, and cuts tried. */
  sectors: number;
  points: number;
  /** Cuts that left the old tree, the new one, or one between. */
  before: number;
  after: number;
  between: number;
  failures: string[];
}

export interface CutOptions {
  /** Every transaction a checkpoint of its own. */
  readonly eager: boolean;
  /** Cuts to try, spread out; default all. */
  readonly points?: number;
  readonly until?: number;
}

/** Cuts one edit. `base`: the image it begins with. */
export function cutEdit(base: string, edit: CutEdit, options: CutOptions): CutResult {
  const folder = tmpdir();
  try {
    const before = readFileSync(base);
    const after = new MemorySource(Buffer.from(before));
    const recording = new RecordingSource(after);
    const opened = openEdit(recording, {
      now: () => ({ sec: 1_800_000_000, nsec: 1 }),
      engine: { eager: options.eager },
    });
    edit.run(opened);
    opened.close();
    const total = recording.sectors;
    const verdicts = new Verdicts(opened.g, join(folder, 'scratch'));
    const states = new Map<string, { name: 'before' | 'after'; free: number }>();
    for (const [name, bytes] of [
      ['before', before],
      ['after', after.bytes as Buffer],
    ] as const) {
      const { word, free } = verdicts.of(bytes);
      if (states.has(word)) throw new Error('the edit changed nothing that shows');
      states.set(word, { name, free });
    }
    const result: CutResult = { sectors: total, points: 0, before: 0, after: 0, between: 0, failures: [] };
    const image = new MemorySource(before);
    const player = new Replayer(image, recording.writes);
    const path = join(folder, 'cut');
    const mirror = new Mirror(path, before);
    const points = Math.min(options.points ?? total, total);
    for (let p = 0; p <= points && Date.now() < (options.until ?? Number.POSITIVE_INFINITY); p++) {
      const at = Math.floor((p * total) / points);
      player.to(at);
      const fail = (what: string): void => {
        result.failures.push(`cut after sector ${at} of ${total}: ${what}`);
      };
      const found: Verdict[] = [];
      const recoveries: Record<string, () => Verdict> = {
        Linux: () => {
          mirror.set(before);
          withMount(path, () => {});
          return verdicts.of(mirror.get());
        },
        xfsimg: () => {
          const memory = new MemorySource(Buffer.from(before));
          recoverLog(memory);
          return verdicts.of(memory.bytes as Buffer, () => repairFindsNothing(memory));
        },
      };
      for (const [who, recover] of Object.entries(recoveries))
        try {
          const verdict = recover();
          found.push(verdict);
          if (verdict.complaint !== undefined)
            fail(`recovered by ${who}, xfs_repair -n: ${verdict.complaint}`);
        } catch (error) {
          fail(`${who}: ${(error as Error).message}`);
        }
      result.points++;
      if (found.length < 2) continue;
      const [{ word, free }, ours] = found;
      if (word !== ours.word) fail('Linux and xfsimg recover different trees');
      if (free !== ours.free) fail(`free blocks: ${free} by Linux, ${ours.free} by xfsimg`);
      const state = states.get(word);
      if (state === undefined) {
        if (edit.parts === true) result.between++;
        else fail('neither the tree before nor the one after');
      } else {
        result[state.name]++;
        if (free !== state.free) fail(`${free} blocks free, not ${state.free} as ${state.name}`);
      }
      if (result.failures.length > 3) break;
    }
    return result;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const essence = (text: string): string =>
  text
    .split('\n')
    .filter((l) => l !== '' && !/^ {8}- |^Phase|host filesystem|the image and|No modify/.test(l))
    .slice(0, 6)
    .join(' | ');
