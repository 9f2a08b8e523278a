/**
 * Repairs cut after sectors they write: Linux does not mount what is half done, the next run finishes it, and the
 * files are what an uncut run leaves. The long form, with every sector: `npm run campaign:cut-repair`.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, mock, test } from 'node:test';
import { openSource } from '../../src/image/open.js';
import { OverlaySource } from '../../src/image/overlay.js';
import type { Source } from '../../src/image/source.js';
import { repair } from '../../src/repair/repair.js';
import { openVolume } from '../../src/volume/volume.js';
import { BaseTree } from '../campaign/repair/tree.js';
import { mount } from '../support/mount.js';
import { copyImage, oracle, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { type Base, forge, makeBase } from './base.js';
import { CutRepair, changedPages, digest, isMarked, writePages } from './cutting.js';
import { FORGERIES } from './forgeries.js';

const NAMES = [
  'unflagged onto unflagged, of another length',
  'overlap over the ends of two files',
  'two files with their blocks swapped',
  'flags lost by all of three',
  'data onto a directory block',
  'all refcount records missing',
];

/** Places in which each repair is cut. */
const CUTS = 8;

const shown = (source: Source): ReadonlyMap<string, string> => new BaseTree(openVolume(source)).paths;

for (const rmapbt of [true, false]) {
  describe(
    `cut repairs, ${rmapbt ? 'with' : 'without'} an rmap btree`,
    oracle('mount', 'xfs_db', 'xfs_repair'),
    () => {
      let base: Base;
      before(() => {
        base = makeBase(rmapbt);
        // Files in lost+found have the time of the repair.
        mock.method(Date, 'now', () => 1_800_000_000_000);
      });

      for (const forgery of FORGERIES.filter((f) => NAMES.includes(f.name))) {
        if (!rmapbt && forgery.plain?.length === 0) continue;
        test(forgery.name, () => {
          const image = forge(base, forgery.make(base));
          const source = openSource(image);
          const whole = new CutRepair(source);
          const expected = shown(whole.finished);
          const judged = new Set<string>();
          for (const { sectors, source: cut } of whole.states(whole.points(CUTS))) {
            const where = `cut after ${sectors} of ${whole.sectors} sectors`;
            assert.ok(isMarked(cut), where);
            const again = new OverlaySource(cut);
            repair(again, { onDuplicate: 'quarantine' });
            assert.deepEqual(shown(again), expected, where);
            // What is the same but for the log is judged once.
            const pages = changedPages(again);
            const known = digest(again, pages);
            if (judged.has(known)) continue;
            judged.add(known);
            const copy = copyImage(image, join(tmpdir(), 'finished'));
            writePages(copy, pages);
            xfsRepairClean(copy);
          }
          assert.ok(judged.size > 0);
          source.close();
        });
      }

      test('Linux refuses what is marked', () => {
        const image = forge(base, FORGERIES[0].make(base));
        const source = openSource(image);
        const whole = new CutRepair(source);
        for (const { source: cut } of whole.states([1, whole.sectors - 1])) {
          const copy = copyImage(image, join(tmpdir(), 'marked'));
          writePages(copy, changedPages(cut));
          assert.throws(() => mount(copy, { options: 'ro' }), /mount/);
        }
        source.close();
      });
    },
  );
}
