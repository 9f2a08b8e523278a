import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { restoreMetadump } from '../../src/mkfs/mdrestore.js';
import { oracle, run, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs, populate } from '../support/populate.js';

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
  },
);
