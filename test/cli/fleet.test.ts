/** The README's recipe for many images, over fifty of them. */
import assert from 'node:assert/strict';
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { before, describe, test } from 'node:test';
import { dumpExtents, EXTENTS } from '../../src/dump/extents.js';
import { RowCollector, type RowOf } from '../../src/dump/table.js';
import { clone } from '../../src/edit/clone.js';
import { openEdit } from '../../src/edit/edit.js';
import { AGF } from '../../src/format/ag.js';
import { sealCrc } from '../../src/format/checksum.js';
import { openSource } from '../../src/image/open.js';
import { openVolume } from '../../src/volume/volume.js';
import { programArgs, xfsimg } from '../support/cli.js';
import { type Row, sql } from '../support/duckdb.js';
import { run, tmpdir } from '../support/oracle.js';

const TEMPLATES = 5;
const IMAGES = 50;

const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');
const recipe = readme.slice(readme.indexOf('## Many images'), readme.indexOf('## From a program'));
const block = (language: string): string => {
  const found = new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(recipe);
  assert.ok(found);
  return found[1];
};

const work = tmpdir();
const at = (name: string): string => join(work, name);
const nameOf = (i: number): string => `images/${String(i).padStart(2, '0')}.img`;

/** Image `i`: a copy of one of the templates, with clones of its own. */
function make(i: number): void {
  run('cp', ['--sparse=always', at(`template${i % TEMPLATES}`), at(nameOf(i))]);
  const source = openSource(at(nameOf(i)), { write: true });
  const edit = openEdit(source);
  for (let k = 0; k <= Math.floor(i / TEMPLATES) % 3; k++) clone(edit, '/golden', `/clone${k}`);
  edit.close();
  source.close();
}

/** Changes one word of a block of AG 0 and makes its checksum right. */
function patch(i: number, block: number, length: number, crc: number, change: (b: Buffer) => void): void {
  const fd = openSync(at(nameOf(i)), 'r+');
  const bytes = readFileSync(at(nameOf(i))).subarray(block, block + length);
  change(bytes);
  sealCrc(bytes, crc);
  writeSync(fd, bytes, 0, length, block);
  closeSync(fd);
}

/** Every extent of every image, by the library. */
function extents(): (RowOf<typeof EXTENTS> & { image: string; uuid: string })[] {
  return Array.from({ length: IMAGES }, (_, i) => {
    const volume = openVolume(openSource(at(nameOf(i))));
    const rows = new RowCollector(EXTENTS);
    dumpExtents(volume, rows);
    volume.close();
    return rows.rows.map((row) => ({
      ...(row as RowOf<typeof EXTENTS>),
      ...{ image: nameOf(i), uuid: volume.g.uuid },
    }));
  }).flat();
}

describe('fifty images as one table', () => {
  let answers: Row[][];
  let rows: ReturnType<typeof extents>;

  before(async () => {
    mkdirSync(at('images'));
    mkdirSync(at('tree'));
    for (let t = 0; t < TEMPLATES; t++) {
      writeFileSync(at('tree/golden'), Buffer.alloc(40_000 * (t + 1), `template ${t} `));
      writeFileSync(at('tree/alone'), 'nobody else has it\n');
      const ran = xfsimg([
        'mkfs',
        at(`template${t}`),
        '--size',
        '16m',
        '-p',
        at('tree'),
        '--reproducible',
        '-q',
        '-L',
        `t${t}`,
      ]);
      assert.equal(ran.status, 0, ran.stderr);
    }
    for (let i = 0; i < IMAGES; i++) make(i);
    // In two images a counter, in one the owners of the only run of shared blocks.
    for (const i of [7, 31])
      patch(i, 512, 512, AGF.at.crc, (b) =>
        b.writeUInt32BE(b.readUInt32BE(AGF.at.freeblks) + 1, AGF.at.freeblks),
      );
    const tree = xfsimg([
      'dump',
      at(nameOf(9)),
      'btree',
      'refcountbt',
      '--blocks',
      '--columns',
      'agno,agbno',
      '--no-header',
      '--ag',
      '0',
    ]);
    const [, agbno] = tree.stdout.trim().split('\t').map(Number);
    patch(9, agbno * 4096, 4096, 52, (b) => b.writeUInt32BE(b.readUInt32BE(56 + 8) + 5, 56 + 8));

    rows = extents();

    mkdirSync(at('bin'));
    symlinkSync(programArgs[1], at('bin/xfsimg'));
    const env = { PATH: `${at('bin')}${delimiter}${process.env.PATH}` };
    run('bash', ['-euo', 'pipefail', '-c', block('sh')], { cwd: work, env });
    for (const folder of ['extents', 'findings'])
      assert.equal(readdirSync(at(`fleet/${folder}`)).length, IMAGES);
    const questions = block('sql')
      .replaceAll("'fleet/", `'${at('fleet')}/`)
      .split(/;\n/)
      .filter((q) => q.trim());
    answers = [];
    for (const question of questions) answers.push(await sql(question));
  });

  test('fragmentation and sharing of each image', () => {
    assert.equal(answers[0].length, IMAGES);
    answers[0].forEach((answer, i) => {
      const own = rows.filter((r) => r.image === nameOf(i) && r.fork === 'data');
      assert.equal(answer.image, nameOf(i));
      assert.equal(answer.extents_per_file, own.length / new Set(own.map((r) => r.ino)).size);
      const mapped = own.reduce((n, r) => n + r.blocks, 0);
      const taken = own.reduce((n, r) => n + r.blocks / r.shared, 0);
      assert.ok(Math.abs(Number(answer.sharing_ratio) - mapped / taken) < 1e-9);
      assert.ok(mapped / taken > 1.5);
    });
  });

  test('owners joined across the copies of a filesystem', () => {
    const owners = new Map<string, number[]>();
    for (const r of rows)
      if (r.shared > 1) {
        const key = [r.image, r.uuid, r.agno, r.agbno, r.blocks].join();
        owners.set(
          key,
          [...(owners.get(key) ?? []), r.ino].toSorted((a, b) => a - b),
        );
      }
    const images = new Map<string, number>();
    for (const [key, inos] of owners) {
      const run = `${key.slice(key.indexOf(',') + 1)}:${inos}`;
      images.set(run, (images.get(run) ?? 0) + 1);
    }
    const expected = [...images].filter(([, n]) => n > 1).map(([run, n]) => `${run} ${n}`);
    const got = answers[1].map((a) => `${a.uuid},${a.agno},${a.agbno},${a.blocks}:${a.owners} ${a.images}`);
    assert.deepEqual(got.toSorted(), expected.toSorted());
    // One, two or three clones in each of five filesystems.
    assert.equal(got.length, 3 * TEMPLATES);
  });

  test('findings by code, with the files they concern', () => {
    const byCode = new Map(answers[2].map((a) => [a.code, a]));
    assert.equal(byCode.get('counter.wrong')?.images, '2');
    assert.equal(byCode.get('counter.wrong')?.files, '0');
    assert.equal(byCode.get('refcount.high')?.images, '1');
    // The golden file and its two clones.
    assert.equal(byCode.get('refcount.high')?.files, '3');
  });
});
