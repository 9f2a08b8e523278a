/**
 * `put -r` of a tree of 50,000 small files into an image, against Linux's mount, cp -a and umount.
 *
 *     npm run -s bundle && node --import tsx test/bench/edit.ts [--files N] [--runs N]
 *
 * Both begin with the same empty image and end with everything on stable storage. Prints seconds by the clock,
 * the best of the runs, and seconds of processor time, and exits 1 where ours takes longer by the clock.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { withMount } from '../support/mount.js';
import { copyImage, run, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { assertSameTree } from '../support/sametree.js';
import { XFSIMG } from './measure.js';

const { values } = parseArgs({
  options: { files: { type: 'string', default: '50000' }, runs: { type: 'string', default: '3' } },
});

const PER_DIRECTORY = 100;

function makeTree(root: string, files: number): void {
  const text = Buffer.alloc(12_000, 'some text of a small file ');
  for (let n = 0; n < files; n++) {
    const d = Math.floor(n / PER_DIRECTORY);
    const folder = join(root, `d${Math.floor(d / 25)}`, `e${d}`);
    if (n % PER_DIRECTORY === 0) mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `file-${n % PER_DIRECTORY}.txt`), text.subarray(0, (n * 7919) % text.length));
  }
}

interface Time {
  clock: number;
  cpu: number;
}

/** Runs a shell command; its time by the clock and of the processor, children and kernel counted. */
function timed(script: string): Time {
  const { stderr } = run('bash', ['-c', `TIMEFORMAT='%R %U %S'; time { ${script}; }`], {
    env: { NODE_EXTRA_CA_CERTS: undefined },
  });
  const [clock, user, sys] = stderr.trim().split('\n').at(-1)!.split(' ').map(Number);
  return { clock, cpu: user + sys };
}

const folder = tmpdir();
const tree = join(folder, 'tree');
const empty = mkfs(join(folder, 'empty'), { size: 2 * 2 ** 30, args: ['-m', 'rmapbt=1'] });
makeTree(tree, Number(values.files));
run('sync', ['-f', tree]);
const mountpoint = join(folder, 'mnt');
mkdirSync(mountpoint);
const best = { ours: { clock: Infinity, cpu: Infinity }, linux: { clock: Infinity, cpu: Infinity } };
const take = (who: keyof typeof best, time: Time): void => {
  best[who].clock = Math.min(best[who].clock, time.clock);
  best[who].cpu = Math.min(best[who].cpu, time.cpu);
};
for (let i = 0; i < Number(values.runs); i++) {
  const ours = copyImage(empty, join(folder, 'ours'));
  const linux = copyImage(empty, join(folder, 'linux'));
  take('ours', timed(`'${process.execPath}' '${XFSIMG}' put -r '${ours}' '${tree}' /`));
  take(
    'linux',
    timed(
      `mount -o loop '${linux}' '${mountpoint}' && cp -a '${tree}' '${mountpoint}/' && umount '${mountpoint}'`,
    ),
  );
  if (i > 0) continue;
  xfsRepairClean(ours);
  withMount(ours, (root) => assertSameTree(join(root, 'tree'), tree), { options: 'ro' });
}
const ratio = best.ours.clock / best.linux.clock;
console.log('what\tours s\tLinux s\tratio\tours CPU s\tLinux CPU s\tCPU ratio');
console.log(
  [
    `put -r of ${values.files} files`,
    best.ours.clock.toFixed(2),
    best.linux.clock.toFixed(2),
    ratio.toFixed(2),
    best.ours.cpu.toFixed(2),
    best.linux.cpu.toFixed(2),
    (best.ours.cpu / best.linux.cpu).toFixed(2),
  ].join('\t'),
);
rmSync(folder, { recursive: true });
process.exitCode = ratio > 1 ? 1 : 0;
