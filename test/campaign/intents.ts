/**
 * Intents that crashes seldom leave open: attribute intents (parent pointers) and exchanges of ranges. Images with
 * both features are crashed, and each log is cut off behind every checkpoint that left one open: what a crash at
 * that moment would have left, for nothing had been written back. Those are recovered by Linux and by xfsimg and
 * compared as in the crash campaign. Needs python3 for the ioctl, which Node cannot issue.
 *
 *     node --import tsx test/campaign/intents.ts [--seed N] [--wanted N] [--minutes N] [--keep FOLDER] [--blocks N]
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ATTRI_OP_NAME, LI, LI_NAME } from '../../src/format/logitems.js';
import { FileSource } from '../../src/image/source.js';
import { committedTransactions } from '../../src/journal/decode.js';
import { attrIntent } from '../../src/journal/items.js';
import type { LogRecord } from '../../src/journal/record.js';
import { scanLog } from '../../src/journal/scan.js';
import { IntentTracker } from '../../src/journal/status.js';
import { openVolume } from '../../src/volume/volume.js';
import { crashImage, Load, PARENT_GEOMETRIES } from '../support/crash.js';
import { copyImage, tmpdir } from '../support/oracle.js';
import { random } from '../support/random.js';
import { judge } from './crash.js';

/**
 * What is not the same here and there, as st_blocks counts it: how full the blocks of a file's btree are, and blocks
 * behind the end of a file, which Linux frees when the file is closed.
 */
const DELIBERATE = /^(left|right): blocks is/;

/** Differences that are not ones of two recoveries made after `since` (milliseconds). */
export const isDeliberate = (difference: string, since: number): boolean =>
  DELIBERATE.test(difference) || isBothStamped(difference, since);

/** A ctime that both recoveries stamped, each with its own moment, after `since` (milliseconds). */
function isBothStamped(difference: string, since: number): boolean {
  const [, ours, theirs] = /: ctime is (\d+), expected (\d+)$/.exec(difference) ?? [];
  return [ours, theirs].every((time) => time !== undefined && Number(time) / 1e6 >= since - CLOCK_TICK);
}
/** Milliseconds by which Linux's timestamps can be behind the clock. */
const CLOCK_TICK = 20;

/** How the two recoveries of an image with such intents differ, and the intents that were finished. */
export function judgeIntents(image: string): {
  differences: string[];
  intents: Readonly<Record<string, number>>;
} {
  const since = Date.now();
  const { result, differences } = judge(image, { parents: true });
  const real = differences.filter((line) => !isDeliberate(line, since));
  return { differences: real, intents: result.intents };
}

/** Exchanges the whole of two files (XFS_IOC_EXCHANGE_RANGE), time and again until it cannot. */
const EXCHANGE = `
import fcntl, os, struct, sys
a, b = (os.open(p, os.O_RDWR) for p in sys.argv[1:3])
size = min(os.fstat(a).st_size, os.fstat(b).st_size)
print('ready', flush=True)
while True:
    flags = int.from_bytes(os.urandom(1), 'little') & 8
    fcntl.ioctl(b, 0x40285881, struct.pack('=iIQQQQ', a, 0, 0, 0, size, flags))
`;

/** Two files of blocks with holes between them, not alike. */
function makePair(root: string, blocks: number): [string, string] {
  const data = Buffer.alloc(4096);
  const paths = [join(root, 'left'), join(root, 'right')] as [string, string];
  paths.forEach((path, i) => {
    const fd = openSync(path, 'w');
    for (let n = 0; n < blocks; n++)
      if (n % (3 + i) !== 0) {
        data.fill(1 + ((n + i * 100) % 250));
        writeSync(fd, data, 0, 4096, n * 4096);
      }
    closeSync(fd);
  });
  return paths;
}

interface Moment {
  /** Block of the log behind the record the checkpoint ends in. */
  readonly end: number;
  /** Open intents by kind, and by what those of attributes ask for. */
  readonly kinds: Record<string, number>;
  readonly asked: Record<string, number>;
}

const add = (to: Record<string, number>, name: string, n = 1): void => {
  to[name] = (to[name] ?? 0) + n;
};

