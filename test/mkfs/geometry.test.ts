/** The geometry mkfs would choose is mkfs.xfs's, field for field, over sizes and options drawn at random. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { MkfsError } from '../../src/mkfs/error.js';
import { mkfs } from '../../src/mkfs/mkfs.js';
import { blank, oracle, run, tmpdir } from '../support/oracle.js';
import { optionsOf } from './support.js';

const MIB = 2 ** 20;
const SIZES = [16, 17, 31, 32, 63, 64, 100, 128, 256, 299, 300, 512, 777, 1024, 3000, 8192, 8193, 100_000]
  .concat([524_288, 524_300, 1_048_576, 4_194_304, 5_000_000])
  .map((m) => m * MIB);

/** The same draws on every run. */
function draws(seed: number): <T>(from: readonly T[]) => T {
  let state = seed;
  return (from) => {
    state = (state * 1_103_515_245 + 12_345) & 0x7fff_ffff;
    return from[Math.floor((state / 0x8000_0000) * from.length)];
  };
}

function randomArgs(pick: <T>(from: readonly T[]) => T): string[] {
  const bit = (): number => pick([0, 1]);
  const finobt = bit();
  // rmapbt without reflink has a smallest log of its own here; see the matrix.
  const reflink = bit();
  const args = ['-b', `size=${pick([1024, 1024, 2048, 4096, 4096, 4096, 8192, 16384, 65536])}`];
  args.push('-s', `size=${pick([512, 512, 512, 1024, 4096])}`);
  args.push('-m', `finobt=${finobt},rmapbt=${reflink ? bit() : 0},reflink=${reflink},bigtime=${bit()}`);
  if (finobt) args.push('-m', `inobtcount=${bit()}`);
  args.push('-i', `sparse=${bit()},nrext64=${bit()}`);
  if (pick([1, 2, 3]) === 1) args.push('-i', `size=${pick([512, 1024, 2048])}`);
  if (pick([1, 2, 3]) === 1) args.push('-n', `size=${pick([4096, 8192, 16384, 65536])}`);
  const ags = pick(['count', 'size', '', '']);
  if (ags === 'count') args.push('-d', `agcount=${pick([1, 2, 3, 5, 8, 16, 17, 64])}`);
  if (ags === 'size') args.push('-d', `agsize=${pick([16, 17, 33, 64, 1000, 102_400])}m`);
  if (pick([1, 2, 3]) === 1)
    args.push('-d', `su=${pick([4, 16, 64, 256, 512, 1024])}k,sw=${pick([1, 2, 3, 7, 8])}`);
  const log = pick(['size', 'su', 'ag', '', '', '', '', '']);
  if (log === 'size') args.push('-l', `size=${pick([5, 8, 16, 17, 32, 64, 512, 2000])}m`);
  if (log === 'su') args.push('-l', `su=${pick([4, 8, 32, 64, 256])}k`);
  if (log === 'ag') args.push('-l', `agnum=${pick([0, 1, 2])}`);
  return args;
}

/** mkfs.xfs 6.1 prints 1 whatever nrext64 is; the identity of the superblock covers it. */
const comparable = (report: string): string[] =>
  report.split('\n').filter((line) => /^(meta-data| {9}|data|naming|log +=|realtime)/.test(line));
const withoutNrext64 = (lines: string[]): string[] => lines.map((line) => line.replace(/nrext64=\d/, ''));

test('geometry is that of mkfs.xfs', oracle('mkfs.xfs'), async () => {
  const image = join(tmpdir(), 'image');
  const pick = draws(20_260_101);
  const env = { TEST_DIR: '/', TEST_DEV: image, QA_CHECK_FS: '1' };
  let same = 0;
  for (let i = 0; i < 120; i++) {
    const args = randomArgs(pick);
    const size = pick(SIZES) + pick([0, 0, 512, 4096, 65_536 * 3]);
    blank(image, size);
    const theirs = run('mkfs.xfs', ['-N', '-f', ...args, image], { env, status: 'any' });
    const what = `${args.join(' ')} on ${size} bytes`;
    let ours: string | undefined;
    try {
      ours = (await mkfs(image, { ...optionsOf(args), dryRun: true, force: true })).report;
    } catch (error) {
      assert.ok(error instanceof MkfsError, `${what}: ${(error as Error).stack}`);
      // A log in AG 0 that leaves no room where the root inode must be: mkfs.xfs finds out while writing.
      if (/root directory's inodes/.test(error.message)) continue;
      assert.notEqual(theirs.status, 0, `refused although mkfs.xfs makes it: ${what}: ${error.message}`);
      continue;
    }
    assert.equal(theirs.status, 0, `made although mkfs.xfs refuses: ${what}: ${theirs.stderr.slice(0, 300)}`);
    assert.deepEqual(withoutNrext64(comparable(ours)), withoutNrext64(comparable(theirs.stdout)), what);
    same++;
  }
  assert.ok(same > 40, `only ${same} combinations could be compared`);
});

test('the report says what mkfs.xfs says, nrext64 as it is', oracle('mkfs.xfs', 'xfs_db'), async () => {
  const image = join(tmpdir(), 'image');
  blank(image, 512 * MIB);
  const { stdout } = run('mkfs.xfs', ['-f', '-m', 'rmapbt=1', '-L', 'x', image]);
  const { report } = await mkfs(image, { dryRun: true, force: true, label: 'x' });
  assert.equal(report, stdout.replace(/nrext64=\d/, 'nrext64=0'));
});
