/** Recovery: images of real crashes come back as Linux brings them back, from any cut. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { OverlaySource } from '../../src/image/overlay.js';
import { FileSource } from '../../src/image/source.js';
import { highestCycle } from '../../src/journal/clear.js';
import { LogError } from '../../src/journal/error.js';
import { scanLog } from '../../src/journal/scan.js';
import { recoverLog } from '../../src/transaction/recovery/recover.js';
import { openVolume } from '../../src/volume/volume.js';
import { judge } from '../campaign/crash.js';
import { judgeIntents } from '../campaign/intents.js';
import { holdings, kill } from '../campaign/kill.js';
import { activeRecords } from '../journal/damage.js';
import { openRecord, writeRecord } from '../journal/logfields.js';
import { xfsimg } from '../support/cli.js';
import { CRASH_GEOMETRIES, crashImage, Load, linuxTree, treeDifferences } from '../support/crash.js';
import { Cut, CutSource } from '../support/cut.js';
import { fixture } from '../support/fixture.js';
import { crash, withMount } from '../support/mount.js';
import { copyImage, oracle, run, sha256, tmpdir } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { random } from '../support/random.js';
import type { Tree, TreeNode } from '../support/tree.js';
import { readTree, withoutSystem } from '../volume/readtree.js';

const FIXTURES = ['crash-plain', 'crash-rmapbt', 'crash-wrapped', 'crash-intents'];
const needed = oracle('mount', 'mkfs.xfs', 'xfs_io', 'xfs_repair', 'setfattr', 'getfattr');

/** What Linux's recovery of a fixture shows. */
function linuxTreeOf(name: string): Tree {
  const file = fileURLToPath(new URL(`../../fixtures/${name}/tree.json.gz`, import.meta.url));
  const nodes = JSON.parse(gunzipSync(readFileSync(file)).toString('utf8')) as Record<string, TreeNode>;
  const tree: Tree = new Map();
  for (const [path, node] of Object.entries(nodes))
    tree.set(path, { ...node, xattrs: new Map(Object.entries(node.xattrs)) });
  return withoutSystem(tree);
}

/** Everything a filesystem shows, times aside. */
function contents(source: OverlaySource): string {
  const volume = openVolume(source);
  const tree = [...readTree(volume)].map(([path, node]) => [
    path,
    String(node.size),
    node.content,
    node.nlink,
  ]);
  return JSON.stringify([tree, volume.faults]);
}

function withOverlay<T>(name: string, fn: (overlay: OverlaySource) => T): T {
  const file = FileSource.open(fixture(name));
  try {
    return fn(new OverlaySource(file));
  } finally {
    file.close();
  }
}

test('crashed images come back as Linux brings them back', () => {
  for (const name of FIXTURES)
    withOverlay(name, (overlay) => {
      const result = recoverLog(overlay);
      assert.equal(result.clean, false);
      const volume = openVolume(overlay);
      assert.deepEqual(treeDifferences(linuxTreeOf(name), readTree(volume)), [], name);
      assert.deepEqual(volume.faults, []);
    });
});

test('a replay tells how far it is, in blocks of the log, also around its end', () => {
  for (const name of FIXTURES) {
    const source = FileSource.open(fixture(name));
    const overlay = new OverlaySource(source);
    const told: [number, number][] = [];
    const { transactions } = recoverLog(overlay, (done, total) => told.push([done, total]));
    const { tail, head, device } = scanLog(source, openVolume(source).g);
    source.close();
    const total = head.block > tail.block ? head.block - tail.block : head.block - tail.block + device.blocks;
    assert.equal(told.length, transactions);
    assert.deepEqual(
      told.map(([done]) => done),
      told.map(([done]) => done).toSorted((a, b) => a - b),
    );
    for (const [done, of] of told) assert.ok(of === total && done >= 0 && done < total, `${done} of ${of}`);
  }
});

