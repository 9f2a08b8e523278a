import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { AGI } from '../../src/format/ag.js';
import { S_IF } from '../../src/format/dinode.js';
import { FileSource } from '../../src/image/source.js';
import { NoSpaceError } from '../../src/transaction/alloc.js';
import { allocateExtent, forkMap, unmapExtent } from '../../src/transaction/bmap.js';
import { allocInode, freeInode, initInode } from '../../src/transaction/ialloc.js';
import { addUnlinked, removeUnlinked } from '../../src/transaction/iunlink.js';
import { truncateFork } from '../../src/transaction/truncate.js';
import { withMount } from '../support/mount.js';
import { oracle, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { btdump, inodes } from '../support/xfsdb.js';
import { differences, makeFiles, openEngine, randomFrom, Workout } from './workout.js';

const needs = oracle('mount', 'mkfs.xfs', 'xfs_repair', 'xfs_db');

interface Shape {
  name: string;
  mib: number;
  args: string[];
  steps: number;
  range: number;
  /** Leave the log dirty: Linux replays everything. */
  crash?: boolean;
  truncates?: number;
}

const shapes: Shape[] = [
  { name: 'rmapbt, 4 KiB blocks', mib: 400, args: ['-m', 'rmapbt=1'], steps: 4000, range: 20000 },
  {
    name: 'no rmapbt, 1 KiB blocks, trees of several levels',
    mib: 300,
    args: ['-b', 'size=1024', '-m', 'rmapbt=0'],
    steps: 12000,
    range: 40000,
    truncates: 2000,
  },
  {
    name: 'nearly full, small AGs, a log that wraps',
    mib: 64,
    args: ['-b', 'size=1024', '-m', 'rmapbt=1', '-d', 'agcount=4'],
    steps: 12000,
    range: 20000,
    truncates: 2000,
  },
  {
    name: 'crashed, log stripe unit',
    mib: 100,
    args: ['-m', 'rmapbt=1', '-d', 'agcount=4', '-l', 'su=32k'],
    steps: 6000,
    range: 8000,
    truncates: 500,
    crash: true,
  },
  {
    name: 'crashed, 4 KiB sectors',
    mib: 200,
    args: ['-s', 'size=4096', '-m', 'rmapbt=1'],
    steps: 3000,
    range: 8000,
    crash: true,
  },
  {
    name: 'no reflink, no finobt, no sparse inodes',
    mib: 100,
    args: ['-m', 'reflink=0,finobt=0,rmapbt=0', '-i', 'sparse=0'],
    steps: 4000,
    range: 4000,
  },
];

for (const [index, shape] of shapes.entries())
  test(`random work on mapped files: ${shape.name}`, needs, () => {
    const image = join(tmpdir(), 'image');
    mkfs(image, { size: shape.mib << 20, args: shape.args, tiny: true });
    const files = makeFiles(image, 12);
    const source = FileSource.open(image, 'r+');
    const engine = openEngine(source);
    const work = new Workout(engine, [...files.values()], 1000 + index);
    work.range = shape.range;
    work.truncates = shape.truncates ?? 100;
    for (let i = 0; i < shape.steps; i++) work.step();
    work.tidy();
    if (shape.crash) engine.flush();
    else engine.close();
    source.close();
    if (!shape.crash) xfsRepairClean(image);
    const { blocksize } = engine.g;
    const wrong = withMount(image, (root) => differences(root, [...files.keys()], work.files, blocksize));
    assert.deepEqual(wrong, []);
    xfsRepairClean(image);
  });

test('an operation that throws leaves no trace', needs, () => {
  const image = join(tmpdir(), 'image');
  mkfs(image, { size: 64 << 20, args: ['-m', 'rmapbt=1', '-d', 'agcount=2'], tiny: true });
  const [ino] = makeFiles(image, 1).values();
  const before = createHash('sha256').update(readFileSync(image)).digest('hex');
  const source = FileSource.open(image, 'r+');
  const engine = openEngine(source);
  assert.throws(
    () =>
      engine.run((tx) => {
        for (let i = 0; i < 100; i++) allocateExtent(tx, engine.inode(ino), 'data', i * 2, 1);
        const made = allocInode(tx, ino);
        initInode(tx, made, { mode: S_IF.REG, nlink: 1, uid: 0, gid: 0, time: { sec: 0, nsec: 0 } });
        throw new Error('never mind');
      }),
    /never mind/,
  );
  assert.equal(forkMap(engine.begin(), engine.inode(ino), 'data').extents.length, 0);
  engine.close();
  source.close();
  assert.equal(createHash('sha256').update(readFileSync(image)).digest('hex'), before);
});

test('a full image refuses and can be emptied again', needs, () => {
  const image = join(tmpdir(), 'image');
  mkfs(image, { size: 64 << 20, args: ['-m', 'rmapbt=1', '-d', 'agcount=2'], tiny: true });
  const [ino] = makeFiles(image, 1).values();
  const free = btdump(image, 'bnobt', 1).rows;
  const source = FileSource.open(image, 'r+');
  const engine = openEngine(source);
  let end = 0;
  assert.throws(() => {
    for (;;) end += engine.run((tx) => allocateExtent(tx, engine.inode(ino), 'data', end, 1000)).blocks;
  }, NoSpaceError);
  assert.ok(end > 10_000, `only ${end} blocks`);
  engine.settle();
  truncateFork(engine, ino, 'data', 0);
  engine.close();
  source.close();
  xfsRepairClean(image);
  assert.deepEqual(btdump(image, 'bnobt', 1).rows, free);
});

test('inodes by the thousand, in whole and sparse chunks, and all given back', needs, () => {
  const image = join(tmpdir(), 'image');
  mkfs(image, { size: 64 << 20, args: ['-m', 'rmapbt=1', '-d', 'agcount=2'], tiny: true });
  const [ino] = makeFiles(image, 1).values();
  const usedBefore = inodes(image).used;
  const source = FileSource.open(image, 'r+');
  const engine = openEngine(source);
  let end = 0;
  try {
    for (;;) end += engine.run((tx) => allocateExtent(tx, engine.inode(ino), 'data', end, 100_000)).blocks;
  } catch (error) {
    if (!(error instanceof NoSpaceError)) throw error;
  }
  // Holes of seven blocks: too small for the eight of a chunk.
  for (let at = 0; at < end; at += 12) engine.run((tx) => unmapExtent(tx, engine.inode(ino), 'data', at, 7));
  const random = randomFrom(7);
  const made: number[] = [];
  const forget = (): void => {
    const [gone] = made.splice(random(made.length), 1);
    engine.run((tx) => {
      const inode = engine.inode(gone);
      removeUnlinked(tx, inode);
      freeInode(tx, inode);
    });
  };
  for (let i = 0; i < 2000; i++) {
    made.push(
      engine.run((tx) => {
        const number = allocInode(tx, ino);
        const init = { mode: S_IF.REG | 0o600, nlink: 0, uid: 1, gid: 1, time: { sec: 5, nsec: 0 } };
        addUnlinked(tx, initInode(tx, number, init));
        return number;
      }),
    );
    if (i % 5 === 4) forget();
  }
  assert.equal(new Set(made).size, made.length);
  engine.settle();
  assert.ok(inodes(image).sparseChunks > 10);
  assert.equal(engine.agi(0).view.getUint32(AGI.at.freecount) < 64, true);
  while (made.length > 0) forget();
  engine.close();
  source.close();
  xfsRepairClean(image);
  assert.deepEqual(inodes(image).used, usedBefore);
});
