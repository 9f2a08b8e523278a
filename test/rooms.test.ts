import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/**
 * The rooms of the house, each with those it may import from. Everything points down; rooms of one height do
 * not know each other, but for what is named here.
 */
const BELOW: Record<string, string[]> = {
  format: [],
  image: ['format'],
  volume: ['image', 'format'],
  journal: ['volume', 'image', 'format'],
  transaction: ['journal', 'volume', 'image', 'format'],
  build: ['transaction', 'journal', 'volume', 'image', 'format'],
  // What is put into an image is read from the same sources mkfs fills one from.
  edit: ['mkfs', 'build', 'transaction', 'journal', 'volume', 'image', 'format'],
  mkfs: ['build', 'transaction', 'journal', 'volume', 'image', 'format'],
  repair: ['build', 'transaction', 'journal', 'volume', 'image', 'format'],
  dump: ['journal', 'volume', 'image', 'format'],
  report: ['dump', 'repair', 'transaction', 'journal', 'volume', 'image', 'format'],
  cli: [
    'report',
    'dump',
    'repair',
    'mkfs',
    'edit',
    'build',
    'transaction',
    'journal',
    'volume',
    'image',
    'format',
  ],
  // What programs see: everything but the command line.
  library: ['dump', 'repair', 'edit', 'transaction', 'journal', 'volume', 'image', 'format'],
  '.': ['library', 'dump', 'repair', 'edit', 'transaction', 'journal', 'volume', 'image', 'format'],
};

const src = resolve(dirname(fileURLToPath(import.meta.url)), '../src');

function* imports(): Generator<{ file: string; from: string; to: string }> {
  for (const entry of readdirSync(src, { recursive: true, encoding: 'utf8' })) {
    if (!entry.endsWith('.ts')) continue;
    const file = join(src, entry);
    const room = entry.includes('/') ? entry.split('/')[0] : '.';
    for (const match of readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)) {
      const target = relative(src, resolve(dirname(file), match[1]));
      yield { file: entry, from: room, to: target.includes('/') ? target.split('/')[0] : '.' };
    }
  }
}

test('imports between rooms point down only', () => {
  const upward: string[] = [];
  let count = 0;
  for (const { file, from, to } of imports()) {
    count++;
    assert.ok(BELOW[from], `${file} stands in no known room`);
    if (from !== to && !BELOW[from].includes(to)) upward.push(`${file} imports from ${to}/`);
  }
  assert.ok(count > 20, 'the imports of src were found');
  assert.deepEqual(upward, []);
});

test('format and volume do no I/O of their own', () => {
  for (const { file } of imports()) {
    if (!/^(format|volume|build|dump)\//.test(file)) continue;
    // Extracting a tree is writing files: the one part of dump that has to.
    if (file.startsWith('dump/extract/')) continue;
    assert.doesNotMatch(readFileSync(join(src, file), 'utf8'), /from 'node:(fs|net|child_process)'/, file);
  }
});
