import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AGF, AGFL, AGI } from '../../src/format/ag.js';
import { LONG_BLOCK, REFCOUNT_REC, RMAP_REC, SHORT_BLOCK } from '../../src/format/btree.js';
import { DINODE, DINODE64, readTimestamp, writeTimestamp } from '../../src/format/dinode.js';
import {
  BMBT_REC,
  extentBlocks,
  extentFsblock,
  extentOffset,
  extentUnwritten,
  packExtent,
} from '../../src/format/extent.js';
import {
  bits,
  bytes,
  crc,
  getU64,
  setU64,
  structure,
  text,
  u16,
  u32,
  u64,
  uuid,
} from '../../src/format/structure.js';
import { SUPERBLOCK } from '../../src/format/superblock.js';

test('sizes and offsets are those of xfs_format.h', () => {
  // offsetof() and sizeof() of the C structures, by hand from the header's field list.
  assert.equal(SUPERBLOCK.at.crc, 224);
  assert.equal(SUPERBLOCK.at.meta_uuid, 248);
  assert.equal(SUPERBLOCK.at.fname, 108);
  assert.equal(AGF.at.crc, 216);
  assert.equal(AGF.size, 224);
  assert.equal(AGI.at.crc, 312);
  assert.equal(AGI.size, 344);
  assert.equal(AGFL.size, 36);
  assert.equal(SHORT_BLOCK.size, 56);
  assert.equal(LONG_BLOCK.size, 72);
  assert.equal(DINODE.size, 176);
  assert.equal(DINODE64.size, 176);
  assert.equal(DINODE.at.crc, 100);
  assert.equal(DINODE.at.next_unlinked, 96);
});

const SAMPLE = structure('sample', {
  a: u16,
  b: u32,
  c: u64,
  id: uuid,
  name: text(4),
  pad: bytes(3),
  sum: crc,
});

test('decode gives back what encode wrote, in both byte orders', () => {
  const value = {
    a: 0x1234,
    b: 0xdeadbeef,
    c: 2n ** 63n + 5n,
    id: '00112233-4455-6677-8899-aabbccddeeff',
    name: 'xfs',
    pad: Uint8Array.of(1, 2, 3),
    sum: 0x01020304,
  };
  for (const littleEndian of [false, true]) {
    const view = new DataView(new ArrayBuffer(SAMPLE.size + 8));
    SAMPLE.encode(view, 8, value, littleEndian);
    assert.deepEqual(SAMPLE.decode(view, 8, littleEndian), value);
    assert.equal(view.getUint16(8, littleEndian), 0x1234);
    assert.equal(view.getUint8(8 + SAMPLE.at.sum), 4, 'a CRC is little-endian either way');
  }
});

test('encode leaves fields it was not given', () => {
  const view = new DataView(new ArrayBuffer(SAMPLE.size));
  SAMPLE.encode(view, 0, { a: 1, b: 2 });
  SAMPLE.encode(view, 0, { b: 3 });
  assert.equal(SAMPLE.decode(view).a, 1);
  assert.equal(SAMPLE.decode(view).b, 3);
});

test('a structure whose fields do not add up is refused', () => {
  assert.throws(() => structure('wrong', { a: u32 }, 8), /add up to 4 bytes, not 8/);
});

test('bit fields do not touch their neighbours', () => {
  const three = structure('three', { x: bits(0, 3), y: bits(3, 54), z: bits(57, 7) }, 8);
  fc.assert(
    fc.property(fc.nat(7), fc.maxSafeNat(), fc.nat(127), (x, y, z) => {
      const view = new DataView(new ArrayBuffer(8));
      three.encode(view, 0, { z });
      three.encode(view, 0, { x });
      three.encode(view, 0, { y });
      assert.deepEqual(three.decode(view), { x, y, z });
    }),
    { seed: 1 },
  );
});

test('a u64 past 2^53 still fails every bound', () => {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, 2n ** 64n - 1n);
  assert.ok(getU64(view, 0) > Number.MAX_SAFE_INTEGER);
  setU64(view, 0, 2 ** 52 + 12345);
  assert.equal(view.getBigUint64(0), 2n ** 52n + 12345n);
  assert.equal(getU64(view, 0), 2 ** 52 + 12345);
});

test('extents: the word accessors and the field table agree', () => {
  fc.assert(
    fc.property(
      fc.nat(2 ** 31 - 1),
      fc.nat(2 ** 22 - 1),
      fc.maxSafeNat().map((n) => n % 2 ** 52),
      fc.integer({ min: 1, max: 2 ** 21 - 1 }),
      fc.boolean(),
      (offsetLow, offsetHigh, fsblock, blocks, unwritten) => {
        const offset = offsetHigh * 2 ** 31 + offsetLow;
        const view = new DataView(new ArrayBuffer(16));
        packExtent(view, 0, offset, fsblock, blocks, unwritten);
        assert.equal(extentOffset(view, 0), offset);
        assert.equal(extentFsblock(view, 0), fsblock);
        assert.equal(extentBlocks(view, 0), blocks);
        assert.equal(extentUnwritten(view, 0), unwritten);
        assert.deepEqual(BMBT_REC.decode(view), {
          extentflag: unwritten ? 1 : 0,
          startoff: offset,
          startblock: fsblock,
          blockcount: blocks,
        });
      },
    ),
    { seed: 1, numRuns: 500 },
  );
});

test('rmap and refcount records: signed owners, flags apart from values', () => {
  const view = new DataView(new ArrayBuffer(24));
  RMAP_REC.encode(view, 0, { startblock: 7, blockcount: 9, owner: -5, offset: 123, bmbtblock: 1 });
  assert.equal(view.getBigInt64(8), -5n);
  assert.equal(view.getBigUint64(16), (1n << 62n) | 123n);
  assert.equal(RMAP_REC.decode(view).owner, -5);
  REFCOUNT_REC.encode(view, 0, { cowflag: 1, startblock: 5, blockcount: 2, refcount: 1 });
  assert.equal(view.getUint32(0), 0x80000005);
});

test('timestamps: bigtime counts from 1901, clamps, and needs no BigInt to read', () => {
  const view = new DataView(new ArrayBuffer(8));
  fc.assert(
    fc.property(fc.integer({ min: -(2 ** 31), max: 2 ** 33 }), fc.nat(999_999_999), (sec, nsec) => {
      writeTimestamp(view, 0, { sec, nsec }, true);
      assert.equal(view.getBigUint64(0), BigInt(sec + 2 ** 31) * 1_000_000_000n + BigInt(nsec));
      assert.deepEqual(readTimestamp(view, 0, true), { sec, nsec });
    }),
    { seed: 1, numRuns: 1000 },
  );
  // The ends are those of Linux (s_time_min, s_time_max); what is cut to them has no nanoseconds.
  for (const [bigtime, least, most] of [
    [false, -(2 ** 31), 2 ** 31 - 1],
    [true, -(2 ** 31), 16_299_260_424],
  ] as const)
    for (const far of [2 ** 35, 2 ** 40, 2 ** 52]) {
      writeTimestamp(view, 0, { sec: far, nsec: 5 }, bigtime);
      assert.deepEqual(readTimestamp(view, 0, bigtime), { sec: most, nsec: 0 });
      writeTimestamp(view, 0, { sec: -far, nsec: 5 }, bigtime);
      assert.deepEqual(readTimestamp(view, 0, bigtime), { sec: least, nsec: 0 });
    }
});
