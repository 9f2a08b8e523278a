/** write, truncate, punch, clone and dedupe through the command line, held against Linux. */
import assert from 'node:assert/strict';
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { populated } from '../support/cache.js';
import { xfsimg } from '../support/cli.js';
import { withMount } from '../support/mount.js';
import { copyImage, oracle, run, sha256, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { assertSameTrees } from '../support/sametree.js';
import { describeTree } from '../support/tree.js';
import { xfsdb } from '../support/xfsdb.js';
import { pattern } from './datawork.js';

const needs = oracle('mount', 'mkfs.xfs', 'xfs_repair', 'xfs_db', 'xfs_io');
const SMALL = { size: 32 << 20, tiny: true };

function done(args: string[], input?: Buffer): void {
  assert.deepEqual(xfsimg(args, { input }), { status: 0, stdout: '', stderr: '' });
}

const freeBlocks = (image: string): number =>
  Number(/free blocks\s+(\d+)/.exec(xfsimg(['info', image, '--format', 'tsv']).stdout)?.[1] ?? Number.NaN);

/** The reflink flag of an inode, as xfs_db has it. */
const isReflink = (image: string, ino: number): boolean =>
  /reflink = 1/.test(xfsdb(image, [`inode ${ino}`, 'print v3.reflink']));

test('write, truncate and punch leave what Linux does', needs, () => {
  const image = mkfs(join(tmpdir(), 'image'), SMALL);
  const twin = `${image}.twin`;
  withMount(image, (root) => {
    writeFileSync(join(root, 'a'), pattern(1, 100_000));
    run('cp', ['--reflink=always', join(root, 'a'), join(root, 'b')]);
  });
  copyImage(image, twin);
  const data = pattern(2, 12_345);
  done(['write', image, '/b', '--at', '5000'], data);
  done(['write', image, '/a', '--append', '--cow', 'refcountbt'], data);
  done(['write', image, '/new', '--create', '--at', '1m'], data);
  done(['write', image, '/short', '--create'], data);
  done(['write', image, '/short', '--truncate'], Buffer.from('ten bytes.'));
  done(['write', image, '/empty', '--create'], Buffer.alloc(0));
  done(['truncate', image, '/b', '50001']);
  done(['truncate', image, '/b', '200k']);
  done(['punch', image, '/a', '10000', '30000']);
  const file = join(tmpdir(), 'data');
  writeFileSync(file, data);
  done(['write', image, '/a', '--at', '32k', '--from', file, '--in-place']);
  xfsRepairClean(image);
  withMount(twin, (root) => {
    const path = (name: string): string => join(root, name);
    const dd = (to: string, at: number): void => {
      run('dd', [`if=${file}`, `of=${to}`, 'conv=notrunc', 'oflag=seek_bytes', `seek=${at}`, 'bs=1M']);
    };
    dd(path('b'), 5000);
    appendFileSync(path('a'), data);
    dd(path('new'), 1 << 20);
    writeFileSync(path('short'), 'ten bytes.');
    writeFileSync(path('empty'), '');
    truncateSync(path('b'), 50_001);
    truncateSync(path('b'), 200 << 10);
    run('xfs_io', ['-c', 'fpunch 10000 30000', path('a')]);
    dd(path('a'), 32 << 10);
  });
  const look = (path: string) =>
    withMount(path, (root) => {
      run('find', [root, '-exec', 'touch', '-d', '@0', '{}', '+']);
      const blocks = ['a', 'b', 'new', 'short', 'empty'].map((f) => statSync(join(root, f)).blocks);
      return { tree: describeTree(root), blocks };
    });
  const [ours, linux] = [look(image), look(twin)];
  assertSameTrees(ours.tree, linux.tree);
  assert.deepEqual(ours.blocks, linux.blocks);
});

test('a file without the reflink flag never has the refcount btree asked', needs, () => {
  const image = mkfs(join(tmpdir(), 'image'), SMALL);
  withMount(image, (root) => {
    for (const name of ['plain', 'shared']) writeFileSync(join(root, name), pattern(3, 50_000));
    run('cp', ['--reflink=always', join(root, 'shared'), join(root, 'other')]);
  });
  const lookups = (path: string): number => {
    const ran = xfsimg(['write', image, path, '--at', '8k', '-v'], { input: 'data' });
    assert.equal(ran.status, 0, ran.stderr);
    return Number(/(\d+) lookups in refcount btrees/.exec(ran.stderr)?.[1]);
  };
  assert.equal(lookups('/plain'), 0);
  assert.ok(lookups('/shared') > 0);
  for (const args of [
    ['truncate', image, '/plain', '20000', '-v'],
    ['punch', image, '/plain', '0', '5k', '-v'],
  ])
    assert.match(xfsimg(args).stderr, / 0 lookups/);
});

test('overwriting keeps the reflink flag, and the other side its data', needs, () => {
  const image = mkfs(join(tmpdir(), 'image'), SMALL);
  const inos = withMount(image, (root) => {
    writeFileSync(join(root, 'a'), pattern(4, 40_000));
    return [statSync(join(root, 'a')).ino];
  });
  done(['clone', image, '/a', '/b']);
  const b = withMount(image, (root) => statSync(join(root, 'b')).ino);
  assert.ok(isReflink(image, inos[0]) && isReflink(image, b));
  done(['write', image, '/b'], pattern(5, 40_000));
  assert.ok(isReflink(image, inos[0]) && isReflink(image, b));
  xfsRepairClean(image);
  withMount(image, (root) => {
    assert.ok(readFileSync(join(root, 'a')).equals(pattern(4, 40_000)));
    assert.ok(readFileSync(join(root, 'b')).equals(pattern(5, 40_000)));
  });
});

test('the extent size hint for copies on write keeps neighbours together', needs, () => {
  const image = mkfs(join(tmpdir(), 'image'), SMALL);
  withMount(image, (root) => {
    const a = join(root, 'a');
    writeFileSync(a, pattern(6, 512 << 10));
    run('xfs_io', ['-c', 'cowextsize 128k', a]);
    run('cp', ['--reflink=always', a, join(root, 'b')]);
  });
  // Blocks of one unit of the hint, overwritten in any order, end up side by side.
  for (const block of [37, 38, 36, 39])
    done(['write', image, '/a', '--at', `${block * 4}k`], pattern(block, 4096));
  xfsRepairClean(image);
  withMount(image, (root) => {
    const map = run('xfs_io', ['-r', '-c', 'fiemap -v 147456 16384', join(root, 'a')]).stdout;
    const extents = map.split('\n').filter((line) => /\[288\.\.319\]/.test(line));
    assert.equal(extents.length, 1, map);
  });
});

test('a clone of an empty file takes no hint along, as by Linux', needs, () => {
  const image = mkfs(join(tmpdir(), 'image'), SMALL);
  withMount(image, (root) => {
    for (const name of ['empty', 'ours', 'linux']) writeFileSync(join(root, name), '');
    run('xfs_io', ['-c', 'cowextsize 64k', join(root, 'empty')]);
    run('cp', ['--reflink=always', join(root, 'empty'), join(root, 'linux')]);
  });
  done(['clone', image, '/empty', '/ours']);
  withMount(image, (root) => {
    const hint = (name: string): string => run('xfs_io', ['-r', '-c', 'stat', join(root, name)]).stdout;
    const of = (name: string): unknown => /fsxattr.cowextsize = (\d+)/.exec(hint(name))?.[1];
    assert.equal(of('ours'), '0');
    assert.equal(of('ours'), of('linux'));
  });
});

test('trees are cloned as cp -a --reflink does', needs, () => {
  const image = copyImage(populated({}).image, join(tmpdir(), 'image'));
  withMount(image, (root) => {
    mkdirSync(join(root, 'all'));
    run('sh', ['-c', 'for f in *; do [ "$f" = all ] || mv "$f" all/; done'], { cwd: root });
  });
  const twin = copyImage(image, `${image}.twin`);
  done(['clone', image, '/all', '/copy']);
  xfsRepairClean(image);
  const linux = withMount(twin, (root) => {
    run('cp', ['-a', '--reflink=always', join(root, 'all'), join(root, 'copy')]);
    return describeTree(join(root, 'copy'));
  });
  const ours = withMount(image, (root) => {
    assertSameTrees(describeTree(join(root, 'copy')), describeTree(join(root, 'all')));
    return describeTree(join(root, 'copy'));
  });
  assertSameTrees(ours, linux);
});

test('ranges are cloned, and what cannot be is refused', needs, () => {
  const image = mkfs(join(tmpdir(), 'image'), SMALL);
  const data = pattern(7, 100_000);
  withMount(image, (root) => {
    mkdirSync(join(root, 'dir'));
    writeFileSync(join(root, 'a'), data);
    writeFileSync(join(root, 'b'), pattern(8, 50_000));
  });
  done(['clone', image, '/a', '/b', '--range', '16k:32k:8k']);
  done(['clone', image, '/a', '/c', '--range', '64k:0:128k']);
  const before = sha256(image);
  for (const [args, line] of [
    [
      ['/a', '/b', '--range', '1:4k'],
      /^xfsimg: \S+: \/a: only whole blocks can be shared: 1 is no multiple of 4096$/,
    ],
    [['/a', '/b', '--range', '0:5k'], /5120 bytes are no multiple of 4096/],
    [['/a', '/b', '--range', '0:4k:1k'], /\/b: only whole blocks can be shared: 1024 is/],
    [['/a', '/b', '--range', '96k:0:0'], /\/b: the last block of the range is not full/],
    [['/a', '/a', '--range', '0:8k:4k'], /\/a: the two ranges of the file overlap/],
    [['/a', '/b', '--range', '1m:4k'], /are not all in it: it has 100000/],
    [['/a', '/a'], /\/a: the file itself/],
    [['/dir', '/b', '--range', '0:4k'], /\/dir: is a directory/],
    [['/dir', '/dir/x'], /a directory cannot be cloned into itself/],
    [['/none', '/b'], /\/none: no such file/],
  ] as const) {
    const ran = xfsimg(['clone', image, ...args]);
    assert.equal(ran.status, 1, args.join(' '));
    assert.match(ran.stderr.trimEnd(), line);
    assert.equal(sha256(image), before);
  }
  assert.equal(xfsimg(['clone', image, '/a', '/b', '--range', 'x:1']).status, 64);
  xfsRepairClean(image);
  withMount(image, (root) => {
    const b = pattern(8, 50_000);
    data.copy(b, 8 << 10, 16 << 10, 48 << 10);
    assert.ok(readFileSync(join(root, 'b')).equals(b));
    const c = Buffer.concat([Buffer.alloc(128 << 10), data.subarray(64 << 10)]);
    assert.ok(readFileSync(join(root, 'c')).equals(c));
  });
});

test('dedupe shares what is equal and says what that saved', needs, () => {
  const image = mkfs(join(tmpdir(), 'image'), SMALL);
  const contents = withMount(image, (root) => {
    const d = join(root, 'd');
    mkdirSync(d);
    writeFileSync(join(d, '1'), pattern(9, 400_000));
    // Equal but for one block, in other places, with an end of its own, and zeros.
    const second = pattern(9, 400_000);
    second[200_000] ^= 1;
    writeFileSync(join(d, '2'), second);
    writeFileSync(join(d, '3'), Buffer.concat([pattern(10, 8192), pattern(9, 300_000)]));
    writeFileSync(join(d, '4'), Buffer.concat([Buffer.alloc(65_536), pattern(9, 4096)]));
    copyFileSync(join(d, '1'), join(d, '5'));
    run('xfs_io', ['-c', 'chattr +i', join(d, '5')]);
    return describeTree(root);
  });
  const before = freeBlocks(image);
  const ran = xfsimg(['dedupe', image, '/d', '--format', 'ndjson']);
  assert.equal(ran.status, 0, ran.stderr);
  assert.match(ran.stderr, /1 files left out/);
  const rows = ran.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const row = (path: string) => rows.find((r) => r.path === path);
  // 98 blocks and an end of 2688 bytes; one block differs.
  assert.deepEqual(row('/d/2'), { bytes: 98 * 4096, known: 0, shared: 97 * 4096, holes: 0, path: '/d/2' });
  assert.equal(row('/d/3').shared, 73 * 4096);
  assert.deepEqual(row('/d/4'), { bytes: 17 * 4096, known: 0, shared: 4096, holes: 65_536, path: '/d/4' });
  const freed = Number(/(\d+) bytes freed/.exec(ran.stderr)?.[1]);
  assert.equal(freed, (97 + 73 + 17) * 4096);
  assert.equal((freeBlocks(image) - before) * 4096, freed);
  xfsRepairClean(image);
  withMount(image, (root) => assertSameTrees(describeTree(root), contents), { options: 'ro' });
});

test('what cannot be done is refused in one line, and the image is as it was', needs, () => {
  const image = mkfs(join(tmpdir(), 'image'), SMALL);
  const plain = mkfs(join(tmpdir(), 'plain'), { ...SMALL, args: ['-m', 'reflink=0'] });
  for (const path of [image, plain])
    withMount(path, (root) => {
      mkdirSync(join(root, 'dir'));
      writeFileSync(join(root, 'a'), pattern(1, 50_000));
      run('mkfifo', [join(root, 'fifo')]);
      writeFileSync(join(root, 'fixed'), 'x');
      run('xfs_io', ['-c', 'chattr +i', join(root, 'fixed')]);
      writeFileSync(join(root, 'log'), 'x');
      run('xfs_io', ['-c', 'chattr +a', join(root, 'log')]);
    });
  const hashes = { image: sha256(image), plain: sha256(plain) };
  const no = (status: number, line: RegExp, args: string[], input = 'data'): void => {
    const ran = xfsimg(args, { input });
    assert.equal(ran.status, status, `${args.join(' ')}: ${ran.stderr}`);
    assert.match(ran.stderr, line);
    assert.match(ran.stderr, /^xfsimg: [^\n]+\n$/);
    assert.equal(ran.stdout, '');
  };
  no(1, /\/none: no such file[^\n]+; --create makes it/, ['write', image, '/none']);
  no(1, /\/dir: is a directory/, ['write', image, '/dir']);
  no(1, /\/fifo: not a regular file/, ['truncate', image, '/fifo', '0']);
  no(1, /\/none\/: no such file/, ['write', image, '/none/x', '--create']);
  no(1, /\/fixed: the file is immutable/, ['punch', image, '/fixed', '0', '1']);
  no(1, /\/log: the file is immutable or append-only/, ['write', image, '/log']);
  no(1, /at most 9223372036854775807 bytes/, ['write', image, '/a', '--at', '0x7fffffffffffffff']);
  no(64, /below 2\^63/, ['truncate', image, '/a', '8e']);
  no(64, /--at/, ['write', image, '/a', '--at', 'there']);
  no(64, /cannot be used with option/, ['write', image, '/a', '--at', '1', '--append']);
  no(64, /efi, refcountbt/, ['write', image, '/a', '--cow', 'magic']);
  no(1, /nowhere: cannot open/, ['write', image, '/a', '--from', join(tmpdir(), 'nowhere')]);
  no(2, /without the reflink feature/, ['clone', plain, '/a', '/b']);
  no(2, /without the reflink feature/, ['dedupe', plain, '/']);
  no(2, /without the reflink feature/, ['write', plain, '/a', '--cow', 'refcountbt']);
  no(1, /\/none: no such file/, ['dedupe', image, '/a', '/none']);
  no(1, /no space left/, ['write', image, '/a', '--at', '8k'], 'x'.repeat(40 << 20));
  assert.deepEqual({ image: sha256(image), plain: sha256(plain) }, hashes);
  assert.equal(xfsimg(['write', image, '/log', '--append'], { input: 'y' }).status, 0);
});

test('a full image: overwrites are refused whole, in place they go', needs, () => {
  const image = mkfs(join(tmpdir(), 'image'), SMALL);
  withMount(image, (root) => {
    writeFileSync(join(root, 'a'), pattern(1, 1 << 20));
    run('cp', ['--reflink=always', join(root, 'a'), join(root, 'b')]);
    run('dd', ['if=/dev/zero', `of=${join(root, 'fill')}`, 'bs=1M'], { status: 'any' });
    writeFileSync(join(root, 'own'), '');
  });
  // The last blocks a file can have.
  for (let size = 4 << 20; size >= 1024; size >>= 1)
    xfsimg(['write', image, '/own', '--append'], { input: Buffer.alloc(size, 1) });
  const before = sha256(image);
  const data = pattern(2, 1 << 20);
  const refused = xfsimg(['write', image, '/b'], { input: data });
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /no space left in the image: .*--in-place/);
  const shared = xfsimg(['write', image, '/b', '--in-place'], { input: data });
  assert.equal(shared.status, 1);
  assert.equal(sha256(image), before);
  done(['write', image, '/fill', '--in-place', '--at', '100'], data);
  xfsRepairClean(image);
  withMount(image, (root) => {
    assert.ok(readFileSync(join(root, 'b')).equals(pattern(1, 1 << 20)));
    assert.ok(
      readFileSync(join(root, 'fill'))
        .subarray(100, 100 + data.length)
        .equals(data),
    );
  });
});
