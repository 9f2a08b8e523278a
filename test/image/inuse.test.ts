import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { imageInUse } from '../../src/image/inuse.js';
import { withMount } from '../support/mount.js';
import { oracle, tmpdir } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';

test('a mounted image is in use, by name of loop device and mount point', oracle('mkfs.xfs', 'mount'), () => {
  const path = join(tmpdir(), 'fs.img');
  mkfs(path, { size: 320 * 2 ** 20 });
  assert.equal(imageInUse(path), undefined);
  withMount(path, (root) => {
    const why = imageInUse(path) ?? '';
    assert.match(why, /^attached to \/dev\/loop\d+, mounted at /);
    assert.ok(why.endsWith(root), why);
  });
  assert.equal(imageInUse(path), undefined);
  assert.equal(imageInUse(join(tmpdir(), 'absent')), undefined);
});
