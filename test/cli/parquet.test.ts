/** Tables as Parquet, read back by DuckDB. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openImage } from '../../src/cli/image.js';
import { openTable } from '../../src/cli/render/table.js';
import { any, bool, emitRow, int, optional, table, text, u64, uint } from '../../src/dump/table.js';
import { TABLES } from '../../src/dump/tables.js';
import { bytesToText } from '../../src/format/text.js';
import { xfsimg } from '../support/cli.js';
import { quote, type Row, sql } from '../support/duckdb.js';
import { sha256, tmpdir } from '../support/oracle.js';
import { unpackImage } from '../support/unpack.js';

const folder = tmpdir();
const at = (name: string): string => join(folder, name);
for (const fixture of ['shared-healthy', 'duplicate-unflagged'])
  unpackImage(join(import.meta.dirname, `../../fixtures/${fixture}/image.gz`), at(fixture));
const healthy = at('shared-healthy');
const damaged = at('duplicate-unflagged');
xfsimg(['setfattr', healthy, '-n', 'user.kind', '-v', 'sample', '/']);

const SQL_TYPE = {
  uint: 'BIGINT',
  int: 'BIGINT',
  u64: 'UBIGINT',
  bool: 'BOOLEAN',
  text: 'VARCHAR',
  any: 'VARCHAR',
};

/** Every table, and a command line that prints it. */
const COMMANDS: readonly (readonly [table: string, ...words: string[]])[] = [
  ...['sb', 'agf', 'agi', 'agfl', 'extents', 'refcount', 'rmap', 'free', 'inodes', 'dir', 'attr'].map(
    (name) => [name, 'dump', healthy, name] as const,
  ),
  ['inode', 'dump', healthy, 'inode', '128'],
  ['shared', 'dump', healthy, 'shared', '--paths'],
  ...['bnobt', 'cntbt', 'rmapbt', 'refcountbt', 'inobt', 'finobt'].map(
    (name) => [`btree ${name}`, 'dump', healthy, 'btree', name] as const,
  ),
  ['btree blocks', 'dump', healthy, 'btree', 'bnobt', '--blocks'],
  ['files', 'ls', healthy, '-R'],
  ['files', 'find', healthy],
  ['files', 'stat', healthy, '/'],
  ['info', 'info', healthy],
  ['du', 'du', healthy, '--all'],
  ['map', 'map', healthy],
  ['log status', 'log', healthy, 'status'],
  ['log records', 'log', healthy, 'records', '--all'],
  ['log transactions', 'log', healthy, 'transactions', '--all'],
  ['log items', 'log', healthy, 'items', '--all'],
  ['findings', 'repair', damaged, '-n', '-v'],
];

for (const [name, ...words] of COMMANDS)
  test(`${name}: ${words.filter((w) => !w.startsWith('/tmp')).join(' ')}`, async () => {
    const told = xfsimg([...words, '--format', 'ndjson'], { encoding: 'utf8' });
    const file = at('rows.parquet');
    const ran = xfsimg([...words, '--format', 'parquet', '-o', file], { encoding: 'utf8' });
    assert.equal(ran.status, told.status);
    assert.equal(ran.stdout, '');
    if (name !== 'findings') assert.equal(ran.status, 0, ran.stderr);
    const { columns } = TABLES.get(name)!;
    const nameOf = (own: string): string => (own === 'uuid' ? 'row_uuid' : own);
    const described = await sql(`DESCRIBE SELECT * FROM ${quote(file)}`);
    assert.deepEqual(
      described.map((d) => [d.column_name, d.column_type]),
      [
        ...['image', 'label', 'uuid'].map((subject) => [subject, 'VARCHAR']),
        ...columns.map((c) => [nameOf(c.name), SQL_TYPE[c.kind]]),
      ],
    );
    const lines = told.stdout.split('\n').filter((line) => line !== '');
    assert.ok(lines.length > 0);
    const volume = openImage(words[1]);
    const expected = lines.map((line) => {
      const row: Row = { image: words[1], label: '', uuid: volume.g.uuid };
      for (const [key, value] of Object.entries(JSON.parse(line)))
        row[nameOf(key)] =
          typeof value === 'number' || columns.find((c) => c.name === key)!.kind === 'any'
            ? value === null
              ? null
              : String(value)
            : value;
      return row;
    });
    volume.close();
    assert.deepEqual(await sql(`SELECT * FROM ${quote(file)}`), expected);
  });

const T = table('sample', 'rows of a test', {
  n: uint('a number'),
  big: optional(u64('a large number')),
  signed: optional(int('below zero too')),
  name: optional(text('a name')),
  flag: optional(bool('a flag')),
  image: any('anything, under a name that is taken'),
});

