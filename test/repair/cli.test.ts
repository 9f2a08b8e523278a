/** The command itself: exit statuses, JSON by its schema, nothing written. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { strictObject } from 'zod/mini';
import { fsblockOffset } from '../../src/format/geometry.js';
import { openSource } from '../../src/image/open.js';
import { scanLog } from '../../src/journal/scan.js';
import { CODES } from '../../src/repair/finding.js';
import { FINDING } from '../../src/repair/rows.js';
import { openVolume } from '../../src/volume/volume.js';
import { crash, mount, unmount } from '../support/mount.js';
import { copyImage, oracle, run, sha256, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { type Base, blockOf, forge, makeBase, setExtent } from './base.js';

const main = fileURLToPath(new URL('../../bin/xfsimg.js', import.meta.url));

function xfsimg(...args: string[]) {
  return run(process.execPath, [main, ...args], { status: 'any' });
}

/** Damages the oldest record of a log: what follows its header's block no longer has its checksum. */
function damageTail(image: string): void {
  const source = openSource(image, { write: true });
  const { g } = openVolume(source);
  const { tail } = scanLog(source, g);
  source.write(fsblockOffset(g, g.logstart) + (tail.block + 1) * 512 + 100, Buffer.from('damage'));
  source.close();
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
      .map((line) => strictObject(FINDING.shape).parse(JSON.parse(line)));
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

  test('a dirty log: replayed in memory, and the image as it was', () => {
    const image = copyImage(base.image, join(tmpdir(), 'dirty.img'));
    const mountpoint = mount(image);
    try {
      writeFileSync(join(mountpoint, 'new'), 'x');
      crash(mountpoint, { flushlog: true });
    } finally {
      unmount(mountpoint);
    }
    const before = sha256(image);
    const { status, stdout, stderr } = xfsimg('repair', image, '-n');
    assert.deepEqual({ status, stdout }, { status: 0, stdout: '' });
    assert.match(
      stderr,
      /: the log is dirty: [1-9]\d* transactions replayed, in memory alone\n.*: clean\n$/s,
    );
    const dropped = xfsimg('repair', image, '-n', '-L');
    assert.match(dropped.stderr, /the log is dirty: dropped, in memory alone/);
    assert.equal(sha256(image), before);
  });
});

describe('repair that writes', oracle('mount', 'xfs_db', 'xfs_repair'), () => {
  let base: Base;
  let forged: string;
  before(() => {
    base = makeBase(true);
    forged = forge(base, setExtent(base, 'same', 'startblock', blockOf(base, 'victim')));
  });

  test('a clean image: exit 0, byte for byte untouched', () => {
    const before = sha256(base.image);
    assert.equal(xfsimg('repair', base.image, '-e').status, 0);
    assert.equal(sha256(base.image), before);
  });

  test('damage: exit 0, with -e 4; the image is clean then', () => {
    const image = copyImage(forged, join(tmpdir(), 'image'));
    const { status, stdout, stderr } = xfsimg('repair', image, '-e');
    assert.equal(status, 4);
    assert.match(stdout, /^duplicate\.corrupt: /);
    assert.match(stderr, /1 finding, repaired/);
    assert.equal(xfsimg('repair', image, '-n').status, 0);
    xfsRepairClean(image);
    assert.equal(xfsimg('repair', copyImage(forged, image)).status, 0);
  });

  test('a damaged log beside other damage: exit 2 and nothing written; with -L clean', () => {
    const image = copyImage(forged, join(tmpdir(), 'image'));
    const mountpoint = mount(image);
    try {
      // A record of its own for each: one of the last eight would count as torn, and is left out of a replay.
      for (let i = 0; i < 12; i++) {
        writeFileSync(join(mountpoint, `new${i}`), 'x');
        run('sync', ['-f', mountpoint]);
      }
      crash(mountpoint, { flushlog: true });
    } finally {
      unmount(mountpoint);
    }
    damageTail(image);
    const before = sha256(image);
    const { status, stdout, stderr } = xfsimg('repair', image);
    assert.deepEqual({ status, stdout }, { status: 2, stdout: '' });
    assert.match(
      stderr,
      /^xfsimg: \S+: log at LSN .*; repair -L drops the log, and what it holds is lost\n$/,
    );
    assert.equal(sha256(image), before);
    const dropped = xfsimg('repair', image, '-L');
    assert.equal(dropped.status, 0);
    assert.match(dropped.stderr, /the log was dropped/);
    assert.match(dropped.stdout, /^duplicate\.corrupt: /);
    xfsRepairClean(image);
  });

  test('a log whose only record is torn: its end is cleared, and xfs_repair finds a clean log', () => {
    const image = copyImage(base.image, join(tmpdir(), 'image'));
    const mountpoint = mount(image);
    try {
      writeFileSync(join(mountpoint, 'new'), 'x');
      crash(mountpoint, { flushlog: true });
    } finally {
      unmount(mountpoint);
    }
    damageTail(image);
    assert.throws(() => xfsRepairClean(image), /log/);
    const { status, stdout, stderr } = xfsimg('repair', image);
    assert.deepEqual({ status, stdout }, { status: 0, stdout: '' });
    assert.match(stderr, /the torn end of the log was cleared/);
    xfsRepairClean(image);
    assert.match(xfsimg('repair', image).stderr, /clean, nothing was written/);
  });

  test('undo puts every byte back', () => {
    const image = copyImage(forged, join(tmpdir(), 'image'));
    const undo = join(tmpdir(), 'undo');
    assert.equal(xfsimg('repair', image, '--undo', undo).status, 0);
    assert.notEqual(sha256(image), sha256(forged));
    assert.equal(xfsimg('undo', image, undo).status, 0);
    assert.equal(sha256(image), sha256(forged));
    const cut = join(tmpdir(), 'cut');
    writeFileSync(cut, readFileSync(undo).subarray(0, 5000));
    const { status, stderr } = xfsimg('undo', image, cut);
    assert.equal(status, 1);
    assert.match(stderr, /cut short|damaged/);
    assert.equal(sha256(image), sha256(forged));
  });

  test('a mounted image is refused by name', () => {
    const mountpoint = mount(forged);
    try {
      const { status, stderr } = xfsimg('repair', forged);
      assert.equal(status, 2);
      assert.match(stderr, /mounted at/);
    } finally {
      unmount(mountpoint);
    }
  });
});

test('the man page explains every code, and no other', () => {
  const page = readFileSync(new URL('../../man/xfsimg-repair.1', import.meta.url), 'utf8');
  const [, section] = /^\.SH CODES$(.*?)^\.SH /ms.exec(page)!;
  const explained = [...section.matchAll(/^\.B ([a-z]+\.\S+)$/gm)].map(([, code]) =>
    code.replaceAll('\\-', '-'),
  );
  assert.deepEqual(explained.sort(), Object.keys(CODES).sort());
});
