/** The committed images: each must give the findings its folder lists, and no other. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fixture } from '../support/fixture.js';
import { findings, verdicts } from './base.js';

const root = fileURLToPath(new URL('../../fixtures/', import.meta.url));

for (const name of readdirSync(root)) {
  let expected: string;
  try {
    expected = readFileSync(join(root, name, 'findings'), 'utf8');
  } catch {
    continue; // a fixture of another kind
  }
  test(`fixture ${name}`, () => {
    assert.deepEqual(verdicts(findings(fixture(name)).damage), expected.split('\n').filter(Boolean));
  });
}
