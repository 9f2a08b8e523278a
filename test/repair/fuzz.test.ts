/**
 * Random bytes in every kind of metadata block, checksums made right three times in four. Whatever repair
 * writes, or finds nothing in, xfs_repair must find clean; what repair cannot make good it refuses, with nothing
 * written; and nothing makes it fail in any other way.
 */
import assert from 'node:assert/strict';
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { BTREES } from '../../src/format/btree.js';
import { sealCrc } from '../../src/format/checksum.js';
import { openSource } from '../../src/image/open.js';
import { OverlaySource } from '../../src/image/overlay.js';
import { CLAIM } from '../../src/repair/observe/columns.js';
import { observe } from '../../src/repair/observe/observe.js';
import { repair } from '../../src/repair/repair.js';
import { openVolume } from '../../src/volume/volume.js';
import { populated } from '../support/cache.js';
import { copyImage, oracle, run, tmpdir } from '../support/oracle.js';
import { mulberry32 } from '../support/populate/site.js';

const CASES = 60;
const LOG = -4;

/** Byte offset of every metadata block but the log's. */
function metadataBlocks(image: string): number[] {
  const volume = openVolume(openSource(image));
  const { g } = volume;
  const out: number[] = [];
  for (const { agno, claims } of observe(volume).ags)
    for (let i = 0; i < claims.count; i++) {
      const own = claims.owner[i] < 0 && claims.owner[i] !== LOG;
      if (!own && !(claims.info[i] & (CLAIM.ATTR | CLAIM.BMBT | CLAIM.DIR | CLAIM.SYMLINK))) continue;
      for (let b = 0; b < Math.min(claims.blocks[i], 40); b++)
        out.push((agno * g.agblocks + claims.start[i] + b) * g.blocksize);
    }
  volume.close();
  return out;
}

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

for (const [name, args] of [
  ['4 KiB blocks', ['-m', 'rmapbt=1']],
  ['1 KiB blocks, no rmap btree', ['-b', 'size=1024', '-m', 'rmapbt=0']],
] as const) {
  test(`random damage: ${name}`, oracle('mount', 'xfs_repair'), () => {
    const { image } = populated({ mkfs: { args } });
    const blocks = metadataBlocks(image);
    const random = mulberry32(20);
    const pick = (n: number): number => Math.floor(random() * n);
    const outcome = { clean: 0, repaired: 0, refused: 0 };
    for (let n = 0; n < CASES; n++) {
      const overlay = new OverlaySource(openSource(image));
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
        overlay.close();
        continue;
      }
      const copy = copyImage(image, join(tmpdir(), 'image'));
      const fd = openSync(copy, 'r+');
      for (const [where, page] of overlay.pages()) writeSync(fd, page, 0, page.length, where);
      closeSync(fd);
      overlay.close();
      const { status, stdout, stderr } = run('xfs_repair', ['-n', '-f', copy], { status: 'any' });
      assert.equal(status, 0, `case ${n}, byte ${offset} unit at ${at}\n${stderr}${stdout}`);
    }
    assert.ok(outcome.repaired > 10, JSON.stringify(outcome));
  });
}
