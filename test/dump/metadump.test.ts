import assert from 'node:assert/strict';
import { closeSync, existsSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type MetadumpOptions, metadump } from '../../src/dump/metadump/metadump.js';
import { NameCipher } from '../../src/dump/metadump/names.js';
import { daHash } from '../../src/format/da.js';
import { openSource } from '../../src/image/open.js';
import { openVolume } from '../../src/volume/volume.js';
import { populated } from '../support/cache.js';
import { xfsimg } from '../support/cli.js';
import { fixture } from '../support/fixture.js';
import { withMount } from '../support/mount.js';
import { blank, copyImage, oracle, run, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { random } from '../support/random.js';
import { describeTree, type Tree } from '../support/tree.js';

/** Small logs: most of a dump is the log. */
const SMALL_LOG = ['-l', 'size=16m'] as const;
const filled = (...args: string[]): string =>
  populated({ mkfs: { args: [...SMALL_LOG, ...args], tiny: true } }).image;

/** Writes the dump to `path` by the command line; returns what it says. */
function dumpTo(image: string, path: string, ...args: string[]): string {
  const { status, stderr } = xfsimg(['metadump', image, path, '-f', ...args]);
  assert.equal(status, 0, stderr);
  return stderr;
}

function restored(dump: string): string {
  const image = join(tmpdir(), 'restored');
  run('xfs_mdrestore', [dump, image]);
  return image;
}

/** What a dump holds: sectors by their place in the image. */
function sectorsOf(dump: Uint8Array): Map<number, Uint8Array> {
  const out = new Map<number, Uint8Array>();
  const v = new DataView(dump.buffer, dump.byteOffset, dump.length);
  for (let at = 0; ; ) {
    const count = v.getUint16(at + 4);
    for (let i = 0; i < count; i++)
      out.set(Number(v.getBigUint64(at + 8 + i * 8)), dump.subarray(at + (1 + i) * 512, at + (2 + i) * 512));
    at += (1 + count) * 512;
    if (count < 63) return out;
  }
}

/** A predicate for sectors of the log, and sectors of a block, as xfs_db has them. */
function geometry(image: string): { inLog: (sector: number) => boolean; perBlock: number } {
  const fields = ['logstart', 'logblocks', 'blocksize', 'agblocks', 'agblklog'];
  const { stdout } = run('xfs_db', ['-r', '-c', 'sb 0', '-c', `p ${fields.join(' ')}`, image]);
  const [start, length, blocksize, agblocks, agblklog] = [...stdout.matchAll(/= (\d+)/g)].map((m) =>
    Number(m[1]),
  );
  const perBlock = blocksize / 512;
  const from = (Math.floor(start / 2 ** agblklog) * agblocks + (start % 2 ** agblklog)) * perBlock;
  return { inLog: (sector) => sector >= from && sector < from + length * perBlock, perBlock };
}

const links = (root: string, tree: Tree): number =>
  [...tree].filter(
    ([path, node]) =>
      node.type === 'symlink' &&
      existsSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path, 'latin1')])),
  ).length;