/** The ends of those checkpoints of a log that leave an intent open which is looked for. */
function moments(image: string): { moments: Moment[]; start: number; head: number } {
  const source = FileSource.open(image);
  try {
    const { g } = openVolume(source);
    const state = scanLog(source, g);
    const found: Moment[] = [];
    const tracker = new IntentTracker();
    let end = 0;
    const onRecord = (r: LogRecord): void => {
      end = r.block + r.headerBlocks + Math.ceil(r.len / 512);
    };
    // A log that has wrapped cannot be cut so simply.
    if (state.head.cycle === 1 && !state.clean)
      for (const transaction of committedTransactions(state, { onRecord })) {
        tracker.add(transaction);
        const kinds: Record<string, number> = {};
        const asked: Record<string, number> = {};
        for (const { item } of tracker.open) {
          add(kinds, LI_NAME[item.type]);
          if (item.type === LI.ATTRI) add(asked, ATTRI_OP_NAME[attrIntent(item).op]);
        }
        if (found.at(-1)?.end === end) found.pop();
        if (kinds.ATTRI !== undefined || kinds.XMI !== undefined) found.push({ end, kinds, asked });
      }
    return { moments: found, start: state.device.start, head: state.head.block };
  } finally {
    source.close();
  }
}

/** At most so many of a list, from all over it. */
const spread = <T>(list: readonly T[], most: number): T[] =>
  list.filter((_, i) => Math.floor((i * most) / list.length) !== Math.floor(((i - 1) * most) / list.length));

const OF_PARENTS = [4, 5, 6].map((op) => ATTRI_OP_NAME[op]);
/** What is looked for. */
const WANTED = ['XMI', ...OF_PARENTS];

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      wanted: { type: 'string', default: '5' },
      minutes: { type: 'string', default: '20' },
      keep: { type: 'string' },
      blocks: { type: 'string', default: '2000' },
    },
  });
  const end = Date.now() + Number(values.minutes) * 60_000;
  const wanted = Number(values.wanted);
  const folder = values.keep ?? tmpdir();
  mkdirSync(folder, { recursive: true });
  const load = new Load(2);
  const found: Record<string, number> = Object.fromEntries(WANTED.map((name) => [name, 0]));
  const lacks = (names: readonly string[]): boolean => names.some((name) => found[name] < wanted);
  const totals = { images: 0, judged: 0, differ: 0 };
  for (let i = 0; Date.now() < end && lacks(WANTED); i++) {
    const seed = Number(values.seed) * 1000 + i;
    const rnd = random(seed);
    const exchange = !lacks(OF_PARENTS) || (i % 3 === 2 && lacks(['XMI']));
    const image = join(folder, `${seed}.img`);

    await crashImage(image, load, {
      geometry: PARENT_GEOMETRIES[0],
      seed,
      profile: i % 3 === 0 ? 'names' : 'links',
      milliseconds: 800 + Math.floor(rnd() * 1500),
      prepare: async (root) => {
        if (!exchange) return;
        const child = spawn('python3', ['-c', EXCHANGE, ...makePair(root, Number(values.blocks))], {
          stdio: ['ignore', 'pipe', 'ignore'],
        });
        await new Promise((resolve) => child.stdout.once('data', resolve));
      },
    });
    totals.images++;
    const all = moments(image);
    const news = all.moments.filter(({ kinds, asked }) => lacks(Object.keys({ ...kinds, ...asked })));
    for (const { end: cut, kinds, asked } of spread(news, exchange ? 3 : wanted)) {
      if (Date.now() > end) break;
      const path = copyImage(image, `${image}.${cut}`);
      const file = FileSource.open(path, 'r+');
      if (all.head > cut) file.write(all.start + cut * 512, new Uint8Array((all.head - cut) * 512));
      file.close();
      for (const [name, n] of Object.entries({ ...kinds, ...asked })) add(found, name, n);
      totals.judged++;
      let differences: readonly string[];
      try {
        const { differences: d, intents } = judgeIntents(path);
        differences = d;
        assert.deepEqual(intents, kinds);
      } catch (error) {
        differences = [String((error as Error).stack)];
      }
      if (differences.length > 0) totals.differ++;
      console.log(
        `${differences.length === 0 ? 'same' : 'DIFFERS'} ${path} ${JSON.stringify({ ...kinds, ...asked })}`,
      );
      for (const line of differences) console.log(`    ${line}`);
      if (values.keep === undefined) rmSync(path);
    }
    rmSync(image);
  }
  load.close();
  console.log(JSON.stringify({ ...totals, ...found }));
  process.exitCode = totals.differ > 0 ? 1 : 0;
}

if (process.argv[1]?.endsWith('campaign/intents.ts')) await main();
