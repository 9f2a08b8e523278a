import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { xfsimg } from '../support/cli.js';
import { crash, mount, unmount, withMount } from '../support/mount.js';
import { copyImage, oracle, run, sha256, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { assertSameTrees } from '../support/sametree.js';
import { describeTree } from '../support/tree.js';

const needs = oracle('mount', 'mkfs.xfs', 'xfs_repair', 'xfs_db', 'xfs_io', 'getfattr');

const SMALL = { size: 32 << 20, tiny: true };

/** A copy of an image with another value in a field of the superblock. */
function withField(image: string, field: string, change: (value: number) => number): string {
  const copy = copyImage(image, join(tmpdir(), field));
  const { stdout } = run('xfs_db', ['-r', '-c', 'sb 0', '-c', `print ${field}`, copy]);
  const value = Number(/= (\w+)/.exec(stdout)?.[1]);
  run('xfs_db', ['-x', '-c', 'sb 0', '-c', `write ${field} 0x${change(value).toString(16)}`, copy]);
  return copy;
}

test('directories as Linux makes them', needs, () => {
  const image = mkfs(join(tmpdir(), 'image'), SMALL);
  const twin = copyImage(image, `${image}.twin`);
  const ours = xfsimg(['edit', image, '--script', '-'], {
    input: 'mkdir /a "/with blank"\nmkdir -p -m 1777 /p/q/r\nmkdir -p /p/q\n',
  });
  assert.deepEqual(ours, { status: 0, stdout: '', stderr: '' });
  xfsRepairClean(image);
  const linux = withMount(twin, (root) => {
    run(
      'sh',
      [
        '-c',
        'umask 022; mkdir a "with blank"; mkdir -p -m 1777 p/q/r; touch -d @0 . a "with blank" p p/q p/q/r',
      ],
      {
        cwd: root,
      },
    );
    return describeTree(root);
  });
  const found = withMount(image, (root) => {
    run('sh', ['-c', 'touch -d @0 . a "with blank" p p/q p/q/r'], { cwd: root });
    return describeTree(root);
  });
  assertSameTrees(found, linux);
});

test('a script ends at the first error, with what was done before it kept', needs, () => {
  const image = mkfs(join(tmpdir(), 'image'), SMALL);
  const before = sha256(image);
  const script = join(tmpdir(), 'script');
  writeFileSync(script, 'mkdir /a\n\nmkdir /a/b \\\n  /a/c\n# done\nmkdir /a/b\nmkdir /never\n');
  const wrong = join(tmpdir(), 'wrong');
  writeFileSync(wrong, 'mkdir /a\nfrobnicate /a\n');
  assert.deepEqual(xfsimg(['edit', image, '--script', wrong]), {
    status: 64,
    stdout: '',
    stderr: `xfsimg: ${wrong}, line 2: 'frobnicate' is no command for scripts; nothing was done\n`,
  });
  assert.equal(sha256(image), before);
  assert.deepEqual(xfsimg(['edit', image, '--script', script]), {
    status: 1,
    stdout: '',
    stderr: `xfsimg: ${image}: line 6: mkdir: /a/b: exists already; the 2 before it were done\n`,
  });
  // Of a line with several operands those before the wrong one are done.
  assert.deepEqual(xfsimg(['edit', image, '--script', '-'], { input: 'mkdir /d /d/e/f /never\n' }), {
    status: 1,
    stdout: '',
    stderr:
      `xfsimg: ${image}: line 1: mkdir: /d/e/: no such file or directory in this image; ` +
      'no line was done before it, and of this line what comes before\n',
  });
  xfsRepairClean(image);
  withMount(image, (root) =>
    assert.deepEqual([...describeTree(root).keys()].sort(), ['', 'a', 'a/b', 'a/c', 'd']),
  );
});

test('a dirty log is replayed first', needs, () => {
  const image = mkfs(join(tmpdir(), 'image'), SMALL);
  const mountpoint = mount(image);
  mkdirSync(join(mountpoint, 'before'));
  crash(mountpoint, { flushlog: true });
  unmount(mountpoint);
  const { status, stderr } = xfsimg(['mkdir', image, '/before/after']);
  assert.equal(status, 0, stderr);
  assert.match(stderr, /log replayed first, \d+ transactions\n$/);
  xfsRepairClean(image);
  withMount(image, (root) =>
    assert.deepEqual([...describeTree(root).keys()].sort(), ['', 'before', 'before/after']),
  );
});

test('images that edits would not keep right, and wrong paths, are refused untouched', needs, () => {
  const image = mkfs(join(tmpdir(), 'image'), SMALL);
  withMount(image, (root) => writeFileSync(join(root, 'file'), 'x'));
  const refuse = (path: string, args: string[], status: number, stderr: RegExp): void => {
    const before = sha256(path);
    const result = xfsimg(['mkdir', path, ...args]);
    assert.equal(result.status, status, result.stderr);
    assert.match(result.stderr, stderr);
    assert.match(result.stderr, /^xfsimg: [^\n]+\n$/);
    assert.equal(sha256(path), before);
  };
  refuse(image, ['/no/where'], 1, /\/no\/: no such file or directory/);
  refuse(image, ['/file/x'], 1, /not a directory/);
  refuse(image, ['-p', '/file/x'], 1, /\/file: not a directory/);
  refuse(image, ['/file'], 1, /exists already/);
  refuse(image, ['/'], 1, /root directory/);
  refuse(image, ['/..'], 1, /not a name/);
  refuse(image, [`/${'n'.repeat(256)}`], 1, /more than 255 bytes/);
  refuse(image, ['-m', '888', '/x'], 64, /octal/);
  const marked = withField(image, 'features_incompat', (n) => n | 0x10);
  refuse(marked, ['/x'], 2, /needing repair/);
  refuse(
    withField(image, 'qflags', () => 0x41),
    ['/x'],
    2,
    /counts quotas/,
  );
  withMount(image, () => refuse(image, ['/x'], 2, /attached to \/dev\/loop\d+, mounted at/));
});
