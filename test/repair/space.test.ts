/**
 * Images without room: trees are written in place of the old ones, directories in place of what they held; where there
 * is no room at all it is said before anything is written.
 */
import assert from 'node:assert/strict';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { openSource } from '../../src/image/open.js';
import { OverlaySource } from '../../src/image/overlay.js';
import type { Source } from '../../src/image/source.js';
import { scanLog } from '../../src/journal/scan.js';
import { fitsLog } from '../../src/repair/rebuild/redo.js';
import { NoSpaceError } from '../../src/repair/rebuild/space.js';
import { repair } from '../../src/repair/repair.js';
import { openVolume } from '../../src/volume/volume.js';
import { BaseTree } from '../campaign/repair/tree.js';
import { withMount } from '../support/mount.js';
import { copyImage, oracle, run, sha256, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { btdump, print } from '../support/xfsdb.js';
import { CutRepair, isMarked } from './cutting.js';

const MIB = 1 << 20;

function xfsdb(image: string, commands: readonly string[]): string {
  return run('xfs_db', ['-x', image], { input: `${commands.join('\n')}\n` }).stdout;
}

/** Ten files, and ten directories of five files each. Returns the inode number of a file of one block. */
function fillRoot(root: string): number {
  for (let i = 0; i < 10; i++) writeFileSync(join(root, `file${i}`), `${i}`.repeat(5000));
  for (let d = 0; d < 10; d++) {
    mkdirSync(join(root, `dir${d}`));
    for (let i = 0; i < 5; i++) writeFileSync(join(root, `dir${d}`, `in${i}`), '');
  }
  writeFileSync(join(root, 'fill'), 'x'.repeat(4096));
  return statSync(join(root, 'fill')).ino;
}

/** Commands that give the free space of both AGs, but so many blocks of each run, to a file of one block. */
function stretch(image: string, ino: number, left: number): string[] {
  const agblklog = Number(print(image, ['sb 0', 'p agblklog']).get('agblklog'));
  const extents: string[] = [];
  let at = 1;
  let index = 0;
  for (const agno of [0, 1])
    for (const [start, blocks] of btdump(image, 'bnobt', agno).rows.map((row) => row.map(Number))) {
      index++;
      const extent = { startoff: at, startblock: agno * 2 ** agblklog + start, blockcount: blocks - left };
      for (const [name, value] of Object.entries({ ...extent, extentflag: 1 }))
        extents.push(`write -d u3.bmx[${index}].${name} ${value}`);
      at += blocks - left;
    }
  const counts = [`write -d core.nextents ${index + 1}`, `write -d core.nblocks ${at}`];
  return [`inode ${ino}`, ...counts, ...extents];
}

/**
 * Two AGs of which each has so many blocks left: what Linux holds back for its trees is taken too. The trees for that
 * are xfs_repair's.
 */
function fullImage(left: number): string {
  const args = ['-d', 'agcount=2', '-m', 'rmapbt=1'];
  const image = mkfs(join(tmpdir(), 'full'), { size: 32 * MIB, tiny: true, args });
  const ino = withMount(image, fillRoot);
  xfsdb(image, stretch(image, ino, left));
  run('xfs_repair', ['-f', image]);
  xfsRepairClean(image);
  return image;
}

/**
 * No block is left, and with `inodes` no inode either. `dir` is the number of a directory in a block of its own.
 */
function packedImage({ inodes = false } = {}): { image: string; dir: number } {
  const args = ['-d', 'agcount=2', '-m', 'rmapbt=0,reflink=0,finobt=0'];
  const image = mkfs(join(tmpdir(), 'packed'), { size: 32 * MIB, tiny: true, args });
  const { ino, dir } = withMount(image, (root) => {
    const ino = fillRoot(root);
    const more = join(root, 'more');
    mkdirSync(more);
    // A chunk has 64 inodes: three of Linux's own, the root and its files, and what makes it full.
    for (let n = 0; n < 60; n++) writeFileSync(join(more, `in${n}`), '');
    return { ino, dir: statSync(more).ino };
  });
  if (inodes) useInodes(image);
  const commands = stretch(image, ino, 0);
  let listed = 0;
  for (const agno of [0, 1]) {
    listed += Number(print(image, [`agf ${agno}`, 'p flcount']).get('flcount'));
    for (const root of ['bnoroot', 'cntroot'])
      commands.push(`agf ${agno}`, `addr ${root}`, 'write -d numrecs 0');
    commands.push(`agf ${agno}`, 'write -d freeblks 0', 'write -d longest 0');
  }
  commands.push('sb 0', `write -d fdblocks ${listed}`);
  xfsdb(image, commands);
  xfsRepairClean(image);
  return { image, dir };
}

/** A file for every free inode, in directories of the AG it is in. */
function useInodes(image: string): void {
  const free = [0, 1].map((agno) =>
    btdump(image, 'inobt', agno).rows.reduce((sum, row) => sum + Number(row[3]), 0),
  );
  const agSlots = Number(print(image, ['sb 0', 'p agblklog']).get('agblklog')) + 3;
  withMount(image, (root) => {
    const dirs = [0, 1].map((agno) => DIRS.find((d) => statSync(join(root, d)).ino >> agSlots === agno)!);
    dirs.forEach((dir, agno) => {
      for (let n = 0; n < free[agno]; n++) writeFileSync(join(root, dir, `x${n}`), '');
    });
  });
  assert.equal(print(image, ['sb 0', 'p ifree']).get('ifree'), '0');
}

const DIRS = Array.from({ length: 10 }, (_, d) => `dir${d}`);

/** Has short directories forget what they hold. */
function forget(image: string, dirs: readonly string[]): void {
  const inos = withMount(image, (root) => dirs.map((dir) => statSync(join(root, dir)).ino), {
    options: 'ro',
  });
  for (const ino of inos)
    xfsdb(image, [`inode ${ino}`, 'write -d u3.sfdir3.hdr.count 0', 'write -d core.size 6']);
}

/** All paths, and what is to be seen under each. */
const shownBy = (source: Source): ReadonlyMap<string, string> => new BaseTree(openVolume(source)).paths;

function shownIn(image: string): ReadonlyMap<string, string> {
  const source = openSource(image);
  try {
    return shownBy(source);
  } finally {
    source.close();
  }
}

/** Repairs, and the files are as they were. */
function mended(image: string, files: ReadonlyMap<string, string>): void {
  const source = openSource(image, { write: true });
  assert.ok(repair(source, { onDuplicate: 'quarantine' }).written > 0);
  source.close();
  xfsRepairClean(image);
  assert.deepEqual(shownIn(image), files);
}

/** The repair is refused for want of room, and the image stays what it was. */
function refused(image: string, message: RegExp): void {
  const before = sha256(image);
  const source = openSource(image, { write: true });
  assert.throws(
    () => repair(source, { onDuplicate: 'quarantine' }),
    (error) => error instanceof NoSpaceError && message.test(error.message),
  );
  source.close();
  assert.equal(sha256(image), before);
}

const TREES = {
  'free space': ['agf 0', 'addr bnoroot', 'write -d magic 0', 'agf 0', 'addr cntroot', 'write -d magic 0'],
  inodes: ['agi 0', 'addr root', 'write -d magic 0', 'agi 0', 'addr free_root', 'write -d magic 0'],
  'reverse mappings': ['agf 0', 'addr rmaproot', 'write -d magic 0'],
  'reference counts': ['agf 0', 'addr refcntroot', 'write -d magic 0'],
};

describe('repair without room', oracle('mount', 'mkfs.xfs', 'xfs_db', 'xfs_repair', 'xfs_io'), () => {
  describe('a full AG', () => {
    let base: string;
    let files: ReadonlyMap<string, string>;
    before(() => {
      // Six trees and a free list of six do not fit into eight blocks.
      base = fullImage(8);
      files = shownIn(base);
    });

    for (const [name, commands] of Object.entries(TREES))
      test(`trees of ${name}`, () => {
        const image = copyImage(base, join(tmpdir(), 'image'));
        xfsdb(image, commands);
        mended(image, files);
      });

    test('all of these; cut anywhere, the next repair finishes it', () => {
      const image = copyImage(base, join(tmpdir(), 'image'));
      xfsdb(image, Object.values(TREES).flat());
      const damaged = openSource(image);
      const whole = new CutRepair(damaged);
      for (const { sectors, source } of whole.states(whole.points(25))) {
        assert.ok(isMarked(source), `cut after ${sectors} of ${whole.sectors} sectors`);
        const again = new OverlaySource(source);
        repair(again, { onDuplicate: 'quarantine' });
        assert.deepEqual(shownBy(again), files, `cut after ${sectors} of ${whole.sectors} sectors`);
        assert.equal(repair(again, { onDuplicate: 'quarantine' }).written, 0);
      }
      damaged.close();
      mended(image, files);
    });

    test('a log that is too small for what must stand in place of the old', () => {
      const source = openSource(base);
      const { g } = openVolume(source);
      const state = scanLog(source, g);
      const page = { offset: 0, bytes: new Uint8Array(4096) };
      const pages = (g.logblocks * g.blocksize) / 4096;
      assert.equal(fitsLog(state, new Array(Math.floor(pages * 0.8)).fill(page)), true);
      assert.equal(fitsLog(state, new Array(Math.floor(pages * 0.9)).fill(page)), false);
      source.close();
    });
  });

  test('a directory in place of its old blocks', () => {
    const { image, dir } = packedImage();
    const files = shownIn(image);
    xfsdb(image, [`inode ${dir}`, 'dblock 0', 'write -d bleaf[5].hashval 7']);
    mended(image, files);
  });

  test('lost+found would need a block, and none is left', () => {
    const { image } = packedImage();
    forget(image, DIRS);
    refused(image, /1 block must be written anew, and 0 are free.*nothing was written\. Remove a file/);
  });

  test('lost+found would need an inode, and none is left', () => {
    const { image } = packedImage({ inodes: true });
    forget(image, DIRS.slice(-1));
    refused(image, /no inode is free for lost\+found.*nothing was written\. Remove a file/);
  });
});
