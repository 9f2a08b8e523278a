import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { glob } from '../../src/cli/glob.js';

const PATTERNS: [pattern: string, yes: string[], no: string[]][] = [
  ['*', ['', 'a', '.a', 'a/b', 'new\nline'], []],
  ['a*c', ['ac', 'abc', 'a/c', 'abcbc'], ['ab', 'bac']],
  ['?', ['a', '/', '日'], ['', 'ab']],
  ['[a-c]x', ['ax', 'cx'], ['dx', 'x', 'Ax']],
  ['[!a-c]x', ['dx', '-x'], ['ax', 'x']],
  ['[]x]', [']', 'x'], ['[', '[]x]']],
  ['[a-]', ['a', '-'], ['b']],
  ['[z-a]', [], ['z', 'a', 'm']],
  ['\\*', ['*'], ['a', '\\*']],
  ['a.b', ['a.b'], ['axb']],
  ['(a|b)+$', ['(a|b)+$'], ['a']],
  ['[', ['['], ['']],
  ['grün*', ['grünlich'], ['grau']],
];

test('patterns', () => {
  for (const [pattern, yes, no] of PATTERNS) {
    for (const s of yes) assert.ok(glob(pattern)(s), `${pattern} ${s}`);
    for (const s of no) assert.ok(!glob(pattern)(s), `${pattern} ${s}`);
  }
  assert.ok(glob('A*', true)('abc'));
  assert.ok(!glob('A*')('abc'));
});

test('a pattern that could backtrack for ever does not', () => {
  const start = performance.now();
  assert.ok(!glob(`${'*a'.repeat(12)}b`)('a'.repeat(200)));
  assert.ok(performance.now() - start < 2000);
});

test('any pattern is one, and means what the shell makes of it', () => {
  const text = fc.string({ unit: fc.constantFrom(...'ab-*?[]!\\.^'), maxLength: 6 });
  const name = fc.string({ unit: fc.constantFrom(...'ab-.]!^'), maxLength: 5 });
  const pairs = fc.sample(fc.tuple(text, name), { seed: 1, numRuns: 400 });
  // bash's [[ ]] has the same rules for names; what ends in a lone backslash differs between shells.
  const usable = pairs.filter(([pattern]) => !/\\$|\[[^\]]*$|\[[!^]?\]/.test(pattern));
  const script = `while IFS= read -r -d '' p && IFS= read -r -d '' n; do [[ $n == $p ]] && echo 1 || echo 0; done`;
  const { stdout } = spawnSync('bash', ['-c', script], {
    input: usable
      .flat()
      .map((s) => `${s}\0`)
      .join(''),
    encoding: 'utf8',
    env: { LC_ALL: 'C', PATH: process.env.PATH },
  });
  const said = stdout.trim().split('\n');
  assert.equal(said.length, usable.length);
  usable.forEach(([pattern, s], i) => {
    assert.equal(glob(pattern)(s) ? '1' : '0', said[i], JSON.stringify([pattern, s]));
  });
});
