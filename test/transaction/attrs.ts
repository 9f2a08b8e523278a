/** Extended attributes of files of every kind, changed by the engine, with a model of what must come out. */
import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ATTR_FLAG } from '../../src/format/attr.js';
import { getAttr, removeAttr, setAttr } from '../../src/transaction/attr.js';
import type { Engine } from '../../src/transaction/engine.js';
import { withMount } from '../support/mount.js';
import { run } from '../support/oracle.js';
import { randomFrom } from './workout.js';

const PREFIX: Record<number, string> = {
  0: 'user.',
  [ATTR_FLAG.ROOT]: 'trusted.',
  [ATTR_FLAG.SECURE]: 'security.',
};

/** Files of every kind, whose data forks leave more room or less. */
export function makeKinds(image: string): Map<string, number> {
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

export type Attrs = Map<string, string>;

/** Attributes as getfattr shows them: name with prefix to value in hex. */
export function seen(root: string, names: Iterable<string>): Map<string, Attrs> {
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

export class AttrWork {
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

  /** One step, with so many additions in ten. Returns what it was. */
  step(additions: number): string {
    const files = [...this.inos.keys()];
    const file = files[this.random(files.length)];
    const dice = this.random(10);
    if (dice < additions) {
      this.add(file);
      return 'set attribute';
    }
    if (dice === 9) {
      this.replace(file);
      return 'replace attribute';
    }
    this.remove(file);
    return 'remove attribute';
  }

  work(steps: number, additions: number): void {
    for (let i = 0; i < steps; i++) this.step(additions);
  }
}
