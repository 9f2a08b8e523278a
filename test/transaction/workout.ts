/**
 * Random work for the transaction engine, with a model of what must come out: files made by Linux get their
 * blocks mapped, unmapped, converted, shared and copied on write; inodes without names come and go.
 */
import { closeSync, openSync, readSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DIFLAG2, S_IF } from '../../src/format/dinode.js';
import { agbnoOfFsblock, agnoOfFsblock } from '../../src/format/geometry.js';
import type { Source } from '../../src/image/source.js';
import { scanLog } from '../../src/journal/scan.js';
import { allocAnywhere, NoSpaceError } from '../../src/transaction/alloc.js';
import {
  allocateExtent,
  convertExtents,
  deferFree,
  type Extent,
  forkMap,
  indexAt,
  mapExtent,
  unmapExtent,
} from '../../src/transaction/bmap.js';
import { deferCowStaging, holdExtent, REFCOUNT_OP } from '../../src/transaction/defer.js';
import { Engine, type EngineOptions } from '../../src/transaction/engine.js';
import { allocInode, freeInode, initInode } from '../../src/transaction/ialloc.js';
import type { LiveInode } from '../../src/transaction/inode.js';
import { addUnlinked, removeUnlinked } from '../../src/transaction/iunlink.js';
import { firstShared } from '../../src/transaction/refcount.js';
import type { Transaction } from '../../src/transaction/transaction.js';
import { inactivate, truncateFork } from '../../src/transaction/truncate.js';
import { openVolume } from '../../src/volume/volume.js';
import { withMount } from '../support/mount.js';

/** A small generator of random numbers with a seed. */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Makes empty files through Linux. Returns their inode numbers, by name. */
export function makeFiles(image: string, count: number): Map<string, number> {
  return withMount(image, (root) => {
    const files = new Map<string, number>();
    for (let i = 0; i < count; i++) {
      const path = join(root, `f${i}`);
      writeFileSync(path, '');
      files.set(`f${i}`, statSync(path).ino);
    }
    return files;
  });
}

export function openEngine(source: Source, options: EngineOptions = {}): Engine {
  const volume = openVolume(source);
  return new Engine(source, volume.g, scanLog(source, volume.g), options);
}

/** File blocks that hold data, each with the byte it is full of; 0 where unwritten. */
export type FileModel = Map<number, number>;

const RANGE = 400;

export class Workout {
  readonly engine: Engine;
  readonly files: FileModel[] = [];
  readonly #inos: number[];
  readonly #random: (below: number) => number;
  readonly #tmp: number[] = [];
  /** How often each operation was done, and how often there was no space. */
  readonly counts: Record<string, number> = {};
  range = RANGE;
  /** One in so many truncates is done: high numbers let files grow into many extents. */
  truncates = 4;

  constructor(engine: Engine, inos: readonly number[], seed: number) {
    this.engine = engine;
    this.#inos = [...inos];
    this.#random = randomFrom(seed);
    for (const _ of inos) this.files.push(new Map());
  }

  /** A deep copy of the model, to hold a recovered image against. */
  snapshot(): FileModel[] {
    return this.files.map((f) => new Map(f));
  }

