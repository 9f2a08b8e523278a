import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { populated } from '../support/cache.js';
import { xfsimg } from '../support/cli.js';
import { fixture } from '../support/fixture.js';
import { oracle, sha256 } from '../support/oracle.js';

const lines = (args: readonly string[]): Record<string, never>[] =>
  xfsimg([...args, '--format', 'ndjson'])
    .stdout.trim()
    .split('\n')
    .map((line) => JSON.parse(line));

interface Run {
  agno: number;
  agbno: number;
  blocks: number;
  use: string;
  owners: number;
  file: boolean | null;
}

const mapRows = (image: string, ...args: string[]): Run[] => lines(['map', image, ...args]) as never;

/** "agno:agbno" of every block of the rows. */
function blocksOf(rows: readonly { agno: number; agbno: number; blocks: number }[]): Set<string> {
  const out = new Set<string>();
  for (const { agno, agbno, blocks } of rows)
    for (let i = 0; i < blocks; i++) out.add(`${agno}:${agbno + i}`);
  return out;
}

test('map and dump agree on every block', oracle('mkfs.xfs', 'xfs_db', 'mount'), () => {
  const { image } = populated({ mkfs: { args: ['-m', 'rmapbt=1'] } });
  const map = mapRows(image);
  const of = (...uses: string[]): Set<string> => blocksOf(map.filter((r) => uses.includes(r.use)));
  assert.deepEqual(of('free'), blocksOf(lines(['dump', image, 'free']) as never));
  const refcount = lines(['dump', image, 'refcount']) as unknown as (Run & {
    domain: string;
    refcount: number;
  })[];
  for (const count of new Set(refcount.map((r) => r.refcount)))
    assert.deepEqual(
      blocksOf(map.filter((r) => r.use === 'shared' && r.owners === count)),
      blocksOf(refcount.filter((r) => r.domain === 'shared' && r.refcount === count)),
    );
  assert.deepEqual(of('cow'), blocksOf(refcount.filter((r) => r.domain === 'cow')));
  const extents = lines(['dump', image, 'extents']) as unknown as (Run & {
    fork: string;
    state: string;
    shared: number;
  })[];
  assert.deepEqual(
    of('data', 'unwritten', 'dir', 'symlink', 'quota', 'shared'),
    blocksOf(extents.filter((e) => e.fork === 'data')),
  );
  assert.deepEqual(of('attr'), blocksOf(extents.filter((e) => e.fork === 'attr')));
  assert.deepEqual(
    of('unwritten'),
    blocksOf(extents.filter((e) => e.state === 'unwritten' && e.shared === 1)),
  );
  const rmap = lines(['dump', image, 'rmap']) as unknown as (Run & { owner: unknown; bmbt: boolean })[];
  assert.deepEqual(of('bmbt'), blocksOf(rmap.filter((r) => r.bmbt)));
});

/** The cells of a picture, without labels: pairs of characters. */
function cells(picture: string): string[] {
  return picture
    .split('\n\n')[1]
    .split('\n')
    .flatMap((row) => /^(?: *\d+|AG \d+|) +(\S.*)$/.exec(row)![1].match(/../g)!);
}

describe('map', () => {
  const healthy = fixture('shared-healthy');

  test('draws every block once, readable without colour', () => {
    const { stdout, status, stderr } = xfsimg(['map', healthy], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    assert.doesNotMatch(stdout, /\u001b/);
    for (const row of stdout.split('\n\n')[1].split('\n')) assert.ok(row.length <= 80, row);
    const perCell = Number(/a cell is (\d+) blocks/.exec(stdout)![1]);
    assert.equal(cells(stdout).length, 4 * Math.ceil(19200 / perCell));
    let sum = 0;
    for (const [, blocks] of stdout.split('\n\n')[2].matchAll(/^(?!the)\S+ +\w+ +(\d+) blocks? /gm))
      sum += Number(blocks);
    assert.equal(sum, 76800, 'the legend has all blocks');
    // Two AGs hold shared blocks, in one cell each with what else there is.
    assert.ok(
      cells(stdout).some((cell) => cell.includes('4')),
      'a run with four owners',
    );
  });

  test('each cell is what its blocks are', () => {
    const picture = xfsimg(['map', healthy, '--ag', '1', '--blocks', '0-63', '--width', '40']).stdout;
    assert.match(picture, /a cell is a block$/m);
    const drawn = cells(picture);
    const glyphs: Record<string, string> = {
      free: '.',
      header: 'H',
      bnobt: 'b',
      cntbt: 'c',
      inobt: 'i',
      finobt: 'j',
      rmapbt: 'r',
      refcountbt: 'R',
      agfl: 'f',
      inodes: 'I',
      data: '#',
    };
    for (const run of mapRows(healthy, '--ag', '1', '--blocks', '0-63'))
      for (let i = 0; i < run.blocks; i++) {
        const glyph = run.use === 'shared' ? String(run.owners) : glyphs[run.use];
        assert.equal(drawn[run.agbno + i], glyph + glyph, `block ${run.agbno + i}: ${run.use}`);
      }
  });

  test('lights up a file', () => {
    const file = lines(['dump', healthy, 'extents', '/vm/golden.img']) as unknown as Run[];
    const rows = mapRows(healthy, '--file', '/vm/golden.img');
    assert.deepEqual(blocksOf(rows.filter((r) => r.file)), blocksOf(file));
    const { agno } = file[0];
    const picture = xfsimg(['map', healthy, '--file', '/vm/golden.img', '--ag', String(agno)]).stdout;
    assert.ok(cells(picture).some((cell) => cell.endsWith('@')));
    const blocks = blocksOf(file).size;
    assert.match(picture, new RegExp(`^@@ +the file +${blocks} blocks`, 'm'));
  });

  test('colours where asked for, and not where not', () => {
    const args = ['map', healthy];
    assert.match(xfsimg([...args, '--color', 'always']).stdout, /\u001b\[48/);
    assert.doesNotMatch(xfsimg([...args, '--color', 'never']).stdout, /\u001b/);
    assert.doesNotMatch(xfsimg(args, { env: { NO_COLOR: '1' } }).stdout, /\u001b/);
  });

  test('damage shows, and is said', () => {
    const damaged = fixture('duplicate-unflagged');
    const before = sha256(damaged);
    const { stdout, stderr, status } = xfsimg(['map', damaged]);
    assert.equal(status, 1);
    assert.match(stderr, /: 5 blocks contested, 5 lost: xfsimg repair -n tells whose they are$/m);
    assert.match(stdout, /^!! +contested +5 blocks/m);
    assert.ok(cells(stdout).some((cell) => cell.includes('!')));
    assert.equal(sha256(damaged), before);
  });

  for (const [args, status, message] of [
    [['--ag', '4'], 64, /--ag 4: the filesystem has AGs 0 to 3/],
    [['--blocks', '0-5'], 64, /--blocks needs --ag/],
    [['--ag', '0', '--blocks', '9-5'], 64, /A first and a last block/],
    [['--ag', '0', '--blocks', '19200-19300'], 64, /AG 0 has blocks 0 to 19199/],
    [['--width', '3'], 64, /A whole number from 20/],
    [['--file', '/nowhere'], 1, /nowhere/],
  ] as const)
    test(`refuses ${args.join(' ')}`, () => {
      const ran = xfsimg(['map', healthy, ...args]);
      assert.equal(ran.status, status);
      assert.equal(ran.stdout, '');
      assert.equal(ran.stderr.trim().split('\n').length, 1, ran.stderr);
      assert.match(ran.stderr, message);
    });
});
