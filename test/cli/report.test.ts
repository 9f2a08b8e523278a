/** What `report` gathers, held against the other commands and Linux's tools. The page itself: test/report/browser. */
import assert from 'node:assert/strict';
import { closeSync, existsSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { ReportData } from '../../src/report/payload.js';
import { readRuns } from '../../src/report/runs.js';
import { populated } from '../support/cache.js';
import { xfsimg } from '../support/cli.js';
import { fixture } from '../support/fixture.js';
import { copyImage, oracle, run, sha256, tmpdir } from '../support/oracle.js';
import { print } from '../support/xfsdb.js';

/** The data in the page of an image. */
function dataOf(image: string, status: number): ReportData {
  const ran = xfsimg(['report', image, '-o', '-'], { encoding: 'utf8' });
  assert.equal(ran.status, status, ran.stderr);
  const json = /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(ran.stdout);
  assert.ok(json, 'the page has its data');
  return JSON.parse(json[1]);
}

const rows = <T>(...args: string[]): T[] =>
  xfsimg([...args, '--format', 'ndjson'], { encoding: 'utf8' })
    .stdout.trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

describe('the figures of a report', oracle('mkfs.xfs', 'xfs_db', 'mount'), () => {
  const { image } = populated({ mkfs: { args: ['-m', 'rmapbt=1'] } });
  const data = dataOf(image, 0);

  test('sums are the counters of the superblock', () => {
    const sb = print(image, ['sb 0', 'p']);
    assert.equal(data.dblocks, Number(sb.get('dblocks')));
    assert.equal(data.free, Number(sb.get('fdblocks')));
    assert.equal(data.inodes, Number(sb.get('icount')));
    assert.equal(data.freeInodes, Number(sb.get('ifree')));
    assert.equal(
      data.uses.reduce((n, u) => n + u.blocks, 0),
      data.dblocks,
    );
  });

  test('the maps are those of map, run by run', () => {
    assert.equal(data.perCell, 1);
    const expected = rows<{ agno: number; agbno: number; blocks: number; use: string; owners: number }>(
      'map',
      image,
    );
    const found = data.ags.flatMap(({ runs }, agno) => {
      const r = readRuns(Buffer.from(runs, 'base64'));
      return Array.from({ length: r.count }, (_, i) => {
        const use = data.uses[r.use[i]].name;
        // Owners below two are not packed.
        return { agno, agbno: r.start[i], blocks: r.blocks[i], use, owners: r.owners[i] };
      });
    });
    assert.deepEqual(
      found,
      expected.map(({ agno, agbno, blocks, use, owners }) => ({
        agno,
        agbno,
        blocks,
        use,
        owners: Math.max(1, owners),
      })),
    );
  });

  test('histograms count what dump lists', () => {
    const bars = (sizes: readonly number[]): number[] => {
      const out: number[] = [];
      for (const size of sizes) {
        const bar = Math.floor(Math.log2(size));
        while (out.length <= bar) out.push(0);
        out[bar]++;
      }
      return out;
    };
    const free = rows<{ blocks: number }>('dump', image, 'free').map((r) => r.blocks);
    assert.deepEqual(data.histograms.free.counts, bars(free));
    assert.equal(data.histograms.free.max, Math.max(...free));
    assert.equal(data.histograms.free.median, free.toSorted((a, b) => a - b)[Math.ceil(free.length / 2) - 1]);
    const counts = rows<{ refcount: number; domain: string }>('dump', image, 'refcount');
    const shared = counts.filter((r) => r.domain === 'shared').map((r) => r.refcount);
    assert.deepEqual(data.histograms.refcounts.counts, bars(shared));
    const files = rows<{ type: string; nextents: number }>('find', image, '--type', 'f');
    assert.equal(data.histograms.perFile.max, Math.max(...files.map((f) => f.nextents)));
  });

  test('shared runs have the owners that dump shared gives them', () => {
    interface Claim {
      agno: number;
      agbno: number;
      blocks: number;
      ino: number;
      path: string | null;
    }
    const claims = rows<Claim>('dump', image, 'shared', '--paths');
    assert.ok(data.shared.length >= 10);
    for (const shared of data.shared) {
      const { agno, agbno, blocks, owners, by } = shared;
      const inos = claims.filter(
        (c) => c.agno === agno && c.agbno < agbno + blocks && c.agbno + c.blocks > agbno,
      );
      const known = new Map(inos.map((c) => [c.ino, c.path]));
      if (owners <= 24) assert.deepEqual(new Map(by.map((o) => [o.ino, o.path ?? null])), known);
      else for (const { ino } of by) assert.ok(known.has(ino));
    }
  });

  test('directories are those of du', () => {
    const du = rows<{ path: string; exclusive: number; total: number; shared: number }>('du', image);
    const largest = du.toSorted((a, b) => b.exclusive - a.exclusive)[0];
    assert.deepEqual(
      { ...data.directories[0], set_shared: undefined },
      {
        path: largest.path,
        exclusive: largest.exclusive,
        total: largest.total,
        shared: largest.shared,
        set_shared: undefined,
      },
    );
    for (const d of data.directories)
      assert.equal(du.find((r) => r.path === d.path)?.exclusive, d.exclusive, d.path);
  });
});

describe('report', () => {
  test('of a damaged image: repair’s findings, and the image as it was', () => {
    const image = fixture('duplicate-unflagged');
    const before = sha256(image);
    const data = dataOf(image, 1);
    const found = xfsimg(['repair', image, '-n', '--json'], { encoding: 'utf8' }).stdout.trim().split('\n');
    assert.deepEqual(
      data.findings.list,
      found.map((line) => JSON.parse(line)),
    );
    assert.equal(sha256(image), before);
  });

  test('of a crashed image: the log told, replayed in memory alone', () => {
    for (const name of ['crash-intents', 'crash-plain']) {
      const image = fixture(name);
      const before = sha256(image);
      const data = dataOf(image, 0);
      assert.equal(data.log.state, 'dirty');
      assert.equal(data.findings.damage, 0, 'whole after the replay');
      assert.equal(sha256(image), before);
      const status = new Map(
        rows<{ property: string; value: number }>('log', image).map((r) => [r.property, r.value]),
      );
      assert.equal(
        new Set(data.log.intents.map((i) => `${i.type} ${i.lsn}`)).size > 0,
        Number(status.get('intents without a done')) > 0,
      );
      // And what it shows is what is there once the image itself has been replayed.
      const replayed = copyImage(image, join(tmpdir(), 'replayed.img'));
      xfsimg(['log', replayed, 'replay']);
      const after = dataOf(replayed, 0);
      assert.equal(after.log.state, 'clean');
      assert.deepEqual(data.uses, after.uses);
      assert.deepEqual(data.ags, after.ags);
    }
  });

  test('of an image whose log cannot be replayed: as it stands', () => {
    const image = fixture('crash-plain');
    // Its last record names another filesystem (h_fs_uuid, at byte 304 of the header).
    const info = new Map(
      rows<{ property: string; value: number }>('info', image).map((r) => [r.property, r.value]),
    );
    const log = rows<{ property: string; value: string }>('log', image);
    const last = Number(String(log.find((r) => r.property === 'last record')!.value).split('/')[1]);
    const agblklog = Math.ceil(Math.log2(Number(info.get('AG blocks'))));
    const start = Number(info.get('log start block'));
    const agno = Math.floor(start / 2 ** agblklog);
    const block = agno * Number(info.get('AG blocks')) + (start % 2 ** agblklog);
    const fd = openSync(image, 'r+');
    const at = block * Number(info.get('block size')) + last * 512 + 304;
    writeSync(fd, Buffer.alloc(16, 0x5a), 0, 16, at);
    closeSync(fd);
    const ran = xfsimg(['report', image, '-o', '-'], { encoding: 'utf8' });
    const data: ReportData = JSON.parse(/id="data">(.*?)<\/script>/s.exec(ran.stdout)![1]);
    assert.equal(data.log.state, 'damaged');
    assert.match(data.log.says, /cannot be replayed/);
  });

  test('of an image with a structure overwritten', () => {
    const image = fixture('shared-healthy');
    // AG 0's AGF, AGI and AGFL, its btree roots and its first inodes are noise.
    const fd = openSync(image, 'r+');
    const noise = Buffer.alloc(512 * 3 + 6 * 4096, 0xa5);
    writeSync(fd, noise, 0, noise.length, 512);
    closeSync(fd);
    const data = dataOf(image, 1);
    assert.ok(data.findings.damage > 5);
    assert.equal(
      data.uses.reduce((n, u) => n + u.blocks, 0),
      data.dblocks,
      'every block is still told of once',
    );
  });

  test('of an image without its superblock: by a copy of it', () => {
    const image = fixture('shared-healthy');
    const fd = openSync(image, 'r+');
    writeSync(fd, Buffer.alloc(512), 0, 512, 0);
    closeSync(fd);
    const data = dataOf(image, 1);
    assert.equal(data.dblocks, 76800);
    assert.ok(data.findings.list.some((f) => f.code.startsWith('sb.') || f.code.startsWith('superblock.')));
  });

  test('names from an image are text, never markup', oracle('mkfs.xfs', 'mount'), () => {
    const folder = tmpdir();
    const site = join(folder, 'site');
    const image = join(folder, 'names.img');
    run('mkdir', ['-p', join(site, '</script><script>alert(1)</script>'), join(site, '<!--')]);
    run('sh', ['-c', `echo data > "$1/$2/file"`, 'sh', site, '</script><script>alert(1)</script>'], {
      status: 'any',
    });
    xfsimg(['mkfs', image, '--size', '64m', '-p', site, '-q', '-L', '</title><b>']);
    const ran = xfsimg(['report', image, '-o', '-'], { encoding: 'utf8' });
    assert.equal(ran.status, 0, ran.stderr);
    assert.doesNotMatch(ran.stdout, /<script>alert|<\/title><b>|<!--/);
    assert.equal(ran.stdout.match(/<script/g)!.length, 2);
  });

  test('refuses, in one line, and writes nothing', () => {
    const image = fixture('shared-healthy');
    const before = sha256(image);
    const folder = tmpdir();
    const notXfs = join(folder, 'zeros');
    run('truncate', ['-s', '1M', notXfs]);
    for (const [args, status, message] of [
      [[image], 64, /required option '-o, --output <file>'/],
      [[image, '-o', image], 64, /this is the image itself/],
      [[image, '-o', join(folder, 'none/x.html')], 1, /no such directory/],
      [[image, '-o', folder], 1, /it is a directory/],
      [[notXfs, '-o', join(folder, 'x.html')], 2, /not an XFS filesystem/],
      [[join(folder, 'missing'), '-o', join(folder, 'x.html')], 1, /missing/],
    ] as const) {
      const ran = xfsimg(['report', ...args]);
      assert.equal(ran.status, status, ran.stderr);
      assert.equal(ran.stdout, '');
      assert.equal(ran.stderr.trim().split('\n').length, 1, ran.stderr);
      assert.match(ran.stderr, message);
    }
    assert.ok(!existsSync(join(folder, 'x.html')));
    assert.equal(sha256(image), before);
  });

  test('asks the network for nothing, and is small', () => {
    const file = join(tmpdir(), 'page.html');
    xfsimg(['report', fixture('shared-healthy'), '-o', file]);
    const page = readFileSync(file, 'utf8');
    assert.ok(statSync(file).size < 300 * 1024);
    assert.match(page, /Content-Security-Policy" content="default-src 'none'/);
    assert.doesNotMatch(page, /(src|href)="(https?:)?\/\//);
  });
});
