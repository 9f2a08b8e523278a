import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { restoreMetadump } from '../../src/mkfs/mdrestore.js';
import { oracle, run, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs, populate } from '../support/populate.js';
import { random } from '../support/random.js';

test(
  'dumps of xfs_metadump are restored as xfs_mdrestore does',
  oracle('mount', 'xfs_metadump', 'xfs_mdrestore', 'xfs_repair'),
  async (t) => {
    const folder = tmpdir();
    // Most of a dump is the log: a small one.
    const image = mkfs(join(folder, 'image'), { tiny: true, args: ['-l', 'size=16m'] });
    populate(image);
    for (const args of [[], ['-o'], ['-a', '-o']])
      await t.test(`xfs_metadump ${args.join(' ')}`, () => {
        const dump = join(folder, 'dump');
        const [ours, theirs] = [join(folder, 'ours'), join(folder, 'theirs')];
        run('xfs_metadump', [...args, image, dump]);
        const { obfuscated } = restoreMetadump(dump, ours, true);
        assert.equal(obfuscated, !args.includes('-o'));
        run('rm', ['-f', theirs]);
        run('xfs_mdrestore', [dump, theirs]);
        run('cmp', [ours, theirs]);
        xfsRepairClean(ours);
      });

    await t.test('damaged dumps are refused in one line and leave nothing', () => {
      const dump = join(folder, 'dump');
      run('xfs_metadump', ['-o', image, dump]);
      const good = readFileSync(dump);
      const target = join(folder, 'refused');
      const refused = (bytes: Uint8Array, message: RegExp): void => {
        writeFileSync(dump, bytes);
        assert.throws(
          () => restoreMetadump(dump, target, false),
          (error: Error) => {
            assert.equal(error.name, 'MkfsError');
            assert.match(error.message, message);
            assert.doesNotMatch(error.message, /\n/);
            return true;
          },
        );
        assert.equal(existsSync(target), false);
      };
      const changed = (at: number, ...values: number[]): Buffer => {
        const b = Buffer.from(good);
        b.set(values, at);
        return b;
      };
      refused(Buffer.alloc(0), /truncated/);
      refused(good.subarray(0, good.length - 700), /truncated/);
      refused(changed(0, 1), /no metadump/);
      refused(changed(4, 0xff, 0xff), /a record of 65535/);
      refused(changed(6, 12), /2\^12/);
      refused(changed(8, 0, 0, 0, 1), /begin with the superblock/);
      refused(changed(16, 0xff, 0xff), /outside the filesystem/);
      refused(changed(512, 0), /no superblock/);
      refused(changed(512 + 8, 0xff), /sb .* is /);
      refused(changed(512 * 64, 0), /no metadump/);
    });

    await t.test('changed at random they are restored or refused in one line', () => {
      const small = join(folder, 'small');
      run('cp', [mkfs(join(folder, 'tiny'), { size: 32 << 20, tiny: true, args: ['-l', 'size=6m'] }), small]);
      const dump = join(folder, 'dump');
      run('xfs_metadump', ['-o', small, dump]);
      const good = readFileSync(dump);
      const target = join(folder, 'fuzzed');
      const dice = random(11);
      let refusals = 0;
      for (let i = 0; i < 24; i++) {
        const bytes = Buffer.from(good);
        for (let k = 0; k < 1 + (i % 3); k++) {
          // Half of them in the index of a record, where they hurt.
          const record = Math.floor((dice() * bytes.length) / (64 * 512)) * 64 * 512;
          const at = i % 2 === 0 ? record + Math.floor(dice() * 512) : Math.floor(dice() * bytes.length);
          bytes[at] = dice() * 256;
        }
        writeFileSync(dump, i % 10 === 9 ? bytes.subarray(0, dice() * bytes.length) : bytes);
        try {
          restoreMetadump(dump, target, false);
          run('rm', [target]);
        } catch (error) {
          refusals++;
          assert.equal((error as Error).name, 'MkfsError', (error as Error).stack);
          assert.doesNotMatch((error as Error).message, /\n/);
          assert.equal(existsSync(target), false);
        }
      }
      assert.ok(refusals > 6, `${refusals}`);
    });
  },
);
