/** Logs crashed by Linux under load, over many geometries: read as xfs_logprint reads them. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { formatLsn } from '../../src/format/log.js';
import { openSource } from '../../src/image/open.js';
import { checkedRecords, committedTransactions, LogDecoder } from '../../src/journal/decode.js';
import { allRecords } from '../../src/journal/history.js';
import { type LogState, scanLog } from '../../src/journal/scan.js';
import { openVolume } from '../../src/volume/volume.js';
import { CRASH_GEOMETRIES, type CrashGeometry, crashImage, Load } from '../support/crash.js';
import { oracle, tmpdir } from '../support/oracle.js';
import { logprintRecords, logprintTransactions, ourRecord, ourTransaction } from './logprint.js';

const more = (name: string, args: string, options?: string): CrashGeometry => ({
  name,
  size: 400 * 2 ** 20,
  args: args.split(' '),
  reflink: true,
  options,
});

const GEOMETRIES: readonly CrashGeometry[] = [
  ...CRASH_GEOMETRIES,
  more('default', '-m crc=1'),
  more('logstripe256k', '-l su=256k -m rmapbt=1'),
  more('wrapping rmapbt', '-b size=1024 -l size=10m -m rmapbt=1', 'wsync'),
  more('wrapping stripe', '-l size=24m,su=256k -m rmapbt=1 -i nrext64=1', 'wsync'),
  more('wrapping 256k', '-b size=1024 -l size=10m', 'wsync,logbsize=256k'),
];
/** Small logs, written to at every change: they are to wrap. */
const WRAPPING = /^wrapping/;

const scan = (image: string): LogState => {
  const volume = openVolume(openSource(image));
  return scanLog(volume.source, volume.g);
};

describe('logs crashed by Linux', oracle('mount', 'mkfs.xfs', 'xfs_io', 'xfs_logprint', 'setfattr'), () => {
  let load: Load;
  before(() => {
    load = new Load();
  });
  after(() => load.close());

  GEOMETRIES.forEach((geometry, i) => {
    for (const flushlog of [true, false])
      it(`${geometry.name}, ${flushlog ? 'log flushed' : 'cut off'}`, async () => {
        const image = join(tmpdir(), 'image');
        const wrapped = WRAPPING.test(geometry.name);
        await crashImage(image, load, {
          geometry,
          seed: 4000 + i * 2 + Number(flushlog),
          flushlog,
          milliseconds: wrapped ? 3000 : 900,
          wrapped,
        });
        const state = scan(image);
        const theirs = logprintTransactions(image);
        assert.equal(state.head.block, theirs.head);
        assert.equal(state.tail.block, theirs.tail);
        assert.equal(state.clean, !theirs.dirty);
        assert.equal(state.clean, false, 'there is something to replay');
        if (wrapped) assert.ok(state.head.cycle > 1, 'the log has wrapped');

        const dumped = logprintRecords(image);
        const records = [...checkedRecords(state, state.tail.block, state.head.block)];
        // xfs_logprint stops at a record whose header sectors go around the physical end of the log.
        const split = records.findIndex((r) => r.block + r.headerBlocks > state.device.blocks);
        const readable = split < 0 ? records : records.slice(0, split);
        assert.deepEqual(
          readable.map((r) => formatLsn(r.lsn)),
          theirs.records,
        );
        for (const record of readable) assert.equal(ourRecord(record), dumped.get(record.block));
        const all = [...allRecords(state)];
        for (const record of all) {
          if (record.block + record.headerBlocks > state.device.blocks) continue;
          assert.equal(ourRecord(record), dumped.get(record.block));
        }
        assert.ok(all.length >= records.length);

        const decoder = new LogDecoder();
        let n = 0;
        for (const transaction of committedTransactions(state, { decoder })) {
          if (n === theirs.transactions.length && split >= 0) break;
          assert.deepEqual(ourTransaction(transaction), theirs.transactions[n], `transaction ${n}`);
          n++;
        }
        assert.equal(n, theirs.transactions.length);
        assert.ok(n > 0, 'transactions committed');
      });
  });
});
