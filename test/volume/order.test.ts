import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type DirListing, listingName } from '../../src/volume/dir.js';
import { byName } from '../../src/volume/path.js';

function listing(names: readonly Uint8Array[]): DirListing {
  let end = 0;
  return {
    count: names.length,
    names: Buffer.concat(names),
    nameEnd: Uint32Array.from(names, (n) => (end += n.length)),
    ino: new Float64Array(names.length),
    ftype: new Uint8Array(names.length),
    address: new Float64Array(names.length),
    parent: 0,
  };
}

test('names are sorted byte by byte', () => {
  // Few different bytes, so that names share long beginnings; a common prefix; bytes above 0x7f.
  const byte = fc.constantFrom(0x01, 0x2e, 0x61, 0x62, 0x7f, 0x80, 0xff);
  const name = fc.array(byte, { minLength: 1, maxLength: 9 }).map((b) => Uint8Array.from(b));
  fc.assert(
    fc.property(fc.array(name, { maxLength: 40 }), fc.string({ maxLength: 4 }), (names, prefix) => {
      const all = names.map((n) => Buffer.concat([Buffer.from(prefix), n]));
      const l = listing(all);
      const sorted = Array.from(byName(l), (i) => Buffer.from(listingName(l, i)).toString('hex'));
      assert.deepEqual(
        sorted,
        [...all].sort(Buffer.compare).map((b) => b.toString('hex')),
      );
    }),
    { numRuns: 300 },
  );
});
