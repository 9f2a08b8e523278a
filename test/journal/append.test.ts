import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { BBSIZE } from '../../src/format/log.js';
import { BLFT } from '../../src/format/logitems.js';
import { viewOf } from '../../src/format/structure.js';
import { FileSource } from '../../src/image/source.js';
import { LogWriter } from '../../src/journal/append.js';
import { committedTransactions } from '../../src/journal/decode.js';
import { scanLog } from '../../src/journal/scan.js';
import { Buffer as MetadataBuffer } from '../../src/transaction/buffers.js';
import { bufferItem } from '../../src/transaction/items.js';
import { openVolume } from '../../src/volume/volume.js';
import { oracle, run, tmpdir } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';

const needs = oracle('mkfs.xfs', 'xfs_logprint');

/** Regions of a checkpoint of `count` buffers full of `fill`. */
function checkpoint(count: number, fill: number): Uint8Array[] {
  const regions: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const buffer = new MetadataBuffer((1000 + i * 8) * BBSIZE, new Uint8Array(4096).fill(fill), BLFT.BTREE);
    // Every third chunk, or all of them: short regions and long ones.
    buffer.dirty[0] = i % 2 === 0 ? 0x4924_9249 : 0xffff_ffff;
    bufferItem(buffer, regions);
  }
  return regions;
}

for (const args of [[], ['-l', 'su=16k'], ['-l', 'su=64k'], ['-b', 'size=1024', '-d', 'agcount=2']])
  test(
    `records written are records read, around the end of the log: ${args.join(' ') || 'default'}`,
    needs,
    () => {
      const image = join(tmpdir(), 'image');
      mkfs(image, { size: 80 << 20, args, tiny: true });
      const source = FileSource.open(image, 'r+');
      const { g } = openVolume(source);
      const writer = new LogWriter(scanLog(source, g));
      let wraps = 0;
      for (let i = 0; wraps < 2; i++) {
        const before = writer.head;
        const regions = checkpoint(1 + ((i * 37) % 90), 1 + (i % 200));
        const bytes = regions.reduce((sum, r) => sum + r.length, 0);
        const room = writer.space(regions.length, bytes);
        writer.tail = before;
        assert.deepEqual(writer.checkpoint(regions), before);
        const { head } = writer;
        const used =
          (head.block - before.block + (head.cycle - before.cycle) * writer.device.blocks) * BBSIZE;
        assert.ok(used <= room, `used ${used}, expected at most ${room}`);
        if (head.cycle !== before.cycle) wraps++;
        else if (i % 29 !== 0) continue;
        const state = scanLog(source, g);
        assert.deepEqual(state.head, head);
        assert.deepEqual(state.tail, before);
        const [only, ...others] = [...committedTransactions(state)];
        assert.equal(others.length, 0);
        const read = [...only.items].flatMap((item) => item.regions);
        assert.equal(read.length, regions.length);
        read.forEach((region, k) => {
          const same = Buffer.compare(region, regions[k]) === 0;
          if (!same) assert.fail(`region ${k} of checkpoint ${i} differs`);
        });
      }
      writer.unmount();
      assert.equal(scanLog(source, g).clean, true);
      source.close();
      assert.match(run('xfs_logprint', ['-t', image]).stdout, /state: <CLEAN>/);
    },
  );

test('leftovers of a torn write ahead of the head are stamped out', needs, () => {
  const image = join(tmpdir(), 'image');
  mkfs(image, { size: 80 << 20, tiny: true });
  const source = FileSource.open(image, 'r+');
  const { g } = openVolume(source);
  const start = scanLog(source, g);
  const writer = new LogWriter(start);
  writer.checkpoint(checkpoint(40, 7));
  // The first record never made it: what follows looks like records of this cycle.
  const { device } = start;
  source.write(device.start + start.head.block * BBSIZE, new Uint8Array(BBSIZE));
  const torn = scanLog(source, g);
  assert.deepEqual(torn.head, start.head);
  const again = new LogWriter(torn);
  again.clearStale();
  const word = new Uint8Array(BBSIZE);
  for (let block = start.head.block; block < writer.head.block; block++) {
    source.read(device.start + block * BBSIZE, word);
    const cycle = viewOf(word).getUint32(4);
    assert.equal(cycle, start.head.cycle - 1, `block ${block}`);
  }
  source.close();
});
