/**
 * Every field of the superblock, AG headers, btrees and inodes set to zeros, ones, noise and its neighbours, the
 * checksum made right. Here a slice of it; `campaign.ts` takes them all. Directories, attributes and links have
 * the same in test/volume/hostile.test.ts.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { oracle } from '../support/oracle.js';
import { CHANGES, damage, isFree, names, observe } from './fuzzer.js';
import { healthy } from './image.js';
import { random } from './verbs.js';

/** One in this many changes is tried here. */
const EVERY = 9;

test('a damaged field is noticed and named, and nothing crashes or hangs', {
  ...oracle('mount'),
  timeout: 300_000,
}, () => {
  const { source, targets } = healthy();
  const next = random(20);
  let tried = 0;
  let noticed = 0;
  let count = next() % EVERY;
  for (const target of targets)
    for (const change of CHANGES) {
      if (count++ % EVERY !== 0) continue;
      const image = damage(source, target, change, next);
      if (image === undefined) continue;
      tried++;
      const what = `${target.structure}, ${target.field} set to ${change}`;
      const from = performance.now();
      const lines = observe(image, target);
      assert.ok(performance.now() - from < 20_000, `${what}: took too long`);
      if (lines.length === 0) assert.ok(isFree(target) !== undefined, `${what}: not noticed`);
      else {
        noticed++;
        assert.ok(names(target, lines), `${what}: noticed, but not named:\n${lines.join('\n')}`);
      }
    }
  assert.ok(tried > 400, `${tried} changes tried`);
  assert.ok(noticed > 200, `${noticed} changes noticed`);
});

test('the healthy image has nothing to notice in any target', oracle('mount'), () => {
  const { source, targets } = healthy();
  const looked = new Set<string>();
  for (const target of targets) {
    const key = `${target.structure} ${JSON.stringify(target.look)}`;
    if (looked.has(key)) continue;
    looked.add(key);
    assert.deepEqual(observe(source, target), [], key);
  }
  assert.ok(looked.size > 25);
});
