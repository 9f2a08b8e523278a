/** Labels and UUIDs as xfs_db and Linux see them; every sector written is a place to be cut. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { xfsimg } from '../support/cli.js';
import { crash, mount, unmount, withMount } from '../support/mount.js';
import { copyImage, oracle, run, sha256, tmpdir } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';

const needs = oracle('mount', 'mkfs.xfs', 'xfs_db', 'xfs_repair', 'xfs_io');

function made(...args: string[]): string {
  const image = join(tmpdir(), 'image');
  mkfs(image, { size: 64 * 2 ** 20, args: ['-L', 'old', '-d', 'agcount=3', ...args], tiny: true });
  withMount(image, (top) => writeFileSync(join(top, 'file'), 'a file'));
  return image;
}

/** Fields of all superblocks, by xfs_db. */
const fields = (image: string, ...names: string[]): string[] =>
  [0, 1, 2].map((agno) =>
    run('xfs_db', ['-r', '-c', `sb ${agno}`, '-c', `p ${names.join(' ')}`, image]).stdout.replaceAll(
      '\\000',
      '',
    ),
  );
const clean = (image: string): void => {
  run('xfs_repair', ['-n', image]);
};
const did = (...args: string[]): string => {
  const ran = xfsimg(args);
  assert.equal(ran.stderr, '');
  assert.equal(ran.status, 0);
  return ran.stdout.trim();
};
const refused = (image: string, status: number, line: RegExp, ...args: string[]): void => {
  const before = sha256(image);
  const ran = xfsimg(args);
  assert.match(ran.stderr, line);
  assert.match(ran.stderr, /^xfsimg: [^\n]+\n$/);
  assert.equal(ran.status, status);
  assert.equal(sha256(image), before);
};
const OTHER = '11111111-2222-3333-4444-555555555555';

describe('label', () => {
  test('shown, set, cleared', needs, () => {
    const image = made();
    assert.equal(did('label', image), 'old');
    did('label', image, 'twelve bytes');
    assert.deepEqual(fields(image, 'fname'), Array(3).fill('fname = "twelve bytes"\n'));
    clean(image);
    assert.match(run('blkid', ['-p', '-o', 'value', '-s', 'LABEL', image]).stdout, /^twelve bytes$/m);
    did('label', image, '--clear');
    assert.deepEqual(fields(image, 'fname'), Array(3).fill('fname = ""\n'));
    clean(image);
    assert.equal(did('label', image), '');
  });

  test('refused', needs, () => {
    const image = made();
    refused(image, 64, /13 bytes/, 'label', image, 'thirteen byte');
    refused(image, 64, /exclude/, 'label', image, 'a', '--clear');
    const at = mount(image);
    try {
      refused(image, 2, /mounted|loop/, 'label', image, 'a');
      refused(image, 2, /mounted|loop/, 'uuid', image, 'generate');
    } finally {
      unmount(at);
    }
  });

  test('a dirty log is replayed first', needs, () => {
    const image = made();
    const at = mount(image);
    writeFileSync(join(at, 'late'), 'in the log');
    crash(at, { flushlog: true });
    unmount(at);
    const ran = xfsimg(['label', image, 'new']);
    assert.match(ran.stderr, /log replayed first/);
    assert.equal(ran.status, 0);
    clean(image);
    assert.deepEqual(fields(image, 'fname'), Array(3).fill('fname = "new"\n'));
    assert.match(did('ls', image), /late/);
  });
});

describe('uuid', () => {
  test('set, generated, restored as xfs_admin does', needs, () => {
    const image = made();
    const first = did('uuid', image);
    assert.equal(did('uuid', image, OTHER), OTHER);
    assert.deepEqual(
      fields(image, 'uuid', 'meta_uuid'),
      Array(3).fill(`uuid = ${OTHER}\nmeta_uuid = ${first}\n`),
    );
    clean(image);
    // Linux writes, and what it wrote is of this filesystem.
    withMount(image, (top) => writeFileSync(join(top, 'more'), 'by Linux'));
    const random = did('uuid', image, 'generate');
    assert.notEqual(random, OTHER);
    assert.deepEqual(fields(image, 'uuid'), Array(3).fill(`uuid = ${random}\n`));
    assert.equal(did('uuid', image, 'restore'), first);
    assert.deepEqual(
      fields(image, 'uuid', 'meta_uuid', 'features_incompat'),
      fields(made(), 'features_incompat').map(
        (f) => `uuid = ${first}\nmeta_uuid = 00000000-0000-0000-0000-000000000000\n${f}`,
      ),
    );
    clean(image);
    assert.equal(xfsimg(['repair', image, '-n']).status, 0);
    withMount(image, (top) => writeFileSync(join(top, 'last'), ''));
  });

  test('one that xfs_db gave is shown and restored', needs, () => {
    const image = made();
    const first = did('uuid', image);
    run('xfs_db', ['-x', '-c', `uuid ${OTHER}`, image]);
    assert.equal(did('uuid', image), OTHER);
    assert.equal(did('uuid', image, 'restore'), first);
    clean(image);
  });

  test('refused', needs, () => {
    const image = made();
    refused(image, 64, /no UUID/, 'uuid', image, 'new');
    refused(image, 64, /zeros/, 'uuid', image, '00000000000000000000000000000000');
  });
});

describe('cut at every sector', () => {
  for (const [name, ...args] of [
    ['label', 'new'],
    ['uuid', OTHER],
  ])
    test(name, needs, () => {
      const image = made();
      const before = did(name, image);
      let cuts = 0;
      for (let n = 0; ; n++) {
        const cut = copyImage(image, join(tmpdir(), `cut${n}`));
        const ran = xfsimg([name, cut, ...args, '--cut', String(n)]);
        if (ran.status === 0) break;
        assert.equal(ran.status, 3, ran.stderr);
        cuts++;
        // Linux mounts it, and so do we; and a second run does what the first should have.
        const linux = copyImage(cut, join(tmpdir(), `linux${n}`));
        withMount(linux, () => {});
        assert.ok([before, args[0]].includes(did(name, linux)));
        const again = xfsimg([name, cut, ...args]);
        assert.equal(again.status, 0, again.stderr);
        clean(cut);
        assert.equal(did(name, cut), args[0]);
        assert.equal(new Set(fields(cut, name === 'label' ? 'fname' : 'uuid')).size, 1);
      }
      assert.ok(cuts >= 8, `${cuts} cuts`);
    });
});