test('what a crash left half-done is finished, and counted', () => {
  withOverlay('crash-plain', (overlay) => {
    const { intents, unlinked } = recoverLog(overlay);
    assert.deepEqual(intents, {});
    assert.equal(unlinked, 6);
  });
  withOverlay('crash-intents', (overlay) => {
    const { intents } = recoverLog(overlay);
    assert.deepEqual(Object.keys(intents).sort(), ['CUI', 'RUI']);
  });
});

test('attribute intents and exchanges are finished', () => {
  for (const [name, kind] of [
    ['crash-attri', 'ATTRI'],
    ['crash-xmi', 'XMI'],
  ])
    withOverlay(name, (overlay) => {
      const { intents } = recoverLog(overlay);
      assert.equal(intents[kind], 1);
      const volume = openVolume(overlay);
      readTree(volume);
      assert.deepEqual(volume.faults, []);
      assert.equal(scanLog(overlay, volume.g).clean, true);
    });
});

test('and as Linux finishes them, parent pointers and all', needed, () => {
  for (const name of ['crash-attri', 'crash-xmi'])
    assert.deepEqual(judgeIntents(fixture(name)).differences, [], name);
});

test(
  'a filesystem that had just grown, and one whose superblock the log destroys',
  oracle('mount', 'mkfs.xfs', 'xfs_growfs'),
  () => {
    const image = join(tmpdir(), 'grown');
    mkfs(image, { size: 300 * 2 ** 20, args: ['-m', 'rmapbt=1'], tiny: true });
    truncateSync(image, 600 * 2 ** 20);
    withMount(image, (at) => {
      run('xfs_growfs', [at]);
      for (let i = 0; i < 12; i++) mkdirSync(join(at, `dir-${i}`));
      crash(at, { flushlog: true });
    });
    const file = FileSource.open(image);
    const overlay = new OverlaySource(file);
    recoverLog(overlay);
    const volume = openVolume(overlay);
    assert.equal(volume.g.dblocks, 600 * 256);
    assert.deepEqual(
      treeDifferences(linuxTree(copyImage(image, `${image}.linux`)), withoutSystem(readTree(volume))),
      [],
    );
    assert.deepEqual(volume.faults, []);

    const state = scanLog(file, openVolume(file).g);
    const record = activeRecords(state).find(({ data }) => Buffer.from(data).includes('XFSB'))!;
    const { headers, data } = openRecord(record);
    data[Buffer.from(data).indexOf('XFSB')] ^= 1;
    const destroyed = new OverlaySource(file);
    writeRecord(destroyed, state, record, headers, data);
    const before = destroyed.dirtyPages;
    assert.throws(
      () => recoverLog(destroyed),
      /^LogError: log at LSN \d+\/\d+: it leaves a superblock that cannot be used: not an XFS/,
    );
    assert.equal(destroyed.dirtyPages, before);
    file.close();
  },
);

test('cut at any sector, an exchange goes on where it was', () => {
  const file = FileSource.open(fixture('crash-xmi'));
  const whole = new OverlaySource(file);
  const counter = new CutSource(whole, undefined, { record: true });
  recoverLog(counter);
  const expected = contents(whole);
  const state = new OverlaySource(file);
  const rnd = random(5);
  const points = Array.from({ length: 12 }, () => Math.floor(rnd() * counter.written)).sort((a, b) => a - b);
  let changed = 0;
  for (const at of points) {
    for (; changed < at; changed++)
      state.write(counter.changes![changed].offset, counter.changes![changed].bytes);
    const again = new OverlaySource(state);
    recoverLog(again);
    assert.equal(contents(again), expected, `cut after ${at} sectors`);
  }
  file.close();
});

test('afterwards the log is clean, and a second recovery has nothing to do', () => {
  for (const name of FIXTURES)
    withOverlay(name, (overlay) => {
      recoverLog(overlay);
      assert.equal(scanLog(overlay, openVolume(overlay).g).clean, true);
      const pages = overlay.dirtyPages;
      assert.equal(recoverLog(overlay).clean, true);
      assert.equal(overlay.dirtyPages, pages);
    });
});

