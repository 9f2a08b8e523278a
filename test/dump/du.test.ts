import assert from 'node:assert/strict';
import { test } from 'node:test';
import { populated } from '../support/cache.js';
import { oracle } from '../support/oracle.js';
import { deletions } from './deletions.js';

test(
  'exclusive is what becomes free when Linux deletes a path',
  oracle('mkfs.xfs', 'xfs_db', 'mount'),
  () => {
    const { image } = populated({ mkfs: { args: ['-m', 'rmapbt=1'] } });
    const { files, directories, sharing } = deletions(image, 12, 7);
    assert.equal(files + directories, 12);
    assert.ok(sharing > 0);
  },
);
