/** Logs crashed by Linux under load, over many geometries: read as xfs_logprint reads them. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
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
  more('smalllog256k', '-l size=13m -m rmapbt=1 -i nrext64=1', 'logbsize=256k'),
];
/** Small logs get longer: they are to wrap. */
const WRAPPING = new Set(['smalllog', 'smalllog256k', 'stripe1k']);

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
        const milliseconds = WRAPPING.has(geometry.name) ? 2500 : 1000;
        await crashImage(image, load, {
          geometry,
          seed: 4000 + i * 2 + Number(flushlog),
          flushlog,
          milliseconds,
        });
        const state = scan(image);
        const theirs = logprintTransactions(image);
        assert.equal(state.head.block, theirs.head);
        assert.equal(state.tail.block, theirs.tail);
        assert.equal(state.clean, !theirs.dirty);
        assert.equal(state.clean, false, 'there is something to replay');
        if (WRAPPING.has(geometry.name)) assert.ok(state.head.cycle > 1, 'the log has wrapped');

        const dumped = logprintRecords(image);
        const records = [...checkedRecords(state, state.tail.block, state.head.block)];
        assert.deepEqual(
          records.map((r) => `${r.lsn.cycle}/${r.lsn.block}`),
          theirs.records,
        );
        for (const record of records) assert.equal(ourRecord(record), dumped.get(record.block));
        let old = 0;
        for (const record of allRecords(state)) {
          assert.equal(ourRecord(record), dumped.get(record.block));
          old++;
        }
        assert.ok(old >= records.length);

        const decoder = new LogDecoder();
        let n = 0;
        for (const transaction of committedTransactions(state, { decoder })) {
          assert.deepEqual(ourTransaction(transaction), theirs.transactions[n], `transaction ${n}`);
          n++;
        }
        assert.equal(n, theirs.transactions.length);
        assert.ok(n > 0, 'transactions committed');
      });
  });
});
