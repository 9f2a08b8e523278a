/** Images that Linux filled are clean, whatever they hold: nothing at all is reported as damage. */
import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { populated } from '../support/cache.js';
import { withMount } from '../support/mount.js';
import { oracle, run, tmpdir } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { findings, verdicts } from './base.js';

const SHAPES: readonly (readonly [string, readonly string[]])[] = [
  ['rmap btree', ['-m', 'rmapbt=1']],
  ['no rmap btree', ['-m', 'rmapbt=0']],
  ['1 KiB blocks', ['-b', 'size=1024', '-m', 'rmapbt=1']],
  ['1 KiB blocks, no rmap btree', ['-b', 'size=1024', '-m', 'rmapbt=0']],
  ['no reflink', ['-m', 'reflink=0,rmapbt=1']],
  ['no finobt, no sparse inodes', ['-m', 'finobt=0,rmapbt=0,reflink=0', '-i', 'sparse=0']],
  ['2 KiB inodes, 16 KiB directory blocks', ['-i', 'size=2048', '-n', 'size=16384', '-m', 'rmapbt=1']],
  ['4 KiB sectors, stripes, 5 AGs', ['-s', 'size=4096', '-d', 'su=64k,sw=4,agcount=5', '-m', 'rmapbt=1']],
  ['64-bit extent counts', ['-i', 'nrext64=1', '-m', 'rmapbt=1']],
  ['no bigtime, no inobtcount', ['-m', 'bigtime=0,inobtcount=0']],
];

for (const [name, args] of SHAPES) {
  test(`filled by Linux: ${name}`, oracle('mount'), () => {
    const fresh = mkfs(join(tmpdir(), 'fresh'), { args });
    assert.deepEqual(verdicts(findings(fresh).damage), [], 'fresh');
    const { image } = populated({ mkfs: { args } });
    assert.deepEqual(
      findings(image).damage.map((f) => `${f.code} ${f.message}`),
      [],
      'filled',
    );
  });
}

test('space beyond the end of a file and unwritten space are no damage', oracle('mount', 'xfs_io'), () => {
  const image = mkfs(join(tmpdir(), 'image'), { args: ['-m', 'rmapbt=1'] });
  withMount(image, (root) => {
    const fd = openSync(join(root, 'grown'), 'w');
    for (let i = 0; i < 200; i++) writeSync(fd, Buffer.alloc(5000, i));
    ftruncateSync(fd, 777_777);
    closeSync(fd);
    for (let i = 0; i < 300; i++) closeSync(openSync(join(root, `f${i}`), 'w'));
    for (let i = 0; i < 300; i += 3) unlinkSync(join(root, `f${i}`));
  });
  assert.deepEqual(verdicts(findings(image).damage), []);
});

test('extent size hints left in freed inodes are no damage', oracle('mount', 'xfs_io'), () => {
  const image = mkfs(join(tmpdir(), 'image'));
  withMount(image, (root) => {
    for (const hint of ['extsize', 'cowextsize']) {
      closeSync(openSync(join(root, hint), 'w'));
      run('xfs_io', ['-c', `${hint} 65536`, join(root, hint)]);
    }
  });
  withMount(image, (root) => {
    for (const hint of ['extsize', 'cowextsize']) unlinkSync(join(root, hint));
  });
  assert.deepEqual(verdicts(findings(image).damage), []);
});
