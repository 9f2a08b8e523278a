/** Verdicts on runs of blocks that no forged image shows easily. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Run, RunClaim } from '../../src/repair/judge/runs.js';
import { type Context, judgeRun, SUSPICION } from '../../src/repair/judge/verdict.js';
import { CLAIM } from '../../src/repair/observe/columns.js';

const claim = (owner: number, offset: number, info: number, confirmed = false): RunClaim => ({
  index: 0,
  slot: owner,
  owner,
  offset,
  info,
  flagged: false,
  extentBlocks: 1,
  confirmed,
});

const runOf = (claims: RunClaim[], rmap = false): Run => ({
  agno: 0,
  start: 100,
  blocks: 1,
  claims,
  rmaps: [],
  refcount: 0,
  cow: false,
  freeByStart: false,
  freeBySize: false,
  trust: {
    order: new Uint32Array(),
    suspicious: [],
    rmap,
    refcount: true,
    free: true,
    freeDiffers: undefined,
  },
});

/** The block says that it is inode 7's. */
const OF_SEVEN: Context = {
  stands: (_, c) => c.owner === 7,
  isLostMapping: () => false,
  isMappedElsewhere: () => false,
  suspicion: () => SUSPICION.NONE,
};

test('a block of attributes that its own fork maps twice is kept at one place', () => {
  const twice = [claim(7, 3, CLAIM.ATTR), claim(7, 90, CLAIM.ATTR)];
  assert.deepEqual(judgeRun(runOf(twice), OF_SEVEN).claims, ['kept', 'corrupt']);
  const recorded = [claim(7, 3, CLAIM.ATTR), claim(7, 90, CLAIM.ATTR, true)];
  assert.deepEqual(judgeRun(runOf(recorded, true), OF_SEVEN).claims, ['corrupt', 'kept']);
});

test('a block of attributes is not the file that maps it as data, nor another file', () => {
  const mixed = [claim(5, 0, CLAIM.DATA), claim(7, 3, CLAIM.ATTR), claim(8, 0, CLAIM.ATTR)];
  assert.deepEqual(judgeRun(runOf(mixed), OF_SEVEN).claims, ['corrupt', 'kept', 'corrupt']);
});

test('of two claims of metadata that does not verify, the one of an inode that adds up is kept', () => {
  const context: Context = {
    ...OF_SEVEN,
    stands: () => false,
    suspicion: (_, c) => (c.owner === 8 ? SUSPICION.INODE : SUSPICION.NONE),
  };
  const claims = [claim(8, 200, CLAIM.ATTR), claim(9, 0, CLAIM.DIR)];
  assert.deepEqual(judgeRun(runOf(claims), context).claims, ['corrupt', 'kept']);
});

test('blocks of one file that nobody else has keep it though the rmap btree gives its place elsewhere', () => {
  const context: Context = { ...OF_SEVEN, isMappedElsewhere: () => true };
  const run = runOf([claim(5, 40, CLAIM.DATA)], true);
  const { claims, missingRmaps } = judgeRun(run, context);
  assert.deepEqual([claims, missingRmaps], [['kept'], [0]]);
  // Free blocks are nobody's: there the record is right.
  const free = { ...run, freeByStart: true, freeBySize: true };
  assert.deepEqual(judgeRun(free, context).claims, ['corrupt']);
});
