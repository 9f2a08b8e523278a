/**
 * Forged damage on images that Linux made: each must be told for what it is, naming the damaged files and no
 * others. Every forgery is made with xfs_db, which makes the checksums right.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { oracle } from '../support/oracle.js';
import { type Base, findings, forge, makeBase, verdicts } from './base.js';
import { FORGERIES, RMAP_FORGERIES } from './forgeries.js';

for (const rmapbt of [true, false]) {
  describe(`forgeries, ${rmapbt ? 'with' : 'without'} an rmap btree`, oracle('mount', 'xfs_db'), () => {
    let base: Base;
    before(() => {
      base = makeBase(rmapbt);
    });

    test('the image as Linux left it is clean', () => {
      const found = findings(base.image);
      assert.deepEqual(verdicts(found.damage), []);
      assert.deepEqual(verdicts(found.notes), []);
    });

    for (const forgery of rmapbt ? [...FORGERIES, ...RMAP_FORGERIES] : FORGERIES) {
      test(forgery.name, () => {
        const found = findings(forge(base, forgery.make(base)));
        const expected = rmapbt ? forgery.rmap : forgery.plain;
        if (expected === undefined) {
          assert.ok(found.damage.length > 0);
          return;
        }
        assert.deepEqual(verdicts(found.damage), expected);
        const notes = (rmapbt ? undefined : forgery.plainNotes) ?? forgery.notes ?? [];
        assert.deepEqual(verdicts(found.notes), notes);
      });
    }
  });
}
