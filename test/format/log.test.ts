/** Log structures in both byte orders, and the layouts only other machines write. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DINODE } from '../../src/format/dinode.js';
import {
  compareLsn,
  compareLsnAt,
  headerBlocks,
  LOG_EXTENDED_HEADER,
  LOG_OP,
  LOG_OP_HEADER,
  LOG_RECORD_HEADER,
  nextCycle,
  readLsn,
  TRANSACTION_HEADER,
  writeLsn,
} from '../../src/format/log.js';
import {
  ATTRI_LOG_FORMAT,
  BUF_LOG_FORMAT,
  BUF_LOG_FORMAT_HEAD,
  ICREATE_LOG,
  INODE_LOG_FORMAT,
  INODE_LOG_FORMAT_32,
  INTENT_HEAD,
  ITEM_STRUCTURE,
  LI,
  LOG_EXTENT_32,
  MAP_EXTENT,
  swapDinode,
  XMI_LOG_FORMAT,
} from '../../src/format/logitems.js';
import { type Decoded, type Structure, viewOf } from '../../src/format/structure.js';
import { LogDecoder, type LogTransaction } from '../../src/journal/decode.js';
import {
  attrIntent,
  BufChunks,
  freeExtents,
  inodeFields,
  inodeIno,
  intentId,
  itemFault,
  mapExtents,
} from '../../src/journal/items.js';
import { LogItem } from '../../src/journal/logitem.js';
import type { LogRecord } from '../../src/journal/record.js';

const encode = (s: Structure, values: Decoded, littleEndian: boolean, size = s.size): Uint8Array => {
  const b = new Uint8Array(Math.max(size, s.size));
  s.encode(viewOf(b), 0, values, littleEndian);
  return b.subarray(0, size);
};
const item = (littleEndian: boolean, type: number, ...regions: Uint8Array[]): LogItem =>
  LogItem.of(type, littleEndian, regions);

describe('LSNs', () => {
  it('order by cycle, then block, beyond 2^53', () => {
    const v = new DataView(new ArrayBuffer(8));
    const old = { cycle: 0xffff_fffd, block: 9 };
    writeLsn(v, 0, { cycle: 0xffff_fffe, block: 7 });
    assert.deepEqual(readLsn(v, 0), { cycle: 0xffff_fffe, block: 7 });
    assert.ok(compareLsnAt(v, 0, old) > 0);
    assert.ok(compareLsn(old, readLsn(v, 0)) < 0);
    assert.equal(compareLsn(old, { ...old }), 0);
  });
  it('the cycle that would read as a header magic is left out', () => {
    assert.equal(nextCycle(0xfeed_babd), 0xfeed_babf);
    assert.equal(nextCycle(1), 2);
  });
  it('header sectors follow from the buffer size', () => {
    assert.equal(headerBlocks(2, 32768), 1);
    assert.equal(headerBlocks(2, 32769), 2);
    assert.equal(headerBlocks(2, 262144), 8);
    assert.equal(headerBlocks(1, 262144), 1);
  });
});

describe('log items', () => {
  it('sizes on disk', () => {
    // Sizes the kernel asserts at build time (xfs_ondisk.h).
    const sizes: [Structure, number][] = [
      [LOG_RECORD_HEADER, 328],
      [LOG_EXTENDED_HEADER, 260],
      [LOG_OP_HEADER, 12],
      [TRANSACTION_HEADER, 16],
      [BUF_LOG_FORMAT, 88],
      [INODE_LOG_FORMAT, 56],
      [INODE_LOG_FORMAT_32, 52],
      [ICREATE_LOG, 28],
      [ATTRI_LOG_FORMAT, 40],
      [XMI_LOG_FORMAT, 88],
      [MAP_EXTENT, 32],
      [DINODE, 176],
    ];
    for (const [structure, size] of sizes) assert.equal(structure.size, size, structure.name);
    for (const type of Object.values(LI))
      if (type !== LI.IUNLINK) assert.ok(ITEM_STRUCTURE[type] !== undefined, type.toString(16));
  });

  for (const le of [true, false])
    it(`${le ? 'little' : 'big'}-endian: inode, in both lengths`, () => {
      const values = { type: LI.INODE, size: 2, fields: 5, ino: 0x1_0000_0083 };
      const core = new Uint8Array(DINODE.size);
      for (const s of [INODE_LOG_FORMAT, INODE_LOG_FORMAT_32]) {
        const it = item(le, LI.INODE, encode(s, values, le), core, core.subarray(0, 16));
        assert.equal(itemFault(it), undefined);
        assert.equal(inodeIno(it), 0x1_0000_0083);
        assert.equal(inodeFields(it), 5);
      }
    });

  for (const le of [true, false])
    it(`${le ? 'little' : 'big'}-endian: intents`, () => {
      const head = (type: number, nextents: number, size: number): Uint8Array =>
        encode(INTENT_HEAD, { type, size: 1, nextents, id: 0xffff_8881_e83b_9020n }, le, size);
      const efi = head(LI.EFI, 2, 16 + 2 * 12);
      LOG_EXTENT_32.encode(viewOf(efi), 16, { start: 2 ** 33, len: 3 }, le);
      LOG_EXTENT_32.encode(viewOf(efi), 28, { start: 5, len: 6 }, le);
      const plain = item(le, LI.EFI, efi);
      assert.equal(itemFault(plain), undefined);
      assert.equal(intentId(plain), 0xffff_8881_e83b_9020n);
      assert.deepEqual(freeExtents(plain), [
        { start: 2 ** 33, blocks: 3 },
        { start: 5, blocks: 6 },
      ]);
      assert.match(itemFault(item(le, LI.EFI, efi.subarray(0, 30))) ?? '', /30 bytes for 2 extents/);
      const rui = head(LI.RUI, 1, 48);
      MAP_EXTENT.encode(
        viewOf(rui),
        16,
        { owner: -9, startblock: 7, startoff: 2 ** 40, len: 4, flags: 0x8000_0008 },
        le,
      );
      assert.deepEqual(mapExtents(item(le, LI.RUI, rui)), [
        { owner: -9, start: 7, offset: 2 ** 40, blocks: 4, flags: 0x8000_0008 },
      ]);
    });

  it('a parent pointer replaced: old and new name and value', () => {
    const format = encode(
      ATTRI_LOG_FORMAT,
      {
        type: LI.ATTRI,
        size: 5,
        ino: 131,
        op_flags: 6,
        name_len: 3 | (5 << 16),
        value_len: 12,
        attr_filter: 8,
      },
      true,
    );
    const region = (text: string): Uint8Array => {
      const b = new Uint8Array(Math.ceil(text.length / 4) * 4);
      b.set(Buffer.from(text));
      return b;
    };
    const it = item(
      true,
      LI.ATTRI,
      format,
      region('old'),
      region('newer'),
      region('value-of-old'),
      region('value-of-new'),
    );
    assert.equal(itemFault(it), undefined);
    const a = attrIntent(it);
    assert.deepEqual(
      [a.name, a.newName, a.value, a.newValue].map((b) => Buffer.from(b).toString()),
      ['old', 'newer', 'value-of-old', 'value-of-new'],
    );
    assert.match(itemFault(item(true, LI.ATTRI, format, region('old'))) ?? '', /regions/);
  });

  it('a run of dirty chunks in two regions, and a gap over a word of the map', () => {
    for (const le of [true, false]) {
      const format = encode(
        BUF_LOG_FORMAT,
        { type: LI.BUF, size: 4, len: 16, blkno: 8, map_size: 2, data_map: [0b110, 1 << 8] },
        le,
        BUF_LOG_FORMAT_HEAD + 8,
      );
      const it = item(le, LI.BUF, format, new Uint8Array(128), new Uint8Array(128), new Uint8Array(128));
      assert.equal(itemFault(it), undefined);
      const seen: number[][] = [];
      const chunks = new BufChunks();
      for (chunks.start(it); chunks.next(); ) seen.push([chunks.offset, chunks.length]);
      assert.deepEqual(seen, [
        [128, 128],
        [256, 128],
        [40 * 128, 128],
      ]);
      const short = LogItem.of(LI.BUF, le, it.regions.slice(0, -1), it.size);
      assert.match(itemFault(short) ?? '', /regions/);
    }
  });

  it('a logged core swapped twice is what it was', () => {
    for (const bigtime of [true, false]) {
      const core = new Uint8Array(DINODE.size).map((_, i) => i + 1);
      const disk = new Uint8Array(DINODE.size);
      const back = new Uint8Array(DINODE.size);
      swapDinode(core, disk, 0, true, bigtime);
      assert.equal(
        viewOf(disk).getUint32(DINODE.at.nlinkv2),
        viewOf(core).getUint32(DINODE.at.nlinkv2, true),
      );
      assert.equal(
        viewOf(disk).getInt32(DINODE.at.mtime),
        viewOf(core).getInt32(DINODE.at.mtime + (bigtime ? 4 : 0), true),
      );
      swapDinode(disk, back, 0, true, bigtime);
      assert.deepEqual(back, core);
    }
  });
});

describe('transactions', () => {
  type Op = [flags: number, data: Uint8Array];
  const record = (ops: Op[], fmt: number, block: number): LogRecord => {
    const parts = ops.flatMap(([flags, data]) => [
      encode(LOG_OP_HEADER, { tid: 77, len: data.length, clientid: 0x69, flags }, false),
      data,
    ]);
    const lsn = { cycle: 3, block };
    return {
      block,
      lsn,
      tailLsn: lsn,
      cycle: 3,
      version: 2,
      len: 0,
      ops: ops.length,
      size: 32768,
      fmt,
      crc: 0,
      prevBlock: -1,
      headerBlocks: 1,
      headers: new Uint8Array(512),
      data: Uint8Array.from(Buffer.concat(parts)),
      chunk: 1,
    };
  };
  const none = new Uint8Array(0);
  const start = (le: boolean): Op[] => [
    [LOG_OP.START, none],
    [0, encode(TRANSACTION_HEADER, { magic: 0x5452414e, type: 40, tid: 77, num_items: 1 }, le)],
  ];
  const icreate = (le: boolean): Uint8Array =>
    encode(ICREATE_LOG, { type: LI.ICREATE, size: 1, ag: 2, agbno: 99, count: 64 }, le);

  for (const le of [true, false])
    it(`${le ? 'little' : 'big'}-endian: a region split over three records`, () => {
      const fmt = le ? 1 : 2;
      const whole = icreate(le);
      const decoder = new LogDecoder();
      const out: LogTransaction[] = [];
      decoder.decode(record([...start(le), [LOG_OP.CONTINUE, whole.subarray(0, 4)]], fmt, 2), out);
      decoder.decode(record([[LOG_OP.WAS_CONT | LOG_OP.CONTINUE, whole.subarray(4, 16)]], fmt, 5), out);
      assert.equal(decoder.openTransactions, 1);
      decoder.decode(
        record(
          [
            [LOG_OP.WAS_CONT | LOG_OP.END, whole.subarray(16)],
            [LOG_OP.COMMIT, none],
          ],
          fmt,
          9,
        ),
        out,
      );
      assert.equal(decoder.openTransactions, 0);
      assert.equal(out.length, 1);
      assert.deepEqual(out[0].lsn, { cycle: 3, block: 2 });
      assert.deepEqual(out[0].commitLsn, { cycle: 3, block: 9 });
      assert.deepEqual([...out[0].items.at(0).regions[0]], [...whole]);
      assert.equal(out[0].items.at(0).view.getUint32(ICREATE_LOG.at.agbno), 99);
    });

  it('what began before the first record is skipped, what never commits is dropped', () => {
    const decoder = new LogDecoder();
    const out: LogTransaction[] = [];
    decoder.decode(record([[0, icreate(true)], [LOG_OP.COMMIT, none], ...start(true)], 1, 2), out);
    assert.deepEqual(out, []);
    assert.equal(decoder.openTransactions, 1);
  });

  const refused: [string, Op[], RegExp][] = [
    [
      'an unknown item',
      [...start(true), [0, Uint8Array.of(0x99, 0x99, 1, 0)], [LOG_OP.COMMIT, none]],
      /unknown log item type 0x9999/,
    ],
    ['an item of no regions', [...start(true), [0, Uint8Array.of(0x3f, 0x12, 0, 0)]], /0 regions/],
    [
      'a missing transaction header',
      [
        [LOG_OP.START, none],
        [0, icreate(true)],
      ],
      /without its header/,
    ],
    ['a second start', [...start(true), [LOG_OP.START, none]], /flags are 0x1/],
    ['the rest of nothing', [...start(true), [LOG_OP.WAS_CONT, icreate(true)]], /beginning is missing/],
    [
      'an item cut short',
      [...start(true), [0, icreate(true).fill(2, 2, 3)], [LOG_OP.COMMIT, none]],
      /1 of its 2 regions/,
    ],
  ];
  for (const [what, ops, reason] of refused)
    it(`refused: ${what}`, () => {
      assert.throws(() => new LogDecoder().decode(record(ops, 1, 2), []), {
        name: 'LogError',
        message: reason,
      });
    });
});
