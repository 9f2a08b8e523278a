/**
 * Trees built from records, held against Linux: every tree of a filesystem that Linux filled is taken apart
 * (with xfs_db), built anew from its records in its own blocks, and must then satisfy xfs_repair and Linux.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type BtreeShape, btreeShape, bulkLoad } from '../../src/build/btree.js';
import {
  compareRmaps,
  type Rmap,
  writeAllocRecord,
  writeInodeRecord,
  writeRefcountRecord,
  writeRmapRecord,
} from '../../src/build/records.js';
import {
  BMDR_BLOCK,
  BTREES,
  type BtreeKind as Kind,
  maxRecords,
  maxRootRecords,
} from '../../src/format/btree.js';
import { sealCrc } from '../../src/format/checksum.js';
import { DINODE, DINODE_SIZE, dataForkSize } from '../../src/format/dinode.js';
import { packExtent } from '../../src/format/extent.js';
import {
  blockOffset,
  fsblockOf,
  fsblockOffset,
  type Geometry,
  geometryOf,
  inodeOffset,
} from '../../src/format/geometry.js';
import { setU64, viewOf } from '../../src/format/structure.js';
import { FileSource } from '../../src/image/source.js';
import { deepRefcount } from '../support/bench.js';
import { cachedImage, populated } from '../support/cache.js';
import { withMount } from '../support/mount.js';
import { copyImage, oracle, run, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { type BtreeDump, bmbtDump, btdumpAll, type Row } from '../support/xfsdb.js';

const KINDS = {
  bnobt: 'bnobt',
  cntbt: 'cntbt',
  rmapbt: 'rmapbt',
  refcntbt: 'refcountbt',
  inobt: 'inobt',
  finobt: 'finobt',
} as const;

type Writer = (row: Row, v: DataView, at: number) => void;
const n = Number;
const rmapOf = (r: Row): Rmap => ({
  agbno: n(r[0]),
  blocks: n(r[1]),
  owner: n(r[2]),
  offset: n(r[3]),
  unwritten: r[4] === 1,
  attrFork: r[5] === 1,
  bmbtBlock: r[6] === 1,
});
const WRITERS: Record<keyof typeof KINDS, Writer> = {
  bnobt: (r, v, at) => writeAllocRecord(v, at, n(r[0]), n(r[1])),
  cntbt: (r, v, at) => writeAllocRecord(v, at, n(r[0]), n(r[1])),
  rmapbt: (r, v, at) => writeRmapRecord(v, at, rmapOf(r)),
  refcntbt: (r, v, at) => writeRefcountRecord(v, at, n(r[0]), n(r[1]), n(r[2]), r[3] === 1),
  inobt: inodeWriter,
  finobt: inodeWriter,
};
function inodeWriter([startino, holemask, count, freecount, free]: Row, v: DataView, at: number): void {
  const mask = free as bigint;
  writeInodeRecord(
    v,
    at,
    {
      startino: n(startino),
      holemask: n(holemask),
      count: n(count),
      freecount: n(freecount),
      freeHigh: Number(mask >> 32n),
      freeLow: Number(mask & 0xffff_ffffn),
    },
    true,
  );
}

/** As many blocks on each level as the tree has now. */
function shapeOf(dump: BtreeDump, rootInInode: boolean): BtreeShape {
  const blocks: number[] = [];
  for (const { level } of dump.blocks) blocks[level] = (blocks[level] ?? 0) + 1;
  return { levels: blocks.length + (rootInInode ? 1 : 0), blocks, total: dump.blocks.length };
}

