import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openEdit } from '../../src/edit/edit.js';
import { FileSource } from '../../src/image/source.js';
import { withMount } from '../support/mount.js';
import { oracle, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { DataWork, dataDifferences, makeDataFiles } from './datawork.js';

const needs = oracle('mount', 'mkfs.xfs', 'xfs_repair', 'xfs_io');
/** More than the suite has time for: XFSIMG_EDITS=500. */
const steps = Number(process.env.XFSIMG_EDITS ?? 30);
const seed = Number(process.env.XFSIMG_SEED ?? 1);

const SHAPES: Record<string, { mib: number; args: string[]; reflink?: boolean }> = {
  'rmapbt, 1 KiB blocks': { mib: 48, args: ['-b', 'size=1024', '-m', 'rmapbt=1', '-d', 'agcount=3'] },
  'no rmapbt, 4 KiB blocks': { mib: 48, args: ['-m', 'rmapbt=0', '-d', 'agcount=3'] },
  'rmapbt, nrext64': { mib: 64, args: ['-m', 'rmapbt=1', '-d', 'agcount=2', '-i', 'nrext64=1'] },
  'no reflink': { mib: 32, args: ['-m', 'reflink=0', '-d', 'agcount=2'], reflink: false },
};

for (const [name, { mib, args, reflink }] of Object.entries(SHAPES))
  test(`contents of files changed at random: ${name}`, needs, (t) => {
    const image = join(tmpdir(), 'image');
    mkfs(image, { size: mib << 20, args, tiny: true });
    let files = makeDataFiles(image, seed, reflink !== false);
    const counts: Record<string, number> = {};
    for (let batch = 0; batch < 3; batch++) {
      const source = FileSource.open(image, 'r+');
      const edit = openEdit(source);
      const work = new DataWork(edit, files, seed * 100 + batch);
      for (let i = 0; i < steps; i++) work.step();
      edit.close();
      source.close();
      for (const [key, n] of Object.entries(work.counts)) counts[key] = (counts[key] ?? 0) + n;
      xfsRepairClean(image);
      files = work.files;
      assert.deepEqual(
        withMount(image, (root) => dataDifferences(root, files)),
        [],
      );
    }
    xfsRepairClean(image);
    t.diagnostic(JSON.stringify(counts));
  });
