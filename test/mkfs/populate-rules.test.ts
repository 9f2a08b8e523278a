import assert from 'node:assert/strict';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeFilled } from '../../src/mkfs/populate/make.js';
import { excluder, parseIdMap, parseOwner } from '../../src/mkfs/populate/rules.js';
import { withMount } from '../support/mount.js';
import { blank, oracle, run, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { assertSameTrees } from '../support/sametree.js';
import { describeTree, type Tree } from '../support/tree.js';

const MIB = 2 ** 20;

test('a protofile makes what mkfs.xfs makes of it', oracle('mount', 'mkfs.xfs', 'xfs_repair'), async () => {
  const folder = tmpdir();
  writeFileSync(join(folder, 'data'), 'x'.repeat(10_000));
  const proto = join(folder, 'proto');
  writeFileSync(
    proto,
    [
      '/boot/none : a comment',
      '0 0',
      'd--755 3 4',
      `file ---644 1 2 ${join(folder, 'data')}`,
      `setuid -u-755 0 0 ${join(folder, 'data')}`,
      'dir d-g770 5 6',
      ' link l--777 0 0 ../file',
      ' null c--666 0 0 1 3',
      ' disk b--600 0 0 8 1',
      ' fifo p--600 0 0',
      ' below d--700 0 0',
      ' $',
      '$',
      '$',
      '',
    ].join('\n'),
  );
  const [ours, theirs] = [join(folder, 'ours'), join(folder, 'theirs')];
  await makeFilled(ours, { size: 300 * MIB }, { source: proto });
  blank(theirs, 300 * MIB);
  run('mkfs.xfs', ['-q', '-p', proto, theirs]);
  xfsRepairClean(ours);
  const timeless = (image: string): Tree =>
    withMount(
      image,
      (root) => new Map([...describeTree(root)].map(([path, n]) => [path, { ...n, mtime: 0n }])),
      {
        options: 'ro,norecovery',
      },
    );
  assertSameTrees(timeless(ours), timeless(theirs));
});

test('protofiles that cannot be are refused by line, and nothing is left', async () => {
  const folder = tmpdir();
  const [proto, image] = [join(folder, 'proto'), join(folder, 'image')];
  const root = '/none\n0 0\nd--755 0 0\n';
  for (const [text, message] of [
    ['some text\n', /line 1: is neither a directory/],
    ['more than two words\n', /line 1: is neither a directory, a tar archive nor a protofile/],
    ['/none\n0 0\n---755 0 0 x\n', /line 3: the root is no directory/],
    [`${root}a d--7x5 0 0\n`, /line 4: "d--7x5" is no mode/],
    [`${root}a d--755 0 0\nb d--755 0 zero\n`, /line 5: zero is no number/],
    [`${root}a d--755 0 0\nb d--755 0 0 : $\n$\n`, /line 6: ends too early/],
    [`${root}a d--755 0 0 $\na d--755 0 0\n`, /line 5: a comes twice/],
    [`${root}a ---644 0 0 ${folder}/gone\n`, /line 4: .*gone: cannot be read: no such file/],
    [`${root}a ---644 0 0 ${folder}\n`, /line 4: .*: cannot be read: illegal operation on a directory/],
    [`${root}a c--644 0 0 1 999999\n`, /device 1,999999 is out of range/],
    // Deeper than a stack is.
    [`${root}${'d d--755 0 0\n'.repeat(100_000)}`, /line 100003: ends too early/],
  ] as const) {
    writeFileSync(proto, text);
    await assert.rejects(makeFilled(image, { size: 64 * MIB }, { source: proto }), (error: Error) => {
      assert.equal(error.name, 'MkfsError', error.stack);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    });
    assert.equal(existsSync(image), false);
  }
});

test('owners, names left out, a metadata list', oracle('mount', 'xfs_repair'), async () => {
  const folder = tmpdir();
  const source = join(folder, 'source');
  mkdirSync(join(source, 'keep', 'cache'), { recursive: true });
  for (const name of ['keep/a.txt', 'keep/b.o', 'keep/cache/c', 'ping', 'd e'])
    writeFileSync(join(source, name), name);
  const metadata = join(folder, 'metadata');
  writeFileSync(
    metadata,
    [
      '# path mode owner attributes',
      '/ping 4755 0:0 security.capability=0x0100000200200000000000000000000000000000 user.text="a b\\"c"',
      '/d\\040e - :7 user.b=0sYWJj',
      'keep 1777 -',
    ].join('\n'),
  );
  const image = join(folder, 'image');
  const mapUid = [parseIdMap('--map-uid', '0:1000')];
  await makeFilled(
    image,
    { size: 64 * MIB },
    { source, rules: { exclude: ['*.o', 'keep/cache'], mapUid, metadata } },
  );
  xfsRepairClean(image);
  withMount(image, (root) => {
    const tree = describeTree(root);
    assert.deepEqual([...tree.keys()].sort(), ['', 'd e', 'keep', 'keep/a.txt', 'ping']);
    const ping = tree.get('ping');
    assert.equal(ping?.mode, 0o4755);
    assert.deepEqual([ping?.uid, ping?.gid], [0, 0]);
    assert.equal(ping?.xattrs.get('user.text'), Buffer.from('a b"c').toString('hex'));
    assert.equal(ping?.xattrs.get('security.capability')?.length, 40);
    assert.deepEqual([tree.get('d e')?.uid, tree.get('d e')?.gid], [1000, 7]);
    assert.equal(tree.get('d e')?.xattrs.get('user.b'), '616263');
    assert.equal(tree.get('keep')?.mode, 0o1777);
    assert.equal(tree.get('keep/a.txt')?.uid, 1000);
  });
  writeFileSync(metadata, '/gone 755 0:0\n');
  await assert.rejects(
    makeFilled(image, { size: 64 * MIB, force: true }, { source, rules: { metadata } }),
    /line 1: \/gone/,
  );
});

test('patterns and ids', () => {
  const out = excluder(['*.o', '/a/*/c', 'x/**/y', '[0-9]?']) as (path: string) => boolean;
  for (const path of ['b.o', 'd/b.o', 'a/b/c', 'x/y', 'x/1/2/y', '12', 'd/9z']) assert.ok(out(path), path);
  for (const path of ['b.oo', 'a/c', 'a/b/d/c', 'xy', '123']) assert.ok(!out(path), path);
  assert.deepEqual(parseOwner('5'), { uid: 5, gid: undefined });
  assert.deepEqual(parseOwner(':6'), { uid: undefined, gid: 6 });
  for (const text of ['', 'root', '1:2:3', '-1', '4294967295'])
    assert.throws(() => parseOwner(text), /--owner/);
  for (const text of ['1', '1:', '1:2:0', 'a:b'])
    assert.throws(() => parseIdMap('--map-uid', text), /--map-uid/);
});
