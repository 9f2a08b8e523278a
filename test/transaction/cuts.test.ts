import assert from 'node:assert/strict';
import { test } from 'node:test';
import { oracle } from '../support/oracle.js';
import {
  attrSubject,
  type Campaign,
  cutCampaign,
  fileSubject,
  linkSubject,
  type Subject,
} from './campaign.js';

const needs = oracle('mount', 'mkfs.xfs', 'xfs_repair', 'getfattr', 'mknod', 'xfs_io');
/** More cuts than the suite has time for: XFSIMG_CUTS=200, or 0 for every sector. */
const wish = process.env.XFSIMG_CUTS;
const points = wish === undefined ? 8 : Number(wish) || Number.POSITIVE_INFINITY;

interface Cuts {
  campaign: Campaign;
  subject: Subject<unknown>;
}
/** States are for the subject alone: a campaign only hands them back. */
const cuts = <State>(campaign: Campaign, subject: Subject<State>): Cuts => ({
  campaign,
  subject: subject as Subject<unknown>,
});

const campaigns: Record<string, Cuts> = {
  'rmapbt, 1 KiB blocks': cuts(
    {
      seed: 31,
      mib: 64,
      args: ['-b', 'size=1024', '-m', 'rmapbt=1', '-d', 'agcount=3'],
      warmup: 300,
      operations: 40,
      points,
    },
    fileSubject(),
  ),
  'no rmapbt, log stripe unit': cuts(
    {
      seed: 41,
      mib: 64,
      args: ['-m', 'rmapbt=0', '-d', 'agcount=3', '-l', 'su=16k'],
      warmup: 300,
      operations: 40,
      points,
    },
    fileSubject(),
  ),
  'rmapbt, nrext64, long log records': cuts(
    {
      seed: 42,
      mib: 80,
      args: ['-m', 'rmapbt=1', '-d', 'agcount=3', '-i', 'nrext64=1', '-l', 'su=64k'],
      warmup: 300,
      operations: 40,
      points,
    },
    fileSubject(),
  ),
  // From the inode to a block; from a block to leaf and data blocks; with free-space blocks and nodes.
  'names: short form and block': cuts(
    { seed: 51, mib: 64, args: ['-m', 'rmapbt=1'], warmup: 30, operations: 60, points },
    linkSubject(12),
  ),
  'names: leaf form': cuts(
    { seed: 52, mib: 64, args: ['-b', 'size=1024'], warmup: 120, operations: 60, points },
    linkSubject(40),
  ),
  'names: node form, directory blocks of 8 KiB': cuts(
    { seed: 53, mib: 64, args: ['-n', 'size=8k', '-m', 'rmapbt=1'], warmup: 5000, operations: 40, points },
    linkSubject(4000),
  ),
  'names: directory blocks in pieces': cuts(
    {
      seed: 54,
      mib: 40,
      args: ['-b', 'size=1024', '-n', 'size=8k', '-m', 'rmapbt=1'],
      warmup: 250,
      operations: 30,
      points,
    },
    linkSubject(150, true),
  ),
  'attributes, 1 KiB blocks': cuts(
    { seed: 61, mib: 64, args: ['-b', 'size=1024', '-m', 'rmapbt=1'], warmup: 150, operations: 60, points },
    attrSubject(),
  ),
};

for (const [name, { campaign, subject }] of Object.entries(campaigns))
  test(`cut anywhere, an operation is wholly there or not at all: ${name}`, needs, (t) => {
    const result = cutCampaign(campaign, subject);
    const { failures, ...rest } = result;
    t.diagnostic(JSON.stringify(rest));
    assert.deepEqual(failures, []);
    assert.ok(result.points > 0);
    assert.ok((result.states.before ?? 0) > 0);
  });
