/**
 * Repairs cut after the sectors they write: what is half done must not be mounted by Linux, the next repair must finish
 * it, xfs_repair must find nothing then, and no path may be lost that an uncut repair keeps.
 *
 *     npm run campaign:cut-repair -- [--cases REGEXP] [--most N] [--budget MINUTES] [--at SECTORS] [--keep FILE]
 *
 * Each case is cut after every sector, or in --most places spread evenly (default 100). --at cuts in one place and
 * --keep writes the image that the next repair left there to a file. Exit status 1 where anything is wrong.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { OverlaySource } from '../../src/image/overlay.js';
import type { Source } from '../../src/image/source.js';
import { repair } from '../../src/repair/repair.js';
import { recoverLog } from '../../src/transaction/recovery/recover.js';
import { CutRepair, changedPages, digest, isMarked, writePages } from '../repair/cutting.js';
import { CutSource } from '../support/cut.js';
import { copyImage, essence, tmpdir } from '../support/oracle.js';
import { type CutCase, cutCases } from './repair/cutcases.js';
import { Judge } from './repair/judge.js';
import { Workbench } from './repair/run.js';

/** Files in lost+found have the time of the repair: it stands still. */
const realNow = Date.now;
Date.now = () => 1_800_000_000_000;

interface Tally {
  id: string;
  sectors: number;
  cut: number;
  /** Different images that the next repairs left, the log apart: each was judged by xfs_repair and mounted. */
  judged: number;
  wrong: string[];
}

/** Sectors that the replay of the log alone writes first: Linux may see those, it would replay the same. */
function replayed(damaged: Source): number {
  const cut = new CutSource(new OverlaySource(damaged));
  try {
    recoverLog(cut);
  } catch {
    // Without a superblock there is no replay either: repair writes that first.
    return 0;
  }
  return cut.written;
}

async function run(
  { image, id, writes, dropLog }: CutCase,
  judge: Judge,
  bench: Workbench,
  options: { most: number; at?: number; keep?: string; end: number },
): Promise<Tally> {
  const damaged = new OverlaySource(image.source);
  for (const { offset, bytes } of writes) damaged.write(offset, bytes);
  let whole: CutRepair;
  try {
    whole = new CutRepair(damaged, dropLog);
  } catch (error) {
    if (!/^(UnrepairedError|NoSpaceError|LogError)$/.test((error as Error).name)) throw error;
    return { id: `${id}: ${(error as Error).message}`, sectors: 0, cut: 0, judged: 0, wrong: [] };
  }
  const expected = image.tree.of(whole.finished, dirty(changedPages(whole.finished)));
  const replay = dropLog ? 0 : replayed(damaged);
  const tally: Tally = { id, sectors: whole.sectors, cut: 0, judged: 0, wrong: [] };
  const judged = new Set<string>();
  /** What Linux's side says of a result; nothing of one that is like an earlier one but for the log. */
  const judgement = async (top: OverlaySource): Promise<string[]> => {
    const pages = changedPages(top);
    const known = digest(top, pages);
    if (judged.has(known)) return [];
    judged.add(known);
    tally.judged++;
    for (const { offset, bytes } of pages) bench.write(offset, bytes);
    const said = await judge.ask('check', bench.path);
    bench.restore();
    const out = said.clean ? [] : [`xfs_repair: ${essence(said.text)}`];
    if (said.refusal !== '') out.push(said.refusal);
    if (repair(new OverlaySource(top), { onDuplicate: 'quarantine' }).written > 0)
      out.push('the repair after the next finds something');
    const now = image.tree.of(top, dirty(pages));
    for (const [path, text] of expected)
      if (now.get(path) !== text && (!now.has(path) || now.get(path) !== image.tree.paths.get(path)))
        out.push(`${path} is ${now.get(path)?.slice(0, 200)}, and ${text.slice(0, 200)} without the cut`);
    return out;
  };
  // What is wrong with an uncut repair is no fault of the cuts.
  const uncut = await judgement(whole.finished);
  for (const what of uncut) tally.id += ` (uncut: ${what})`;
  const points = options.at === undefined ? whole.points(options.most) : [options.at];
  for (const { sectors, source } of whole.states(points)) {
    if (realNow() > options.end) break;
    tally.cut++;
    const again = new OverlaySource(source);
    const wrong: string[] = [];
    if (!isMarked(source) && sectors > replay) wrong.push('Linux can mount it');
    try {
      repair(again, { onDuplicate: 'quarantine', dropLog });
      wrong.push(...(await judgement(again)).filter((what) => !uncut.includes(what)));
    } catch (error) {
      wrong.push(`the next repair: ${(error as Error).message}`);
    }
    if (options.keep !== undefined) writePages(copyImage(image.path, options.keep), changedPages(again));
    tally.wrong.push(...wrong.map((what) => `cut after ${sectors}: ${what}`));
  }
  return tally;
}

/** Numbers of the pages that differ from the healthy image. */
const dirty = (pages: readonly { offset: number }[]): number[] => pages.map(({ offset }) => offset / 4096);

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      cases: { type: 'string', default: '.' },
      most: { type: 'string', default: '100' },
      budget: { type: 'string', default: '60' },
      at: { type: 'string' },
      keep: { type: 'string' },
    },
  });
  const folder = tmpdir('xfsimg-cut-repair-', existsSync('/dev/shm') ? '/dev/shm' : undefined);
  const judge = new Judge(folder);
  const benches = new Map<string, Workbench>();
  const end = realNow() + Number(values.budget) * 60_000;
  const at = values.at === undefined ? undefined : Number(values.at);
  const sums = { cases: 0, sectors: 0, cut: 0, judged: 0, wrong: 0 };
  for (const cutCase of cutCases(new RegExp(values.cases))) {
    if (realNow() > end) break;
    const { image } = cutCase;
    let bench = benches.get(image.name);
    if (bench === undefined) {
      bench = new Workbench(image, join(folder, `${image.name}.img`));
      benches.set(image.name, bench);
    }
    const start = realNow();
    const tally = await run(cutCase, judge, bench, { most: Number(values.most), at, keep: values.keep, end });
    const seconds = ((realNow() - start) / 1000).toFixed(0);
    console.log(
      `${tally.wrong.length === 0 ? 'ok ' : 'BAD'} ${tally.id}: cut at ${tally.cut} of ${tally.sectors} sectors, ${tally.judged} results judged, ${seconds} s`,
    );
    for (const line of tally.wrong.slice(0, 5)) console.log(`    ${line}`);
    sums.cases++;
    sums.sectors += tally.sectors;
    sums.cut += tally.cut;
    sums.judged += tally.judged;
    sums.wrong += tally.wrong.length;
  }
  for (const bench of benches.values()) bench.close();
  judge.close();
  console.log(
    `${sums.cases} damages: cut at ${sums.cut} of ${sums.sectors} sectors, ${sums.judged} results judged by xfs_repair and Linux, ${sums.wrong} wrong`,
  );
  return sums.wrong > 0 ? 1 : 0;
}

main().then((status) => {
  process.exitCode = status;
});
