/**
 * The journal next to Linux and xfs_logprint, on a 2 GiB image crashed with three quarters of its 64 MiB log to
 * be replayed. Needs root, xfsprogs, and a bundle (`npm run build`); best with hyperfine. The image is built once
 * and kept in the system's temporary folder.
 *
 *     node --import tsx test/bench/log.ts [--runs N]
 *
 * `log replay` is held against Linux's mount and umount of a copy of the same image plus Node's bare start: each
 * run begins with a fresh copy, in the page cache, its data on the disk. `log items` prints a line an item with
 * what it changes, of all that is to be replayed. Of xfs_logprint's modes the default one prints that too (an
 * operation with its item decoded, inode cores and all; no bytes of buffers) and is what ours is held against;
 * `-t -i -b` (whole transactions, then buffers and inodes) and bare `-t` (item headers only) are shown beside it.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fullLog } from '../support/bench.js';
import { cachedImage } from '../support/cache.js';
import { run } from '../support/oracle.js';
import { type Command, compete, peakMegabytes, seconds, XFSIMG } from './measure.js';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '10' } } });
const runs = Number(values.runs);
const node = process.execPath;
const { image } = cachedImage('bench full log', (path) => fullLog(path));
const ours = (...args: string[]): Command => [node, XFSIMG, 'log', ...args];

const folder = mkdtempSync(join(tmpdir(), 'xfsimg-bench-log-'));
let kept = true;
try {
  const copy = join(folder, 'copy');
  const mountpoint = join(folder, 'mnt');
  mkdirSync(mountpoint);
  const linux = join(folder, 'linux.sh');
  writeFileSync(linux, `mount -t xfs -o loop,nouuid ${copy} ${mountpoint} && umount ${mountpoint}\n`);
  const prepare = `cp --sparse=always ${image} ${copy} && sync -f ${copy}`;
  const [replay, mount, start] = seconds(
    [ours(copy, 'replay'), ['sh', linux], [node, '-e', '0']],
    runs,
    prepare,
  );
  run('sh', ['-c', prepare]);
  const peak = peakMegabytes(ours(copy, 'replay'));
  const ratio = replay / (mount + start);
  console.log('what\tours s\tLinux s\tNode s\tratio\tpeak MB');
  console.log(
    `log replay\t${replay.toFixed(3)}\t${mount.toFixed(3)}\t${start.toFixed(3)}\t${ratio.toFixed(2)}\t${peak.toFixed(0)}`,
  );
  kept = ratio <= 1 && peak <= 200;
} finally {
  rmSync(folder, { recursive: true });
}

const items = ours(image, 'items');
const piped = (command: Command, to: string): Command => ['sh', '-c', `"$@" ${to}`, 'sh', ...command];
kept =
  compete([
    { what: 'log items, xfs_logprint', ours: items, peer: ['xfs_logprint', image], memory: 200, runs },
    // As it is used: what is printed goes to a file or a pipe.
    ...['> /dev/shm/xfsimg-bench-items', '| cat > /dev/null'].map((to) => ({
      what: `log items ${to.split(' ')[0] === '>' ? '> file' : to}, xfs_logprint`,
      ours: piped(items, to),
      peer: piped(['xfs_logprint', image], to),
      runs,
    })),
    // For comparison: no bound.
    ...['-t', '-tib'].map((mode) => ({
      what: `log items, xfs_logprint ${mode}`,
      ours: items,
      peer: ['xfs_logprint', ...(mode === '-t' ? ['-t'] : ['-t', '-i', '-b']), image],
      ratio: Number.POSITIVE_INFINITY,
      runs,
    })),
    {
      what: 'log status, xfs_logprint -t',
      ours: ours(image, 'status'),
      peer: ['xfs_logprint', '-t', image],
      ratio: Number.POSITIVE_INFINITY,
      runs,
    },
  ]) && kept;
rmSync('/dev/shm/xfsimg-bench-items', { force: true });
process.exitCode = kept ? 0 : 1;
