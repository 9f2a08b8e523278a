/**
 * Random bytes in every kind of metadata block, checksums made right three times in four. Whatever repair
 * writes, or finds nothing in, xfs_repair must find clean; what repair cannot make good it refuses, with nothing
 * written; and nothing makes it fail in any other way.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { BTREES } from '../../src/format/btree.js';
import { sealCrc } from '../../src/format/checksum.js';
import { openSource } from '../../src/image/open.js';
import { OverlaySource } from '../../src/image/overlay.js';
import type { Source } from '../../src/image/source.js';
import { repair } from '../../src/repair/repair.js';
import { openVolume } from '../../src/volume/volume.js';
import { metadataBlocks } from '../campaign/repair/cases.js';
import { imageFile } from '../campaign/repair/images.js';
import { copyImage, oracle, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mulberry32 } from '../support/populate/site.js';
import { changedPages, writePages } from './cutting.js';

const CASES = 60;

/** Where the checksum stands, by what a block begins with. */
function crcOffset(v: DataView, at: number): number | undefined {
  const magic = v.getUint32(at);
  const btree = Object.values(BTREES).find((kind) => kind.magic === magic);
  if (btree) return btree.long ? 64 : 52;
  if (magic >>> 16 === 0x494e) return 100;
  const fixed: Record<number, number> = {
    1480673094: 216,
    1480673097: 312,
    1480672844: 32,
    1480868403: 4,
    1480868915: 4,
    1480869427: 4,
    1481854029: 12,
    1480675917: 12,
  };
  if (fixed[magic] !== undefined) return fixed[magic];
  return [0x3df1, 0x3dff, 0x3bee, 0x3ebe].includes(v.getUint16(at + 8)) ? 12 : undefined;
}

function bytesAt(source: Source, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  source.read(offset, bytes);
  return bytes;
}

for (const [name, image] of [
  ['4 KiB blocks', 'k4-rmap'],
  ['1 KiB blocks, no rmap btree', 'k1'],
] as const) {
  test(`random damage: ${name}`, oracle('mount', 'xfs_repair'), () => {
    // Images of the repair campaign, which does this at length.
    const { image: path } = imageFile(image);
    const source = openSource(path);
    const blocks = metadataBlocks(source).offsets;
    const copy = copyImage(path, join(tmpdir(), 'image'));
    const random = mulberry32(20);
    const pick = (n: number): number => Math.floor(random() * n);
    const outcome = { clean: 0, repaired: 0, refused: 0 };
    for (let n = 0; n < CASES; n++) {
      const overlay = new OverlaySource(source);
      const { g } = openVolume(overlay);
      const offset = blocks[pick(blocks.length)];
      const b = new Uint8Array(g.blocksize);
      overlay.read(offset, b);
      const v = new DataView(b.buffer);
      let unit = b.length;
      let at = 0;
      if (v.getUint16(0) === 0x494e) {
        unit = g.inodesize;
        at = pick(b.length / unit) * unit;
      } else if (offset % (g.agblocks * g.blocksize) === 0) {
        unit = g.sectsize;
        // Not the superblock itself: what is none is no filesystem to repair.
        at = (1 + pick(Math.min(3, b.length / unit - 1))) * unit;
      }
      const crc = crcOffset(v, at);
      for (let i = 0; i <= pick(4); i++) b[at + pick(Math.min(unit, 512))] = [pick(256), 0xff, 0][pick(3)];
      if (pick(4) > 0 && crc !== undefined) sealCrc(b.subarray(at, at + unit), crc);
      overlay.write(offset, b);
      try {
        outcome[repair(overlay, { onDuplicate: 'quarantine' }).written > 0 ? 'repaired' : 'clean']++;
      } catch (error) {
        const { name } = error as Error;
        assert.ok(name === 'UnrepairedError' || name === 'NoSpaceError', (error as Error).stack);
        outcome.refused++;
        continue;
      }
      const pages = changedPages(overlay);
      writePages(copy, pages);
      try {
        xfsRepairClean(copy);
      } catch (error) {
        assert.fail(`case ${n}, byte ${offset} unit at ${at}\n${(error as Error).message}`);
      }
      writePages(
        copy,
        pages.map(({ offset, bytes }) => ({ offset, bytes: bytesAt(source, offset, bytes.length) })),
      );
    }
    source.close();
    assert.ok(outcome.repaired > 10, JSON.stringify(outcome));
  });
}
