import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { USE, USE_NAMES, type Use } from '../../src/dump/rows/usage.js';
import { openSource } from '../../src/image/open.js';
import { observe } from '../../src/repair/observe/observe.js';
import { cellsOf } from '../../src/report/map.js';
import { type Usage, usageOf } from '../../src/report/usage.js';
import { walkInodes } from '../../src/volume/inode.js';
import { openVolume, type Volume } from '../../src/volume/volume.js';
import { blockOf, forge, makeBase, setExtent } from '../repair/base.js';
import { populated } from '../support/cache.js';
import { oracle } from '../support/oracle.js';
import { btdump, btdumpAll, print } from '../support/xfsdb.js';

function withUsage<T>(image: string, fn: (usage: Usage, volume: Volume) => T): T {
  const volume = openVolume(openSource(image));
  try {
    return fn(usageOf(observe(volume)), volume);
  } finally {
    volume.close();
  }
}

/** A field of every AG's header, by xfs_db, added up. */
const total = (image: string, agcount: number, header: string, field: string): number => {
  let sum = 0;
  for (let agno = 0; agno < agcount; agno++)
    sum += Number(print(image, [`${header} ${agno}`, `p ${field}`]).get(field));
  return sum;
};

const CONFIGS: Record<string, string[]> = {
  '4 KiB blocks, rmapbt': ['-m', 'rmapbt=1'],
  '1 KiB blocks': ['-b', 'size=1024', '-m', 'rmapbt=1'],
  'no rmapbt': ['-m', 'rmapbt=0,reflink=1'],
  'no rmapbt, no reflink': ['-m', 'rmapbt=0,reflink=0'],
};

describe('sums per kind are the counters of the headers', () => {
  for (const [name, args] of Object.entries(CONFIGS))
    test(name, oracle('mkfs.xfs', 'xfs_db', 'mount'), () => {
      const { image } = populated({ mkfs: { args } });
      withUsage(image, (usage, volume) => {
        const { g } = volume;
        const of = (...uses: Use[]): number => uses.reduce((n, use) => n + usage.sums[USE[use]], 0);
        const agf = (field: string): number => total(image, g.agcount, 'agf', field);
        const agi = (field: string): number => total(image, g.agcount, 'agi', field);
        const sb = print(image, ['sb 0', 'p']);
        assert.equal(of(...USE_NAMES), Number(sb.get('dblocks')));
        assert.equal(of('lost', 'contested'), 0);
        assert.equal(of('free'), agf('freeblks'));
        assert.equal(of('agfl'), agf('flcount'));
        assert.equal(of('log'), Number(sb.get('logblocks')));
        const roots = g.agcount * (g.features.rmapbt ? 3 : 2);
        assert.equal(of('bnobt', 'cntbt', 'rmapbt') - roots, agf('btreeblks'));
        assert.equal(of('free', 'agfl', 'bnobt', 'cntbt', 'rmapbt') - roots, Number(sb.get('fdblocks')));
        assert.equal(of('inodes'), agi('count') / g.inopblock);
        if (g.features.rmapbt) assert.equal(of('rmapbt'), agf('rmapblocks'));
        if (g.features.reflink) assert.equal(of('refcountbt'), agf('refcntblocks'));
        if (g.features.inobtcount) {
          assert.equal(of('inobt'), agi('ino_blocks'));
          assert.equal(of('finobt'), agi('fino_blocks'));
        }
        // What files map, as their inodes count it: shared blocks once for each owner.
        let nblocks = 0;
        walkInodes(volume, (inode) => {
          nblocks += inode.nblocks;
        });
        const mapped = of('data', 'unwritten', 'dir', 'attr', 'symlink', 'bmbt', 'quota');
        assert.equal(mapped + usage.sharedTimesOwners, nblocks);
      });
    });
});

/** Owners of the rmap btree, as xfs_db prints them, that are no inodes. */
const SPECIAL: Record<string, readonly Use[]> = {
  '-3': ['header'],
  '-4': ['log'],
  '-5': ['bnobt', 'cntbt', 'rmapbt', 'agfl'],
  '-6': ['inobt', 'finobt'],
  '-7': ['inodes'],
  '-8': ['refcountbt'],
  '-9': ['cow'],
};

