import assert from 'node:assert/strict';
import { existsSync, mkdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { PARTITION_TYPES } from '../../src/image/gpt.js';
import { xfsimg } from '../support/cli.js';
import { withMount } from '../support/mount.js';
import { oracle, run, sha256, tmpdir } from '../support/oracle.js';

const MIB = 2 ** 20;

interface SfdiskTable {
  label: string;
  id: string;
  firstlba: number;
  lastlba: number;
  partitions: { start: number; size: number; type: string; uuid: string; name: string }[];
}

/** What sfdisk reads. */
const table = (image: string): SfdiskTable =>
  JSON.parse(run('sfdisk', ['--json', image]).stdout).partitiontable;

const made = (...args: string[]): void => {
  const { status, stderr } = xfsimg(['mkfs', ...args], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
};

describe('mkfs --partition-table gpt', () => {
  test('sfdisk finds nothing wrong, and what was asked for', oracle('sfdisk'), () => {
    for (const [mib, odd] of [
      [64, 0],
      [300, 0],
      [300, 777],
      [3 * 2 ** 20, 0],
    ]) {
      const image = join(tmpdir(), 'disk');
      const type = 'AAAABBBB-0123-4567-89ab-cdefCDEF0001';
      made(
        ...[image, '--partition-table', 'gpt', '--partition-type', type, '--partition-label', 'wurzel ü'],
        ...['--size', `${mib * MIB + odd}`, '-q'],
      );
      assert.equal(statSync(image).size, mib * MIB + odd);
      assert.match(run('sfdisk', ['--verify', image]).stdout, /No errors detected/);
      const { label, partitions } = table(image);
      assert.equal(label, 'gpt');
      assert.equal(partitions.length, 1);
      const [p] = partitions;
      assert.deepEqual([p.start * 512, p.size * 512], [MIB, (mib - 2) * MIB]);
      assert.equal(p.type, type.toUpperCase());
      assert.equal(p.name, 'wurzel ü');
      assert.equal(xfsimg(['repair', image, '-n', '--partition', '1']).status, 0);
    }
  });

  test('sfdisk restores it from the copy at the end', oracle('sfdisk'), () => {
    const image = join(tmpdir(), 'disk');
    made(image, '--partition-table', 'gpt', '--size', '64m', '-L', 'named', '-q');
    const before = table(image);
    assert.equal(before.partitions[0].name, 'named');
    run('dd', ['if=/dev/zero', `of=${image}`, 'bs=512', 'seek=1', 'count=1', 'conv=notrunc']);
    assert.deepEqual(table(image), before);
  });

  test('types by name are those sfdisk knows', oracle('sfdisk'), () => {
    const known = run('sfdisk', ['--list-types', '--label', 'gpt'], { status: 'any' }).stdout;
    for (const [name, guid] of Object.entries(PARTITION_TYPES)) {
      const line = new RegExp(`^${guid} +(.*)$`, 'im').exec(known);
      assert.ok(line, name);
      const words = name.replace('root-', 'root (').replace('usr-', '/usr (').replace('x86-64', 'x86-64)');
      const expected = {
        linux: 'linux filesystem',
        srv: 'linux server data',
        var: 'linux variable data',
        tmp: 'linux temporary data',
      }[name];
      assert.equal(
        line[1].toLowerCase().replace('arm-64', 'arm64'),
        expected ?? `linux ${words.replace(/arm64$/, 'arm64)')}`,
      );
    }
  });

  test(
    'filled, as small as it can be, the same bytes again; Linux mounts it',
    oracle('sfdisk', 'mount'),
    () => {
      const folder = tmpdir();
      const source = join(folder, 'source');
      mkdirSync(join(source, 'below'), { recursive: true });
      writeFileSync(join(source, 'below/file'), 'contents');
      const images = ['a', 'b'].map((name) => join(folder, name));
      for (const image of images)
        made(image, '--partition-table', 'gpt', '--size', 'auto', '-p', source, '--reproducible', '-q');
      assert.equal(sha256(images[0]), sha256(images[1]));
      const { partitions } = table(images[0]);
      const [p] = partitions;
      // A kernel without partition tables is told where it is.
      const text = withMount(images[0], (root) => run('cat', [join(root, 'below/file')]).stdout, {
        options: `ro,offset=${p.start * 512},sizelimit=${p.size * 512}`,
      });
      assert.equal(text, 'contents');
      assert.equal(xfsimg(['cat', images[0], '/below/file', '--partition', '1']).stdout, 'contents');
      // Another filesystem, another disk.
      made(images[1], '--partition-table', 'gpt', '--size', '64m', '-f', '-q');
      assert.notEqual(table(images[1]).id, table(images[0]).id);
      assert.notEqual(table(images[1]).partitions[0].uuid, p.uuid);
    },
  );

  test('refusals', () => {
    const image = join(tmpdir(), 'disk');
    const refused = (args: string[], status: number, message: RegExp): void => {
      const ran = xfsimg(['mkfs', image, ...args]);
      assert.equal(ran.status, status, ran.stderr);
      assert.match(ran.stderr, message);
      assert.equal(ran.stderr.trimEnd().split('\n').length, 1);
    };
    const gpt = ['--partition-table', 'gpt', '--size', '64m'];
    refused(['--partition-table', 'mbr', '--size', '64m'], 64, /gpt/);
    refused([...gpt, '--partition-type', 'nonsense'], 64, /a GUID or one of linux/);
    refused([...gpt, '--partition-label', 'x'.repeat(37)], 64, /36/);
    refused(['--partition-label', 'x', '--size', '64m'], 64, /need --partition-table/);
    refused([...gpt, '--partition', '1'], 64, /cannot be used with/);
    refused(['--partition-table', 'gpt', '--size', '1m'], 64, /from 16 MiB/);
    assert.equal(existsSync(image), false);
    made(image, ...gpt, '-q');
    const before = sha256(image);
    refused(gpt, 1, /contains a GPT partition table; -f/);
    assert.equal(sha256(image), before);
    truncateSync(image, 8 * MIB);
    refused(['--partition-table', 'gpt', '-f'], 64, /16/);
  });
});
