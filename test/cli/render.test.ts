import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { CliError } from '../../src/cli/errors.js';
import { openImage } from '../../src/cli/image.js';
import { openTable, type TableOptions } from '../../src/cli/render/table.js';
import { any, bool, emitRow, optional, table, text, u64, uint } from '../../src/dump/table.js';
import { bytesToText, textToBytes } from '../../src/format/text.js';
import { tmpdir } from '../support/oracle.js';
import { unpackImage } from '../support/unpack.js';

const T = table('sample', 'rows of a test', {
  n: uint('a number'),
  big: u64('a large number'),
  name: optional(text('a name')),
  flag: bool('a flag'),
  value: any('anything'),
});

interface Sample {
  n: number;
  big?: number;
  name?: string | null;
  flag?: boolean;
  value?: number | bigint | string | boolean | null;
}

const folder = tmpdir();

const image = join(folder, 'image');
unpackImage(join(import.meta.dirname, '../../fixtures/shared-healthy/image.gz'), image);
const subject = { image, volume: openImage(image) };

/** What a table's rows look like on its output. */
async function render(rows: readonly Sample[], options: TableOptions): Promise<Buffer> {
  const path = join(folder, 'out');
  const writer = await openTable(T, { ...options, output: path }, subject);
  for (const row of rows) emitRow(writer, T, row);
  writer.finish();
  return readFileSync(path);
}

const rows: Sample[] = [
  { n: 0, big: 2 ** 53 - 1, name: 'plain', flag: true, value: 7 },
  { n: 4294967296, big: 2 ** 53, name: 'with\ttab, "quotes"\nand \\', flag: false, value: 2n ** 64n - 1n },
  { n: 999999999, big: 1e15, name: null, flag: true, value: null },
  { n: 1000000001, big: 2 ** 64, name: bytesToText(Uint8Array.of(0x61, 0xff, 0xc3, 0xa9)), value: 'é' },
];

test('ndjson and json say the same, with numbers past 2^53 as strings', async () => {
  const lines = (await render(rows, { format: 'ndjson' })).toString().trimEnd().split('\n');
  const parsed = lines.map((line) => JSON.parse(line));
  assert.deepEqual(parsed, JSON.parse((await render(rows, { format: 'json' })).toString()));
  assert.deepEqual(parsed[0], { n: 0, big: 9007199254740991, name: 'plain', flag: true, value: 7 });
  assert.deepEqual(parsed[1], {
    n: 4294967296,
    big: '9007199254740992',
    name: 'with\ttab, "quotes"\nand \\',
    flag: false,
    value: '18446744073709551615',
  });
  assert.equal(parsed[2].name, null);
  assert.equal(parsed[3].big, '18446744073709551616');
  // The byte that is no UTF-8 survives JSON.
  assert.deepEqual([...textToBytes(parsed[3].name)], [0x61, 0xff, 0xc3, 0xa9]);
  assert.equal((await render([], { format: 'json' })).toString(), '[]\n');
  assert.equal((await render([], { format: 'ndjson' })).length, 0);
});

test('tsv keeps a row on one line and bytes as they are', async () => {
  const out = await render(rows, { format: 'tsv' });
  const lines = out.toString('latin1').split('\n');
  assert.equal(lines[0], 'n\tbig\tname\tflag\tvalue');
  assert.equal(lines[1], '0\t9007199254740991\tplain\ttrue\t7');
  assert.equal(
    lines[2],
    '4294967296\t9007199254740992\twith\\ttab, "quotes"\\nand \\\\\tfalse\t18446744073709551615',
  );
  assert.equal(lines[3], '999999999\t1000000000000000\t\ttrue\t');
  assert.equal(lines[4].split('\t')[2], 'a\xff\xc3\xa9');
  assert.equal(lines.length, 6);
});

test('csv quotes by RFC 4180', async () => {
  const out = (await render(rows.slice(1, 2), { format: 'csv', header: false })).toString();
  assert.equal(
    out,
    '4294967296,9007199254740992,"with\ttab, ""quotes""\nand \\",false,18446744073709551615\n',
  );
});

