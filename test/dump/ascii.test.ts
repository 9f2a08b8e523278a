import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ascii } from '../../src/dump/ascii.js';
import { random } from '../support/random.js';

test('numbers are written as String writes them', () => {
  const rnd = random(5);
  const numbers = [0, 1, -1, 9, 10, 1e9 - 1, 1e9, 1e9 + 1, 2 ** 31, 2 ** 53 - 1, 1 - 2 ** 53, 2 ** 64, 5e18];
  for (let i = 0; i < 2000; i++) numbers.push(Math.floor(2 ** (rnd() * 53)));
  const text = new Ascii();
  for (const n of numbers) assert.equal(text.clear().integer(n).toString(), String(n));
});

test('words and numbers follow each other, however many', () => {
  const text = new Ascii();
  let expected = '';
  for (let i = 0; i < 500; i++) {
    text.word(` n${i} `).integer(i * 1e10);
    expected += ` n${i} ${i * 1e10}`;
  }
  assert.equal(text.toString(), expected);
  assert.equal(text.clear().word('x').toString(), 'x');
});