describe('metadump', () => {
  test('-o is what xfs_metadump writes', oracle('mount', 'xfs_metadump', 'xfs_db'), () => {
    for (const args of [
      ['-m', 'rmapbt=1'],
      ['-i', 'nrext64=1,size=1024', '-m', 'rmapbt=0'],
    ]) {
      const image = filled(...args);
      const folder = tmpdir();
      const [ours, theirs] = [join(folder, 'ours'), join(folder, 'theirs')];
      const { inLog, perBlock } = geometry(image);
      for (const options of [['-a', '-o'], ['-o']]) {
        dumpTo(image, ours, ...options);
        run('xfs_metadump', [...options, image, theirs]);
        const [a, b] = [sectorsOf(readFileSync(ours)), sectorsOf(readFileSync(theirs))];
        assert.deepEqual([...a.keys()].sort(), [...b.keys()].sort());
        for (const [sector, bytes] of b) {
          if (Buffer.compare(a.get(sector) as Uint8Array, bytes) === 0) continue;
          // It leaves old records in these two trees, and numbers the empty log's cycle otherwise.
          const first = b.get(sector - (sector % perBlock)) as Uint8Array;
          const magic = Buffer.from(first.subarray(0, 4)).toString('latin1');
          if (options.length === 1 && (inLog(sector) || /^(R3FC|RMB3)$/.test(magic))) continue;
          assert.fail(`sector ${sector} (${magic}) differs with ${options.join(' ')}`);
        }
      }
    }
  });

  test(
    'names and values are obfuscated, and the filesystem is whole',
    oracle('mount', 'xfs_mdrestore', 'xfs_repair'),
    () => {
      const image = filled('-b', 'size=1024', '-n', 'size=8192');
      const dump = join(tmpdir(), 'dump');
      dumpTo(image, dump, '-a');
      xfsRepairClean(restored(dump));
      assert.equal(dumpTo(image, dump), '');
      const copy = restored(dump);
      xfsRepairClean(copy);
      const shape = (tree: Tree): string[] =>
        [...tree.values()]
          .map((n) => `${n.ino} ${n.type} ${n.mode} ${n.size} ${n.nlink} ${n.target?.length}`)
          .sort();
      const look = (root: string) => {
        const tree = describeTree(root, { content: false });
        return { tree, shape: shape(tree), leading: links(root, tree) };
      };
      const before = withMount(image, look, { options: 'ro,norecovery' });
      const after = withMount(copy, look, { options: 'ro' });
      assert.deepEqual(after.shape, before.shape);
      // The same name is the same everywhere: links lead where they led.
      assert.ok(before.leading > 0);
      assert.equal(after.leading, before.leading);
      assertNothingTold(readFileSync(dump), before.tree, geometry(image).inLog);
    },
  );

  test('a dirty log goes along, and is told of', oracle('mount', 'xfs_mdrestore'), () => {
    const image = fixture('crash-plain');
    const dump = join(tmpdir(), 'dump');
    assert.match(dumpTo(image, dump, '-o'), /the log is dirty/);
    assert.equal(readFileSync(dump)[7] & 8, 8);
    const copy = restored(dump);
    const tree = (path: string): Tree => withMount(path, (root) => describeTree(root, { content: false }));
    assert.deepEqual([...tree(copy).keys()].sort(), [...tree(image).keys()].sort());
    xfsRepairClean(copy);
  });

  test('of damaged filesystems nothing is told but what is metadata', oracle('mount', 'xfs_db'), () => {
    const image = filled('-b', 'size=1024', '-n', 'size=8192');
    const tree = withMount(image, (root) => describeTree(root, { content: false }), {
      options: 'ro,norecovery',
    });
    const { inLog } = geometry(image);
    const places = [...sectorsOf(dumped(image).dump).keys()].filter((sector) => sector > 0 && !inLog(sector));
    const dice = random(7);
    const damaged = copyImage(image, join(tmpdir(), 'damaged'));
    const fd = openSync(damaged, 'r+');
    try {
      for (let i = 0; i < 400; i++) {
        const at = places[Math.floor(dice() * places.length)] * 512;
        writeSync(fd, Uint8Array.of(dice() * 256), 0, 1, at + Math.floor(dice() * 512));
      }
    } finally {
      closeSync(fd);
    }
    const lines: string[] = [];
    const { dump, told } = dumped(damaged, { key: Buffer.alloc(32, 1), warn: (line) => lines.push(line) });
    assert.ok(told > 5 && told === lines.length, `${told} of ${lines.length}`);
    for (const line of lines) assert.doesNotMatch(line, /\n/);
    assertNothingTold(dump, tree, inLog);
  });

  test('refusals leave nothing', () => {
    const folder = tmpdir();
    const [image, dump] = [join(folder, 'image'), join(folder, 'dump')];
    blank(image, 2 ** 20);
    const refused = (args: string[], status: number, message: RegExp): void => {
      const ran = xfsimg(['metadump', ...args]);
      assert.equal(ran.status, status);
      assert.match(ran.stderr, message);
      assert.equal(ran.stderr.trimEnd().split('\n').length, 1);
    };
    refused([image, dump], 2, /not an XFS filesystem/);
    assert.equal(existsSync(dump), false);
    refused([join(folder, 'none'), dump], 1, /none/);
    assert.equal(xfsimg(['mkfs', image, '--size', '64m', '-q']).status, 0);
    refused([image, image, '-f'], 64, /this is the image itself/);
    assert.equal(xfsimg(['metadump', image, dump]).status, 0);
    refused([image, dump], 1, /exists; -f/);
    assert.equal(statSync(image).size, 64 * 2 ** 20);
  });
});

