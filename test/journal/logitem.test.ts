import assert from 'node:assert/strict';
import { test } from 'node:test';
import { viewOf } from '../../src/format/structure.js';
import { ItemList } from '../../src/journal/logitem.js';
import { random } from '../support/random.js';

test('items split over records and copied out of them keep their regions', () => {
  const rnd = random(3);
  const upTo = (n: number): number => 1 + Math.floor(rnd() * n);
  for (let round = 0; round < 200; round++) {
    const items = new ItemList(true);
    const expected: number[][][] = [];
    // What the log is read into: once released it is read into again.
    let record = new Uint8Array(4096);
    let used = 0;
    const put = (bytes: number[]): number => {
      record.set(bytes, used);
      used += bytes.length;
      return used - bytes.length;
    };
    const next = (): void => {
      if (rnd() < 0.3) items.compact();
      if (rnd() < 0.1) {
        items.compact();
        record.fill(0xee);
      }
      record = new Uint8Array(4096);
      used = 0;
    };
    for (let i = upTo(40); i > 0; i--) {
      const count = upTo(4);
      items.begin(i, count);
      const regions: number[][] = [];
      expected.push(regions);
      for (let r = 0; r < count; r++) {
        if (used > 3000 || rnd() < 0.1) next();
        const region = Array.from({ length: upTo(60) }, () => Math.floor(rnd() * 256));
        regions.push([...region]);
        items.add(record, viewOf(record), put(region), region.length);
        while (rnd() < 0.1) {
          next();
          const more = Array.from({ length: upTo(60) }, () => Math.floor(rnd() * 256));
          regions[r].push(...more);
          items.extend(record.subarray(put(more), used));
        }
      }
    }
    if (rnd() < 0.5) next();
    assert.deepEqual(
      [...items].map((item) => item.regions.map((region) => [...region])),
      expected,
    );
    for (const [i, item] of [...items].entries()) {
      assert.deepEqual(item.copy().regions, item.regions);
      assert.equal(items.type(i), item.type);
      assert.equal(item.size, item.count);
      assert.equal(item.view.getUint8(0), expected[i][0][0]);
    }
  }
});
