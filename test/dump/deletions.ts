/**
 * `du` against Linux: paths of an image deleted one by one, and what becomes free held against what du said of each
 * before. Linux says it twice: by its free-space btrees, block for block, and by the counter a mounted filesystem
 * shows (statfs), which counts the metadata of the deleted inodes too.
 */
import assert from 'node:assert/strict';
import { lstatSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { DiskUsage } from '../../src/dump/du.js';
import { DU } from '../../src/dump/rows/du.js';
import { RowCollector } from '../../src/dump/table.js';
import { FileSource } from '../../src/image/source.js';
import { resolvePath } from '../../src/volume/path.js';
import { openVolume } from '../../src/volume/volume.js';
import { withMount } from '../support/mount.js';
import { copyImage, run, tmpdir } from '../support/oracle.js';
import { random } from '../support/random.js';
import { bmapAll, btdumpAll, geometry } from '../support/xfsdb.js';

interface Entry {
  path: string;
  ino: number;
  isFile: boolean;
  isDir: boolean;
  /** Whether Linux says it takes space. */
  full: boolean;
  /** Whether it has other names. */
  linked: boolean;
}

/** What is deleted next is one of these, in turn: most files of an image are small and alone. */
const KINDS: readonly ((e: Entry) => boolean)[] = [
  (e) => e.isDir,
  (e) => e.isFile && e.full,
  (e) => e.isFile && e.linked,
  (e) => e.isFile && e.full,
  (e) => e.isFile,
];

export interface Deletions {
  files: number;
  directories: number;
  /** Those that gave back less than they map: others share with them. */
  sharing: number;
  /** Bytes given back by all. */
  freed: number;
}

const MIB = 2 ** 20;

/** Blocks that stand in the records of a btree for which `take` holds, as agno * 2 ** 32 + agbno. */
function blocksOf(
  image: string,
  kind: 'bnobt' | 'rmapbt',
  take: (row: readonly (number | bigint)[]) => boolean = () => true,
): Set<number> {
  const out = new Set<number>();
  for (const [agno, { rows }] of btdumpAll(image, kind).entries())
    for (const row of rows)
      if (take(row)) for (let i = 0; i < Number(row[1]); i++) out.add(agno * 2 ** 32 + Number(row[0]) + i);
  return out;
}

/** Blocks that data forks of `files` map, by Linux's own records. */
function dataBlocks(image: string, files: readonly number[], rmapbt: boolean): Set<number> {
  if (rmapbt) {
    const known = new Set(files);
    return blocksOf(
      image,
      'rmapbt',
      ([, , owner, , , attr, bmbt]) => known.has(Number(owner)) && !attr && !bmbt,
    );
  }
  const out = new Set<number>();
  for (const extents of bmapAll(image, files).values())
    for (const { agno, agbno, blockcount } of extents)
      for (let i = 0; i < blockcount; i++) out.add(agno * 2 ** 32 + agbno + i);
  return out;
}

/** Blocks of the free-space btrees. Freed runs can make them grow, and Linux takes that off what it shows as free. */
const spaceBtrees = (image: string): number =>
  (['bnobt', 'cntbt'] as const)
    .flatMap((kind) => btdumpAll(image, kind, { internal: true }))
    .reduce((sum, { blocks }) => sum + blocks.length, 0);

/** Every path of a mounted tree with its inode, by Linux. Names that are no UTF-8 are left out. */
function listing(root: string): Entry[] {
  const out: Entry[] = [];
  const visit = (relative: string): void => {
    for (const name of readdirSync(join(root, relative))) {
      const path = `${relative}/${name}`;
      if (name.includes('\ufffd')) continue;
      const s = lstatSync(join(root, path));
      const full = s.blocks > 0;
      const linked = s.nlink > 1;
      out.push({ path, ino: s.ino, isFile: s.isFile(), isDir: s.isDirectory(), full, linked });
      if (s.isDirectory()) visit(path);
    }
  };
  visit('');
  return out;
}

/** What du says of a path: its row's total and exclusive bytes. */
function said(image: string, path: string): { total: number; exclusive: number } {
  const volume = openVolume(FileSource.open(image));
  try {
    const usage = new DiskUsage(volume);
    const rows = new RowCollector(DU);
    usage.emit(rows, usage.node(resolvePath(volume, path, { follow: false }).ino), {
      depth: 0,
      files: false,
    });
    assert.deepEqual(volume.faults, []);
    return { total: Number(rows.rows[0].total), exclusive: Number(rows.rows[0].exclusive) };
  } finally {
    volume.close();
  }
}

/** Waits until Linux has freed what it frees behind the deletion's back. Free bytes; `expected` ends the wait. */
function freeBytes(root: string, expected?: number): number {
  for (const until = Date.now() + 2000; ; ) {
    const { bfree, bsize } = statfsSync(root);
    if (expected === undefined || bfree * bsize >= expected || Date.now() > until) return bfree * bsize;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
  }
}

/**
 * Deletes `count` files and directories, chosen by `seed`, of copies of an image. Throws where Linux frees other data
 * than du said, or its counter grows by less than that, or by more than the metadata freed with it.
 */
export function deletions(image: string, count: number, seed: number): Deletions {
  const rnd = random(seed);
  const work = join(tmpdir(), 'du.img');
  const rmapbt = geometry(image).features.has('rmapbt');
  const result: Deletions = { files: 0, directories: 0, sharing: 0, freed: 0 };
  let all: Entry[] = [];
  for (let done = 0; done < count; done++) {
    const kind = KINDS[done % KINDS.length];
    if (!all.some(kind)) {
      rmSync(work, { force: true });
      copyImage(image, work);
      all = withMount(work, listing);
    }
    const candidates = all.filter(kind);
    const victim = candidates[Math.floor(rnd() * candidates.length)];
    const before = blocksOf(work, 'bnobt');
    const files = [...new Set(all.filter((e) => e.isFile).map((e) => e.ino))];
    const data = dataBlocks(work, files, rmapbt);
    const { total, exclusive } = said(work, victim.path);
    const trees = spaceBtrees(work);
    const shown = withMount(
      work,
      (root) => {
        run('chattr', ['-R', '-f', '-i', '-a', join(root, victim.path)], { status: [0, 1] });
        run('sync', ['-f', root]);
        const had = freeBytes(root);
        rmSync(join(root, victim.path), { recursive: true });
        run('sync', ['-f', root]);
        const has = freeBytes(root, had + exclusive);
        all = listing(root);
        return has - had;
      },
      // Empty chunks of inodes stay, so that what is freed is the deleted inodes' own.
      { options: 'ikeep' },
    );
    let freed = 0;
    let metadata = 0;
    for (const block of blocksOf(work, 'bnobt'))
      if (!before.has(block)) {
        if (data.has(block)) freed++;
        else metadata++;
      }
    const { blocksize } = geometry(work);
    const grown = shown + (spaceBtrees(work) - trees) * blocksize;
    const name = `${victim.path}, deletion ${done} of seed ${seed}`;
    assert.equal(exclusive, freed * blocksize, name);
    assert.ok(grown >= exclusive, `${name}: ${grown} bytes more are free, du said ${exclusive}`);
    assert.ok(
      grown <= exclusive + metadata * blocksize,
      `${name}: ${grown}, ${exclusive} and ${metadata} blocks`,
    );
    if (victim.isDir) result.directories++;
    else result.files++;
    if (exclusive < total) result.sharing++;
    result.freed += exclusive;
  }
  return result;
}

/** One line about a campaign. */
export const summary = ({ files, directories, sharing, freed }: Deletions): string =>
  `${files} files, ${directories} directories, ${sharing} of them sharing; ${(freed / MIB).toFixed(1)} MiB freed, as du said`;