test('cut at any sector, a second recovery comes to the same end', () => {
  const rnd = random(11);
  for (const name of FIXTURES) {
    const { written, expected } = withOverlay(name, (overlay) => {
      const source = new CutSource(overlay);
      recoverLog(source);
      return { written: source.written, expected: holdings(overlay) };
    });
    const file = FileSource.open(fixture(name));
    for (let i = 0; i < 25; i++) {
      const sectors = Math.floor(rnd() * written);
      const overlay = new OverlaySource(file);
      assert.throws(() => recoverLog(new CutSource(overlay, sectors)), Cut);
      recoverLog(overlay);
      assert.equal(holdings(overlay), expected, `${name} cut after ${sectors} of ${written} sectors`);
    }
    file.close();
  }
});

test('a log that cannot be replayed: exit 2, one line with LSN and reason, image untouched; clear drops it', () => {
  const image = fixture('crash-wrapped');
  const file = FileSource.open(image, 'r+');
  const { g } = openVolume(file);
  const { device, tail } = scanLog(file, g);
  // In the middle of the data of the first record to be replayed: no torn write, for others follow.
  const at = device.start + tail.block * 512 + 2 * 512 + 40;
  const byte = new Uint8Array(1);
  file.read(at, byte);
  byte[0] ^= 0x10;
  file.write(at, byte);
  assert.throws(() => recoverLog(file), LogError);
  file.close();
  const was = sha256(image);
  const { status, stdout, stderr } = xfsimg(['log', image, 'replay']);
  assert.equal(status, 2);
  assert.equal(stdout, '');
  assert.match(stderr, /^xfsimg: .*: log at LSN \d+\/\d+: .*checksum.*\n$/);
  assert.equal(sha256(image), was);

  const before = FileSource.open(image);
  const cycle = highestCycle(openVolume(before));
  before.close();
  assert.equal(xfsimg(['log', image, 'clear']).status, 0);
  const after = FileSource.open(image);
  const state = scanLog(after, openVolume(after).g);
  assert.equal(state.clean, true);
  assert.ok(state.head.cycle > cycle);
  after.close();
});

test('replay -n writes nothing', () => {
  const image = fixture('crash-rmapbt');
  const was = sha256(image);
  const { status, stderr } = xfsimg(['log', image, 'replay', '-n']);
  assert.equal(status, 0);
  assert.match(stderr, /transactions would be replayed/);
  assert.equal(sha256(image), was);
});

test('Linux mounts an image whose log was cleared', needed, () => {
  const image = fixture('crash-rmapbt');
  assert.equal(xfsimg(['log', image, 'replay']).status, 0);
  assert.equal(xfsimg(['log', image, 'clear']).status, 0);
  withMount(image, () => {});
});

describe('images crashed under load', needed, () => {
  test('recovered like Linux does, every geometry in turn', async () => {
    const load = new Load(2);
    const folder = tmpdir();
    try {
      for (const [i, profile] of (['mixed', 'shred', 'storm', 'mixed'] as const).entries()) {
        const geometry = CRASH_GEOMETRIES[(i * 3 + 1) % CRASH_GEOMETRIES.length];
        const image = join(folder, `${i}.img`);
        await crashImage(image, load, {
          geometry,
          seed: 70 + i,
          milliseconds: 500,
          profile,
          flushlog: i % 2 === 0,
        });
        assert.deepEqual(judge(image).differences, [], geometry.name);
      }
    } finally {
      load.close();
    }
  });

  test('cut in the middle, Linux finishes what was begun here', () => {
    const { wrong, byLinux } = kill(fixture('crash-intents'), {
      every: 9,
      linux: 11,
      until: Date.now() + 240_000,
    });
    assert.deepEqual(wrong, []);
    assert.ok(byLinux >= 10, `${byLinux} points`);
  });
});
