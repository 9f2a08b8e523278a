/**
 * Every kind of edit, cut after every sector it writes. Each cut is recovered by Linux and, separately, by us
 * (replay and repair): the tree must be wholly the one before or the one after, both must agree, and no block
 * may be lost.
 */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { clone, clonePart } from '../../src/edit/clone.js';
import { dedupeStarts, dedupeTree } from '../../src/edit/dedupetree.js';
import { type Edit, openEdit } from '../../src/edit/edit.js';
import { createFilled } from '../../src/edit/hidden.js';
import type { CowProtocol } from '../../src/edit/hold.js';
import { BytesInput } from '../../src/edit/input.js';
import { punchFile, truncateFile, writeFile } from '../../src/edit/write.js';
import { S_IF } from '../../src/format/dinode.js';
import { OverlaySource } from '../../src/image/overlay.js';
import type { Source } from '../../src/image/source.js';
import { scanLog } from '../../src/journal/scan.js';
import { repair } from '../../src/repair/repair.js';
import { recoverLog } from '../../src/transaction/recovery/recover.js';
import { openVolume } from '../../src/volume/volume.js';
import { withMount } from '../support/mount.js';
import { run } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { RecordingSource, Replayer } from '../transaction/cut.js';
import type { Judge, Pages, Verdict } from './cutjudge.js';
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

/** The other half of `xfsimg repair`, behind the replay. Throws where there is anything to repair. */
function repairFindsNothing(source: Source): void {
  const { findings, written } = repair(source, { onDuplicate: 'quarantine' });
  if (written > 0) throw new Error(`repair found ${findings.map((f) => f.code).join(', ')}`);
  if (!scanLog(source, openVolume(source).g).clean) throw new Error('the log is not clean');
}

export interface CutResult {
  /** Sectors the edit writes, and cuts tried. */
  sectors: number;
  points: number;
  /** Cuts that left an image like that of the cut before: what was written was there already. */
  alike: number;
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

/** Where a recovery led to. */
type State = 'before' | 'after' | 'between';

/** Cuts one edit of the judge's base. */
export function cutEdit(judge: Judge, edit: CutEdit, options: CutOptions): CutResult {
  const after = new OverlaySource(judge.base);
  const recording = new RecordingSource(after);
  const opened = openEdit(recording, {
    now: () => ({ sec: 1_800_000_000, nsec: 1 }),
    engine: { eager: options.eager },
  });
  edit.run(opened);
  opened.close();
  const total = recording.sectors;
  const ends = { before: judge.of(new Map()), after: judge.of(after.contents) };
  if (sameState(ends.before, ends.after)) throw new Error('the edit changed nothing that shows');
  const result: CutResult = {
    sectors: total,
    points: 0,
    alike: 0,
    before: 0,
    after: 0,
    between: 0,
    failures: [],
  };
  const cut = new OverlaySource(judge.base);
  const player = new Replayer(cut, recording.writes);
  const points = Math.min(options.points ?? total, total);
  let last = { key: '', state: undefined as State | undefined };
  for (let p = 0; p <= points && Date.now() < (options.until ?? Number.POSITIVE_INFINITY); p++) {
    const at = Math.floor((p * total) / points);
    player.to(at);
    result.points++;
    const key = judge.key(cut.contents);
    if (key === last.key) result.alike++;
    else {
      const { state, failures } = recoverCut(judge, cut.contents, ends, edit.parts === true);
      result.failures.push(...failures.map((what) => `cut after sector ${at} of ${total}: ${what}`));
      last = { key, state };
    }
    if (last.state !== undefined) result[last.state]++;
    if (result.failures.length > 3) break;
  }
  return result;
}

/** Has Linux and us recover an image. */
function recoverCut(
  judge: Judge,
  pages: Pages,
  ends: { readonly before: Verdict; readonly after: Verdict },
  parts: boolean,
): { state: State | undefined; failures: string[] } {
  const failures: string[] = [];
  const found: Verdict[] = [];
  const recoveries: Record<string, () => Verdict> = {
    Linux: () => judge.byLinux(pages),
    xfsimg: () => {
      const ours = new OverlaySource(judge.base, new Map([...pages].map(([n, bytes]) => [n, bytes.slice()])));
      recoverLog(ours);
      return judge.of(ours.contents, () => repairFindsNothing(ours));
    },
  };
  for (const [who, recover] of Object.entries(recoveries))
    try {
      const verdict = recover();
      found.push(verdict);
      if (verdict.complaint !== undefined)
        failures.push(`recovered by ${who}, xfs_repair -n: ${verdict.complaint}`);
    } catch (error) {
      failures.push(`${who}: ${(error as Error).message}`);
    }
  if (found.length < 2) return { state: undefined, failures };
  const [linux, ours] = found;
  if (linux.word !== ours.word) failures.push('Linux and xfsimg recover different trees');
  if (linux.free !== ours.free) failures.push(`free blocks: ${linux.free} by Linux, ${ours.free} by xfsimg`);
  if (sameState(linux, ends.before)) return { state: 'before', failures };
  if (sameState(linux, ends.after)) return { state: 'after', failures };
  if (parts) return { state: 'between', failures };
  failures.push(
    [ends.before.word, ends.after.word].includes(linux.word)
      ? `${linux.free} blocks free: ${ends.before.free} before, ${ends.after.free} after`
      : 'neither the tree before nor the one after',
  );
  return { state: undefined, failures };
}

const sameState = (a: Verdict, b: Verdict): boolean => a.word === b.word && a.free === b.free;