test(
  'every block is what Linux’s rmap and refcount btrees say',
  oracle('mkfs.xfs', 'xfs_db', 'mount'),
  () => {
    const { image } = populated({ mkfs: { args: ['-b', 'size=1024', '-m', 'rmapbt=1'] } });
    withUsage(image, (usage) => {
      const rmaps = btdumpAll(image, 'rmapbt');
      for (const ag of usage.ags) {
        const owners = Array.from({ length: ag.length }, (): Use[][] => []);
        for (const [start, count, owner, , unwritten, attr, bmbt] of rmaps[ag.agno].rows) {
          const uses = Number(owner) < 0 || !/^\d+$/.test(String(owner)) ? SPECIAL[String(owner)] : undefined;
          assert.ok(uses !== undefined || Number(owner) > 0, `an owner that is known: ${owner}`);
          const may: Use[] =
            uses !== undefined
              ? [...uses]
              : bmbt
                ? ['bmbt']
                : attr
                  ? ['attr']
                  : unwritten
                    ? ['unwritten']
                    : ['data', 'dir', 'symlink', 'quota'];
          for (let i = 0; i < Number(count); i++) owners[Number(start) + i].push(may);
        }
        const counts = new Uint32Array(ag.length);
        for (const [start, count, refcount, cow] of btdump(image, 'refcntbt', ag.agno).rows)
          if (!Number(cow))
            for (let i = 0; i < Number(count); i++) counts[Number(start) + i] = Number(refcount);
        let end = 0;
        for (let i = 0; i < ag.count; i++) {
          assert.equal(ag.start[i], end, 'runs stand side by side');
          end += ag.blocks[i];
          const use = USE_NAMES[ag.use[i]];
          for (let agbno = ag.start[i]; agbno < end; agbno++) {
            const by = owners[agbno];
            if (use === 'free') assert.equal(by.length, 0, `AG ${ag.agno} block ${agbno}`);
            else if (use === 'shared') {
              assert.equal(by.length, ag.owners[i]);
              assert.equal(counts[agbno], ag.owners[i]);
            } else {
              assert.equal(by.length, 1, `AG ${ag.agno} block ${agbno}: ${use}`);
              assert.ok(by[0].includes(use), `AG ${ag.agno} block ${agbno}: ${use}, of ${by[0]}`);
            }
          }
        }
        assert.equal(end, ag.length);
      }
    });
  },
);

test('damage shows as what it is', oracle('mkfs.xfs', 'xfs_db', 'mount', 'xfs_io'), () => {
  const base = makeBase(true);
  const { agno, agbno, length } = withUsage(base.image, (_, { g }) => {
    const fsblock = blockOf(base, 'victim');
    return { agno: Math.floor(fsblock / 2 ** g.agblklog), agbno: fsblock % 2 ** g.agblklog, length: 10 };
  });
  const useAt = (usage: Usage, ag: number, block: number): string =>
    USE_NAMES[usage.ags[ag].use[usage.ags[ag].at(block)]];
  withUsage(base.image, (usage) => assert.equal(useAt(usage, agno, agbno), 'data'));
  // Another file's extent moved onto the victim's: its own blocks are nobody's now.
  const forged = forge(base, setExtent(base, 'same', 'startblock', blockOf(base, 'victim')));
  withUsage(forged, (usage, { g }) => {
    const own = blockOf(base, 'same');
    for (let i = 0; i < length; i++) {
      assert.equal(useAt(usage, agno, agbno + i), 'contested');
      assert.equal(useAt(usage, Math.floor(own / 2 ** g.agblklog), (own % 2 ** g.agblklog) + i), 'lost');
    }
    assert.equal(usage.sums[USE.contested], length);
    assert.equal(usage.sums[USE.lost], length);
    // A cell tells of damage however little of it there is.
    const whole = cellsOf(usage.ags[agno], { from: 0, to: usage.ags[agno].length }, usage.ags[agno].length);
    assert.equal(whole.count, 1);
    assert.equal(USE_NAMES[whole.use[0]], 'free');
    assert.equal(USE_NAMES[whole.also[0]], 'contested');
  });
});
