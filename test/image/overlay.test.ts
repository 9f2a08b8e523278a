import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BlockCache } from '../../src/image/cache.js';
import { OverlaySource } from '../../src/image/overlay.js';
import { ImageError, MemorySource, WindowSource } from '../../src/image/source.js';

const noise = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 31 + (i >> 8)) & 0xff);

test('an overlay reads as if written, and leaves what lies under it alone', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(19_000), fc.uint8Array({ minLength: 1, maxLength: 900 })), { maxLength: 20 }),
      (writes) => {
        const under = noise(20_000);
        const before = under.slice();
        const model = under.slice();
        const overlay = new OverlaySource(new MemorySource(under));
        for (const [offset, bytes] of writes) {
          const fits = bytes.subarray(0, 20_000 - offset);
          overlay.write(offset, fits);
          model.set(fits, offset);
        }
        const seen = new Uint8Array(20_000);
        overlay.read(0, seen);
        assert.deepEqual(seen, model);
        const part = new Uint8Array(5000);
        overlay.read(3333, part);
        assert.deepEqual(part, model.subarray(3333, 8333));
        assert.deepEqual(under, before);
        for (const [offset, page] of overlay.pages())
          assert.deepEqual(page, model.subarray(offset, offset + page.length));
      },
    ),
    { seed: 1 },
  );
});

test('a window moves offsets and keeps to its bounds', () => {
  const window = new WindowSource(new MemorySource(noise(1000)), 100, 50);
  const b = new Uint8Array(10);
  window.read(40, b);
  assert.deepEqual(b, noise(1000).subarray(140, 150));
  assert.throws(() => window.read(41, b), ImageError);
  assert.throws(() => window.read(-1, b), ImageError);
  assert.throws(() => new WindowSource(new MemorySource(noise(10)), 5, 6), ImageError);
});

test('the cache reads a block once while it fits, and stays within its bound', () => {
  let reads = 0;
  const memory = new MemorySource(noise(64 * 1024));
  const source = {
    size: memory.size,
    read: (offset: number, into: Uint8Array) => {
      reads++;
      memory.read(offset, into);
    },
    write: () => {},
    sync: () => {},
    close: () => {},
  };
  const cache = new BlockCache(source, 16 * 1024);
  for (let round = 0; round < 3; round++) for (let i = 0; i < 4; i++) cache.get(i * 1024, 1024);
  assert.equal(reads, 4);
  for (let i = 0; i < 64; i++) cache.get(i * 1024, 1024);
  assert.equal(cache.get(5 * 1024, 1024).getUint8(3), noise(64 * 1024)[5 * 1024 + 3]);
  assert.ok(reads > 64, 'blocks dropped are read again');
});
