/** With the same options and UUID, an image of ours and one of mkfs.xfs differ in nothing but the time. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { oracle } from '../support/oracle.js';
import { CASES, caseName } from './cases.js';
import { discard, folderFor, makeOurs, makeWithOracle, UUID, unexplained } from './support.js';

describe('mkfs and mkfs.xfs make the same bytes', () => {
  for (const one of CASES.filter((c) => c.quick))
    test(caseName(one), oracle('mkfs.xfs', 'xfs_io'), async () => {
      const folder = folderFor(one.size) as string;
      const theirs = join(folder, 'theirs');
      const ours = join(folder, 'ours');
      try {
        makeWithOracle(theirs, one);
        await makeOurs(ours, one, { uuid: UUID });
        assert.deepEqual(unexplained(theirs, ours), []);
      } finally {
        discard(theirs, ours);
      }
    });
});
