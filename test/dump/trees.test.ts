import assert from 'node:assert/strict';
import test from 'node:test';
import { BTREE_TABLES, dumpAgBtree, dumpBmbt } from '../../src/dump/btree.js';
import type { Cell } from '../../src/dump/table.js';
import { dumpFree, dumpRefcount, dumpRmap, FREE, REFCOUNT, RMAP } from '../../src/dump/trees.js';
import { RMAP_OWNER_NAME } from '../../src/format/btree.js';
import { describeFault } from '../../src/format/fault.js';
import { hasBtree } from '../../src/volume/btree.js';
import { checkAg } from '../../src/volume/check.js';
import { readInode } from '../../src/volume/inode.js';
import { populated } from '../support/cache.js';
import { oracle } from '../support/oracle.js';
import {
  type BtreeDump,
  type BtreeKind,
  bmbtDump,
  btdumpAll,
  inodes,
  printInodes,
} from '../support/xfsdb.js';
import { collect, SHAPES, withVolume } from './support.js';

const OURS = {
  bnobt: 'bnobt',
  cntbt: 'cntbt',
  rmapbt: 'rmapbt',
  refcntbt: 'refcountbt',
  inobt: 'inobt',
  finobt: 'finobt',
} as const;

/** xfs_db's rows as objects by our column names: `name_hi` is the high key in both. */
function expectedRows(dump: BtreeDump): Record<string, number | bigint>[] {
  const out: Record<string, number | bigint>[] = [];
  for (const { level, columns, rows, ptrs } of dump.blocks)
    rows.forEach((row, i) => {
      const expected: Record<string, number | bigint> = { level, index: i + 1 };
      columns.forEach((name, c) => {
        expected[name] = row[c];
      });
      if (level > 0) expected.ptr = ptrs[i];
      out.push(expected);
    });
  return out;
}

/** Only what xfs_db shows, as numbers where they fit. */
function narrow(ours: Record<string, Cell>, like: Record<string, number | bigint>): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(like))
    out[name] = typeof value === 'bigint' ? BigInt(ours[name] as number) : ours[name];
  return out;
}

function compare(
  ours: Record<string, Cell>[],
  theirs: Record<string, number | bigint>[],
  what: string,
): void {
  assert.equal(ours.length, theirs.length, `${what}: rows`);
  theirs.forEach((row, i) => {
    assert.deepEqual(narrow(ours[i], row), row, `${what}: row ${i}`);
  });
}

for (const { name, mkfs, scale } of SHAPES)
  test(`every btree equals xfs_db's btdump, level by level: ${name}`, oracle('mount', 'xfs_db'), () => {
    const { image, notes } = populated({ mkfs, populate: { scale } });
    withVolume(image, (volume) => {
      let compared = 0;
      let deepest = 0;
      for (const kind of Object.keys(OURS) as BtreeKind[]) {
        const tree = OURS[kind];
        if (!hasBtree(volume.g, tree)) continue;
        const dumps = btdumpAll(image, kind, { internal: true });
        dumps.forEach((dump, agno) => {
          const { rows, faults } = collect(volume, BTREE_TABLES[tree], (sink) =>
            dumpAgBtree(volume, sink, tree, { agno }),
          );
          assert.deepEqual(faults, []);
          compare(rows, expectedRows(dump), `${tree} of AG ${agno}`);
          compared += rows.length;
          for (const { level } of dump.blocks) deepest = Math.max(deepest, level + 1);
        });
      }
      assert.ok(compared > 500, `${compared} records compared`);
      if (scale === 'full') assert.ok(deepest >= 3, `trees of ${deepest} levels`);

      let bmbts = 0;
      for (const [ino, fields] of printInodes(image, inodes(image).used, ['core.format', 'core.aformat'])) {
        for (const fork of ['data', 'attr'] as const) {
          if (!fields.get(fork === 'data' ? 'core.format' : 'core.aformat')?.includes('btree')) continue;
          const { rows, faults } = collect(volume, BTREE_TABLES.bmbt, (sink) =>
            dumpBmbt(volume, sink, readInode(volume, ino), fork),
          );
          assert.deepEqual(faults, []);
          // xfs_db leaves the nodes of a bmbt out: records alone.
          const records = bmbtDump(image, ino, fork);
          compare(
            rows.filter((row) => row.level === 0),
            expectedRows(records).map(({ index: _index, ...row }) => row),
            `bmbt of inode ${ino}, ${fork}`,
          );
          bmbts++;
        }
      }
      assert.ok(bmbts >= 2, `${bmbts} bmbts compared`);
      assert.ok(notes.has('file:extents300'));
    });
  });

for (const { name, mkfs, scale } of SHAPES)
  test(`refcount, rmap and free say what xfs_db's records say: ${name}`, oracle('mount', 'xfs_db'), () => {
    const { image } = populated({ mkfs, populate: { scale } });
    withVolume(image, (volume) => {
      /** Records of all AGs as objects, the AG's number with each. */
      const theirs = (kind: BtreeKind): Record<string, number>[] =>
        btdumpAll(image, kind).flatMap((dump, agno) =>
          expectedRows(dump).map((row) => ({ ...(row as Record<string, number>), agno })),
        );
      for (const bySize of [false, true]) {
        const free = collect(volume, FREE, (sink) => dumpFree(volume, sink, { bySize }));
        assert.deepEqual(free.faults, []);
        assert.deepEqual(
          free.rows,
          theirs(bySize ? 'cntbt' : 'bnobt').map((r) => ({
            agno: r.agno,
            agbno: r.startblock,
            blocks: r.blockcount,
          })),
        );
      }
      if (hasBtree(volume.g, 'refcountbt')) {
        const { rows } = collect(volume, REFCOUNT, (sink) => dumpRefcount(volume, sink));
        assert.deepEqual(
          rows,
          theirs('refcntbt').map((r) => ({
            agno: r.agno,
            agbno: r.startblock,
            blocks: r.blockcount,
            refcount: r.refcount,
            domain: r.cowflag ? 'cow' : 'shared',
          })),
        );
        assert.ok(rows.length > 20);
      }
      if (hasBtree(volume.g, 'rmapbt')) {
        const { rows } = collect(volume, RMAP, (sink) => dumpRmap(volume, sink));
        assert.deepEqual(
          rows,
          theirs('rmapbt').map((r) => ({
            agno: r.agno,
            agbno: r.startblock,
            blocks: r.blockcount,
            owner: r.owner < 0 ? RMAP_OWNER_NAME[r.owner] : r.owner,
            fork: r.owner < 0 ? null : r.attrfork ? 'attr' : 'data',
            offset: r.owner < 0 || r.bmbtblock ? null : r.offset,
            bmbt: r.bmbtblock === 1,
            state: r.owner < 0 || r.bmbtblock ? null : r.extentflag ? 'unwritten' : 'norm',
          })),
        );
      }
    });
  });

for (const { name, mkfs, scale } of SHAPES)
  test(`an image filled by Linux has no fault in any AG: ${name}`, oracle('mount', 'xfs_db'), () => {
    const { image } = populated({ mkfs, populate: { scale } });
    withVolume(image, (volume) => {
      const faults: string[] = [];
      for (let agno = 0; agno < volume.g.agcount; agno++)
        checkAg(volume, agno, (fault) => faults.push(describeFault(fault)));
      assert.deepEqual(faults, []);
    });
  });
