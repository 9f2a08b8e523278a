/** A run of random work cut after chosen sectors, each cut recovered by Linux and by us. */
import { copyFileSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { FileSource } from '../../src/image/source.js';
import { scanLog } from '../../src/journal/scan.js';
import type { Engine } from '../../src/transaction/engine.js';
import { recoverLog } from '../../src/transaction/recovery/recover.js';
import { openVolume } from '../../src/volume/volume.js';
import { fragment } from '../support/fragment.js';
import { withMount } from '../support/mount.js';
import { essence, run, tmpdir } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { type Attrs, AttrWork, makeKinds, seen } from './attrs.js';
import { RecordingSource, Replayer } from './cut.js';
import { Links, listing } from './links.js';
import { differences, type FileModel, makeFiles, openEngine, Workout } from './workout.js';

/** Work with a model of what must come out of it; each step is one operation. */
export interface CutWork<State> {
  readonly engine: Engine;
  step(): string;
  /** What there is now, to be held against a recovered image. */
  snapshot(): State;
}

/** What a campaign works on. */
export interface Subject<State> {
  /** Makes what the work needs in an empty filesystem, through Linux. */
  prepare(image: string): void;
  /** Work on what was prepared, going on from the state an earlier work left. */
  work(engine: Engine, seed: number, before?: CutWork<State>): CutWork<State>;
  /** Differences between what Linux shows and a state. */
  differences(root: string, state: State, blocksize: number): string[];
  /** Operations that are several transactions: they can be found half-done. */
  readonly gradual: ReadonlySet<string>;
}

/** Blocks of files and inodes without a name. */
export function fileSubject(): Subject<FileModel[]> {
  let files = new Map<string, number>();
  class Files implements CutWork<FileModel[]> {
    readonly workout: Workout;
    readonly engine: Engine;
    constructor(engine: Engine, seed: number, before?: CutWork<FileModel[]>) {
      this.engine = engine;
      this.workout = new Workout(engine, [...files.values()], seed);
      this.workout.range = 600;
      this.workout.truncates = before === undefined ? 50 : 8;
      before?.snapshot().forEach((f, i) => {
        this.workout.files[i] = f;
      });
    }
    step(): string {
      return this.workout.step();
    }
    snapshot(): FileModel[] {
      return this.workout.snapshot();
    }
  }
  return {
    prepare: (image) => {
      files = makeFiles(image, 6);
    },
    work: (engine, seed, before) => {
      // Inodes without a name are known to the work alone.
      if (before instanceof Files) before.workout.tidy();
      return new Files(engine, seed, before);
    },
    differences: (root, state, blocksize) => differences(root, [...files.keys()], state, blocksize),
    gradual: new Set(['truncate']),
  };
}

/**
 * Names of a directory. `from`: how many are there when the cuts begin: that decides its form. `scattered`: no
 * directory block lies side by side.
 */
export function linkSubject(from: number, scattered = false): Subject<Map<string, number>> {
  let dir = 0;
  let files: number[] = [];
  return {
    prepare: (image) => {
      files = [...makeFiles(image, 3).values()];
      dir = withMount(image, (root) => {
        mkdirSync(join(root, 'd'));
        if (scattered) fragment(root);
        return statSync(join(root, 'd')).ino;
      });
    },
    work: (engine, seed, before) => {
      const links = new Links(engine, dir, files, seed);
      for (const [name, ino] of before?.snapshot() ?? []) {
        links.model.set(name, ino);
        links.names.push(name);
      }
      const step = (): string => {
        const few = links.names.length < from;
        return links.step(before === undefined ? (few ? 9 : 4) : few ? 6 : 3);
      };
      return { engine, step, snapshot: () => new Map(links.model) };
    },
    differences: (root, state) => unequal(listing(root), state),
    gradual: new Set(),
  };
}

/** Attributes of files of every kind. */
export function attrSubject(): Subject<Map<string, Attrs>> {
  let inos = new Map<string, number>();
  const copy = (model: Map<string, Attrs>): Map<string, Attrs> =>
    new Map([...model].map(([file, attrs]) => [file, new Map(attrs)]));
  return {
    prepare: (image) => {
      const all = makeKinds(image);
      inos = new Map(['empty', 'btree', 'fulldir', 'longlink'].map((name) => [name, all.get(name)!]));
    },
    work: (engine, seed, before) => {
      const work = new AttrWork(engine, inos, seed, before?.snapshot());
      const step = (): string => work.step(before === undefined ? 7 : 4);
      return { engine, step, snapshot: () => copy(work.model) };
    },
    differences: (root, state) => {
      const shown = seen(root, inos.keys());
      return [...state].flatMap(([file, attrs]) =>
        unequal(shown.get(file)!, attrs).map((d) => `${file}: ${d}`),
      );
    },
    gradual: new Set(),
  };
}

function unequal<V>(shown: Map<string, V>, wanted: Map<string, V>): string[] {
  const text = (v: V | undefined): string => String(v).slice(0, 40);
  return [...new Set([...shown.keys(), ...wanted.keys()])]
    .filter((key) => shown.get(key) !== wanted.get(key))
    .map(
      (key) => `${JSON.stringify(key).slice(0, 60)} is ${text(shown.get(key))}, not ${text(wanted.get(key))}`,
    );
}

export interface Campaign {
  seed: number;
  /** mkfs.xfs arguments, and the image's size in MiB. */
  args: readonly string[];
  mib: number;
  /** Operations before the recording begins, and in it. */
  warmup: number;
  operations: number;
  /** Cut points, spread evenly over all sectors; Infinity: every one. */
  points: number;
  /** When to stop, as Date.now() counts. */
  until?: number;
}

export interface CampaignResult {
  points: number;
  sectors: number;
  operations: Record<string, number>;
  /** Intents our recovery finished, by kind. */
  intents: Record<string, number>;
  /** Cuts after which the operation was undone, done, or (truncate, in several steps) in between. */
  states: Record<string, number>;
  failures: string[];
}

interface Step<State> {
  name: string;
  from: number;
  to: number;
  before: State;
  after: State;
}

export function cutCampaign<State>(c: Campaign, subject: Subject<State>): CampaignResult {
  const folder = tmpdir();
  const image = join(folder, 'image');
  const base = join(folder, 'base');
  mkfs(image, { size: c.mib << 20, args: c.args, tiny: true });
  subject.prepare(image);
  const source = FileSource.open(image, 'r+');
  const warm = subject.work(openEngine(source), c.seed);
  for (let i = 0; i < c.warmup; i++) warm.step();
  // Whoever goes on first does away with what only the work knows of.
  subject.work(warm.engine, 0, warm);
  warm.engine.close();
  copyFileSync(image, base);

  const recording = new RecordingSource(source);
  const engine = openEngine(recording, { eager: true });
  const work = subject.work(engine, c.seed + 1000, warm);
  const counts: Record<string, number> = {};
  const steps: Step<State>[] = [];
  for (let i = 0; i < c.operations; i++) {
    const before = work.snapshot();
    const from = recording.sectors;
    const name = work.step();
    counts[name] = (counts[name] ?? 0) + 1;
    if (i % 7 === 6) engine.settle();
    steps.push({ name, from, to: recording.sectors, before, after: work.snapshot() });
  }
  const total = recording.sectors;
  const result: CampaignResult = {
    points: 0,
    sectors: total,
    operations: counts,
    intents: {},
    states: {},
    failures: [],
  };
  const played = FileSource.open(base, 'r+');
  const player = new Replayer(played, recording.writes);
  const points = Math.min(c.points, total);
  const cut = join(folder, 'cut');
  for (let p = 0; p <= points && result.failures.length < 4; p++) {
    if (c.until !== undefined && Date.now() > c.until) break;
    const at = Math.floor((p * total) / points);
    player.to(at);
    const last = steps[steps.length - 1];
    const step = steps.find((s) => at < s.to) ?? { ...last, before: last.after };
    const fail = (what: string): void => {
      result.failures.push(`cut after sector ${at} (${step.name}): ${what}`);
    };
    const states: string[] = [];
    for (const who of ['linux', 'xfsimg'] as const) {
      copyFileSync(base, cut);
      try {
        if (who === 'xfsimg') ours(cut, result.intents);
        states.push(look(cut, subject, step, engine.g.blocksize, fail, who));
        const { status, stdout, stderr } = run('xfs_repair', ['-n', '-f', cut], { status: 'any' });
        if (status !== 0) fail(`recovered by ${who}, xfs_repair -n: ${essence(stdout + stderr)}`);
      } catch (error) {
        fail(`${who}: ${(error as Error).message}`);
      }
    }
    if (states.length === 2 && states[0] !== states[1]) fail(`linux: ${states[0]}, xfsimg: ${states[1]}`);
    result.states[states[0]] = (result.states[states[0]] ?? 0) + 1;
    result.points++;
  }
  played.close();
  source.close();
  rmSync(folder, { recursive: true });
  return result;
}

function ours(image: string, intents: Record<string, number>): void {
  const source = FileSource.open(image, 'r+');
  try {
    const { g } = openVolume(source);
    const state = scanLog(source, g);
    if (state.clean) return;
    const done = recoverLog(source);
    if (!scanLog(source, g).clean) throw new Error('our recovery left a log to replay');
    for (const [name, n] of Object.entries(done.intents)) intents[name] = (intents[name] ?? 0) + n;
  } finally {
    source.close();
  }
}

/** Mounts the image and says which state of the files it holds. */
function look<State>(
  image: string,
  subject: Subject<State>,
  step: Step<State>,
  blocksize: number,
  fail: (what: string) => void,
  who: string,
): string {
  return withMount(image, (root) => {
    const a = subject.differences(root, step.before, blocksize);
    if (a.length === 0) return 'before';
    const b = subject.differences(root, step.after, blocksize);
    if (b.length === 0) return 'after';
    if (!subject.gradual.has(step.name)) fail(`${who}: neither before (${a[0]}) nor after (${b[0]})`);
    return 'between';
  });
}
