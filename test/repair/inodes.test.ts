/**
 * Damaged inodes and what hangs on them: one field of a kind each, the checksum made right. Everything is to be
 * found again where it was, by xfs_repair's judgement clean and by Linux's mountable, and a second run writes
 * nothing.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { BTREES, LONG_BLOCK, recordAt } from '../../src/format/btree.js';
import { sealCrc } from '../../src/format/checksum.js';
import { freeSpaceBlock } from '../../src/format/dir.js';
import { extentBlocks, extentFsblock, extentOffset, packExtent } from '../../src/format/extent.js';
import { agbnoOfFsblock, agnoOfFsblock, blockOffset } from '../../src/format/geometry.js';
import { viewOf } from '../../src/format/structure.js';
import { standingOn } from '../../src/repair/judge/standing.js';
import { walkExtents, walkForkBlocks } from '../../src/volume/fork.js';
import { resolvePath } from '../../src/volume/path.js';
import { bytesOf, openVolume } from '../../src/volume/volume.js';
import { type Case, fieldCases } from '../campaign/repair/cases.js';
import { baseImage } from '../campaign/repair/images.js';
import { Judge } from '../campaign/repair/judge.js';
import { type Lane, Outcomes, ours, Workbench } from '../campaign/repair/run.js';
import { oracle, tmpdir } from '../support/oracle.js';

/** Structure, field and change, as the campaign names them; what is saved is all. */
const SAVED: Record<string, readonly string[]> = {
  k1: [
    'dinode file:extents300/magic/zeroes',
    'dinode dir:200/format/add',
    'dinode dir:4/mode/firstbit',
    'dinode attr:short/forkoff/zeroes',
    'dinode attr:leaf/aformat/sub',
    'dinode symlink:20/size/ones',
    'dinode flag:extsize-dir/extsize/middlebit',
    'dinode special:char/nextents/random',
    // Seen by xfs_repair and by Linux not at all: a size no special file has, a flag without which times cannot be.
    'dinode special:fifo/size/add',
    'dinode special:char/size/random',
    'dinode time:2400/flags2/zeroes',
    'dinode symlink:300/flags2/lastbit',
    // Ahead of the log.
    'dinode time:2400/lsn/random',
    'attr attr:leaf/attr block 0 hdr.firstused/sub',
    // What was moved out of a leaf still stands in it, behind its values and behind its entries.
    'attr attr:node/attr block 2 hdr.info.hdr.back/ones',
    'data fork dir:awkward/startoff/random',
    'attr fork attr:gaps/startblock/zeroes',
    'attr fork attr:acl-many/blockcount/zeroes',
    'bmbt leaf/magic/firstbit',
    // Blocks of attributes whose bmbt is damaged look like nobody's, and are in the fork all the same.
    'bmbt leaf/bno/lastbit',
    // A block of a directory comes back behind all others, and its size is short of it.
    'bmbt leaf/startoff/zeroes',
    'bmbt leaf/numrecs/zeroes',
    // An ACL says how long it is.
    'short attr attr:acl/list[0].valuelen/sub',
    'short attr attr:acl-dir/list[1].valuelen/zeroes',
    'short attr attr:acl-dir/list[0].namelen/sub',
    'short attr attr:acl-inherited/hdr.totsize/lastbit',
    'short attr attr:short/hdr.count/sub',
    'short attr attr:short/hdr.totsize/add',
    'short dir dir:4/hdr.count/zeroes',
    'short dir dir:4/list[0].namelen/add',
    // As a number the same as null.
    'sb/gquotino/lastbit',
    // Of which records are missing nobody can say: the flags stand.
    'refcountbt node/magic/lastbit',
    'refcountbt node/ptrs/random',
  ],
  'k1-rmap': [
    'dinode file:extents300/nextents/random',
    'data fork dir:long/startoff/add',
    'bmbt leaf/owner/ones',
    'dir dir:btree/data block 0 dhdr.hdr.bno/ones',
    // A name that leads to another directory: its file misses one.
    'short dir dir:4/list[1].inumber/add',
    'short dir dir:shrunk/list[1].inumber/zeroes',
  ],
};

/** Files whose own extents are damaged: those they share with lose nothing, in k1. */
const ALONE = [
  'data fork shared:clone0/blockcount/ones',
  'data fork shared:clone-of-clone-of-clone/blockcount/random/crc',
  'data fork shared:clone4/blockcount/lastbit',
  'data fork shared:cowhint/blockcount/add',
  'data fork shared:unshared/blockcount/add#2',
  'data fork shared:self/blockcount/middlebit',
  'data fork shared:self/startblock/sub',
];

