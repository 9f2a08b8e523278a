import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Geometry } from '../../src/format/geometry.js';
import { isFileRange } from '../../src/volume/fork.js';

test('blocks of a file end within 2^63 bytes, also where sums of their numbers are no longer exact', () => {
  const k1 = { blocksize: 1024 } as Geometry;
  assert.equal(isFileRange(k1, 2 ** 53 - 1, 1), true);
  assert.equal(isFileRange(k1, 2 ** 53, 1), false);
  assert.equal(isFileRange(k1, 2 ** 53 - 4, 5), false);
  const k4 = { blocksize: 4096 } as Geometry;
  assert.equal(isFileRange(k4, 2 ** 51 - 7, 7), true);
  assert.equal(isFileRange(k4, 2 ** 51 - 7, 8), false);
});
