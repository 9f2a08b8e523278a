/**
 * `repair -n` beside `xfs_repair -n`: seconds, peak memory, inodes a second. Needs root, xfsprogs, GNU time, and a
 * bundle (`npm run build`). Images are built once by Linux and kept in the system's temporary folder, without the
 * contents of their files; that of 3,000,000 inodes takes minutes and 15 GB while it is built.
 *
 *     node --import tsx test/bench/repair.ts [INODES ...]
 */
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { manyInodes } from '../support/bench.js';
import { cachedImage } from '../support/cache.js';
import { run } from '../support/oracle.js';
import { type Command, seconds, XFSIMG } from './measure.js';

const RATIO = 0.6;
const GIB = 2 ** 30;

/** An image of so many inodes, a fifth of them clones; as xfs_metadump and xfs_mdrestore leave it. */
function image(inodes: number, rmapbt: boolean): string {
  const key = `bench repair ${inodes} ${rmapbt ? 'rmapbt' : ''}`;
  return cachedImage(key, (path) => {
    const [raw, dump] = [`${path}.raw`, `${path}.dump`];
    try {
      const size = Math.max(4, Math.ceil(inodes / 125_000)) * GIB;
      const args = ['-m', `rmapbt=${rmapbt ? 1 : 0}`];
      manyInodes(raw, { inodes, clones: inodes / 5, dirs: inodes / 1000, mkfs: { size, args } });
      run('xfs_metadump', ['-o', raw, dump]);
      rmSync(raw);
      run('xfs_mdrestore', [dump, path]);
    } finally {
      rmSync(raw, { force: true });
      rmSync(dump, { force: true });
    }
  }).image;
}

/** Peak resident memory of a command in MB. */
function peak(command: Command): number {
  const { stderr } = spawnSync('time', ['-f', 'peak %M', ...command], {
    env: { ...process.env, NODE_EXTRA_CA_CERTS: undefined },
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const match = /peak (\d+)\s*$/.exec(stderr);
  if (match === null) throw new Error(`no memory figure from ${command.join(' ')}: ${stderr}`);
  return Number(match[1]) / 1024;
}

const wanted = process.argv.slice(2).map(Number);
let kept = true;
console.log('inodes\trmapbt\tours s\tpeer s\tratio\tours MB\tpeer MB\tinodes/s\tkept');
for (const inodes of wanted.length > 0 ? wanted : [30_000, 300_000, 3_000_000])
  for (const rmapbt of inodes === 300_000 ? [true, false] : [true]) {
    const path = image(inodes, rmapbt);
    const ours = [process.execPath, XFSIMG, 'repair', '-n', path];
    const peer = ['xfs_repair', '-n', path];
    const [mine, theirs] = seconds([ours, peer], inodes > 1_000_000 ? 3 : 10);
    const [memory, peerMemory] = [peak(ours), peak(peer)];
    // Below that size starting Node is all there is to measure.
    const ok = inodes < 300_000 || (mine <= theirs * RATIO && memory <= peerMemory);
    kept &&= ok;
    console.log(
      [
        inodes,
        rmapbt ? 'yes' : 'no',
        mine.toFixed(3),
        theirs.toFixed(3),
        (mine / theirs).toFixed(2),
        memory.toFixed(0),
        peerMemory.toFixed(0),
        Math.round(inodes / mine),
        ok ? 'yes' : 'NO',
      ].join('\t'),
    );
  }
process.exitCode = kept ? 0 : 1;