/** The dump of an image, by the library. */
function dumped(image: string, options: MetadumpOptions = {}): { dump: Buffer; told: number } {
  const parts: Uint8Array[] = [];
  const volume = openVolume(openSource(image));
  const { damaged } = metadump(volume, (record) => parts.push(record.slice()), options);
  volume.close();
  return { dump: Buffer.concat(parts), told: damaged };
}

/** Names looked for in a dump. */
const SECRETS = 500;

/** No name of eight bytes and more, no part of a target, no attribute of a tree stands in a dump. */
function assertNothingTold(dump: Buffer, tree: Tree, inLog: (sector: number) => boolean): void {
  const secrets = new Set<string>();
  for (const [path, node] of tree) {
    const name = path.slice(path.lastIndexOf('/') + 1);
    if (name !== 'lost+found') secrets.add(name);
    for (const part of node.target?.split('/') ?? []) secrets.add(part);
    for (const [attr, value] of node.xattrs) {
      secrets.add(attr.slice(attr.indexOf('.') + 1));
      secrets.add(Buffer.from(value, 'hex').toString('latin1').slice(0, 64));
    }
  }
  const looked = [...secrets].filter((secret) => secret.length >= 8 && !/^(.)\1*$/s.test(secret));
  const step = Math.ceil(looked.length / SECRETS);
  const sectors = sectorsOf(dump);
  const bytes = Buffer.concat([...sectors].filter(([at]) => !inLog(at)).map(([, b]) => b));
  for (let i = 0; i < looked.length; i += step)
    assert.equal(bytes.indexOf(Buffer.from(looked[i], 'latin1')), -1, JSON.stringify(looked[i]));
  assert.ok(looked.length > 100, `${looked.length} names`);
}

describe('obfuscated names', () => {
  const name = fc
    .uint8Array({ minLength: 5, maxLength: 255 })
    .filter((b) => !b.includes(0) && !b.includes(0x2f));

  test('have the hash of the old, are valid, and follow from it', () => {
    const cipher = new NameCipher(Buffer.alloc(32, 3));
    fc.assert(
      fc.property(name, (b) => {
        const out = b.slice();
        cipher.apply(out, 0, out.length);
        assert.equal(daHash(out), daHash(b));
        assert.ok(!out.includes(0) && !out.includes(0x2f));
        const again = b.slice();
        cipher.apply(again, 0, again.length);
        assert.deepEqual(again, out);
        if (b.length > 8) assert.notDeepEqual(out, b);
      }),
      { seed: 5, numRuns: 500 },
    );
  });

  test('differ where the old did: all names of one hash', () => {
    const cipher = new NameCipher(Buffer.alloc(32, 4));
    // Flipping two bits 7 places apart in neighbouring bytes keeps the hash: all 256 of one hash, and longer ones.
    for (const text of ['abcde', 'PQRSTU']) {
      const all = new Map<string, Uint8Array>([[text, Buffer.from(text)]]);
      for (const [, b] of all)
        for (let i = 0; i + 5 <= b.length; i++)
          for (const [from, bit, to, other] of [
            ...[1, 2, 3, 4].map((k) => [i + k, 0x80, i + k - 1, 1]),
            ...[0, 1, 2, 3].map((k) => [i, 0x10 << k, i + 4, 1 << k]),
          ]) {
            const next = Uint8Array.from(b);
            next[from] ^= bit;
            next[to] ^= other;
            if (next.includes(0) || next.includes(0x2f)) continue;
            assert.equal(daHash(next), daHash(b));
            all.set(Buffer.from(next).toString('latin1'), next);
          }
      assert.ok(all.size > 200, `${all.size}`);
      const out = new Set<string>();
      for (const [, b] of all) {
        const changed = Buffer.from(b);
        cipher.apply(changed, 0, changed.length);
        out.add(changed.toString('latin1'));
      }
      assert.equal(out.size, all.size);
    }
  });
});
