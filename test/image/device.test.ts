/** Block devices: a loop device stands in for a disk. */
import assert from 'node:assert/strict';
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { FileSource, ImageError } from '../../src/image/source.js';
import { xfsimg } from '../support/cli.js';
import { blank, oracle, run, sha256, tmpdir } from '../support/oracle.js';
import { unpackImage } from '../support/unpack.js';

const MIB = 2 ** 20;
const fixture = (to: string): void =>
  void unpackImage(join(import.meta.dirname, '../../fixtures/shared-healthy/image.gz'), to);

function withLoop(file: string, options: readonly string[], fn: (device: string) => void): void {
  const device = run('losetup', ['--find', '--show', ...options, file]).stdout.trim();
  try {
    fn(device);
  } finally {
    run('losetup', ['--detach', device]);
  }
}

describe('block devices', oracle('mount', 'losetup', 'blockdev'), () => {
  test('their size, to the sector', () => {
    const file = join(tmpdir(), 'disk');
    for (const size of [512, 4096, MIB, MIB + 512, 3 * MIB - 512, 777 * MIB + 1536, 2 ** 42 + 512]) {
      blank(file, size);
      withLoop(file, ['--read-only'], (device) => {
        const source = FileSource.open(device);
        assert.equal(source.size, Number(run('blockdev', ['--getsize64', device]).stdout));
        assert.equal(source.size, size);
        const last = new Uint8Array(512);
        source.read(size - 512, last);
        assert.throws(() => source.read(size - 511, last), ImageError);
        source.close();
      });
    }
  });

  test('are read like the file behind them', () => {
    const file = join(tmpdir(), 'disk');
    fixture(file);
    const hash = sha256(file);
    withLoop(file, ['--read-only'], (device) => {
      for (const args of [
        ['info'],
        ['ls', '-lR'],
        ['dump', 'extents'],
        ['dump', 'sb'],
        ['log'],
        ['repair', '-n', '--json'],
      ]) {
        const [command, ...rest] = args;
        const told = xfsimg([command, device, ...rest]);
        const expected = xfsimg([command, file, ...rest]);
        assert.equal(told.status, 0, told.stderr);
        assert.equal(told.stdout, expected.stdout, command);
      }
      const refused = xfsimg(['mkfs', device, '-f']);
      assert.equal(refused.status, 1);
      assert.match(refused.stderr, /^xfsimg: [^\n]*\n$/);
    });
    assert.equal(sha256(file), hash);
  });

  test('a partition of one, by number and by offset', oracle('sfdisk'), () => {
    const inner = join(tmpdir(), 'inner');
    const disk = join(tmpdir(), 'disk');
    fixture(inner);
    const size = FileSource.open(inner).size;
    blank(disk, size + 12 * MIB);
    run('sfdisk', ['-q', '--no-tell-kernel', disk], {
      input: `label: gpt\nstart=2048, size=2048\nstart=20480, size=${size / 512}\n`,
    });
    run('dd', [`if=${inner}`, `of=${disk}`, 'bs=1M', 'seek=10', 'conv=notrunc,sparse', 'status=none']);
    const expected = xfsimg(['ls', inner, '-lR']).stdout;
    withLoop(disk, ['--read-only'], (device) => {
      for (const where of [
        ['--partition', '2'],
        ['--offset', '10m'],
        ['--offset', '20480s'],
      ])
        assert.equal(xfsimg(['ls', device, '-lR', ...where]).stdout, expected);
      const wrong = xfsimg(['ls', device, '--partition', '1']);
      assert.equal(wrong.status, 2);
      assert.match(wrong.stderr, /found zeros/);
      assert.match(xfsimg(['ls', device]).stderr, /GPT partition table/);
    });
  });

  test('are made a filesystem on', oracle('xfs_repair'), () => {
    const file = join(tmpdir(), 'disk');
    blank(file, 320 * MIB);
    const fd = openSync(file, 'r+');
    writeSync(fd, Buffer.alloc(4 * MIB, 0xa5), 0, 4 * MIB, 64 * MIB);
    closeSync(fd);
    withLoop(file, [], (device) => {
      const made = xfsimg(['mkfs', device, '-q']);
      assert.equal(made.stderr, '');
      assert.equal(made.status, 0);
      run('xfs_repair', ['-n', device]);
    });
    run('xfs_repair', ['-n', '-f', file]);
  });
});
