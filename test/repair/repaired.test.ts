/**
 * What repair leaves: xfs_repair finds nothing more, Linux mounts it, every file has its own bytes or zeros and
 * never another's, what the rmap btree still knew is back, and a second repair writes nothing.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { openSource } from '../../src/image/open.js';
import { type RepairOptions, repair } from '../../src/repair/repair.js';
import { withMount } from '../support/mount.js';
import { oracle, sha256, xfsRepairClean } from '../support/oracle.js';
import { bmap } from '../support/xfsdb.js';
import { type Base, blockOf, contents, forge, isOwn, makeBase } from './base.js';
import { FORGERIES, RMAP_FORGERIES } from './forgeries.js';

function repaired(image: string, onDuplicate: RepairOptions['onDuplicate']) {
  const source = openSource(image, { write: true });
  try {
    return repair(source, { onDuplicate });
  } finally {
    source.close();
  }
}

for (const rmapbt of [true, false]) {
  describe(
    `repaired, ${rmapbt ? 'with' : 'without'} an rmap btree`,
    oracle('mount', 'xfs_db', 'xfs_repair'),
    () => {
      let base: Base;
      before(() => {
        base = makeBase(rmapbt);
      });

      test('a clean image stays byte for byte what it was', () => {
        const image = forge(base, []);
        const before = sha256(image);
        assert.equal(repaired(image, 'quarantine').written, 0);
        assert.equal(sha256(image), before);
      });

      for (const forgery of rmapbt ? [...FORGERIES, ...RMAP_FORGERIES] : FORGERIES) {
        // Without an rmap btree swapped files leave no trace: nothing can be repaired.
        if (!rmapbt && forgery.plain?.length === 0) continue;
        test(forgery.name, () => {
          const image = forge(base, forgery.make(base));
          const damage = rmapbt ? forgery.rmap : forgery.plain;
          // Without an rmap btree a file loses bytes only where blocks are left that nobody has.
          const left = /free.leaked|refcount.high|undecided/;
          const whole = rmapbt ? !forgery.loses : damage !== undefined && !damage.some((d) => left.test(d));
          const { written } = repaired(image, 'quarantine');
          assert.equal(written > 0, damage === undefined || damage.length > 0);
          xfsRepairClean(image);
          assert.equal(repaired(image, 'quarantine').written, 0, 'a second repair writes nothing');
          for (const [name, shown] of contents(base, image)) {
            assert.ok(isOwn(base, name, shown), `${name} shows ${shown}`);
            if (whole) assert.ok(!shown.includes('zeros'), `${name} has lost bytes`);
          }
        });
      }

      if (rmapbt) return;
      const undecided = FORGERIES.find((f) => f.plain?.includes('duplicate.undecided'))!;

      test('quarantine: the blocks are in lost+found for root alone, the files have holes there', () => {
        const image = forge(base, undecided.make(base));
        repaired(image, 'quarantine');
        withMount(image, (root) => {
          const [name, ...rest] = readdirSync(join(root, 'lost+found'));
          assert.deepEqual(rest, []);
          assert.equal(name, `quarantine-ag0-block${blockOf(base, 'victim')}`);
          const path = join(root, 'lost+found', name);
          const { mode, uid, size } = statSync(path);
          assert.deepEqual({ mode: mode & 0o7777, uid, size }, { mode: 0o600, uid: 0, size: 10 * 4096 });
          assert.equal(statSync(join(root, 'lost+found')).mode & 0o7777, 0o700);
          assert.match(readFileSync(path, 'latin1'), /^(\|victim)+/);
          for (const file of ['victim', 'same'])
            assert.ok(readFileSync(join(root, file)).every((b) => b === 0));
          // The filesystem is fit to go on with.
          for (let i = 0; i < 500; i++) writeFileSync(join(root, `new${i}`), `${i}`.repeat(3000));
        });
        xfsRepairClean(image);
      });

      test('clone: every claimant has the bytes for itself', () => {
        const image = forge(base, undecided.make(base));
        repaired(image, 'clone');
        xfsRepairClean(image);
        const shown = contents(base, image);
        assert.equal(shown.get('victim'), 'victim');
        assert.equal(shown.get('same'), 'victim');
        const [a, b] = ['victim', 'same'].map((file) => bmap(image, base.ino.get(file)!)[0].startblock);
        assert.notEqual(a, b);
      });
    },
  );
}
