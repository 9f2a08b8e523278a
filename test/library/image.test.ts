/** The library as programs use it: against Linux, against the tables of the command line, and its examples run. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import {
  type Disk,
  FileSource,
  ImageError,
  openImage,
  PathError,
  UnsupportedError,
} from '../../src/index.js';
import { top } from '../support/built.js';
import { populated } from '../support/cache.js';
import { xfsimg } from '../support/cli.js';
import { withMount } from '../support/mount.js';
import { copyImage, oracle, run, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { unpackImage } from '../support/unpack.js';

const needs = oracle('mount', 'mkfs.xfs', 'xfs_repair', 'setfattr', 'getfattr');

describe('images that Linux filled', () => {
  let path: string;
  before(() => {
    if (needs.skip === undefined || needs.skip === false) path = populated({}).image;
  });

  test('rows are those of the tables', needs, () => {
    const image = openImage(path);
    for (const [what, rows] of [
      ['extents', image.extents()],
      ['refcount', image.refcounts()],
      ['rmap', image.rmaps()],
      ['free', image.free()],
      ['inodes', image.inodes()],
    ] as const) {
      const { stdout } = xfsimg(['dump', path, what, '--format', 'ndjson'], { encoding: 'utf8' });
      const theirs =
        stdout.trim() === ''
          ? []
          : stdout
              .trim()
              .split('\n')
              .map((l) => JSON.parse(l));
      assert.deepEqual([...rows], theirs, what);
      assert.ok(theirs.length > 0 || what === 'rmap', what);
    }
    assert.deepEqual(image.faults, []);
    image.close();
  });

  test('files are those Linux shows', needs, () => {
    const image = openImage(path);
    const copy = copyImage(path, join(tmpdir(), 'mounted'));
    withMount(
      copy,
      (mounted) => {
        const found = run('find', [mounted, '-mindepth', '1', '-printf', '/%P\\0%s\\0%m\\0%n\\0'], {
          encoding: 'latin1',
        });
        const theirs = new Map<string, string>();
        const fields = found.stdout.split('\0');
        for (let i = 0; i + 3 < fields.length; i += 4) {
          const name = Buffer.from(fields[i], 'latin1').toString('utf8');
          if (!name.includes('\ufffd')) theirs.set(name, fields.slice(i + 1, i + 4).join(' '));
        }
        let files = 0;
        let dirs = 0;
        for (const file of image.walk('/')) {
          const theirsOf = theirs.get(file.path);
          if (theirsOf === undefined) continue;
          files++;
          const [size, mode, links] = theirsOf.split(' ');
          assert.equal(Number.parseInt(file.perm, 8).toString(8), mode, file.path);
          assert.equal(String(file.nlink), links, file.path);
          if (file.type === 'dir') dirs++;
          else assert.equal(String(file.size), size, file.path);
          if (file.type === 'file' && Number(size) < 2 ** 20)
            assert.ok(readFileSync(join(mounted, file.path)).equals(image.readFile(file.path)), file.path);
        }
        assert.equal(files, theirs.size);
        assert.ok(dirs > 3);
      },
      { options: 'ro' },
    );
    image.close();
  });

  test('usage, shared runs, findings', needs, () => {
    const image = openImage(path);
    const [root] = [...image.usage('/', { depth: 0 })];
    const du = JSON.parse(xfsimg(['du', path, '-s', '--format', 'ndjson']).stdout);
    assert.deepEqual(root, du);
    const shared = [...image.shared()];
    assert.ok(shared.length > 0);
    assert.ok(shared.every((row) => row.owners >= 2 && row.path !== null));
    assert.deepEqual(
      image.findings().filter((f) => f.severity === 'damage'),
      [],
    );
    assert.equal(image.log().clean, true);
    image.close();
  });
});

describe('edits in one scope', () => {
  const small = (): string =>
    unpackImage(join(top, 'fixtures/shared-healthy/image.gz'), join(tmpdir(), 'image'));

  test('are what Linux then shows', needs, () => {
    const path = small();
    const image = openImage(path, { write: true });
    const clones = [...image.list('/vm')].length;
    image.edit((edit) => {
      edit.mkdir('/a/b', { parents: true });
      edit.put('/a/b/file', 'hello');
      edit.append('/a/b/file', ' world');
      edit.write('/a/b/file', 'J', 0);
      edit.clone('/vm/golden.img', '/a/clone');
      edit.write('/a/clone', 'changed', 4096);
      edit.punch('/a/clone', 8192, 12_288);
      edit.truncate('/a/clone', 20_000);
      edit.symlink('b/file', '/a/link');
      edit.link('/a/b/file', '/a/second');
      edit.rename('/vm/db.img', '/a/moved');
      edit.rm('/vm/web.img');
      edit.chmod('/a/b/file', 'u=rw,go=');
      edit.chown('/a/b/file', 12, 34);
      edit.setXattr('/a/b/file', 'user.note', 'value');
    });
    assert.equal(Buffer.from(image.readFile('/a/link')).toString(), 'Jello world');
    assert.equal([...image.list('/vm')].length, clones - 2);
    assert.deepEqual(
      [...image.attributes('/a/b/file')].map((a) => a.name),
      ['note'],
    );
    image.close();
    xfsRepairClean(path);
    withMount(path, (mounted) => {
      const at = (name: string): string => join(mounted, name);
      assert.equal(readFileSync(at('a/second'), 'utf8'), 'Jello world');
      const stat = statSync(at('a/b/file'));
      assert.deepEqual([stat.mode & 0o7777, stat.uid, stat.gid, stat.nlink], [0o600, 12, 34, 2]);
      const golden = readFileSync(at('vm/golden.img'));
      const expected = Buffer.from(golden.subarray(0, 20_000));
      expected.write('changed', 4096);
      expected.fill(0, 8192, 12_288);
      assert.ok(readFileSync(at('a/clone')).equals(expected));
    });
  });

  test('are taken back where the scope throws', needs, () => {
    const path = small();
    const image = openImage(path, { write: true });
    const before = [...image.walk('/')];
    assert.throws(
      () =>
        image.edit((edit) => {
          edit.put('/new', 'data');
          edit.rm('/vm', { recursive: true });
          edit.rename('/not/there', '/anywhere');
        }),
      PathError,
    );
    assert.deepEqual([...image.walk('/')], before);
    assert.throws(() => image.edit((async () => {}) as () => void), /synchronous/);
    image.close();
    xfsRepairClean(path);
  });
});

describe('where bytes live', () => {
  const fixture = join(top, 'fixtures/crash-plain/image.gz');

  test('bytes in memory, and anything that reads', () => {
    const path = unpackImage(fixture, join(tmpdir(), 'image'));
    const bytes = readFileSync(path);
    const file = FileSource.open(path);
    let reads = 0;
    const disk: Disk = {
      size: file.size,
      read: (offset, into) => {
        reads++;
        file.read(offset, into);
      },
    };
    const [a, b] = [openImage(bytes), openImage(disk)];
    assert.deepEqual([...a.inodes()], [...b.inodes()]);
    assert.ok(reads > 3);
    assert.throws(() => b.edit((edit) => edit.mkdir('/x')), ImageError);
    // In memory an edit replays the log first, as anywhere.
    assert.equal(a.log().clean, false);
    a.edit((edit) => edit.mkdir('/made'));
    assert.equal(a.log().clean, true);
    assert.equal(a.stat('/made').type, 'dir');
    file.close();
  });

  test('findings of a crashed image: its log replayed in memory alone', () => {
    const bytes = readFileSync(unpackImage(fixture, join(tmpdir(), 'image')));
    const before = Buffer.from(bytes);
    assert.deepEqual(
      openImage(bytes)
        .findings()
        .filter((f) => f.severity === 'damage'),
      [],
    );
    assert.ok(before.equals(bytes));
  });

  test('what is no image', () => {
    assert.throws(() => openImage('/no/such/image'), ImageError);
    assert.throws(() => openImage(new Uint8Array(4096)), UnsupportedError);
    assert.throws(() => openImage(new Uint8Array(4096), { offset: 8192 }), ImageError);
  });
});

describe('examples', () => {
  const example = async (name: string, ...args: string[]): Promise<string> => {
    const file = join(top, 'test/examples', `${name}.ts`);
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', file, ...args],
      {
        cwd: top,
      },
    );
    assert.equal(stderr, '');
    return stdout;
  };
  const unpacked = (name: string): string =>
    unpackImage(join(top, `fixtures/${name}/image.gz`), join(tmpdir(), 'image'));

  test('fragmented', async () => {
    const out = await example('fragmented', unpacked('shared-healthy'), '3');
    const counts = out
      .trim()
      .split('\n')
      .map((line) => Number(line.split(' ')[0]));
    assert.equal(counts.length, 3);
    assert.deepEqual(
      counts,
      counts.toSorted((a, b) => b - a),
    );
    assert.match(out, /^\d+ \/vm\/\w+\.img$/m);
  });

  test('customize', async () => {
    const path = unpacked('shared-healthy');
    assert.match(await example('customize', path, 'node7'), /^\/no\/such\/: .*\nnode7\n$/);
    const image = openImage(path);
    assert.equal(Buffer.from(image.readFile('/etc/hostname')).toString(), 'node7\n');
    assert.deepEqual([...image.list('/etc')].map((e) => e.name).sort(), ['hostname', 'issue']);
    image.close();
  });

  test('audit', async () => {
    const lines = (await example('audit', unpacked('shared-healthy'), unpacked('duplicate-unflagged')))
      .trim()
      .split('\n');
    const rows = lines.map((line) => JSON.parse(line));
    assert.deepEqual(
      rows.map((r) => r.damage ?? r.code),
      [0, 1, 'duplicate.corrupt'],
    );
  });

  test('network-disk', async () => {
    const bytes = readFileSync(unpacked('shared-healthy'));
    const server = createServer((request, response) => {
      const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
      if (range === null) response.setHeader('content-length', bytes.length).end();
      else response.writeHead(206).end(bytes.subarray(Number(range[1]), Number(range[2]) + 1));
    });
    await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/image`;
      const image = openImage(bytes);
      assert.equal(
        await example('network-disk', url, '/home/diary.txt'),
        Buffer.from(image.readFile('/home/diary.txt')).toString(),
      );
    } finally {
      server.close();
    }
  });
});
