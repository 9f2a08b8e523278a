/** `xfsimg mkfs` as a shell sees it: streams, exit statuses, one line for every error. */
import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { xfsimg } from '../support/cli.js';
import { mount, unmount } from '../support/mount.js';
import { blank, oracle, run, tmpdir } from '../support/oracle.js';

const scratch = (): string => join(tmpdir(), 'image');

function fails(args: readonly string[], status: number, line: RegExp): void {
  const { stdout, stderr } = xfsimg(args, { status });
  assert.equal(stdout, '');
  assert.match(stderr, line);
  assert.equal(stderr.split('\n').length, 2, `more than one line: ${stderr}`);
}

describe('xfsimg mkfs', () => {
  test('prints the geometry of what it made', oracle('xfs_repair'), () => {
    const image = scratch();
    const { stdout, stderr } = xfsimg(['mkfs', image, '--size', '64m', '-b', 'size=1k', '-d', 'agcount=2']);
    assert.equal(stderr, '');
    assert.match(stdout, /^meta-data=.* isize=512 {4}agcount=2, agsize=32768 blks\n/);
    assert.equal(stdout.split('\n').length, 11);
    run('xfs_repair', ['-n', '-f', image]);
  });
  test('-q prints nothing, -N writes nothing', () => {
    const image = scratch();
    assert.match(xfsimg(['mkfs', image, '--size=64m', '-N', '-q']).stdout, /^meta-data=/);
    assert.ok(!existsSync(image));
    assert.equal(xfsimg(['mkfs', image, '--size=64m', '-q', '-L', 'name']).stdout, '');
    assert.equal(statSync(image).size, 64 * 2 ** 20);
  });
  test('groups add up, short options take their value with or without a blank', () => {
    const { stdout } = xfsimg(
      ['mkfs', scratch(), '-N', '--size=1g', '-bsize=2k', '-m', 'rmapbt=0', '-m', 'reflink=0', '-dagcount=3'],
      {},
    );
    assert.match(stdout, /agcount=3/);
    assert.match(stdout, /rmapbt=0/);
    assert.match(stdout, /reflink=0/);
    assert.match(stdout, /bsize=2048 /);
  });
  test('warnings go to stderr', () => {
    const { stdout, stderr } = xfsimg([
      'mkfs',
      scratch(),
      '-N',
      '--size=1g',
      '-d',
      'agsize=100m,su=64k,sw=2',
    ]);
    assert.match(stdout, /^meta-data/);
    assert.match(stderr, /^xfsimg: /);
  });
  test('a wrong command line: 64', () => {
    fails(['mkfs', scratch(), '--size=1g', '-d', 'agcount=0'], 64, /^xfsimg: -d agcount=0: must be from 1/);
    fails(['mkfs', scratch(), '--size=1g', '-d', 'nonsense=1'], 64, /unknown option -d nonsense=1/);
    fails(['mkfs', scratch(), '--size=1x'], 64, /--size=1x: not a number/);
    fails(['mkfs', scratch(), '--size=1g', '--profile=none'], 64, /--profile none: known are/);
    fails(['mkfs', scratch(), '--size=1g', '-r', 'size=1g'], 64, /unknown option/);
    fails(['mkfs'], 64, /missing required argument/);
  });
  test('something there: 1', () => {
    const image = scratch();
    xfsimg(['mkfs', image, '--size=64m', '-q']);
    fails(['mkfs', image], 1, /contains an XFS filesystem; -f overwrites it/);
    xfsimg(['mkfs', '-q', '-f', image]);
    fails(['mkfs', scratch()], 1, /does not exist/);
  });
  test('in use: 2', oracle('mount'), () => {
    const image = scratch();
    blank(image, 64 * 2 ** 20);
    xfsimg(['mkfs', image, '-q']);
    const mountpoint = mount(image);
    try {
      fails(['mkfs', '-f', image], 2, /attached to \/dev\/loop\d+, mounted at /);
    } finally {
      unmount(mountpoint);
    }
  });
});
