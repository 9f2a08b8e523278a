/** A run of random work cut after chosen sectors, each cut recovered by Linux and by us. */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { FileSource } from '../../src/image/source.js';
import { scanLog } from '../../src/journal/scan.js';
import { recoverLog } from '../../src/transaction/recovery/recover.js';
import { openVolume } from '../../src/volume/volume.js';
import { withMount } from '../support/mount.js';
import { run, tmpdir } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { RecordingSource, Replayer } from './cut.js';
import { differences, type FileModel, makeFiles, openEngine, Workout } from './workout.js';

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

interface Step {
  name: string;
  from: number;
  to: number;
  before: FileModel[];
  after: FileModel[];
}

export function cutCampaign(c: Campaign): CampaignResult {
  const folder = tmpdir();
  const image = join(folder, 'image');
  const base = join(folder, 'base');
  mkfs(image, { size: c.mib << 20, args: c.args, tiny: true });
  const files = makeFiles(image, 6);
  const names = [...files.keys()];
  const source = FileSource.open(image, 'r+');
  const warm = new Workout(openEngine(source), [...files.values()], c.seed);
  warm.range = 600;
  warm.truncates = 50;
  for (let i = 0; i < c.warmup; i++) warm.step();
  warm.tidy();
  warm.engine.close();
  copyFileSync(image, base);

  const recording = new RecordingSource(source);
  const engine = openEngine(recording, { eager: true });
  const work = new Workout(engine, [...files.values()], c.seed + 1000);
  work.range = 600;
  work.truncates = 8;
  for (const [i, f] of warm.files.entries()) work.files[i] = new Map(f);
  const steps: Step[] = [];
  for (let i = 0; i < c.operations; i++) {
    const before = work.snapshot();
    const from = recording.sectors;
    const name = work.step();
    if (i % 7 === 6) engine.settle();
    steps.push({ name, from, to: recording.sectors, before, after: work.snapshot() });
  }
  const total = recording.sectors;
  const result: CampaignResult = {
    points: 0,
    sectors: total,
    operations: work.counts,
    intents: {},
    states: {},
    failures: [],
  };
  const played = FileSource.open(base, 'r+');
  const player = new Replayer(played, recording.writes);
  const points = Math.min(c.points, total);
  const cut = join(folder, 'cut');
  for (let p = 0; p <= points && result.failures.length < 4; p++) {
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
        states.push(look(cut, names, step, engine.g.blocksize, fail, who));
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
function look(
  image: string,
  names: readonly string[],
  step: Step,
  blocksize: number,
  fail: (what: string) => void,
  who: string,
): string {
  return withMount(image, (root) => {
    const a = differences(root, names, step.before, blocksize);
    if (a.length === 0) return 'before';
    const b = differences(root, names, step.after, blocksize);
    if (b.length === 0) return 'after';
    if (step.name !== 'truncate') fail(`${who}: neither before (${a[0]}) nor after (${b[0]})`);
    return 'between';
  });
}

const essence = (text: string): string =>
  text
    .split('\n')
    .filter((l) => l !== '' && !/^ {8}- |^Phase|host filesystem|the image and|No modify/.test(l))
    .slice(0, 6)
    .join(' | ');
