import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ATTR_FLAG } from '../../src/format/attr.js';
import { FileSource } from '../../src/image/source.js';
import { getAttr, removeAttr, setAttr } from '../../src/transaction/attr.js';
import type { Engine } from '../../src/transaction/engine.js';
import { withMount } from '../support/mount.js';
import { oracle, run, sha256, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { openEngine, randomFrom } from './workout.js';

const needs = oracle('mount', 'mkfs.xfs', 'xfs_repair', 'xfs_io', 'getfattr', 'setfattr', 'mknod');

const PREFIX: Record<number, string> = {
  0: 'user.',
  [ATTR_FLAG.ROOT]: 'trusted.',
  [ATTR_FLAG.SECURE]: 'security.',
};

/** Files of every kind, whose data forks leave more room or less. */
function makeKinds(image: string): Map<string, number> {
  return withMount(image, (root) => {
    const at = (name: string): string => join(root, name);
    writeFileSync(at('empty'), '');
    writeFileSync(at('one'), 'x');
    for (const [name, extents] of [
      ['many', 20],
      ['btree', 120],
    ] as const) {
      const commands = Array.from({ length: extents }, (_, i) => ['-c', `pwrite -q ${i * 8192} 4096`]).flat();
      run('xfs_io', ['-f', ...commands, at(name)]);
    }
    mkdirSync(at('dir'));
    mkdirSync(at('fulldir'));
    for (let i = 0; i < 25; i++) writeFileSync(join(at('fulldir'), `n${String(i).padStart(3, '0')}`), '');
    mkdirSync(at('bigdir'));
    for (let i = 0; i < 300; i++) writeFileSync(join(at('bigdir'), `name${i}`), '');
    symlinkSync('t'.repeat(40), at('link'));
    symlinkSync('t'.repeat(330), at('longlink'));
    run('mknod', [at('device'), 'c', '1', '3']);
    run('mknod', [at('fifo'), 'p']);
    const names = [
      'empty',
      'one',
      'many',
      'btree',
      'dir',
      'fulldir',
      'bigdir',
      'link',
      'longlink',
      'device',
      'fifo',
    ];
    return new Map(names.map((name) => [name, lstatSync(at(name)).ino]));
  });
}

type Attrs = Map<string, string>;

/** Attributes as getfattr shows them: name with prefix to value in hex. */
function seen(root: string, names: Iterable<string>): Map<string, Attrs> {
  const out = new Map<string, Attrs>();
  for (const name of names) {
    const attrs: Attrs = new Map();
    const args = ['-h', '-d', '-m', '-', '-e', 'hex', '--absolute-names', join(root, name)];
    const { stdout } = run('getfattr', args, { encoding: 'latin1' });
    for (const line of stdout.split('\n')) {
      if (line === '' || line.startsWith('# file: ')) continue;
      const cut = line.indexOf('=');
      const key = cut < 0 ? line : line.slice(0, cut);
      attrs.set(
        key.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8))),
        cut < 0 ? '' : line.slice(cut + 3),
      );
    }
    out.set(name, attrs);
  }
  return out;
}

class Work {
  readonly model = new Map<string, Attrs>();
  readonly engine: Engine;
  readonly inos: Map<string, number>;
  readonly random: (below: number) => number;

  constructor(engine: Engine, inos: Map<string, number>, seed: number, model?: Map<string, Attrs>) {
    this.engine = engine;
    this.inos = inos;
    this.random = randomFrom(seed);
    for (const name of inos.keys()) this.model.set(name, model?.get(name) ?? new Map());
  }

  #value(): Buffer {
    const { random } = this;
    const kind = random(40);
    const length =
      kind === 0 ? random(65537) : kind < 4 ? random(6000) : kind < 12 ? random(400) : random(24);
    return Buffer.alloc(length, 33 + random(90));
  }

  set(file: string, namespace: number, name: Buffer, value: Buffer): void {
    this.engine.run((tx) => setAttr(tx, this.engine.inode(this.inos.get(file)!), namespace, name, value));
    this.model.get(file)!.set(PREFIX[namespace] + name.toString('latin1'), value.toString('hex'));
  }

  add(file: string): void {
    const { random } = this;
    const user = ['empty', 'one', 'many', 'btree', 'dir', 'fulldir', 'bigdir'].includes(file);
    const namespace = [ATTR_FLAG.ROOT, ATTR_FLAG.SECURE, user ? 0 : ATTR_FLAG.ROOT][random(3)];
    const length = random(20) === 0 ? 200 + random(40) : 1 + random(16);
    const name = Buffer.alloc(length);
    for (let i = 0; i < length; i++) name[i] = 97 + random(26);
    this.set(file, namespace, name, this.#value());
  }

  any(file: string): { key: string; namespace: number; name: Buffer } | undefined {
    const keys = [...this.model.get(file)!.keys()];
    if (keys.length === 0) return undefined;
    const key = keys[this.random(keys.length)];
    const [namespace, prefix] = Object.entries(PREFIX).find(([, p]) => key.startsWith(p))!;
    return { key, namespace: Number(namespace), name: Buffer.from(key.slice(prefix.length), 'latin1') };
  }

  replace(file: string): void {
    const it = this.any(file);
    if (it !== undefined) this.set(file, it.namespace, it.name, this.#value());
  }

  remove(file: string): void {
    const it = this.any(file);
    if (it === undefined) return;
    this.engine.run((tx) => {
      const value = getAttr(tx, this.engine.inode(this.inos.get(file)!), it.namespace, it.name);
      assert.equal(Buffer.from(value!).toString('hex'), this.model.get(file)!.get(it.key));
      assert.ok(removeAttr(tx, this.engine.inode(this.inos.get(file)!), it.namespace, it.name));
    });
    this.model.get(file)!.delete(it.key);
  }

  work(steps: number, additions: number): void {
    const files = [...this.inos.keys()];
    for (let i = 0; i < steps; i++) {
      const file = files[this.random(files.length)];
      const dice = this.random(10);
      if (dice < additions) this.add(file);
      else if (dice === 9) this.replace(file);
      else this.remove(file);
    }
  }
}

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
    let work = new Work(openEngine(source), inos, index);
    const look = (): void => {
      if (shape.crash) work.engine.flush();
      else work.engine.close();
      source.close();
      if (!shape.crash) xfsRepairClean(image);
      assert.deepEqual(plain(withMount(image, (root) => seen(root, inos.keys()))), plain(work.model));
      if (shape.crash) xfsRepairClean(image);
      source = FileSource.open(image, 'r+');
      work = new Work(openEngine(source), inos, index + 50, work.model);
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
    const work = new Work(openEngine(source), new Map([['f', ino]]), round, model);
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
