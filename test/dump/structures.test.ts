import assert from 'node:assert/strict';
import test from 'node:test';
import {
  AGF_FIELDS,
  AGFL_FIELDS,
  AGI_FIELDS,
  dumpAgf,
  dumpAgfl,
  dumpAgi,
  dumpSb,
  SB,
} from '../../src/dump/headers.js';
import { dumpInode, INODE } from '../../src/dump/inode.js';
import { dumpInodes, INODES } from '../../src/dump/inodes.js';
import type { Cell, RowSink, Table } from '../../src/dump/table.js';
import { textToBytes } from '../../src/format/text.js';
import { populated } from '../support/cache.js';
import { oracle } from '../support/oracle.js';
import { inodes, print, printInodes } from '../support/xfsdb.js';
import { collect, SHAPES, withVolume } from './support.js';

/** A value as xfs_db prints it, made comparable: numbers as bigint, "null" as null, names in brackets dropped. */
function plain(text: string): bigint | string | null {
  if (text === 'null') return null;
  if (/^".*"$/s.test(text)) return unquote(text.slice(1, -1));
  const bare = text.replace(/ \(.*\)$/, '');
  if (/^0[0-7]+$/.test(bare)) return BigInt(`0o${bare.slice(1)}`);
  if (/^-?(\d+|0x[0-9a-f]+)$/.test(bare)) return BigInt(bare);
  const time = Date.parse(`${bare} UTC`);
  return /^\w{3} \w{3} /.test(bare) && !Number.isNaN(time) ? BigInt(time / 1000) : bare;
}

/** xfs_db writes bytes it does not print in octal, or as a letter. */
const unquote = (s: string): string =>
  s.replace(/\\(\d{3}|.)/g, (_, code: string) => {
    if (code.length === 3) return String.fromCharCode(Number.parseInt(code, 8));
    // \a to \g are the characters 7 to 13.
    const control = 'abcdefg'.indexOf(code);
    return control < 0 ? code : String.fromCharCode(7 + control);
  });

const ours = (value: Cell): bigint | string | null =>
  typeof value === 'number'
    ? BigInt(value)
    : typeof value === 'string'
      ? latin1(value)
      : (value as bigint | null);

/** xfs_db's output is read as latin1, a character for each byte. */
const latin1 = (s: string): string => Buffer.from(textToBytes(s)).toString('latin1');

/** Splits what xfs_db prints of arrays into one entry for each element, under the names of our rows. */
function* elements(field: string, value: string): Generator<[string, bigint | string | null]> {
  const array = /^(.*)\[(\d+)(?:-\d+)?\]$/.exec(field);
  const records = /^\[([a-z,]+)\] (.*)$/.exec(value);
  if (array && records) {
    const names = records[1].split(',');
    for (const [, index, cells] of records[2].matchAll(/(\d+):\[([^\]]*)\]/g))
      for (const [i, cell] of cells.split(',').entries())
        yield [`${array[1]}[${index}].${names[i]}`, plain(cell)];
  } else if (array && /^\d+:/.test(value)) {
    for (const [, index, cell] of value.matchAll(/(\d+):(\S+)/g))
      yield [`${array[1]}[${index}]`, plain(cell)];
  } else if (array && value === '') return;
  else yield [field, plain(value)];
}

/** Compares rows with everything xfs_db prints of the same structure: same fields, same values. */
function compare(
  rows: Record<string, Cell>[],
  printed: Map<string, string>,
  what: string,
  extra: (field: string) => boolean = () => false,
): number {
  const mine = new Map(rows.map((r) => [r.field as string, ours(r.value)]));
  let n = 0;
  for (const [field, value] of printed)
    for (const [name, expected] of elements(field, value)) {
      // Fields of features the filesystem has not are printed without a value.
      if (expected === '(empty)' || (value === '' && mine.get(name) === 0n)) {
        mine.delete(name);
        continue;
      }
      assert.ok(mine.has(name), `${what}: ${name} is missing`);
      // The label is shown up to its padding.
      const whole = name === 'fname' ? String(expected).replace(/\0+$/, '') : expected;
      assert.equal(mine.get(name), whole, `${what}: ${name}`);
      mine.delete(name);
      n++;
    }
  assert.deepEqual(
    [...mine.keys()].filter((name) => !extra(name)),
    [],
    `${what}: fields xfs_db does not print`,
  );
  return n;
}

for (const { name, mkfs, scale } of SHAPES)
  test(`every field of the AG headers is what xfs_db prints: ${name}`, oracle('mount', 'xfs_db'), () => {
    const { image } = populated({ mkfs, populate: { scale } });
    withVolume(image, (volume) => {
      const headers: [string, Table, (sink: RowSink, agno: number) => void][] = [
        ['sb', SB, (sink, agno) => dumpSb(volume, sink, { agno })],
        ['agf', AGF_FIELDS, (sink, agno) => dumpAgf(volume, sink, { agno })],
        ['agi', AGI_FIELDS, (sink, agno) => dumpAgi(volume, sink, { agno })],
        ['agfl', AGFL_FIELDS, (sink, agno) => dumpAgfl(volume, sink, { agno })],
      ];
      for (let agno = 0; agno < volume.g.agcount; agno++)
        for (const [what, table, run] of headers) {
          const { rows, faults } = collect(volume, table, (sink) => run(sink, agno));
          assert.deepEqual(faults, []);
          assert.ok(rows.every((row) => row.agno === agno));
          const printed = print(image, [`${what} ${agno}`, 'p']);
          const n = compare(rows, printed, `${what} ${agno}`);
          assert.ok(n >= 5);
        }
    });
  });

for (const { name, mkfs, scale } of SHAPES)
  test(`every field of every inode is what xfs_db prints: ${name}`, oracle('mount', 'xfs_db'), () => {
    const { image } = populated({ mkfs, populate: { scale } });
    withVolume(image, (volume) => {
      const { used, free } = inodes(image);
      // All inodes of a small image, and every third of a large one.
      const chosen = used.filter((_, i) => used.length < 3000 || i % 3 === 0);
      let fields = 0;
      for (const [ino, printed] of printInodes(image, chosen)) {
        const { rows, faults } = collect(volume, INODE, (sink) => dumpInode(volume, sink, [ino]));
        assert.deepEqual(faults, []);
        fields += compare(rows, printed, `inode ${ino}`, (field) => field === 'core.flags');
      }
      assert.ok(fields > 50 * chosen.length);
      const all = collect(volume, INODES, (sink) => dumpInodes(volume, sink, { free: true }));
      assert.deepEqual(all.faults, []);
      const numbers = (allocated: boolean): unknown[] =>
        all.rows.filter((row) => row.allocated === allocated).map((row) => row.ino);
      assert.deepEqual(numbers(true), used);
      assert.deepEqual(numbers(false), free);
    });
  });
