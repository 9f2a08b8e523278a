import assert from 'node:assert/strict';
import { linkSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { sealCrc } from '../../src/format/checksum.js';
import { FTYPE } from '../../src/format/dir.js';
import { CorruptionError } from '../../src/format/fault.js';
import { FileSource } from '../../src/image/source.js';
import { addEntry, EntryError, findEntry, removeEntry, replaceEntry } from '../../src/transaction/dir.js';
import type { LiveInode } from '../../src/transaction/inode.js';
import type { Transaction } from '../../src/transaction/transaction.js';
import { withMount } from '../support/mount.js';
import { oracle, run, sha256, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { colliding, Links, listing } from './links.js';
import { makeFiles, openEngine } from './workout.js';

const needs = oracle('mount', 'mkfs.xfs', 'xfs_repair', 'xfs_db');

function prepare(image: string, args: string[], mib = 64): { dir: number; files: number[] } {
  mkfs(image, { size: mib << 20, args, tiny: true });
  const files = [...makeFiles(image, 3).values()];
  const dir = withMount(image, (root) => {
    mkdirSync(join(root, 'd'));
    return statSync(join(root, 'd')).ino;
  });
  return { dir, files };
}

const sorted = (m: Map<string, number>): [string, number][] => [...m].sort((a, b) => (a[0] < b[0] ? -1 : 1));

const shapes = [
  { name: '4 KiB blocks', args: ['-m', 'rmapbt=1'], steps: 6500, crash: false },
  { name: '4 KiB blocks, crashed', args: ['-m', 'rmapbt=1'], steps: 3000, crash: true },
  { name: '1 KiB blocks, crashed', args: ['-b', 'size=1024', '-m', 'rmapbt=0'], steps: 3000, crash: true },
  { name: 'directory blocks of 8 KiB', args: ['-n', 'size=8k', '-m', 'rmapbt=1'], steps: 3000, crash: false },
  { name: 'directory blocks of 64 KiB, crashed', args: ['-n', 'size=64k'], steps: 3000, crash: true },
];

for (const [index, shape] of shapes.entries())
  test(`a directory grows and shrinks: ${shape.name}`, needs, () => {
    const image = join(tmpdir(), 'image');
    const { dir, files } = prepare(image, shape.args);
    let source = FileSource.open(image, 'r+');
    let links = new Links(openEngine(source), dir, files, index);
    const look = (): void => {
      if (shape.crash) links.engine.flush();
      else links.engine.close();
      source.close();
      if (!shape.crash) xfsRepairClean(image);
      assert.deepEqual(sorted(withMount(image, listing)), sorted(links.model));
      if (shape.crash) xfsRepairClean(image);
    };
    const again = (): void => {
      const { model, names } = links;
      source = FileSource.open(image, 'r+');
      links = new Links(openEngine(source), dir, files, index + 77);
      for (const [name, ino] of model) links.model.set(name, ino);
      links.names.push(...names);
    };
    links.work(60, 9);
    look();
    again();
    links.work(shape.steps, 9);
    for (const name of colliding(300, 'x')) links.add(name);
    if (!shape.crash) assert.ok(links.names.length > 2500);
    look();
    again();
    links.work(shape.steps >> 1, 3);
    look();
    again();
    while (links.names.length > 0) links.remove();
    look();
    // Linux takes it for empty only when it stands in the inode again.
    withMount(image, (root) => run('rmdir', [join(root, 'd')]));
    xfsRepairClean(image);
  });

test('Linux and the engine take turns on one directory', needs, () => {
  const image = join(tmpdir(), 'image');
  const { dir, files } = prepare(image, ['-m', 'rmapbt=1']);
  const model = new Map<string, number>();
  for (const [round, count] of [20, 90, 400, 2500].entries()) {
    withMount(image, (root) => {
      for (let i = 0; i < count; i++) {
        const name = `linux-${round}-${i}`;
        linkSync(join(root, 'f0'), join(root, 'd', name));
        model.set(name, files[0]);
      }
      // Stale hashes, and holes where data blocks were.
      for (let i = 0; i < count; i++) {
        if (i % 3 === 0 && i < count >> 1) continue;
        rmSync(join(root, 'd', `linux-${round}-${i}`));
        model.delete(`linux-${round}-${i}`);
      }
    });
    const source = FileSource.open(image, 'r+');
    const links = new Links(openEngine(source), dir, files, round);
    for (const [name, ino] of model) links.model.set(name, ino);
    links.names.push(...model.keys());
    links.work(count, 6);
    links.work(count >> 1, 2);
    links.engine.close();
    source.close();
    xfsRepairClean(image);
    model.clear();
    for (const [name, ino] of links.model) model.set(name, ino);
    assert.deepEqual(sorted(withMount(image, listing)), sorted(model));
  }
});

test("a directory moves, in each form: '..' follows", needs, () => {
  const image = join(tmpdir(), 'image');
  mkfs(image, { size: 64 << 20, tiny: true });
  const sizes = [3, 60, 300, 3000];
  const {
    inos,
    to,
    root: top,
  } = withMount(image, (root) => {
    mkdirSync(join(root, 'to'));
    for (const n of sizes) {
      mkdirSync(join(root, `d${n}`));
      for (let i = 0; i < n; i++) writeFileSync(join(root, `d${n}`, `name${i}`), '');
    }
    const ino = (path: string): number => statSync(join(root, path)).ino;
    return { inos: sizes.map((n) => ino(`d${n}`)), to: ino('to'), root: ino('.') };
  });
  const source = FileSource.open(image, 'r+');
  const engine = openEngine(source);
  for (const [i, n] of sizes.entries())
    engine.run((tx) => {
      const name = Buffer.from(`d${n}`);
      assert.deepEqual(findEntry(tx, engine.inode(top), name), { ino: inos[i], ftype: FTYPE.DIR });
      removeEntry(tx, engine.inode(top), name);
      addEntry(tx, engine.inode(to), name, inos[i], FTYPE.DIR);
      replaceEntry(tx, engine.inode(inos[i]), Buffer.from('..'), to, FTYPE.DIR);
      for (const [ino, delta] of [
        [top, -1],
        [to, 1],
      ]) {
        tx.editInode(engine.inode(ino));
        engine.inode(ino).setNlink(engine.inode(ino).nlink + delta);
      }
    });
  engine.close();
  source.close();
  xfsRepairClean(image);
  withMount(image, (root) => {
    for (const n of sizes) {
      assert.equal(readdirSync(join(root, 'to', `d${n}`)).length, n);
      assert.equal(statSync(join(root, 'to', `d${n}`, '..')).ino, to);
    }
  });
});

test('what cannot be is refused, and leaves no trace', needs, () => {
  const image = join(tmpdir(), 'image');
  const { dir, files } = prepare(image, []);
  const names = withMount(image, (root) => {
    for (let i = 0; i < 500; i++) linkSync(join(root, 'f0'), join(root, 'd', `n${i}`));
    return listing(root);
  });
  const before = sha256(image);
  const source = FileSource.open(image, 'r+');
  const engine = openEngine(source);
  const change =
    (work: (tx: Transaction, inode: LiveInode) => void): (() => void) =>
    () =>
      engine.run((tx) => work(tx, engine.inode(dir)));
  const reason = (is: string) => (error: unknown) => error instanceof EntryError && error.reason === is;
  const add = (name: string) => change((tx, d) => addEntry(tx, d, Buffer.from(name), files[0], FTYPE.REG));
  assert.throws(add('n7'), reason('exists'));
  assert.throws(add('..'), reason('exists'));
  for (const name of ['', '.', 'a/b', 'a\0b', 'x'.repeat(256)]) assert.throws(add(name), reason('name'));
  assert.throws(
    change((tx, d) => removeEntry(tx, d, Buffer.from('nope'))),
    reason('missing'),
  );
  assert.throws(
    change((tx, d) => replaceEntry(tx, d, Buffer.from('nope'), dir, 1)),
    reason('missing'),
  );
  engine.close();
  // Data block 1 says another inode is its owner: found before anything is changed.
  const block = run('xfs_db', ['-r', '-c', `inode ${dir}`, '-c', 'dblock 1', '-c', 'daddr', image]).stdout;
  const at = Number(/(\d+)\s*$/.exec(block)![1]) * 512;
  source.close();
  assert.equal(sha256(image), before);
  const damaged = FileSource.open(image, 'r+');
  const bytes = new Uint8Array(4096);
  damaged.read(at, bytes);
  bytes[0x2f] ^= 1;
  sealCrc(bytes, 4);
  damaged.write(at, bytes);
  const broken = openEngine(damaged);
  let refused = 0;
  for (const name of names.keys())
    try {
      broken.run((tx) => replaceEntry(tx, broken.inode(dir), Buffer.from(name), files[1], FTYPE.REG));
    } catch (error) {
      assert.ok(error instanceof CorruptionError);
      assert.equal(error.fault.field, 'dhdr.hdr.owner');
      refused++;
    }
  assert.ok(refused > 50 && refused < 400, `${refused}`);
  damaged.close();
});
