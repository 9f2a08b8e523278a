import assert from 'node:assert/strict';
import test from 'node:test';
import { dumpExtents, dumpShared, EXTENTS, SHARED_PATHS } from '../../src/dump/extents.js';
import type { Cell } from '../../src/dump/table.js';
import { bytesToText } from '../../src/format/text.js';
import { PathMap } from '../../src/volume/path.js';
import { populated } from '../support/cache.js';
import { withMount } from '../support/mount.js';
import { oracle, run } from '../support/oracle.js';
import { bmapAll, btdumpAll, type Extent, inodes, printInodes } from '../support/xfsdb.js';
import { collect, SHAPES, withVolume } from './support.js';

type Row = Record<string, number> & { fork: string; state: string };

/** Puts together again what was cut because the number of owners changes. */
function joined(rows: Row[]): Extent[] {
  const out: Extent[] = [];
  for (const r of rows) {
    const last = out.at(-1);
    const unwritten = r.state === 'unwritten';
    if (
      last !== undefined &&
      last.startoff + last.blockcount === r.offset &&
      last.startblock + last.blockcount === r.fsblock &&
      last.unwritten === unwritten
    )
      last.blockcount += r.blocks;
    else
      out.push({
        startoff: r.offset,
        startblock: r.fsblock,
        agno: r.agno,
        agbno: r.agbno,
        blockcount: r.blocks,
        unwritten,
      });
  }
  return out;
}

/** xfs_db prints bmbt records one by one: those that continue each other are joined as well. */
const rejoined = (extents: Extent[]): Extent[] =>
  joined(
    extents.map(
      (e) =>
        ({
          offset: e.startoff,
          fsblock: e.startblock,
          agno: e.agno,
          agbno: e.agbno,
          blocks: e.blockcount,
          state: e.unwritten ? 'unwritten' : 'norm',
        }) as unknown as Row,
    ),
  );

for (const { name, mkfs, scale } of SHAPES)
  test(`extents equal xfs_db's bmap of every inode: ${name}`, oracle('mount', 'xfs_db'), () => {
    const { image } = populated({ mkfs, populate: { scale } });
    withVolume(image, (volume) => {
      const { rows, faults } = collect(volume, EXTENTS, (sink) => dumpExtents(volume, sink));
      assert.deepEqual(faults, []);
      const { used } = inodes(image);
      let compared = 0;
      for (const fork of ['data', 'attr'] as const) {
        const mine = new Map<number, Row[]>();
        for (const row of rows as unknown as Row[]) {
          if (row.fork !== fork) continue;
          const list = mine.get(row.ino);
          if (list === undefined) mine.set(row.ino, [row]);
          else list.push(row);
        }
        for (const [ino, extents] of bmapAll(image, used, fork)) {
          assert.deepEqual(joined(mine.get(ino) ?? []), rejoined(extents), `inode ${ino}, ${fork} fork`);
          compared += extents.length;
          mine.delete(ino);
        }
        assert.deepEqual([...mine.keys()], [], 'extents of inodes that are not in use');
      }
      assert.ok(compared > 1000, `${compared} extents compared`);
    });
  });

/** What the refcount records say of each block, by fsblock; blocks without a record are not in it. */
function refcounts(image: string, agblklog: number): Map<number, number> {
  const out = new Map<number, number>();
  btdumpAll(image, 'refcntbt').forEach(({ rows }, agno) => {
    for (const [start, blocks, count, cow] of rows as number[][])
      if (!cow) for (let i = 0; i < blocks; i++) out.set(agno * 2 ** agblklog + start + i, count);
  });
  return out;
}

for (const { name, mkfs, scale } of SHAPES.filter((s) => !s.name.includes('no reflink')))
  test(
    `shared is the refcount of every block, and of flagged inodes alone: ${name}`,
    oracle('mount', 'xfs_db'),
    () => {
      const { image } = populated({ mkfs, populate: { scale } });
      withVolume(image, (volume) => {
        const counts = refcounts(image, volume.g.agblklog);
        assert.ok(counts.size > 100);
        const flagged = new Set<number>();
        for (const [ino, fields] of printInodes(image, inodes(image).used, ['v3.reflink']))
          if (fields.get('v3.reflink') === '1') flagged.add(ino);
        const { rows } = collect(volume, EXTENTS, (sink) => dumpExtents(volume, sink));
        let shared = 0;
        for (const row of rows as unknown as Row[])
          for (let i = 0; i < row.blocks; i += row.shared > 1 ? 1 : 64) {
            const count = counts.get(row.fsblock + i) ?? 1;
            assert.equal(
              row.shared,
              row.fork === 'data' && flagged.has(row.ino) ? count : 1,
              JSON.stringify(row),
            );
            if (row.shared > 1) shared++;
          }
        assert.ok(shared > 200, `${shared} shared blocks`);
      });
    },
  );

