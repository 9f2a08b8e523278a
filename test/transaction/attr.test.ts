import assert from 'node:assert/strict';
import { lstatSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ATTR_FLAG } from '../../src/format/attr.js';
import { FileSource } from '../../src/image/source.js';
import { removeAttr, setAttr } from '../../src/transaction/attr.js';
import { withMount } from '../support/mount.js';
import { oracle, run, sha256, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { type Attrs, AttrWork, makeKinds, seen } from './attrs.js';
import { openEngine } from './workout.js';

const needs = oracle('mount', 'mkfs.xfs', 'xfs_repair', 'xfs_io', 'getfattr', 'setfattr', 'mknod');

const plain = (m: Map<string, Attrs>): unknown =>
  [...m].map(([file, attrs]) => [file, [...attrs].sort((a, b) => (a[0] < b[0] ? -1 : 1))]);

const shapes = [
  { name: '4 KiB blocks', args: ['-m', 'rmapbt=1'], crash: false },
  { name: '1 KiB blocks', args: ['-b', 'size=1024'], crash: false },
  { name: '1 KiB blocks, crashed', args: ['-b', 'size=1024', '-m', 'rmapbt=1'], crash: true },
  { name: '1 KiB inodes, crashed', args: ['-i', 'size=1024'], crash: true },
];

for (const [index, shape] of shapes.entries())
  test(`attributes come and go on files of all kinds: ${shape.name}`, needs, () => {
    const image = join(tmpdir(), 'image');
    mkfs(image, { size: 64 << 20, args: shape.args, tiny: true });
    const inos = makeKinds(image);
    let source = FileSource.open(image, 'r+');
    let work = new AttrWork(openEngine(source), inos, index);
    const look = (): void => {
      if (shape.crash) work.engine.flush();
      else work.engine.close();
      source.close();
      if (!shape.crash) xfsRepairClean(image);
      assert.deepEqual(plain(withMount(image, (root) => seen(root, inos.keys()))), plain(work.model));
      if (shape.crash) xfsRepairClean(image);
      source = FileSource.open(image, 'r+');
      work = new AttrWork(openEngine(source), inos, index + 50, work.model);
    };
    for (const file of inos.keys()) work.add(file);
    look();
    work.work(150, 8);
    look();
    for (let i = 0; i < 400; i++) work.add(i % 4 === 0 ? 'btree' : 'empty');
    work.set('one', 0, Buffer.from('largest'), Buffer.alloc(65536, 'v'));
    work.set('one', 0, Buffer.from('none'), Buffer.alloc(0));
    look();
    work.work(600, 3);
    look();
    for (const file of inos.keys()) while (work.model.get(file)!.size > 0) work.remove(file);
    look();
    work.work(60, 9);
    look();
    source.close();
  });

test('Linux and the engine take turns on the attributes of one file', needs, () => {
  const image = join(tmpdir(), 'image');
  mkfs(image, { size: 64 << 20, args: ['-b', 'size=1024', '-m', 'rmapbt=1'], tiny: true });
  const ino = withMount(image, (root) => {
    writeFileSync(join(root, 'f'), '');
    return lstatSync(join(root, 'f')).ino;
  });
  let model = new Map([['f', new Map<string, string>()]]);
  for (const [round, count] of [3, 20, 150, 300].entries()) {
    withMount(image, (root) => {
      const lines = ['# file: f'];
      for (let i = 0; i < count; i++) {
        const value = Buffer.alloc(i % 25 === 0 ? 3000 : i % 60, 'l').toString('hex');
        lines.push(`user.linux-${round}-${i}=${value === '' ? '""' : `0x${value}`}`);
        model.get('f')!.set(`user.linux-${round}-${i}`, value);
      }
      run('setfattr', ['--restore=-'], { cwd: root, input: `${lines.join('\n')}\n` });
      // Holes in leaves.
      for (let i = 0; i < count; i += 7) {
        run('setfattr', ['-x', `user.linux-${round}-${i}`, 'f'], { cwd: root });
        model.get('f')!.delete(`user.linux-${round}-${i}`);
      }
    });
    const source = FileSource.open(image, 'r+');
    const work = new AttrWork(openEngine(source), new Map([['f', ino]]), round, model);
    // Names of one hash: bit 0 of a byte and bit 7 of the next cancel each other out.
    for (let n = 0; n < count >> 1; n++) {
      const name = Buffer.from(`c${round}${'AA'.repeat(10)}`);
      for (let bit = 0; bit < 10; bit++)
        if ((n >> bit) & 1) {
          name[2 + bit * 2] ^= 0x01;
          name[3 + bit * 2] ^= 0x80;
        }
      work.set('f', 0, name, Buffer.alloc(n % 40, 'c'));
    }
    work.work(count, 6);
    work.work(count >> 1, 2);
    work.engine.close();
    source.close();
    xfsRepairClean(image);
    model = work.model;
    assert.deepEqual(plain(withMount(image, (root) => seen(root, ['f']))), plain(model));
  }
});

test('what cannot be an attribute is refused, and an operation that throws leaves no trace', needs, () => {
  const image = join(tmpdir(), 'image');
  mkfs(image, { size: 64 << 20, tiny: true });
  const inos = makeKinds(image);
  const before = sha256(image);
  const source = FileSource.open(image, 'r+');
  const engine = openEngine(source);
  const ino = (name: string): number => inos.get(name)!;
  const set =
    (name: Buffer, value: Buffer, namespace = 0) =>
    (): void =>
      engine.run((tx) => setAttr(tx, engine.inode(ino('one')), namespace, name, value));
  const a = Buffer.from('a');
  assert.throws(set(Buffer.alloc(0), a), RangeError);
  assert.throws(set(Buffer.alloc(256, 'x'), a), RangeError);
  assert.throws(set(Buffer.from('a\0b'), a), RangeError);
  assert.throws(set(a, Buffer.alloc(65537)), RangeError);
  assert.throws(set(a, a, ATTR_FLAG.PARENT), RangeError);
  for (const name of inos.keys())
    assert.throws(
      () =>
        engine.run((tx) => {
          const inode = engine.inode(ino(name));
          assert.equal(removeAttr(tx, inode, 0, a), false);
          for (let i = 0; i < 40; i++) setAttr(tx, inode, 0, Buffer.from(`name${i}`), Buffer.alloc(200, i));
          throw new Error('never mind');
        }),
      /never mind/,
    );
  engine.close();
  source.close();
  assert.equal(sha256(image), before);
});