/** Blanks the tree's blocks and builds it again in them, the root where it was. Returns its height. */
function rebuild(
  source: FileSource,
  g: Geometry,
  agno: number,
  kind: Kind,
  dump: BtreeDump,
  w: Writer,
): number {
  const start = blockOffset(g, agno, 0) / 512;
  // xfs_db prints the root first: it comes last here, as the loader has it.
  const blocks = dump.blocks.map((b) => ((b.daddr - start) * 512) / g.blocksize).reverse();
  for (const agbno of blocks)
    source.write(blockOffset(g, agno, agbno), new Uint8Array(g.blocksize).fill(0xee));
  const tree = bulkLoad({
    kind,
    blocksize: g.blocksize,
    count: dump.rows.length,
    writeRecord: (i, v, at) => w(dump.rows[i], v, at),
    shape: shapeOf(dump, false),
    block: (i) => blocks[i],
    daddr: (agbno) => blockOffset(g, agno, agbno) / 512,
    owner: agno,
    uuid: g.metaUuidBytes,
    emit: (agbno, bytes) => source.write(blockOffset(g, agno, agbno), bytes),
  });
  assert.equal(tree.root, blocks.at(-1));
  return tree.levels;
}

function openGeometry(source: FileSource): Geometry {
  const sector = new Uint8Array(512);
  source.read(0, sector);
  return geometryOf(sector);
}

function rebuildAll(image: string): Map<string, number> {
  const heights = new Map<string, number>();
  const source = FileSource.open(image, 'r+');
  try {
    const g = openGeometry(source);
    for (const name of Object.keys(KINDS) as (keyof typeof KINDS)[])
      btdumpAll(image, name, { internal: true }).forEach((dump, agno) => {
        const levels = rebuild(source, g, agno, BTREES[KINDS[name]], dump, WRITERS[name]);
        heights.set(name, Math.max(levels, heights.get(name) ?? 0));
      });
    source.sync();
  } finally {
    source.close();
  }
  return heights;
}

describe('trees built again in their own blocks', () => {
  test('all shapes of files', oracle('mount', 'xfs_db', 'chattr'), () => {
    const { image } = populated({ mkfs: { args: ['-b', 'size=1024', '-m', 'rmapbt=1'] } });
    const copy = copyImage(image, join(tmpdir(), 'copy'));
    rebuildAll(copy);
    xfsRepairClean(copy);
    // Linux uses the trees: everything is deleted, and the counts still add up.
    withMount(copy, (root) => {
      run('chattr', ['-R', '-f', '-i', '-a', root], { status: 'any' });
      run('sh', ['-c', `rm -rf ${root}/*`]);
    });
    xfsRepairClean(copy);
  });
  test('deep trees', oracle('mount', 'xfs_db'), () => {
    const { image } = cachedImage('build-deep', (path) => deepRefcount(path, { records: 12_000 }));
    const copy = copyImage(image, join(tmpdir(), 'copy'));
    const heights = rebuildAll(copy);
    assert.ok(n(heights.get('rmapbt')) >= 3, `rmapbt has ${heights.get('rmapbt')} levels`);
    assert.ok(n(heights.get('refcntbt')) >= 3, `refcountbt has ${heights.get('refcntbt')} levels`);
    xfsRepairClean(copy);
    withMount(copy, (root) => run('sh', ['-c', `rm -rf ${root}/*`]));
    xfsRepairClean(copy);
  });
  test('the bmbt of a file, its root in the inode', oracle('mount', 'xfs_db', 'stat'), () => {
    const { image, notes } = populated({ mkfs: { args: ['-b', 'size=1024', '-m', 'rmapbt=1'] } });
    const path = notes.get('file:extents300') as string;
    const copy = copyImage(image, join(tmpdir(), 'copy'));
    const [ino, sum] = withMount(
      copy,
      (root) => [
        n(run('stat', ['-c', '%i', join(root, path)]).stdout),
        run('md5sum', [join(root, path)]).stdout,
      ],
      { options: 'ro' },
    ) as [number, string];
    const source = FileSource.open(copy, 'r+');
    try {
      const g = openGeometry(source);
      const dump = bmbtDump(copy, ino);
      const leaves = dump.blocks.filter((b) => b.level === 0);
      assert.ok(leaves.length > 1, 'the file has more than one leaf');
      assert.equal(leaves.length, dump.blocks.length, 'leaves hang on the root in the inode');
      const fsblocks = leaves.map(({ daddr }) => {
        const block = (daddr * 512) / g.blocksize;
        return fsblockOf(g, Math.floor(block / g.agblocks), block % g.agblocks);
      });
      const tree = bulkLoad({
        kind: BTREES.bmbt,
        blocksize: g.blocksize,
        count: dump.rows.length,
        writeRecord: (i, v, at) => {
          const [offset, fsblock, blocks, unwritten] = dump.rows[i];
          packExtent(v, at, n(offset), n(fsblock), n(blocks), unwritten === 1);
        },
        shape: shapeOf(dump, true),
        block: (i) => fsblocks[i],
        daddr: (fsblock) => fsblockOffset(g, fsblock) / 512,
        owner: ino,
        uuid: g.metaUuidBytes,
        emit: (fsblock, bytes) => source.write(fsblockOffset(g, fsblock), bytes),
      });
      const inode = new Uint8Array(g.inodesize);
      source.read(inodeOffset(g, ino), inode);
      const v = viewOf(inode);
      const keys = DINODE_SIZE + BMDR_BLOCK.size;
      const pointers = keys + maxRootRecords(dataForkSize(v, 0, g.inodesize)) * 8;
      inode.set(tree.top.keys, keys);
      for (const [i, fsblock] of tree.top.pointers.entries()) setU64(v, pointers + i * 8, fsblock);
      assert.equal(v.getUint16(DINODE_SIZE), tree.levels - 1);
      sealCrc(inode, DINODE.at.crc);
      source.write(inodeOffset(g, ino), inode);
      source.sync();
    } finally {
      source.close();
    }
    xfsRepairClean(copy);
    withMount(copy, (root) =>
      assert.equal(run('md5sum', [join(root, path)]).stdout.split(' ')[0], sum.split(' ')[0]),
    );
  });
});

