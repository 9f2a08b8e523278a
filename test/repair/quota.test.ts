/**
 * Quota files: made by hand as xfs_repair wants them, for the kernel at hand may have no quotas. What of their records
 * does not hold is reset, the rest kept; a file that is none is let go.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { sealCrc } from '../../src/format/checksum.js';
import { DINODE } from '../../src/format/dinode.js';
import { extentFsblock } from '../../src/format/extent.js';
import { fsblockOffset, inodeOffset } from '../../src/format/geometry.js';
import { setU64 } from '../../src/format/structure.js';
import { SUPERBLOCK, VERSION_BITS } from '../../src/format/superblock.js';
import { openSource } from '../../src/image/open.js';
import { repair } from '../../src/repair/repair.js';
import { readInode } from '../../src/volume/inode.js';
import { resolvePath } from '../../src/volume/path.js';
import { openVolume, type Volume } from '../../src/volume/volume.js';
import { withMount } from '../support/mount.js';
import { copyImage, oracle, run, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';

const RECORD = 136;
const CRC = 108;
const UUID = 120;
/** Records of a block of 4096 bytes, in two blocks. */
const RECORDS = 60;
const USERS = 1;
const ACCOUNTED = 0x0001;
const CHECKED = 0x0004;

const offsetOf = (id: number): number => Math.floor(id / 30) * 4096 + (id % 30) * RECORD;

/** Records of users, each with a limit of its own. */
function records(uuid: Uint8Array): Buffer {
  const file = Buffer.alloc(2 * 4096);
  for (let id = 0; id < RECORDS; id++) {
    const record = file.subarray(offsetOf(id), offsetOf(id) + RECORD);
    record.write('DQ');
    record[2] = 1;
    record[3] = USERS | (id > 0 ? 0x80 : 0);
    record.writeUInt32BE(id, 4);
    record.writeBigUInt64BE(BigInt(1000 + id), 8);
    record.set(uuid, UUID);
    sealCrc(record, CRC);
  }
  return file;
}

function editSuperblock({ source, g }: Volume, fn: (v: DataView) => void): void {
  const sector = new Uint8Array(g.sectsize);
  source.read(0, sector);
  fn(new DataView(sector.buffer));
  sealCrc(sector, SUPERBLOCK.at.crc);
  source.write(0, sector);
}

/** Opens an image to be changed. */
function edit<T>(image: string, fn: (volume: Volume) => T): T {
  const volume = openVolume(openSource(image, { write: true }));
  try {
    return fn(volume);
  } finally {
    volume.close();
  }
}

function repaired(image: string): number {
  const source = openSource(image, { write: true });
  try {
    return repair(source, { onDuplicate: 'quarantine' }).written;
  } finally {
    source.close();
  }
}

describe('quota files', oracle('mount', 'mkfs.xfs', 'xfs_repair', 'xfs_db'), () => {
  let image: string;
  let ino = 0;
  before(() => {
    image = mkfs(join(tmpdir(), 'image'), { size: 64 << 20, tiny: true });
    const uuid = edit(image, ({ g }) => Uint8Array.from(g.metaUuidBytes));
    withMount(image, (root) => writeFileSync(join(root, 'quota'), records(uuid)));
    edit(image, (volume) => {
      const { g, source } = volume;
      ({ ino } = resolvePath(volume, '/quota'));
      const bytes = new Uint8Array(g.inodesize);
      source.read(inodeOffset(g, ino), bytes);
      setU64(new DataView(bytes.buffer), DINODE.at.size, 0);
      sealCrc(bytes, DINODE.at.crc);
      source.write(inodeOffset(g, ino), bytes);
      editSuperblock(volume, (v) => {
        setU64(v, SUPERBLOCK.at.uquotino, ino);
        v.setUint16(SUPERBLOCK.at.qflags, ACCOUNTED);
        v.setUint16(SUPERBLOCK.at.versionnum, v.getUint16(SUPERBLOCK.at.versionnum) | VERSION_BITS.QUOTA);
      });
    });
    // The name that it was made by leads to an inode of the superblock now: it goes.
    assert.ok(repaired(image) > 0);
    xfsRepairClean(image);
  });

  /** Where a record stands in the image. */
  const placeOf = (volume: Volume, id: number): number => {
    const inode = readInode(volume, ino);
    return fsblockOffset(volume.g, extentFsblock(inode.view, inode.dataAt)) + offsetOf(id);
  };

  /** Limits by number, as they stand. */
  const limits = (path: string): bigint[] =>
    edit(path, (volume) =>
      Array.from({ length: RECORDS }, (_, id) => {
        const record = Buffer.alloc(RECORD);
        volume.source.read(placeOf(volume, id), record);
        return record.readBigUInt64BE(8);
      }),
    );

  test('a record that does not hold is reset, every other keeps its limit', () => {
    const copy = copyImage(image, join(tmpdir(), 'copy'));
    edit(copy, (volume) => {
      volume.source.write(placeOf(volume, 7), Uint8Array.of(0));
      const record = Buffer.alloc(RECORD);
      volume.source.read(placeOf(volume, 40), record);
      record.writeUInt32BE(41, 4);
      sealCrc(record, CRC);
      volume.source.write(placeOf(volume, 40), record);
      editSuperblock(volume, (v) => v.setUint16(SUPERBLOCK.at.qflags, ACCOUNTED | CHECKED));
    });
    assert.notEqual(run('xfs_repair', ['-n', '-f', copy], { status: 'any' }).status, 0);
    assert.ok(repaired(copy) > 0);
    xfsRepairClean(copy);
    assert.equal(repaired(copy), 0, 'a second repair writes nothing');
    const expected = Array.from({ length: RECORDS }, (_, id) =>
      id === 7 || id === 40 ? 0n : BigInt(1000 + id),
    );
    assert.deepEqual(limits(copy), expected);
    const { stdout } = run('xfs_db', ['-r', '-c', 'sb 0', '-c', 'p qflags uquotino', copy]);
    assert.match(stdout, new RegExp(`qflags = 0x${ACCOUNTED}\\nuquotino = ${ino}\\n`));
    withMount(copy, () => {});
  });

  test('a quota file of which nothing holds is let go, and so are the flags', () => {
    const copy = copyImage(image, join(tmpdir(), 'copy'));
    edit(copy, ({ source, g }) => source.write(inodeOffset(g, ino), new Uint8Array(g.inodesize)));
    assert.ok(repaired(copy) > 0);
    xfsRepairClean(copy);
    assert.equal(repaired(copy), 0, 'a second repair writes nothing');
    const { stdout } = run('xfs_db', ['-r', '-c', 'sb 0', '-c', 'p qflags uquotino versionnum', copy]);
    assert.match(stdout, /qflags = 0\nuquotino = null\n/);
    withMount(copy, () => {});
  });
});
