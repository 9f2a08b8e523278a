/** When an extent goes back to blocks that lack an owner, and when that could be anybody's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JudgedRun } from '../../src/repair/judge/judge.js';
import { putBack } from '../../src/repair/judge/moved.js';
import type { RunClaim } from '../../src/repair/judge/runs.js';
import type { ClaimVerdict } from '../../src/repair/judge/verdict.js';
import { CLAIM } from '../../src/repair/observe/columns.js';
import type { Observation } from '../../src/repair/observe/observe.js';

const LOST = 9;

/** A filesystem of one AG in which all is well but for the runs. */
const observation = (faults: object[] = []): Observation => {
  const sound = { sound: true };
  const trees = { bnobt: sound, cntbt: sound, inobt: sound, refcountbt: sound };
  return {
    volume: {
      g: { features: { rmapbt: false }, agblocks: 1000, blocksize: 4096 },
      block: () => new DataView(new ArrayBuffer(4096)),
    },
    log: { faults },
    inodes: { blockCounts: [], dangling: [] },
    ags: [{ trees, claims: { offset: new Float64Array(100) } }],
    table: { slots: 0 },
  } as unknown as Observation;
};

/** A run with claims of these inodes, all with the flag; LOST loses its own. */
function judged(start: number, owners: number[], refcount: number): JudgedRun {
  const claims = owners.map(
    (owner): RunClaim => ({
      index: owner,
      slot: owner,
      owner,
      offset: 0,
      info: CLAIM.DATA,
      flagged: true,
      extentBlocks: 4,
      confirmed: false,
    }),
  );
  const trust = { order: new Uint32Array(), suspicious: [], rmap: false, refcount: true, free: true };
  const none = { flagLost: [], restore: [], staleRmaps: [], missingRmaps: [] };
  return {
    run: {
      agno: 0,
      start,
      blocks: 4,
      claims,
      rmaps: [],
      refcount,
      cow: false,
      freeByStart: false,
      freeBySize: false,
      trust: { ...trust, freeDiffers: undefined },
    },
    verdict: {
      ...none,
      claims: owners.map((owner): ClaimVerdict => (owner === LOST ? 'corrupt' : 'kept')),
      code: 'duplicate.corrupt',
      refcount,
    },
  };
}

const places = (runs: JudgedRun[], faults?: object[]): [string, number][] =>
  [...putBack(observation(faults), runs)].map(([key, { start }]) => [key, start]);

test('an extent goes back to the one stretch of its length that lacks an owner', () => {
  assert.deepEqual(places([judged(200, [3, 4, LOST], 2), judged(300, [5], 2)]), [['9 0', 300]]);
  assert.deepEqual(places([judged(200, [3, LOST], 0), judged(300, [], 0)]), [['9 0', 300]]);
});

test('a refcount record that may have moved gives nothing back', () => {
  // Blocks 200 may have been shared, and the record of that be the one over blocks 300.
  assert.deepEqual(places([judged(200, [3, LOST], 0), judged(300, [5], 2)]), []);
});

test('nothing goes back where more is missing, or something else may have owned it', () => {
  const lost = judged(200, [3, LOST], 0);
  assert.deepEqual(places([lost, judged(300, [], 0), judged(400, [], 0)]), []);
  assert.deepEqual(places([lost, judged(300, [5], 3)]), []);
  assert.deepEqual(places([lost, judged(300, [], 0)], [{ structure: 'dinode', ino: 77 }]), []);
});