describe('shapes', () => {
  const kinds = Object.values(BTREES);
  test('every level fits, no block below half', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...kinds),
        fc.constantFrom(1024, 4096, 65536),
        fc.integer({ min: 0, max: 3_000_000 }),
        fc.boolean(),
        fc.option(fc.integer({ min: 3, max: 20 }), { nil: undefined }),
        (kind, blocksize, count, full, rootCapacity) => {
          const shape = btreeShape(kind, blocksize, count, rootCapacity, full);
          let entries = count;
          shape.blocks.forEach((blocks, level) => {
            const max = maxRecords(kind, blocksize, level);
            assert.ok(Math.ceil(entries / blocks) <= max, `level ${level}: ${entries} in ${blocks}`);
            const isRoot = level === shape.blocks.length - 1 && blocks === 1;
            if (!isRoot) assert.ok(Math.floor(entries / blocks) >= max >> 1, `level ${level} is thin`);
            entries = blocks;
          });
          if (rootCapacity === undefined) assert.equal(shape.blocks.at(-1), 1);
          else assert.ok((shape.blocks.at(-1) as number) <= rootCapacity);
        },
      ),
      { numRuns: 500 },
    );
  });
  test('records that do not fit the shape are refused', () => {
    const load = {
      kind: BTREES.bnobt,
      blocksize: 1024,
      count: 1000,
      writeRecord: () => {},
      shape: { levels: 1, blocks: [1], total: 1 },
      block: () => 1,
      daddr: () => 8,
      owner: 0,
      uuid: new Uint8Array(16),
      emit: () => {},
    };
    assert.throws(() => bulkLoad(load), RangeError);
  });
});

test('rmap records are in the order of their keys', () => {
  const r = (agbno: number, owner: number, offset = 0, more: Partial<Rmap> = {}): Rmap => ({
    agbno,
    blocks: 1,
    owner,
    offset,
    ...more,
  });
  const sorted = [
    r(1, 128),
    r(1, 129, 5),
    r(1, 129, 6),
    r(1, 129, 0, { bmbtBlock: true }),
    r(1, 129, 0, { attrFork: true }),
    r(1, -9),
    r(1, -5),
    r(1, -3),
    r(2, 1),
  ];
  const shuffled = [...sorted].reverse();
  assert.deepEqual(shuffled.sort(compareRmaps), sorted);
});
