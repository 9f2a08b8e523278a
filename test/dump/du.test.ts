import assert from 'node:assert/strict';
import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { DiskUsage, DU } from '../../src/dump/du.js';
import { RowCollector } from '../../src/dump/table.js';
import { FileSource } from '../../src/image/source.js';
import { resolvePath } from '../../src/volume/path.js';
import { openVolume } from '../../src/volume/volume.js';
import { populated } from '../support/cache.js';
import { withMount } from '../support/mount.js';
import { copyImage, oracle, run, tmpdir } from '../support/oracle.js';
import { btdumpAll } from '../support/xfsdb.js';

/** Blocks free by Linux's own free-space btrees, as strings "agno:agbno". */
function freeBlocks(image: string): Set<string> {
  const out = new Set<string>();
  for (const [agno, { rows: records }] of btdumpAll(image, 'bnobt').entries())
    for (const [start, count] of records)
      for (let i = 0; i < Number(count); i++) out.add(`${agno}:${Number(start) + i}`);
  return out;
}

/** Blocks that regular files' data forks own, by Linux's own reverse-mapping btrees. */
function dataBlocks(image: string, files: Set<number>): Set<string> {
  const out = new Set<string>();
  for (const [agno, { rows: records }] of btdumpAll(image, 'rmapbt').entries())
    for (const [start, count, owner, , , attr, bmbt] of records)
      if (files.has(Number(owner)) && !attr && !bmbt)
        for (let i = 0; i < Number(count); i++) out.add(`${agno}:${Number(start) + i}`);
  return out;
}

/** Every path of a mounted tree with its inode, by Linux. Names that are no UTF-8 are left out. */
function listing(root: string): { path: string; ino: number; isFile: boolean; isDir: boolean }[] {
  const out: { path: string; ino: number; isFile: boolean; isDir: boolean }[] = [];
  const visit = (relative: string): void => {
    for (const name of readdirSync(join(root, relative))) {
      const path = `${relative}/${name}`;
      if (name.includes('\ufffd')) continue;
      const s = lstatSync(join(root, path));
      out.push({ path, ino: s.ino, isFile: s.isFile(), isDir: s.isDirectory() });
      if (s.isDirectory()) visit(path);
    }
  };
  visit('');
  return out;
}

/** Deletes `count` paths one by one on Linux and holds what becomes free against what du said. */
export function campaign(image: string, count: number, seed: number): number {
  let state = seed;
  const random = (n: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % n;
  };
  const work = copyImage(image, join(tmpdir(), 'du.img'));
  let checked = 0;
  while (checked < count) {
    const all = withMount(work, listing);
    // Immutable and append-only files cannot be deleted; files mostly share in these directories.
    const candidates = all.filter((e) => e.isFile || e.isDir);
    if (candidates.length === 0) break;
    const victim = candidates[random(candidates.length)];
    const files = new Set(all.filter((e) => e.isFile).map((e) => e.ino));
    const before = freeBlocks(work);
    const data = dataBlocks(work, files);
    const volume = openVolume(FileSource.open(work));
    const usage = new DiskUsage(volume);
    const rows = new RowCollector(DU);
    const node = usage.node(resolvePath(volume, victim.path, { follow: false }).ino);
    usage.emit(rows, node, { depth: 0, files: false });
    const { blocksize } = volume.g;
    assert.deepEqual(volume.faults, []);
    volume.close();
    withMount(work, (root) => {
      run('chattr', ['-R', '-f', '-i', '-a', join(root, victim.path)], { status: [0, 1] });
      rmSync(join(root, victim.path), { recursive: true });
      run('sync', ['-f', root]);
    });
    let freed = 0;
    for (const block of freeBlocks(work)) if (!before.has(block) && data.has(block)) freed++;
    assert.equal(rows.rows[0].exclusive, freed * blocksize, victim.path);
    checked++;
  }
  return checked;
}

test(
  'exclusive is what becomes free when Linux deletes a path',
  oracle('mkfs.xfs', 'xfs_db', 'mount'),
  () => {
    const { image } = populated({ mkfs: { args: ['-m', 'rmapbt=1'] } });
    assert.equal(campaign(image, 12, 7), 12);
  },
);
