/** A slice of the edit campaign (test/campaign/edit.ts). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { oracle } from '../support/oracle.js';
import { SHAPES } from './shapes.js';
import { twinCampaign } from './twin.js';

const needs = oracle('mount', 'mkfs.xfs', 'xfs_repair', 'xfs_io', 'setfattr', 'getfattr', 'setfacl');

for (const [index, name] of ['linux, rmapbt', 'xfsimg, nearly full, 1 KiB blocks'].entries())
  test(`random edits, by Linux on a twin too: ${name}`, needs, async () => {
    const shape = SHAPES.find((s) => s.name === name)!;
    const { done } = await twinCampaign({ ...shape, seed: 3000 + index, operations: 120, batch: 60 });
    assert.ok(Object.keys(done).length > 12, `only ${Object.keys(done).join(', ')}`);
  });