function caseOf(image: ReturnType<typeof baseImage>, name: string): Case {
  const structure = name.slice(0, name.indexOf('/'));
  const exactly = new RegExp(`^${structure.replace(/[[\].]/g, '\\$&')}$`);
  for (const c of fieldCases([image], 1, exactly)) if (c.id === `${image.name}/${name}`) return c;
  throw new Error(`no case ${name}`);
}

/** Runs cases of one image; `mayLose` names the file that alone may differ afterwards. */
function cases(
  title: string,
  name: string,
  damages: readonly string[],
  mayLose: (damage: string) => string | undefined,
): void {
  describe(title, oracle('mount', 'mkfs.xfs', 'xfs_repair', 'setfattr'), () => {
    let image: ReturnType<typeof baseImage>;
    let bench: Workbench;
    let lane: Lane;
    before(() => {
      const folder = tmpdir();
      image = baseImage(name);
      bench = new Workbench(image, join(folder, 'image'));
      lane = { judge: new Judge(folder), outcomes: new Outcomes(join(folder, 'outcomes')) };
    });
    after(() => {
      bench.close();
      lane.judge.close();
    });

    for (const damage of damages)
      test(damage, async () => {
        const { outcome, error, clean, mounted, settled, complaint, lost } = await ours(
          bench,
          caseOf(image, damage),
          lane,
          { quick: false, linux: false },
        );
        assert.equal(outcome, 'repaired', error);
        const others = lost.filter((path) => path !== mayLose(damage));
        assert.deepEqual(
          { clean, mounted, settled, others },
          { clean: true, mounted: true, settled: true, others: [] },
          complaint,
        );
      });
  });
}

for (const [name, damages] of Object.entries(SAVED))
  cases(`saved whole: ${name}`, name, damages, () => undefined);

test(
  'a target of two blocks is known by the header on its first',
  oracle('mount', 'mkfs.xfs', 'setfattr'),
  () => {
    const volume = openVolume(baseImage('k1').source);
    const { g } = volume;
    const inode = resolvePath(volume, 'symlinks/s1023', { follow: false });
    const found: (string | undefined)[] = [];
    walkExtents(volume, inode, 'data', (_offset, fsblock, blocks) => {
      const standing = standingOn(volume, agnoOfFsblock(g, fsblock), agbnoOfFsblock(g, fsblock));
      found.push(`${blocks} blocks: ${standing?.what} of ${standing?.owner}`);
    });
    assert.deepEqual(found, [`2 blocks: symlink of ${inode.ino}`]);
  },
);

test(
  'a directory whose list of free space has lost its place',
  oracle('mount', 'mkfs.xfs', 'xfs_repair', 'setfattr'),
  async () => {
    const image = baseImage('k1');
    const volume = openVolume(image.source);
    const { g } = volume;
    const first = freeSpaceBlock(g);
    const inode = resolvePath(volume, 'fragmented/dir', { follow: false });
    const writes: { offset: number; bytes: Uint8Array }[] = [];
    walkForkBlocks(volume, inode, 'data', (agno, agbno) => {
      const bytes = bytesOf(volume.block(agno, agbno)).slice();
      const v = viewOf(bytes);
      if (v.getUint16(LONG_BLOCK.at.level) > 0) return;
      const records = Array.from({ length: v.getUint16(LONG_BLOCK.at.numrecs) }, (_, i) => i);
      const at = records.map((i) => recordAt(BTREES.bmbt, i)).find((r) => extentOffset(v, r) === first);
      if (at === undefined) return;
      packExtent(v, at, first, extentFsblock(v, at) - 1, extentBlocks(v, at), false);
      sealCrc(bytes, LONG_BLOCK.at.crc);
      writes.push({ offset: blockOffset(g, agno, agbno), bytes });
    });
    assert.equal(writes.length, 1);
    const folder = tmpdir();
    const bench = new Workbench(image, join(folder, 'image'));
    const lane = { judge: new Judge(folder), outcomes: new Outcomes(join(folder, 'outcomes')) };
    const damage = { id: 'k1/no free blocks', image: 'k1', structure: 'dir', writes };
    const { clean, settled, lost } = await ours(bench, damage, lane, { quick: false, linux: false });
    bench.close();
    lane.judge.close();
    assert.deepEqual({ clean, settled, lost }, { clean: true, settled: true, lost: [] });
  },
);

cases('sharers keep what another loses', 'k1', ALONE, (damage) =>
  /(shared):([^/]+)/.exec(damage)?.slice(1).join('/'),
);
