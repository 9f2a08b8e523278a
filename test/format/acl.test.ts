/** What is an ACL on disk: the rules are those of xfs_repair, the length that of Linux. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACL_TAG, type AclEntry, aclToDisk, isAclName, isAclValue } from '../../src/format/acl.js';
import { ATTR_FLAG } from '../../src/format/attr.js';

const { USER_OBJ, USER, GROUP_OBJ, MASK, OTHER } = ACL_TAG;
const entry = (tag: number, perm = 7, id?: number): AclEntry => ({ tag, perm, id });
const LEAST = [entry(USER_OBJ), entry(GROUP_OBJ), entry(OTHER)];
const NAMED = [...LEAST, entry(USER, 4, 1000), entry(MASK)];

test('an ACL has one entry each of owner, group and others, and a mask where it names somebody', () => {
  const holds = (entries: readonly AclEntry[]): boolean => isAclValue(aclToDisk(entries));
  assert.ok(holds(LEAST));
  assert.ok(holds(NAMED));
  assert.ok(holds([...NAMED, entry(USER, 0, 1001)]));
  assert.ok(!holds([]));
  for (const missing of LEAST) assert.ok(!holds(LEAST.filter((e) => e !== missing)));
  assert.ok(!holds(NAMED.filter((e) => e.tag !== MASK)));
  assert.ok(!holds([...NAMED, entry(MASK)]), 'two masks');
  assert.ok(!holds([...NAMED, entry(USER, 1, 1000)]), 'one user twice');
  assert.ok(!holds([...LEAST, entry(64)]), 'no such tag');
  assert.ok(!holds([entry(USER_OBJ, 8), ...LEAST.slice(1)]), 'no such permission');
});

test('its length is what its count says', () => {
  const value = aclToDisk(NAMED);
  assert.ok(!isAclValue(value.subarray(0, value.length - 1)));
  assert.ok(!isAclValue(Uint8Array.of(...value, 0)));
  assert.ok(!isAclValue(value.subarray(0, 3)));
});

test('only the two names of root’s namespace hold one', () => {
  for (const name of ['SGI_ACL_FILE', 'SGI_ACL_DEFAULT']) {
    assert.ok(isAclName(ATTR_FLAG.ROOT, Buffer.from(name)));
    assert.ok(!isAclName(0, Buffer.from(name)), 'a user may name an attribute so');
  }
  assert.ok(!isAclName(ATTR_FLAG.ROOT, Buffer.from('SGI_ACL_FILE2')));
});
