/** Files with an extent size hint have the blocks Linux gives them. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { xfsimg } from '../support/cli.js';
import { withMount } from '../support/mount.js';
import { oracle, run, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { pattern } from './datawork.js';

interface Write {
  readonly at: number;
  readonly length: number;
}

const CASES: Record<string, readonly Write[]> = {
  'behind a hole': [{ at: 20_000, length: 3000 }],
  'from the back to the front': [
    { at: 40_000, length: 3000 },
    { at: 20_000, length: 3000 },
    { at: 5000, length: 100 },
  ],
  'across what is there': [
    { at: 33_000, length: 2000 },
    { at: 10_000, length: 60_000 },
  ],
  'into preallocated blocks': [
    { at: 30_000, length: 100 },
    { at: 17_000, length: 100 },
  ],
};

/** Runs of blocks of 512 bytes, and whether they are written; wherever they stand. */
function layout(path: string): string[] {
  const runs: { from: string; to: string; what: string }[] = [];
  for (const line of run('xfs_io', ['-r', '-c', 'bmap -vp', path]).stdout.split('\n')) {
    const [, from, to, rest] = /^ *\d+: \[(\d+)\.\.(\d+)\]: (.*)$/.exec(line) ?? [];
    if (rest === undefined) continue;
    const what = rest.startsWith('hole') ? 'hole' : / 0?1\d{4}$/.test(rest.trimEnd()) ? 'unwritten' : 'data';
    const last = runs.at(-1);
    if (last?.what === what) last.to = to;
    else runs.push({ from, to, what });
  }
  return runs.map(({ from, to, what }) => `${from} to ${to} ${what}`);
}

test(
  'files that inherit an extent size hint are laid out as by Linux',
  oracle('mount', 'mkfs.xfs', 'xfs_io'),
  () => {
    const folder = tmpdir();
    const image = mkfs(join(folder, 'image'), { size: 300 << 20 });
    const source = join(folder, 'source');
    const sparse = join(folder, 'sparse');
    const empty = join(folder, 'empty');
    writeFileSync(source, pattern(1, 30_000));
    writeFileSync(empty, '');
    run('xfs_io', [
      '-f',
      '-c',
      'truncate 200000',
      '-c',
      'pwrite 50000 9000',
      '-c',
      'pwrite 100000 5',
      sparse,
    ]);
    withMount(image, (root) => {
      run('mkdir', [join(root, 'linux'), join(root, 'ours')]);
      for (const dir of ['linux', 'ours']) run('xfs_io', ['-c', 'extsize 16k', join(root, dir)]);
      run('cp', ['--sparse=always', source, sparse, join(root, 'linux')]);
      for (const [name, writes] of Object.entries(CASES)) {
        const commands = writes.flatMap(({ at, length }) => ['-c', `pwrite ${at} ${length}`, '-c', 'fsync']);
        run('xfs_io', ['-f', ...commands, join(root, 'linux', name)]);
      }
    });
    const edit = (args: string[], input?: Buffer): void => {
      const { status, stderr } = xfsimg(args, { input });
      assert.equal(status, 0, stderr);
    };
    edit(['put', image, source, sparse, '/ours']);
    for (const [name, writes] of Object.entries(CASES)) {
      edit(['put', image, empty, `/ours/${name}`]);
      for (const { at, length } of writes)
        edit(['write', image, `/ours/${name}`, '--at', `${at}`, '--in-place'], pattern(at, length));
    }
    xfsRepairClean(image);
    withMount(image, (root) => {
      for (const name of ['source', 'sparse', ...Object.keys(CASES)])
        assert.deepEqual(layout(join(root, 'ours', name)), layout(join(root, 'linux', name)), name);
    });
  },
);
