import assert from 'node:assert/strict';
import { appendFileSync, existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { cachedImage, forgetImage } from './cache.js';
import { crash, mount, snapshot, unmount, withMount } from './mount.js';
import { copyImage, oracle, run, sha256, tmpdir, xfsRepairClean } from './oracle.js';
import { mkfs, populate } from './populate.js';
import { ContentHash, describeTree } from './tree.js';
import { bmap, bmbtDump, btdump, btdumpAll, inodes, print, printInodes } from './xfsdb.js';

const tools = oracle('mount', 'mkfs.xfs', 'xfs_repair', 'xfs_db', 'xfs_io', 'setfattr', 'getfattr');

test('run reports failure with what the command said', () => {
  assert.throws(() => run('sh', ['-c', 'echo broken >&2; exit 3']), /exited with 3\nbroken/);
  assert.equal(run('sh', ['-c', 'exit 3'], { status: [3] }).status, 3);
});

test('a content hash depends on what is read, not on how holes lie or chunks are cut', () => {
  const bytes = Buffer.alloc(300_000);
  bytes.fill(7, 70_000, 70_100);
  bytes.fill(9, 250_000);
  const whole = new ContentHash(bytes.length);
  whole.update(0, bytes);
  const parts = new ContentHash(bytes.length);
  for (const [start, end] of [
    [70_000, 70_050],
    [70_050, 70_100],
    [199_999, 262_144],
    [262_144, 300_000],
  ]) {
    parts.update(start, bytes.subarray(start, end));
  }
  const other = new ContentHash(bytes.length);
  other.update(1, bytes.subarray(0, bytes.length - 1));
  const digest = whole.digest();
  assert.equal(parts.digest(), digest);
  assert.notEqual(other.digest(), digest);
  assert.notEqual(new ContentHash(1).digest(), new ContentHash(2).digest());
});

for (const { blocksize, args } of [
  { blocksize: 1024, args: ['-m', 'rmapbt=1', '-i', 'nrext64=1'] },
  { blocksize: 4096, args: ['-m', 'rmapbt=1'] },
]) {
  test(`a populated image of ${blocksize}-byte blocks has every shape and is clean`, tools, () => {
    const image = mkfs(join(tmpdir(), 'image'), { args: ['-b', `size=${blocksize}`, ...args] });
    const notes = populate(image);
    xfsRepairClean(image);

    const forks = (name: string) => {
      const fields = print(image, [`path /${notes.get(name)}`, 'p core.format core.aformat']);
      return [fields.get('core.format'), fields.get('core.aformat')].map((value) => value?.slice(3, -1));
    };
    for (const [name, format] of [
      ['dir:4', 'local'],
      ['dir:40', 'extents'],
      ['dir:btree', 'btree'],
      ['file:extents300', 'btree'],
      ['file:odd', 'extents'],
      ['symlink:20', 'local'],
      ['symlink:1023', 'extents'],
    ]) {
      assert.equal(forks(name)[0], format, name);
    }
    for (const [name, format] of [
      ['attr:one', 'local'],
      ['attr:leaf', 'extents'],
      ['attr:btree', 'btree'],
    ]) {
      assert.equal(forks(name)[1], format, name);
    }
    assert.equal(forks('special:block')[0], 'dev');

    const { used, free, sparseChunks } = inodes(image);
    assert.ok(sparseChunks > 0, 'sparse inode chunks');
    assert.ok(free.length > 0, 'free inodes');
    assert.ok(
      btdumpAll(image, 'finobt').some(({ rows }) => rows.length > 1),
      'records in the finobt',
    );
    const records = btdumpAll(image, 'refcntbt').flatMap(({ columns, rows }) =>
      rows.map((row) => Number(row[columns.indexOf('refcount')])),
    );
    assert.ok(records.length > 400 && records.some((refcount) => refcount > 100), 'refcount records');

    const links = printInodes(image, used, ['core.mode', 'core.nlinkv2']);
    const shown = withMount(image, (root) => describeTree(root), { options: 'ro' });
    const linux = new Map([...shown.values()].map((node) => [node.ino, node]));
    for (const [ino, { mode, nlink }] of linux) {
      assert.equal(Number(links.get(ino)!.get('core.nlinkv2')), nlink, `links of inode ${ino}`);
      const printed = Number.parseInt(links.get(ino)!.get('core.mode')!, 8);
      assert.equal(printed & 0o7777, mode, `mode of inode ${ino}`);
    }
    for (const name of notes.values()) assert.ok(shown.has(name), name);
    const at = (name: string) => shown.get(notes.get(name)!)!;
    assert.equal(at('shared:clone-of-clone').content, at('shared:base').content);
    assert.notEqual(at('shared:overwritten').content, at('shared:base').content);
    assert.deepEqual(at('special:block-big').device, [511, 262143]);
    assert.equal(at('time:1901').mtime, -2147483647_000_000_000n + 999_999_998n);
    assert.equal(at('attr:remote').xattrs.get('user.remote65536')!.length, 2 * 65536);
    assert.equal(at('attr:acl').xattrs.size, 2);
    assert.equal(at('symlink:1023').target!.length, 1023);
    assert.ok(
      [...shown.keys()].some((path) => path.endsWith('\xff\xfe\x80')),
      'a name that is not UTF-8',
    );

    const many = at('file:extents3000').ino;
    const extents = bmap(image, many);
    assert.equal(extents.length, Number(printInodes(image, [many]).get(many)!.get('core.nextents')));
    assert.deepEqual(
      bmbtDump(image, many).rows.map((row) => row.map(Number)),
      extents.map((e) => [e.startoff, e.startblock, e.blockcount, e.unwritten ? 1 : 0]),
    );
    assert.ok(extents.some((e) => e.unwritten) && extents.some((e) => !e.unwritten));
  });
}

test('filesystems without the younger features are populated too', tools, () => {
  const image = mkfs(join(tmpdir(), 'image'), {
    args: ['-m', 'finobt=0,rmapbt=0,reflink=0,bigtime=0,inobtcount=0', '-i', 'sparse=0'],
  });
  const notes = populate(image);
  xfsRepairClean(image);
  assert.ok(notes.has('dir:btree') && !notes.has('shared:base'));
  assert.deepEqual(
    btdumpAll(image, 'refcntbt').flatMap(({ rows }) => rows),
    [],
  );
});

test('btdump gives internal nodes with pointers, leaves and 64-bit masks', tools, () => {
  const image = mkfs(join(tmpdir(), 'image'), { args: ['-b', 'size=1024'] });
  withMount(image, (root) => {
    const lines = ['open -f f', `falloc 0 ${400 * 1024}`];
    for (let i = 0; i < 200; i++) lines.push(`fpunch ${2 * i * 1024} 1024`);
    run('xfs_io', [], { cwd: root, input: `${lines.join('\n')}\n` });
  });
  const agno = bmap(image, Number(print(image, ['path /f', 'p']).get('v3.inumber')))[0].agno;
  const { columns, rows, blocks } = btdump(image, 'bnobt', agno, { internal: true });
  assert.deepEqual(columns, ['startblock', 'blockcount']);
  assert.ok(rows.length >= 200);
  assert.equal(blocks[0].level, 1);
  assert.equal(blocks[0].ptrs.length, blocks.filter(({ level }) => level === 0).length);
  const [record] = btdump(image, 'inobt', 0).rows;
  assert.equal(typeof record[4], 'bigint');
});

test('a crashed filesystem has a log to recover; a snapshot of a mounted one is whole', tools, () => {
  const image = mkfs(join(tmpdir(), 'image'), { size: 64 << 20, tiny: true });
  const mountpoint = mount(image);
  try {
    writeFileSync(join(mountpoint, 'early'), 'early');
    const frozen = snapshot(image, mountpoint, join(tmpdir(), 'frozen'));
    assert.equal(print(frozen, ['path /early', 'p']).get('core.size'), '5');
    writeFileSync(join(mountpoint, 'late'), 'late');
    crash(mountpoint, { flushlog: true });
    assert.throws(() => appendFileSync(join(mountpoint, 'late'), 'more'));
  } finally {
    unmount(mountpoint);
  }
  assert.throws(() => xfsRepairClean(image), /replayed|log/);
  const copy = copyImage(image, join(tmpdir(), 'copy'));
  assert.equal(sha256(copy), sha256(image));
  // Recovery brings the name back; the data, never written out, is another matter.
  assert.deepEqual(
    withMount(image, (root) => readdirSync(root)),
    ['early', 'late'],
  );
  xfsRepairClean(image);
});

test('a cached image is built once and its notes come back', tools, () => {
  const key = `support test ${process.pid}`;
  let built = 0;
  const build = (path: string) => {
    built++;
    mkfs(path, { size: 64 << 20, tiny: true });
    return { made: built };
  };
  const first = cachedImage(key, build);
  const second = cachedImage(key, build);
  assert.deepEqual([built, second.image, second.value], [1, first.image, { made: 1 }]);
  forgetImage(key);
  assert.equal(existsSync(first.image), false);
});