test('shared runs are those Linux marks as shared in FIEMAP', oracle('mount', 'xfs_io'), () => {
  const { mkfs, scale } = SHAPES[0];
  const { image, notes } = populated({ mkfs, populate: { scale } });
  const files = [...notes].filter(([note]) => note.startsWith('shared:')).map(([, path]) => path);
  assert.ok(files.length > 15);
  /** [file offset, shared] of each block that is mapped, through the kernel. */
  const theirs = withMount(
    image,
    (root) =>
      files.map((path) => {
        const { stdout } = run('xfs_io', ['-r', '-c', 'fiemap -v', `${root}/${path}`]);
        const blocks: [number, boolean][] = [];
        for (const [, from, to, flags] of stdout.matchAll(
          /^\s*\d+: \[(\d+)\.\.(\d+)\]:\s+\d+\.\.\d+\s+\d+\s+0x([0-9a-f]+)/gm,
        ))
          for (let at = Number(from); at < Number(to); at += 8)
            blocks.push([at / 8, (Number.parseInt(flags, 16) & 0x2000) !== 0]);
        return blocks;
      }),
    { options: 'ro,norecovery' },
  );
  withVolume(image, (volume) => {
    const paths = new PathMap(volume);
    const inoOf = new Map<string, number>();
    const { rows: all } = collect(volume, EXTENTS, (sink) => dumpExtents(volume, sink, { fork: 'data' }));
    for (const { ino } of all) {
      const path = paths.get(ino as number);
      if (path !== undefined) inoOf.set(bytesToText(path), ino as number);
    }
    let shared = 0;
    files.forEach((path, i) => {
      const ours: [number, boolean][] = [];
      for (const row of all as unknown as Row[]) {
        if (row.ino !== inoOf.get(`/${path}`)) continue;
        for (let k = 0; k < row.blocks; k++) ours.push([row.offset + k, row.shared > 1]);
        if (row.shared > 1) shared++;
      }
      assert.deepEqual(ours, theirs[i], path);
    });
    assert.ok(shared > 20);
  });
});

test('shared names for each shared block the owners its rmap records name', oracle('mount', 'xfs_db'), () => {
  const { mkfs, scale } = SHAPES[1];
  const { image, notes } = populated({ mkfs, populate: { scale } });
  withVolume(image, (volume) => {
    const { agblklog } = volume.g;
    const counts = refcounts(image, agblklog);
    const expected: string[] = [];
    btdumpAll(image, 'rmapbt').forEach(({ columns, rows }, agno) => {
      const at = (name: string): number => columns.indexOf(name);
      for (const row of rows as number[][]) {
        const owner = row[at('owner')];
        if (owner < 0 || row[at('attrfork')] || row[at('bmbtblock')]) continue;
        for (let i = 0; i < row[at('blockcount')]; i++) {
          const fsblock = agno * 2 ** agblklog + row[at('startblock')] + i;
          if (counts.has(fsblock))
            expected.push(`${fsblock} ${owner} ${row[at('offset')] + i} ${counts.get(fsblock)}`);
        }
      }
    });
    const paths = new PathMap(volume);
    const pathOf = (ino: number): string | null => {
      const path = paths.get(ino);
      return path === undefined ? null : bytesToText(path);
    };
    const { rows, faults } = collect(volume, SHARED_PATHS, (sink) => dumpShared(volume, sink, { pathOf }));
    assert.deepEqual(faults, []);
    const ours: string[] = [];
    let last = -1;
    for (const row of rows as unknown as (Row & { path: Cell })[]) {
      const first = row.agno * 2 ** agblklog + row.agbno;
      assert.ok(first >= last, 'ordered by place');
      last = first;
      for (let i = 0; i < row.blocks; i++)
        ours.push(`${first + i} ${row.ino} ${row.offset + i} ${row.owners}`);
    }
    assert.ok(ours.length > 1000);
    assert.deepEqual(ours.sort(), expected.sort());
    assert.ok(rows.some((row) => row.path === `/${notes.get('shared:clone0')}`));
  });
});
