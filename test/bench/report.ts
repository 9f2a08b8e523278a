/**
 * How long `map` and `report` take on an image of 300,000 inodes, how much memory, how large the page is, and how
 * long Chromium takes to draw it. Needs root, xfsprogs, Chromium and a bundle (`npm run build`).
 *
 *     npm run bench:report
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { manyInodes } from '../support/bench.js';
import { cachedImage } from '../support/cache.js';
import { launch, open } from '../support/chromium.js';
import { run, tmpdir } from '../support/oracle.js';
import { compete, XFSIMG } from './measure.js';

const MAX_PAGE = 3e6;
const MAX_OPEN = 2000;

/** Milliseconds from the begin of navigation until everything is drawn; the best of five. */
async function opening(page: string): Promise<number> {
  const context = await launch();
  try {
    const times: number[] = [];
    for (let i = 0; i < 5; i++) {
      const { page: tab } = await open(context, page);
      times.push(await tab.evaluate(() => performance.getEntriesByName('drawn')[0].startTime));
      await tab.close();
    }
    return Math.min(...times);
  } finally {
    await context.close();
  }
}

const node = process.execPath;
const image = process.argv[2] ?? cachedImage('bench many inodes', (path) => manyInodes(path)).image;
const page = join(tmpdir(), 'report.html');
const ours = (...args: string[]): string[] => [node, XFSIMG, ...args];
const kept = compete([
  { what: 'map, 300,000 inodes', ours: ours('map', image), limit: 3, memory: 200, runs: 5 },
  {
    what: 'map as rows',
    ours: ours('map', image, '--format', 'ndjson'),
    limit: 3,
    memory: 200,
    runs: 5,
  },
  {
    what: 'report, 300,000 inodes',
    ours: ours('report', image, '-o', page),
    limit: 10,
    memory: 400,
    runs: 5,
  },
]);
run(node, [XFSIMG, 'report', image, '-o', page]);
const bytes = statSync(page).size;
const took = await opening(page);
const say = (what: string, value: number, limit: number): void =>
  console.log(`${what}\t${Math.round(value)}\tlimit ${limit}\t${value <= limit ? 'yes' : 'NO'}`);
say('page, bytes', bytes, MAX_PAGE);
say('page drawn in Chromium, ms', took, MAX_OPEN);
process.exitCode = kept && bytes <= MAX_PAGE && took <= MAX_OPEN ? 0 : 1;
