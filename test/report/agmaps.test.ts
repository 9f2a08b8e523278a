/** The maps of a page too large for every run: cells, held against the blocks they were gathered from. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { USE, USE_NAMES } from '../../src/dump/rows/usage.js';
import { agMaps } from '../../src/report/agmaps.js';
import { readRuns } from '../../src/report/runs.js';
import { AgUsage, type Usage } from '../../src/report/usage.js';
import { random } from '../support/random.js';

/** AGs of short runs, with the use and the owners of every block beside them. */
function fragmented(lengths: readonly number[], longest: number) {
  const rnd = random(11);
  const kinds = [USE.free, USE.data, USE.data, USE.shared, USE.dir, USE.bmbt];
  const blocks = lengths.map((length) => ({ use: new Uint8Array(length), owners: new Uint32Array(length) }));
  const ags = lengths.map((length, agno) => {
    const ag = new AgUsage(agno, length);
    let last = -1;
    for (let at = 0; at < length; ) {
      const n = Math.min(length - at, 1 + Math.floor(rnd() * longest));
      // Damage is rare, and is to be seen all the same.
      let use = rnd() < 0.001 ? USE.lost : kinds[Math.floor(rnd() * kinds.length)];
      if (use === last) use = use === USE.free ? USE.data : USE.free;
      const owners = use === USE.shared ? 2 + Math.floor(rnd() * 200) : 1;
      ag.add(at, n, use, owners);
      blocks[agno].use.fill(use, at, at + n);
      blocks[agno].owners.fill(owners, at, at + n);
      last = use;
      at += n;
    }
    return ag;
  });
  return { usage: { ags } as unknown as Usage, blocks };
}

test('above 120,000 runs a page has cells, each what its blocks are', () => {
  const lengths = [262_144, 262_144, 99_991];
  const { usage, blocks } = fragmented(lengths, 5);
  assert.ok(usage.ags.reduce((n, ag) => n + ag.count, 0) > 120_000);
  const { perCell, maps } = agMaps(usage);
  assert.equal(perCell, 16);
  maps.forEach((packed, agno) => {
    const runs = readRuns(Buffer.from(packed, 'base64'));
    const { use, owners } = blocks[agno];
    let next = 0;
    for (let run = 0; run < runs.count; run++) {
      assert.equal(runs.start[run], next);
      next += runs.blocks[run];
      for (let at = runs.start[run]; at < next; at += perCell) {
        const end = Math.min(at + perCell, lengths[agno]);
        const sums = new Map<number, number>();
        for (let b = at; b < end; b++) sums.set(use[b], (sums.get(use[b]) ?? 0) + 1);
        const where = `AG ${agno} block ${at}`;
        const most = Math.max(...sums.values());
        assert.equal(sums.get(runs.use[run]), most, where);
        assert.equal(runs.share[run], Math.max(1, Math.floor((most / (end - at)) * 255)), where);
        const rest = [...sums].filter(([kind]) => kind !== runs.use[run]);
        if (rest.length === 0) assert.equal(runs.also[run], runs.use[run], where);
        else if (rest.some(([kind]) => kind === USE.lost))
          assert.equal(USE_NAMES[runs.also[run]], 'lost', where);
        else assert.equal(sums.get(runs.also[run]), Math.max(...rest.map(([, n]) => n)), where);
        const highest = Math.max(...owners.subarray(at, end));
        assert.equal(runs.owners[run], highest, where);
      }
    }
    assert.equal(next, lengths[agno]);
  });
});

test('up to there it has every run', () => {
  const { usage } = fragmented([4096, 1000], 5);
  const { perCell, maps } = agMaps(usage);
  assert.equal(perCell, 1);
  usage.ags.forEach((ag, agno) => {
    const runs = readRuns(Buffer.from(maps[agno], 'base64'));
    assert.deepEqual([...runs.blocks.subarray(0, runs.count)], [...ag.blocks.subarray(0, ag.count)]);
    assert.deepEqual([...runs.use.subarray(0, runs.count)], [...ag.use.subarray(0, ag.count)]);
  });
});
