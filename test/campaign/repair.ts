/**
 * The repair campaign: damaged images repaired by xfsimg and by xfs_repair, and what each leaves compared.
 *
 *     npm run campaign:repair -- [--mode field|multi|blocks|log] [--structures REGEXP] [--images A,B]
 *         [--seed N] [--count N] [--budget MINUTES] [--out FILE] [--ours | --quick] [--linux N]
 *     npm run campaign:repair -- --case ID [--keep FILE]
 *
 * Mode log damages the log of crashed images, and one field beside it: what cannot be replayed is dropped by a second
 * repair, and the first must not have written anything.
 *
 * One JSON line a case into --out (default: repair-campaign.ndjson in the temporary folder); a table by structure
 * at the end. --ours leaves xfs_repair's own repair out, --quick also its judgement of ours and the mounts. Every Nth
 * case (--linux, default 40) is read by Linux path by path, and must be what our own reader says. --case runs one
 * again, --keep writes its damaged image to a file.
 * Exit status 1 where one of our repairs is not clean, is not mounted, or is not settled after one run.
 */
import { appendFileSync, existsSync, writeFileSync } from 'node:fs';
import { tmpdir as systemTmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { tmpdir } from '../support/oracle.js';
import { blockCases, type Case, fieldCases, logCases, multiCases } from './repair/cases.js';
import { type BaseImage, baseImage, crashedImage, IMAGE_NAMES } from './repair/images.js';
import { Judge } from './repair/judge.js';
import { type Lane, type Ours, Outcomes, ours, type Theirs, theirs, Workbench } from './repair/run.js';

/** Sums of one structure's cases. */
class Tally {
  cases = 0;
  clean = 0;
  mounted = 0;
  dropped = 0;
  refused = 0;
  failed = 0;
  unsettled = 0;
  paths = 0;
  kept = 0;
  compared = 0;
  theirClean = 0;
  theirMounted = 0;
  theirPaths = 0;
  theirKept = 0;
  better = 0;
  worse = 0;

  add(paths: number, o: Ours, t: Theirs | undefined): void {
    this.cases++;
    this.clean += Number(o.clean);
    this.mounted += Number(o.mounted);
    this.dropped += Number(o.dropped === true);
    this.refused += Number(o.outcome === 'refused');
    this.failed += Number(o.outcome === 'failed');
    this.unsettled += Number(!o.settled);
    this.paths += paths;
    this.kept += o.kept;
    if (t === undefined) return;
    this.compared++;
    this.theirClean += Number(t.clean);
    this.theirMounted += Number(t.mounted);
    this.theirPaths += paths;
    this.theirKept += t.kept;
    if (o.kept > t.kept) this.better++;
    if (o.kept < t.kept) this.worse++;
  }

  row(name: string): string {
    const percent = (n: number, of: number): string => (of === 0 ? '-' : `${((100 * n) / of).toFixed(1)}`);
    const part = (n: number, of: number): string => (of === 0 ? '-' : `${((100 * n) / of).toFixed(3)}`);
    return [
      name.padEnd(16),
      `${this.cases}`.padStart(6),
      percent(this.clean, this.cases).padStart(7),
      percent(this.mounted, this.cases).padStart(7),
      `${this.refused}`.padStart(6),
      `${this.failed}`.padStart(5),
      `${this.unsettled}`.padStart(6),
      part(this.kept, this.paths).padStart(9),
      percent(this.theirClean, this.compared).padStart(8),
      percent(this.theirMounted, this.compared).padStart(8),
      part(this.theirKept, this.theirPaths).padStart(9),
      `${this.better}`.padStart(6),
      `${this.worse}`.padStart(6),
    ].join(' ');
  }
}

const HEADER =
  'structure         cases clean% mount% refusd fail unsetl  kept%   xr:clean xr:mount  xr:kept% better  worse';

const OUTCOMES = join(systemTmpdir(), 'xfsimg-test-images', 'outcomes.ndjson');

/** In memory where there is some: xfs_repair and the mount spend half their time waiting for a disk. */
function benchFolder(): string {
  return tmpdir('xfsimg-repair-', existsSync('/dev/shm') ? '/dev/shm' : undefined);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      mode: { type: 'string', default: 'field' },
      structures: { type: 'string', default: '.' },
      images: { type: 'string', default: IMAGE_NAMES.join() },
      seed: { type: 'string', default: '1' },
      count: { type: 'string', default: '200' },
      budget: { type: 'string', default: '60' },
      out: { type: 'string', default: join(systemTmpdir(), 'repair-campaign.ndjson') },
      ours: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      linux: { type: 'string', default: '40' },
      case: { type: 'string' },
      keep: { type: 'string' },
    },
  });
  const healthy = values.images.split(',').map(baseImage);
  const images = values.mode === 'log' ? healthy.map(crashedImage) : healthy;
  const structures = new RegExp(values.structures);
  const seed = Number(values.seed);
  const cases =
    values.mode === 'multi'
      ? multiCases(images, seed, structures)
      : values.mode === 'blocks'
        ? blockCases(images, seed)
        : values.mode === 'log'
          ? logCases(images, seed, structures)
          : fieldCases(images, seed, structures);
  if (values.case !== undefined) return one(values.case, images, cases, values.keep);

  const end = Date.now() + Number(values.budget) * 60_000;
  const every = Number(values.linux);
  const { quick } = values;
  const outcomes = new Outcomes(OUTCOMES);
  const tallies = new Map<string, Tally>();
  writeFileSync(values.out, '');
  let left = Number(values.count);
  let started = 0;
  let bad = 0;
  // Two lanes, each with benches of its own: while one waits for xfs_repair the other computes.
  const run = async (folder: string): Promise<void> => {
    const lane: Lane = { judge: new Judge(folder), outcomes };
    const benches = new Map<string, Workbench>();
    for (const image of images)
      benches.set(image.name, new Workbench(image, join(folder, `${image.name}.img`)));
    while (left > 0 && Date.now() < end) {
      const { value: damage, done } = cases.next();
      if (done || damage === undefined) break;
      left--;
      const bench = benches.get(damage.image)!;
      const t = values.ours || quick ? undefined : await theirs(bench, damage, lane);
      const o = await ours(bench, damage, lane, { quick, linux: ++started % every === 0 });
      const paths = bench.image.tree.paths.size;
      for (const name of [damage.structure, 'all']) {
        let tally = tallies.get(name);
        if (tally === undefined) {
          tally = new Tally();
          tallies.set(name, tally);
        }
        tally.add(paths, o, t);
      }
      if (!o.clean || !o.mounted || !o.settled || o.complaint !== undefined) bad++;
      appendFileSync(values.out, `${JSON.stringify({ id: damage.id, paths, ours: o, theirs: t })}\n`);
    }
    for (const bench of benches.values()) bench.close();
    lane.judge.close();
  };
  await Promise.all([run(benchFolder()), run(benchFolder())]);
  console.log(HEADER);
  for (const [name, tally] of [...tallies].sort(([a], [b]) => (a < b ? -1 : 1)))
    if (name !== 'all') console.log(tally.row(name));
  const all = tallies.get('all') ?? new Tally();
  console.log(all.row('all'));
  if (all.dropped > 0) console.log(`${all.dropped} logs could not be replayed, and were dropped`);
  console.log(`${values.mode}, seed ${seed}, images ${values.images}: every case in ${values.out}`);
  return bad > 0 ? 1 : 0;
}

/** Runs one case by its name and says all there is to say. */
async function one(
  id: string,
  images: readonly BaseImage[],
  cases: Iterable<Case>,
  keep: string | undefined,
): Promise<number> {
  for (const damage of cases) {
    if (damage.id !== id) continue;
    const image = images.find((i) => i.name === damage.image)!;
    if (keep !== undefined) {
      const bench = new Workbench(image, keep);
      for (const { offset, bytes } of damage.writes) bench.write(offset, bytes);
      bench.close();
    }
    const folder = benchFolder();
    const bench = new Workbench(image, join(folder, `${image.name}.img`));
    const lane: Lane = { judge: new Judge(folder), outcomes: new Outcomes(OUTCOMES) };
    const o = await ours(bench, damage, lane, { quick: false, linux: true });
    const t = await theirs(bench, damage, lane);
    bench.close();
    lane.judge.close();
    console.log(JSON.stringify({ id, paths: image.tree.paths.size, ours: o, theirs: t }, undefined, 2));
    return o.clean && o.mounted && o.settled ? 0 : 1;
  }
  throw new Error(`no such case: ${id}`);
}

main().then((status) => {
  process.exitCode = status;
});
