import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  crc32c,
  crc32cTable,
  crcHolds,
  SideBySide,
  sealCrc,
  structureCrc,
} from '../../src/format/checksum.js';

// RFC 3720 (iSCSI), appendix B.4: CRC32C examples, bytes as they go over the wire.
const RFC3720: [string, Uint8Array, number][] = [
  ['32 zeros', new Uint8Array(32), 0x8a9136aa],
  ['32 ones', new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ['ascending', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ['descending', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
];

for (const [name, bytes, sum] of RFC3720)
  test(`RFC 3720: ${name}`, () => {
    assert.equal(crc32c(bytes), sum);
    assert.equal(crc32cTable(bytes, 0), sum);
  });

test('the native module and the table agree on any bytes, length and seed', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 0, maxLength: 5000 }), fc.nat(2 ** 32 - 1), (bytes, seed) => {
      assert.equal(crc32c(bytes, seed), crc32cTable(bytes, seed));
    }),
    { numRuns: 300, seed: 1 },
  );
});

test('a checksum in two pieces is that of the whole', () => {
  const bytes = Uint8Array.from({ length: 4096 }, (_, i) => (i * 7) & 0xff);
  assert.equal(crc32c(bytes.subarray(1000), crc32c(bytes.subarray(0, 1000))), crc32c(bytes));
});

test('a sealed structure holds, and every flipped bit breaks it', () => {
  const block = Uint8Array.from({ length: 512 }, (_, i) => (i * 13) & 0xff);
  sealCrc(block, 100);
  assert.ok(crcHolds(block, 100));
  const before = Uint8Array.from(block);
  structureCrc(block, 100);
  assert.deepEqual(block, before, 'computing the sum leaves the block as it was');
  for (let byte = 0; byte < 512; byte++) {
    block[byte] ^= 1 << (byte & 7);
    assert.ok(!crcHolds(block, 100), `byte ${byte}`);
    block[byte] ^= 1 << (byte & 7);
  }
});

for (const size of [256, 512, 2048])
  test(`structures of ${size} bytes side by side hold together exactly where each holds`, () => {
    const together = new SideBySide(size, 100);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 64 }),
        fc.nat(2 ** 31),
        fc.array(fc.record({ at: fc.nat(64 * size - 1), bit: fc.nat(7) }), { maxLength: 3 }),
        (count, seed, flips) => {
          // Some bytes before them: they need not begin the buffer.
          const b = Uint8Array.from(
            { length: 8 + count * size },
            (_, i) => Math.imul(i + seed, 2654435761) >>> 24,
          );
          const each = Array.from({ length: count }, (_, i) => b.subarray(8 + i * size, 8 + (i + 1) * size));
          for (const one of each) sealCrc(one, 100);
          for (const { at, bit } of flips) if (8 + at < b.length) b[8 + at] ^= 1 << bit;
          const view = new DataView(b.buffer);
          assert.equal(
            together.hold(b, view, 8, count),
            each.every((one) => crcHolds(one, 100)),
          );
        },
      ),
      { numRuns: 100, seed: 1 },
    );
  });
