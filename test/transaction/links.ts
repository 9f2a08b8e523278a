/** A directory of links to a few files, changed by the engine, with a model of what must come out. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { FTYPE } from '../../src/format/dir.js';
import { addEntry, removeEntry, replaceEntry } from '../../src/transaction/dir.js';
import type { Engine } from '../../src/transaction/engine.js';
import { randomFrom } from './workout.js';

/** Names that all have one hash: bit 0 of a byte and bit 7 of the next cancel each other out. */
export function colliding(count: number, prefix: string): Buffer[] {
  return Array.from({ length: count }, (_, n) => {
    const name = Buffer.from(`${prefix}${'AA'.repeat(12)}`);
    for (let bit = 0; bit < 12; bit++)
      if ((n >> bit) & 1) {
        name[prefix.length + bit * 2] ^= 0x01;
        name[prefix.length + bit * 2 + 1] ^= 0x80;
      }
    return name;
  });
}

/** Directory "d" of an image with links to a few files, changed by the engine; names in latin1. */
export class Links {
  readonly model = new Map<string, number>();
  readonly names: string[] = [];
  readonly engine: Engine;
  readonly dir: number;
  readonly files: number[];
  readonly random: (below: number) => number;

  constructor(engine: Engine, dir: number, files: number[], seed: number) {
    this.engine = engine;
    this.dir = dir;
    this.files = files;
    this.random = randomFrom(seed);
  }

  #link(tx: Parameters<typeof addEntry>[0], ino: number, delta: number): void {
    const file = this.engine.inode(ino);
    tx.editInode(file);
    file.setNlink(file.nlink + delta);
  }

  name(): Buffer {
    const { random } = this;
    for (;;) {
      const kind = random(10);
      const length = kind === 0 ? 255 : kind < 3 ? 1 + random(255) : 1 + random(20);
      const name = Buffer.alloc(length);
      for (let i = 0; i < length; i++) name[i] = kind < 5 ? 1 + random(255) : 97 + random(26);
      if (name.includes(0x2f) || name[0] === 0x2e || this.model.has(name.toString('latin1'))) continue;
      return name;
    }
  }

  add(name: Buffer): void {
    const ino = this.files[this.random(this.files.length)];
    this.engine.run((tx) => {
      addEntry(tx, this.engine.inode(this.dir), name, ino, FTYPE.REG);
      this.#link(tx, ino, 1);
    });
    this.model.set(name.toString('latin1'), ino);
    this.names.push(name.toString('latin1'));
  }

  remove(): void {
    const i = this.random(this.names.length);
    const name = this.names[i];
    this.names[i] = this.names[this.names.length - 1];
    this.names.pop();
    this.engine.run((tx) => {
      removeEntry(tx, this.engine.inode(this.dir), Buffer.from(name, 'latin1'));
      this.#link(tx, this.model.get(name)!, -1);
    });
    this.model.delete(name);
  }

  replace(): void {
    const name = this.names[this.random(this.names.length)];
    const ino = this.files[this.random(this.files.length)];
    this.engine.run((tx) => {
      replaceEntry(tx, this.engine.inode(this.dir), Buffer.from(name, 'latin1'), ino, FTYPE.REG);
      this.#link(tx, this.model.get(name)!, -1);
      this.#link(tx, ino, 1);
    });
    this.model.set(name, ino);
  }

  /** One step, with so many additions in ten. Returns what it was. */
  step(additions: number): string {
    const dice = this.random(10);
    if (this.names.length === 0 || dice < additions) {
      this.add(this.name());
      return 'add entry';
    }
    if (dice === 9) {
      this.replace();
      return 'replace entry';
    }
    this.remove();
    return 'remove entry';
  }

  /** Steps with so many additions in ten. */
  work(steps: number, additions: number): void {
    for (let i = 0; i < steps; i++) this.step(additions);
  }
}

/** What Linux lists in the mounted directory. */
export function listing(root: string): Map<string, number> {
  const path = Buffer.from(join(root, 'd/'));
  return new Map(
    readdirSync(join(root, 'd'), { encoding: 'buffer' }).map((name) => [
      name.toString('latin1'),
      statSync(Buffer.concat([path, name])).ino,
    ]),
  );
}