  step(): string {
    const r = this.#random;
    const { reflink } = this.engine.g.features;
    const names = [
      'write',
      'write',
      'write',
      'unwritten',
      'convert',
      'punch',
      'truncate',
      'tmpfile',
      'rmtmp',
    ];
    if (reflink) names.push('clone', 'clone', 'cow', 'overwrite');
    const name = names[r(names.length)];
    const file = r(this.#inos.length);
    const offset = r(this.range);
    const blocks = 1 + r(r(4) === 0 ? 64 : 6);
    try {
      this.#do(name, file, offset, blocks);
      this.counts[name] = (this.counts[name] ?? 0) + 1;
    } catch (error) {
      if (!(error instanceof NoSpaceError)) throw error;
      this.counts.enospc = (this.counts.enospc ?? 0) + 1;
    }
    return name;
  }

  #do(name: string, file: number, offset: number, blocks: number): void {
    const { engine } = this;
    const ino = this.#inos[file];
    const model = this.files[file];
    switch (name) {
      case 'write':
      case 'unwritten': {
        const e = this.#run((tx) => {
          const inode = engine.inode(ino);
          const { extents } = forkMap(tx, inode, 'data');
          const next = extents[indexAt(extents, offset)];
          if (next !== undefined && next.offset <= offset) return undefined;
          const room = next === undefined ? blocks : Math.min(blocks, next.offset - offset);
          const got = allocateExtent(tx, inode, 'data', offset, room, { unwritten: name === 'unwritten' });
          if (name === 'write') this.#fill(got, file);
          this.#grow(tx, inode, offset + got.blocks);
          return got;
        });
        if (e !== undefined)
          for (let i = 0; i < e.blocks; i++)
            model.set(e.offset + i, name === 'write' ? this.#byte(file, e.offset + i) : 0);
        return;
      }
      case 'convert': {
        const written: number[] = [];
        this.#run((tx) => {
          const inode = engine.inode(ino);
          for (const e of forkMap(tx, inode, 'data').extents)
            for (let i = 0; i < e.blocks; i++)
              if (e.unwritten && e.offset + i >= offset && e.offset + i < offset + blocks) {
                this.#fill({ ...e, offset: e.offset + i, fsblock: e.fsblock + i, blocks: 1 }, file);
                written.push(e.offset + i);
              }
          convertExtents(tx, inode, offset, blocks, false);
        });
        for (const at of written) model.set(at, this.#byte(file, at));
        return;
      }
      case 'punch':
        this.#run((tx) => unmapExtent(tx, engine.inode(ino), 'data', offset, blocks));
        for (let i = 0; i < blocks; i++) model.delete(offset + i);
        return;
      case 'truncate':
        if (this.#random(this.truncates) !== 0) return;
        truncateFork(engine, ino, 'data', offset);
        for (const at of [...model.keys()]) if (at >= offset) model.delete(at);
        return;
      case 'clone':
        this.#clone(file, this.#random(this.#inos.length), offset, blocks);
        return;
      case 'cow':
      case 'overwrite':
        this.#overwrite(file, offset, name === 'cow');
        return;
      case 'tmpfile': {
        const made = this.#run((tx) => {
          const number = allocInode(tx, ino);
          const mode = S_IF.REG | 0o600;
          const inode = initInode(tx, number, { mode, nlink: 0, uid: 0, gid: 0, time: { sec: 1, nsec: 2 } });
          addUnlinked(tx, inode);
          return number;
        });
        this.#tmp.push(made);
        return;
      }
      case 'rmtmp': {
        if (this.#tmp.length === 0) return;
        const [gone] = this.#tmp.splice(this.#random(this.#tmp.length), 1);
        inactivate(engine, gone);
      }
    }
  }

  /** Does away with the inodes that have no name. */
  tidy(): void {
    for (const ino of this.#tmp.splice(0))
      this.#run((tx) => {
        const inode = this.engine.inode(ino);
        removeUnlinked(tx, inode);
        freeInode(tx, inode);
      });
  }

  /** Runs an operation; now and then it is done, undone and then done again. */
  #run<T>(work: (tx: Transaction) => T): T {
    if (this.#random(8) === 0) {
      const undone = new Error('undone');
      try {
        this.engine.run((tx) => {
          work(tx);
          throw undone;
        });
      } catch (error) {
        if (error !== undone && !(error instanceof NoSpaceError)) throw error;
      }
    }
    return this.engine.run(work);
  }

  #byte(file: number, offset: number): number {
    return 1 + ((file * 31 + offset * 7) % 250);
  }

  #fill(e: Extent, file: number): void {
    const { blocksize } = this.engine.g;
    const bytes = new Uint8Array(e.blocks * blocksize);
    for (let i = 0; i < e.blocks; i++)
      bytes.fill(this.#byte(file, e.offset + i), i * blocksize, (i + 1) * blocksize);
    this.engine.writeData(e.fsblock, bytes);
  }

  #grow(tx: Transaction, inode: LiveInode, blocks: number): void {
    const size = blocks * this.engine.g.blocksize;
    if (inode.size >= size) return;
    tx.editInode(inode);
    inode.setSize(size);
  }

  #flag(tx: Transaction, inode: LiveInode): void {
    if (inode.isReflink) return;
    tx.editInode(inode);
    inode.setFlags2(inode.flags2 | DIFLAG2.REFLINK);
  }

  /** Shares what file `from` has at `offset` with file `to`, at the same place. */
  #clone(from: number, to: number, offset: number, blocks: number): void {
    if (from === to) return;
    const { engine } = this;
    const end = this.#run((tx) => {
      const source = engine.inode(this.#inos[from]);
      const target = engine.inode(this.#inos[to]);
      const { extents } = forkMap(tx, source, 'data');
      const e = extents[indexAt(extents, offset)];
      if (e === undefined || e.offset > offset || e.unwritten) return offset;
      const length = Math.min(blocks, e.offset + e.blocks - offset);
      this.#flag(tx, source);
      this.#flag(tx, target);
      unmapExtent(tx, target, 'data', offset, length);
      const fsblock = e.fsblock + offset - e.offset;
      tx.defer({ kind: 'refcount', op: REFCOUNT_OP.INCREASE, fsblock, blocks: length });
      mapExtent(tx, target, 'data', { offset, fsblock, blocks: length, unwritten: false });
      this.#grow(tx, target, offset + length);
      return offset + length;
    });
    for (let at = offset; at < end; at++) this.files[to].set(at, this.files[from].get(at)!);
  }

  /** Overwrites one block; a shared one by way of a staging extent in the refcount btree, or of an EFI. */
  #overwrite(file: number, offset: number, staged: boolean): void {
    const { engine } = this;
    const { g } = engine;
    const ino = this.#inos[file];
    const found = (tx: Transaction): { old: Extent; shared: boolean } | undefined => {
      const inode = engine.inode(ino);
      const { extents } = forkMap(tx, inode, 'data');
      const e = extents[indexAt(extents, offset)];
      if (e === undefined || e.offset > offset || e.unwritten) return undefined;
      const old = { ...e, offset, fsblock: e.fsblock + offset - e.offset, blocks: 1 };
      const agbno = agbnoOfFsblock(g, old.fsblock);
      const shared =
        inode.isReflink && firstShared(tx, agnoOfFsblock(g, old.fsblock), agbno, 1) !== undefined;
      return { old, shared };
    };
    const what = this.#run(found);
    if (what === undefined || !what.shared) return;
    const { old } = what;
    const near = old.fsblock;
    const { fsblock, held } = this.#run((tx) => {
      const got = allocAnywhere(tx, { near, min: 1, max: 1, left: 8 });
      if (staged) deferCowStaging(tx, got.fsblock, 1, true);
      return { fsblock: got.fsblock, held: staged ? undefined : holdExtent(tx, got.fsblock, 1) };
    });
    const now = { ...old, fsblock };
    this.#fill(now, file);
    this.#run((tx) => {
      const inode = engine.inode(ino);
      if (held === undefined) deferCowStaging(tx, fsblock, 1, false);
      else tx.done(held);
      unmapExtent(tx, inode, 'data', offset, 1, 'keep');
      deferFree(tx, inode, 'data', old);
      mapExtent(tx, inode, 'data', now);
    });
    this.files[file].set(offset, this.#byte(file, offset));
  }
}

/** What Linux reads of the files, against the model. Returns the differences. */
export function differences(
  root: string,
  names: readonly string[],
  files: FileModel[],
  blocksize: number,
): string[] {
  const out: string[] = [];
  const block = Buffer.alloc(blocksize);
  names.forEach((name, index) => {
    const path = join(root, name);
    const fd = openSync(path, 'r');
    const blocks = Math.ceil(statSync(path).size / blocksize);
    for (let at = 0; at < blocks; at++) {
      const want = files[index].get(at) ?? 0;
      readSync(fd, block, 0, blocksize, at * blocksize);
      if (block.some((b) => b !== want) && out.length < 5)
        out.push(`${name} block ${at}: ${block[0]}, not ${want}`);
    }
    for (const at of files[index].keys())
      if (at >= blocks && files[index].get(at) !== 0) out.push(`${name} ends before block ${at}`);
    closeSync(fd);
  });
  return out;
}
