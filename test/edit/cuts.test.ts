import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { xfsimg } from '../support/cli.js';
import { withMount } from '../support/mount.js';
import { copyImage, oracle, run, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { btdumpAll } from '../support/xfsdb.js';
import { FORM_EDITS, makeFormsBase } from './cutforms.js';
import { Judge } from './cutjudge.js';
import { CUT_EDITS, CUT_GEOMETRIES, cutEdit, makeCutBase } from './cuts.js';
import { pattern } from './datawork.js';

const needs = oracle('mount', 'mkfs.xfs', 'xfs_repair', 'xfs_db', 'xfs_io', 'setfattr');
const CUT = 3;

const freeOf = (image: string): number =>
  Number(/= (\d+)/.exec(run('xfs_db', ['-r', '-c', 'sb 0', '-c', 'print fdblocks', image]).stdout)?.[1]);

/** The blocks the log's open EFIs name: AG, first, last. */
function held(image: string): [number, number, number][] {
  const status = xfsimg(['log', image, 'status', '--format', 'tsv']).stdout;
  return [...status.matchAll(/recovery of efi\tAG (\d+), blocks? (\d+)(?: to (\d+))?: frees them/g)].map(
    (m) => [Number(m[1]), Number(m[2]), Number(m[3] ?? m[2])],
  );
}

for (const rmapbt of [0, 1])
  test(`Linux frees the extent of a copy on write that was cut: rmapbt=${rmapbt}`, needs, () => {
    const image = mkfs(join(tmpdir(), 'image'), {
      size: 32 << 20,
      args: ['-m', `rmapbt=${rmapbt}`],
      tiny: true,
    });
    withMount(image, (root) => {
      writeFileSync(join(root, 'a'), pattern(1, 80_000));
      run('cp', ['--reflink=always', join(root, 'a'), join(root, 'b')]);
    });
    const free = freeOf(image);
    for (const after of ['T1', 'data', 'T2', 'log', 'place']) {
      const cut = copyImage(image, `${image}.${after}`);
      const data = pattern(2, 20_000);
      const ran = xfsimg(['write', cut, '/b', '--at', '10000', '--cut', `after:${after}`], { input: data });
      assert.equal(ran.status, CUT);
      assert.match(
        ran.stderr,
        new RegExp(`^xfsimg: \\S+: power cut after \\d+ sectors written, after ${after}; `),
      );
      const isHeld = after === 'T1' || after === 'data';
      const extents = held(cut);
      if (isHeld) assert.equal(extents.length, 1);
      const want = pattern(1, 80_000);
      withMount(cut, (root) => {
        assert.ok(readFileSync(join(root, 'a')).equals(want));
        if (!isHeld) data.copy(want, 10_000);
        assert.ok(readFileSync(join(root, 'b')).equals(want));
      });
      xfsRepairClean(cut);
      // Six blocks that both files had are now in two places.
      assert.equal(freeOf(cut), free - (isHeld ? 0 : 6));
      if (!isHeld) continue;
      const bnobt = btdumpAll(cut, 'bnobt');
      for (const [agno, first, last] of extents)
        assert.ok(
          bnobt[agno].rows.some((r) => Number(r[0]) <= first && Number(r[0]) + Number(r[1]) > last),
          `blocks ${first} to ${last} of AG ${agno} are free`,
        );
    }
  });

test('--cut counts sectors, and says where nothing was left to cut', needs, () => {
  const image = mkfs(join(tmpdir(), 'image'), { size: 32 << 20, tiny: true });
  const before = readFileSync(image);
  assert.equal(xfsimg(['mkdir', image, '/d', '--cut', '0']).status, CUT);
  assert.ok(readFileSync(image).equals(before));
  assert.equal(xfsimg(['mkdir', image, '/d', '--cut', '5']).status, CUT);
  xfsRepairCleanAfterMount(image);
  const whole = xfsimg(['mkdir', image, '/e', '--cut', '100000']);
  assert.equal(whole.status, 0);
  assert.match(whole.stderr, /done before the cut, with \d+ sectors written/);
  assert.equal(xfsimg(['mkdir', image, '/f', '--cut', 'after:dinner']).status, 64);
});

function xfsRepairCleanAfterMount(image: string): void {
  withMount(image, () => {});
  xfsRepairClean(image);
}

/** More than the suite has time for: test/campaign/cut-edit.ts. */
const SLICE: [string, string, boolean][] = [
  ['rmapbt', 'overwrite partly shared, efi', true],
  ['no rmapbt', 'overwrite partly shared, refcountbt', true],
  ['rmapbt', 'truncate, shared', false],
  ['1 KiB blocks', 'clone over a file', false],
  ['rmapbt', 'mv, node to leaf and leaf to node', false],
];

for (const [geometry, name, eager] of SLICE)
  test(`cut anywhere, an edit is wholly there or not at all: ${name}, ${geometry}`, needs, (t) => {
    const base = join(tmpdir(), 'base');
    const edit = CUT_EDITS[name] ?? FORM_EDITS[name];
    (name in FORM_EDITS ? makeFormsBase : makeCutBase)(base, CUT_GEOMETRIES[geometry]);
    const judge = new Judge(base);
    t.after(() => judge.close());
    const { failures, ...rest } = cutEdit(judge, edit, { eager, points: 7 });
    t.diagnostic(JSON.stringify(rest));
    assert.deepEqual(failures, []);
    assert.ok(rest.before > 0 && rest.after > 0);
  });
