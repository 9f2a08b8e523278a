/**
 * How long every command takes before its own work begins, held against `node -e 0`: `npm run bench:startup`.
 * Each is asked for its --help, and for work on an image that does not exist. All of them run in turn, round after
 * round, so that what else the machine does falls on all alike; the medians are compared. For a quiet machine.
 *
 *   --rounds N   default 15
 *   --only RE    commands whose line matches
 */
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { COMMANDS } from '../../src/cli/commands.js';
import { type Command, env, XFSIMG } from './measure.js';

const LIMIT = 1.6;
const MISSING = '/missing/image';

/** What stands behind the image of those that ask for more. */
const OPERANDS: Record<string, readonly string[]> = {
  cat: ['/a'],
  chmod: ['0644', '/a'],
  chown: ['1:1', '/a'],
  clone: ['/a', '/b'],
  copy: ['/missing/copy'],
  dedupe: ['/'],
  dump: ['free'],
  edit: ['--script', '/dev/null'],
  extract: ['-C', '/missing/out'],
  getfattr: ['/a'],
  ln: ['/a', '/b'],
  mdrestore: ['/missing/dump'],
  metadump: ['/missing/dump'],
  mkdir: ['/a'],
  mknod: ['/a', 'p'],
  mv: ['/a', '/b'],
  punch: ['/a', '0', '4k'],
  put: ['/dev/null', '/a'],
  report: ['-o', '/missing/page.html'],
  rm: ['/a'],
  rmdir: ['/a'],
  setfattr: ['-n', 'user.a', '-v', 'b', '/a'],
  stat: ['/a'],
  touch: ['/a'],
  truncate: ['/a', '0'],
  undo: ['/missing/undo'],
  write: ['/a', '--at', '0'],
};

/** Commands that ask for no image: nothing can be seen of them between their start and their work. */
const NO_IMAGE = new Set(['completion', 'schema']);

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '15' }, only: { type: 'string', default: '.' } },
});

const lines: string[][] = [['--help'], ['--version'], ['help', 'mkfs']];
for (const name of COMMANDS.keys()) {
  lines.push([name, '--help']);
  if (!NO_IMAGE.has(name)) lines.push([name, MISSING, ...(OPERANDS[name] ?? [])]);
}
const only = new RegExp(values.only);
const contestants: Command[] = [
  [process.execPath, '-e', '0'],
  ...lines.filter((l) => only.test(l.join(' '))).map((l) => [process.execPath, XFSIMG, ...l]),
];

const times: number[][] = contestants.map(() => []);
for (let round = -1; round < Number(values.rounds); round++)
  contestants.forEach(([program, ...args], i) => {
    const from = performance.now();
    const { status } = spawnSync(program, args, { env, stdio: 'ignore' });
    const took = performance.now() - from;
    // A command line that is wrong would end before anything is loaded.
    if (status === null || status === 64) throw new Error(`${args.join(' ')}: status ${status}`);
    if (round >= 0) times[i].push(took);
  });

const median = (list: number[]): number => list.toSorted((a, b) => a - b)[list.length >> 1];
const least = (list: number[]): number => Math.min(...list);
const [node] = times;
console.log(`command\tmedian ms\tratio\tleast ms\tratio\tat most ${LIMIT}`);
let kept = true;
contestants.forEach(([, ...args], i) => {
  const ratio = median(times[i]) / median(node);
  kept &&= ratio <= LIMIT;
  const name = i === 0 ? 'node -e 0' : args.slice(1).join(' ');
  const cells = [median(times[i]).toFixed(1), ratio.toFixed(2), least(times[i]).toFixed(1)];
  console.log(
    [name, ...cells, (least(times[i]) / least(node)).toFixed(2), ratio <= LIMIT ? 'yes' : 'NO'].join('\t'),
  );
});
process.exitCode = kept ? 0 : 1;
