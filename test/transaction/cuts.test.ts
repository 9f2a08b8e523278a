import assert from 'node:assert/strict';
import { test } from 'node:test';
import { oracle } from '../support/oracle.js';
import { type Campaign, cutCampaign } from './campaign.js';

const needs = oracle('mount', 'mkfs.xfs', 'xfs_repair');
/** More cuts than the suite has time for: XFSIMG_CUTS=200, or 0 for every sector. */
const wish = process.env.XFSIMG_CUTS;
const points = wish === undefined ? 16 : Number(wish) || Number.POSITIVE_INFINITY;

const campaigns: Record<string, Campaign> = {
  'rmapbt, 1 KiB blocks': {
    seed: 31,
    mib: 64,
    args: ['-b', 'size=1024', '-m', 'rmapbt=1', '-d', 'agcount=3'],
    warmup: 300,
    operations: 40,
    points,
  },
  'no rmapbt, log stripe unit': {
    seed: 41,
    mib: 64,
    args: ['-m', 'rmapbt=0', '-d', 'agcount=3', '-l', 'su=16k'],
    warmup: 300,
    operations: 40,
    points,
  },
  'rmapbt, nrext64, long log records': {
    seed: 42,
    mib: 80,
    args: ['-m', 'rmapbt=1', '-d', 'agcount=3', '-i', 'nrext64=1', '-l', 'su=64k'],
    warmup: 300,
    operations: 40,
    points,
  },
};

for (const [name, campaign] of Object.entries(campaigns))
  test(`cut anywhere, an operation is wholly there or not at all: ${name}`, needs, (t) => {
    const result = cutCampaign(campaign);
    const { failures, ...rest } = result;
    t.diagnostic(JSON.stringify(rest));
    assert.deepEqual(failures, []);
    assert.ok(result.points > 0);
    assert.ok((result.states.before ?? 0) > 0);
  });