test('numbers of 64 bits, nulls, bytes that are no UTF-8, and several row groups', async () => {
  const file = at('sample.parquet');
  const volume = openImage(healthy);
  const rows = await openTable(T, { format: 'parquet', output: file }, { image: healthy, volume });
  const nothing = { big: null, signed: null, name: null, flag: null, image: null };
  emitRow(rows, T, { n: 0, ...nothing });
  emitRow(rows, T, {
    n: 2 ** 53 - 1,
    big: 2 ** 64,
    signed: -1,
    name: '',
    flag: false,
    image: 2n ** 64n - 1n,
  });
  const name = bytesToText(Uint8Array.of(0x61, 0xff, 0xc3, 0xa9, 0x5c));
  emitRow(rows, T, { n: 2 ** 32, big: 2 ** 63, signed: -(2 ** 40) - 7, name, flag: true, image: false });
  const more = 150_000;
  for (let i = 1; i <= more; i++)
    emitRow(rows, T, { n: i * 3e9, ...nothing, name: i % 2 === 0 ? `é${i % 10}` : null, flag: i % 3 === 0 });
  rows.finish();
  volume.close();
  const got = await sql(`SELECT * EXCLUDE (image, label, uuid) FROM ${quote(file)} LIMIT 3`);
  assert.deepEqual(got, [
    { n: '0', big: null, signed: null, name: null, flag: null, row_image: null },
    {
      ...{ n: '9007199254740991', big: '18446744073709551615', signed: '-1' },
      ...{ name: '', flag: false, row_image: '18446744073709551615' },
    },
    {
      ...{ n: '4294967296', big: '9223372036854775808', signed: '-1099511627783' },
      ...{ name: 'a\\xffé\\', flag: true, row_image: 'false' },
    },
  ]);
  const sum = await sql(`
    SELECT count(*) count, sum(n)::VARCHAR total, count(name) named, count(DISTINCT name) kinds,
      count(*) FILTER (flag) flagged, count(big) bigs
    FROM (SELECT * FROM ${quote(file)} OFFSET 3)`);
  assert.deepEqual(sum, [
    {
      count: String(more),
      total: String((BigInt(more) * BigInt(more + 1) * 3_000_000_000n) / 2n),
      named: String(more / 2),
      kinds: '5',
      flagged: String(more / 3),
      bigs: '0',
    },
  ]);
  const groups = await sql(
    `SELECT DISTINCT row_group_id, row_group_num_rows FROM parquet_metadata(${quote(file)}) ORDER BY 1`,
  );
  assert.equal(groups.length, 3);
});

test('no rows: a file with the columns', async () => {
  const file = at('none.parquet');
  const ran = xfsimg(['repair', healthy, '-n', '--format', 'parquet', '-o', file]);
  assert.equal(ran.status, 0, ran.stderr);
  assert.deepEqual(await sql(`SELECT * FROM ${quote(file)}`), []);
  assert.equal((await sql(`DESCRIBE SELECT * FROM ${quote(file)}`)).length, 13);
});

test('--columns, standard output, and other formats into a file', async () => {
  const file = at('some.parquet');
  const words = ['dump', healthy, 'refcount', '--columns', 'refcount,agbno'];
  xfsimg([...words, '--format', 'parquet', '-o', file]);
  const described = await sql(`DESCRIBE SELECT * FROM ${quote(file)}`);
  assert.deepEqual(
    described.map((d) => d.column_name),
    ['image', 'label', 'uuid', 'refcount', 'agbno'],
  );
  const out = xfsimg([...words, '--format', 'parquet', '-o', '-']);
  assert.equal(out.stdout, readFileSync(file, 'latin1'));
  for (const format of ['table', 'json', 'ndjson', 'csv', 'tsv']) {
    const told = xfsimg([...words, '--format', format]);
    const ran = xfsimg([...words, '--format', format, '-o', at('rows')]);
    assert.deepEqual([ran.status, ran.stdout, ran.stderr], [0, '', '']);
    assert.equal(readFileSync(at('rows'), 'latin1'), told.stdout);
  }
  // Without --format -o means rows as a pipe gets them, with commands that print no table by themselves too.
  for (const command of ['ls', 'find', 'map', 'info']) {
    const told = xfsimg([command, healthy, '--format', 'tsv']);
    xfsimg([command, healthy, '-o', at('rows')]);
    assert.equal(readFileSync(at('rows'), 'latin1'), told.stdout);
  }
});

test('bad input is one line, and nothing is written', () => {
  const hash = sha256(healthy);
  const file = at('absent.parquet');
  const wrong: [string[], number, RegExp][] = [
    [['info', healthy, '--format', 'parquet'], 64, /--format parquet needs -o FILE/],
    [['repair', healthy, '-n', '--format', 'parquet'], 64, /--format parquet needs -o FILE/],
    [['repair', healthy, '--format', 'parquet', '-o', file], 64, /need -n/],
    [['repair', healthy, '-n', '--json', '--format', 'csv'], 64, /no --json/],
    [['info', healthy, '--columns', 'nope', '--format', 'parquet', '-o', file], 64, /no column 'nope'/],
    [['info', healthy, '--format', 'parquet', '-o', at('no/such/file')], 1, /no such file or directory/],
    [['info', healthy, '--format', 'parquet', '-o', folder], 1, /directory/],
    [['info', healthy, '--format', 'csv', '-o', healthy], 64, /this is the image itself/],
    [['info', at('nothing'), '--format', 'parquet', '-o', file], 1, /cannot open/],
    [['dedupe', healthy, '/', '--format', 'parquet'], 64, /--format parquet needs -o FILE/],
    [['dedupe', healthy, '/', '--format', 'parquet', '-o', at('no/such/file')], 1, /no such file/],
  ];
  if (existsSync('/dev/full'))
    wrong.push(
      [['info', healthy, '--format', 'parquet', '-o', '/dev/full'], 1, /full: cannot write: no space/],
      [['info', healthy, '-o', '/dev/full'], 1, /full: cannot write: no space/],
    );
  for (const [words, status, line] of wrong) {
    const ran = xfsimg(words);
    assert.match(ran.stderr, line);
    assert.match(ran.stderr, /^xfsimg: [^\n]+\n$/, words.join(' '));
    assert.deepEqual([ran.status, ran.stdout], [status, '']);
  }
  assert.ok(!existsSync(file));
  assert.equal(sha256(healthy), hash);
});
