/** The command itself: exit statuses, JSON by its schema, nothing written. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CODES } from '../../src/repair/finding.js';
import { FINDING } from '../../src/repair/rows.js';
import { crash, mount, unmount } from '../support/mount.js';
import { copyImage, oracle, run, sha256, tmpdir } from '../support/oracle.js';
import { type Base, blockOf, forge, makeBase, setExtent } from './base.js';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

function xfsimg(...args: string[]) {
  return run(process.execPath, ['--import', 'tsx', main, ...args], { status: 'any' });
}

describe('repair', oracle('mount', 'xfs_db', 'xfs_io'), () => {
  let base: Base;
  let forged: string;
  before(() => {
    base = makeBase(true);
    forged = forge(base, setExtent(base, 'same', 'startblock', blockOf(base, 'victim')));
  });

  test('-n on a clean image: exit 0 and nothing on stdout', () => {
    const { status, stdout, stderr } = xfsimg('repair', base.image, '-n');
    assert.deepEqual({ status, stdout }, { status: 0, stdout: '' });
    assert.match(stderr, /clean/);
  });

  test('-n on a damaged image: exit 1, one line a finding, image untouched', () => {
    const before = sha256(forged);
    const { status, stdout } = xfsimg('repair', forged, '-n');
    assert.equal(status, 1);
    const lines = stdout.trimEnd().split('\n');
    assert.equal(lines.length, 1);
    assert.match(lines[0], /^duplicate\.corrupt: inode \d+ \(\/same\) maps AG 0 blocks \d+-\d+ .*\/victim/);
    assert.equal(sha256(forged), before);
  });

  test('--json gives objects that the schema takes, with the evidence', () => {
    const { stdout } = xfsimg('repair', forged, '-n', '--json');
    const all = stdout
      .trimEnd()
      .split('\n')
      .map((line) => FINDING.strict().parse(JSON.parse(line)));
    assert.equal(all.length, 1);
    const { code, path, evidence } = all[0];
    assert.equal(code, 'duplicate.corrupt');
    assert.equal(path, '/same');
    assert.deepEqual(
      evidence?.claims?.map((c) => [c.path, c.reflink, c.rmap, c.verdict]),
      [
        ['/victim', false, true, 'kept'],
        ['/same', false, false, 'corrupt'],
      ],
    );
    assert.equal(evidence?.refcount, null);
    assert.deepEqual(
      evidence?.rmap?.map((r) => r.owner),
      [base.ino.get('victim')],
    );
  });

  test('a dirty log: exit 2, naming head and tail', () => {
    const image = copyImage(base.image, join(tmpdir(), 'dirty.img'));
    const mountpoint = mount(image);
    try {
      writeFileSync(join(mountpoint, 'new'), 'x');
      crash(mountpoint, { flushlog: true });
    } finally {
      unmount(mountpoint);
    }
    const { status, stdout, stderr } = xfsimg('repair', image, '-n');
    assert.deepEqual({ status, stdout }, { status: 2, stdout: '' });
    assert.match(stderr, /dirty, head \d+\/\d+, tail \d+\/\d+/);
  });
});

test('the man page explains every code', () => {
  const page = readFileSync(new URL('../../man/xfsimg-repair.1', import.meta.url), 'utf8').replaceAll(
    '\\-',
    '-',
  );
  for (const code of Object.keys(CODES)) assert.ok(page.includes(`.B ${code}\n`), code);
});