test('--columns chooses and orders; an unknown one is a usage error that names the known', async () => {
  const out = (await render(rows.slice(0, 1), { format: 'tsv', columns: 'name,n' })).toString();
  assert.equal(out, 'name\tn\nplain\t0\n');
  const json = (await render(rows.slice(0, 1), { format: 'ndjson', columns: 'flag' })).toString();
  assert.equal(json, '{"flag":true}\n');
  await assert.rejects(render([], { columns: 'n,nonsense' }), (error: unknown) => {
    assert.ok(error instanceof CliError);
    assert.equal(error.exitCode, 64);
    assert.match(error.message, /'nonsense'.*n,big,name,flag,value/);
    return true;
  });
});

test('every decimal from 0 to 2^53 prints as JavaScript prints it', async () => {
  const samples: Sample[] = [];
  for (let digits = 0; digits < 53; digits++)
    for (const d of [-1, 0, 1]) if (2 ** digits + d >= 0) samples.push({ n: 2 ** digits + d });
  for (let p = 1; p < 1e15; p *= 10) for (const d of [-1, 0, 1]) samples.push({ n: p + d });
  const out = (await render(samples, { format: 'tsv', columns: 'n', header: false })).toString();
  assert.deepEqual(
    out.trimEnd().split('\n'),
    samples.map((s) => String(s.n)),
  );
});

test('a table for a terminal is one closed grid however many windows it is drawn in', async () => {
  const many: Sample[] = [];
  for (let i = 0; i < 1000; i++) many.push({ n: i, big: i, name: 'x', flag: true, value: null });
  for (const count of [0, 1, 400, 401, 1000]) {
    const out = (await render(many.slice(0, count), { format: 'table', color: 'never' })).toString();
    const lines = out.trimEnd().split('\n');
    assert.equal(lines.length, count === 0 ? 3 : count + 4, `${count} rows`);
    assert.match(lines[0], /^┌─.*┐$/);
    assert.match(lines[1], /│ +n │/);
    assert.match(lines.at(-1)!, /^└─.*┘$/);
    assert.equal(lines.filter((l) => l.startsWith('└')).length, 1);
    assert.equal(new Set(lines.map((l) => l.length)).size, 1);
  }
});

test('a table shows control bytes of a name instead of sending them to the terminal', async () => {
  const out = (
    await render([{ n: 1, name: '\x1b]0;title\x07\x9bevil\u202e' }], { format: 'table', color: 'always' })
  ).toString();
  assert.match(out, /\x1b\[1m/); // colours of our own
  assert.doesNotMatch(out, /\x1b\]|\x07|\x9b|\u202e/);
  assert.match(out, /\\x1b\]0;title\\x07\\x9bevil\\u202e/);
});

test('a cell larger than the buffer passes whole', async () => {
  const value = `${'0123456789abcdef'.repeat(20000)}\t!`;
  const out = (
    await render([{ n: 1, value }], { format: 'tsv', columns: 'value', header: false })
  ).toString();
  assert.equal(out, `${value.replace('\t', '\\t')}\n`);
});

const producer = `
  import { openTable } from './src/cli/render/table.ts';
  import { table, uint } from './src/dump/table.ts';
  const T = table('t', 't', { n: uint('n') });
  const w = await openTable(T, {});
  for (let i = 0; i < 500000; i++) { w.num[0] = i; w.emit(); }
  w.finish();
  process.exitCode = 7;
`;

test('a reader that closes the pipe early ends the program with status 0', () => {
  const script = `"$0" --import tsx --input-type=module -e "$1" | head -n 3; echo "\${PIPESTATUS[0]}"`;
  const { stdout, stderr } = spawnSync('bash', ['-c', script, process.execPath, producer], {
    encoding: 'utf8',
  });
  assert.equal(stdout, 'n\n0\n1\n0\n');
  assert.equal(stderr, '');
});

test('a slow reader of a pipe that does not block gets every row', () => {
  // A pipe end shared with a Node parent is in non-blocking mode: writes meet EAGAIN.
  const parent = `
    import { spawn } from 'node:child_process';
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', ${JSON.stringify(producer)}],
      { stdio: ['ignore', 'pipe', 'inherit'] });
    let lines = 0;
    child.stdout.on('data', (d) => {
      for (const b of d) if (b === 10) lines++;
      child.stdout.pause();
      setTimeout(() => child.stdout.resume(), 2);
    });
    child.on('close', (status) => console.log(lines, status));
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', parent], {
    encoding: 'utf8',
  });
  assert.equal(stdout, '500001 7\n', stderr);
});
