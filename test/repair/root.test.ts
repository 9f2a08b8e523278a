/**
 * The root lost: its inode, its chunk, the record of its chunk. A new one is made; its names come back where its
 * blocks still stand, and all else goes to lost+found. Linux reads every file, xfs_repair finds nothing.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { AGI } from '../../src/format/ag.js';
import { SHORT_BLOCK } from '../../src/format/btree.js';
import { sealCrc } from '../../src/format/checksum.js';
import { blockOffset, INODES_PER_CHUNK, inodeOffset } from '../../src/format/geometry.js';
import { openSource } from '../../src/image/open.js';
import { repair } from '../../src/repair/repair.js';
import { openVolume, type Volume } from '../../src/volume/volume.js';
import { withMount } from '../support/mount.js';
import { copyImage, oracle, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';

/** Fewer names stand in the inode, more in blocks of their own. */
const FEW = 5;
const MANY = 90;

const nameOf = (i: number): string => `a-file-with-a-name-of-some-length-${i}`;

function filled(rmapbt: boolean, names: number): string {
  const image = mkfs(join(tmpdir(), 'image'), {
    size: 64 << 20,
    tiny: true,
    args: ['-m', `rmapbt=${Number(rmapbt)}`],
  });
  withMount(image, (root) => {
    mkdirSync(join(root, 'dir'));
    // Inodes of other chunks than the root's.
    for (let i = 0; i < 2 * INODES_PER_CHUNK; i++) writeFileSync(join(root, 'dir', `${i}`), `dir ${i}`);
    for (let i = 0; i < names; i++) writeFileSync(join(root, nameOf(i)), nameOf(i));
  });
  return image;
}

/** What is done to an image. */
type Damage = (volume: Volume) => void;

const zeroRoot =
  (inodes: number): Damage =>
  ({ source, g }) =>
    source.write(inodeOffset(g, g.rootino), new Uint8Array(inodes * g.inodesize));

/** The inobt of AG 0 loses its records. */
const emptyInobt: Damage = (volume) => {
  const { g, source } = volume;
  const offset = blockOffset(g, 0, volume.header(0, 'agi').getUint32(AGI.at.root));
  const block = Buffer.alloc(g.blocksize);
  source.read(offset, block);
  block.writeUInt16BE(0, SHORT_BLOCK.at.numrecs);
  sealCrc(block, SHORT_BLOCK.at.crc);
  source.write(offset, block);
};

/** A copy damaged, repaired and judged. */
function repaired(image: string, ...damages: Damage[]): string {
  const copy = copyImage(image, join(tmpdir(), 'copy'));
  const volume = openVolume(openSource(copy, { write: true }));
  for (const damage of damages) damage(volume);
  volume.close();
  const source = openSource(copy, { write: true });
  try {
    assert.ok(repair(source, { onDuplicate: 'quarantine' }).written > 0);
    assert.equal(repair(source, { onDuplicate: 'quarantine' }).written, 0, 'a second repair writes nothing');
  } finally {
    source.close();
  }
  xfsRepairClean(copy);
  return copy;
}

/** Contents of all files below a mounted root, by path. */
function files(root: string): Map<string, string> {
  const out = new Map<string, string>();
  for (const path of readdirSync(root, { recursive: true, encoding: 'utf8' }))
    if (statSync(join(root, path)).isFile()) out.set(path, readFileSync(join(root, path), 'utf8'));
  return out;
}

for (const rmapbt of [true, false])
  describe(`${rmapbt ? 'with' : 'without'} an rmap btree`, oracle('mount', 'mkfs.xfs', 'xfs_repair'), () => {
    let few: string;
    let many: string;
    before(() => {
      few = filled(rmapbt, FEW);
      many = filled(rmapbt, MANY);
    });

    test('a root whose names stood in its inode: all it led to is in lost+found', () => {
      const before = withMount(few, files, { options: 'ro' });
      const after = withMount(repaired(few, zeroRoot(1)), files, { options: 'ro' });
      assert.deepEqual([...after.values()].sort(), [...before.values()].sort());
      for (const path of after.keys()) assert.match(path, /^lost\+found\/\d+(\/\d+)?$/);
    });

    test('a root whose names stood in blocks has them again', () => {
      const before = withMount(many, files, { options: 'ro' });
      const after = withMount(repaired(many, zeroRoot(1)), files, { options: 'ro' });
      assert.deepEqual([...after].sort(), [...before].sort());
    });

    test('the root and the inodes of the realtime device, and the inobt that led to them', () => {
      const before = withMount(many, files, { options: 'ro' });
      const image = repaired(many, zeroRoot(3), emptyInobt);
      withMount(image, (root) => {
        assert.deepEqual([...files(root)].sort(), [...before].sort());
        assert.equal(statSync(root).mode & 0o7777, 0o755);
        for (let i = 0; i < 200; i++) writeFileSync(join(root, `new${i}`), 'new');
      });
      xfsRepairClean(image);
    });

    test('the whole chunk of the root: what other chunks hold is kept', () => {
      const before = withMount(few, files, { options: 'ro' });
      const after = withMount(repaired(few, zeroRoot(INODES_PER_CHUNK)), files, { options: 'ro' });
      const kept = new Set(after.values());
      for (let i = INODES_PER_CHUNK; i < 2 * INODES_PER_CHUNK; i++)
        assert.ok(kept.has(`dir ${i}`), `dir ${i}`);
      // Nothing shows what it did not show before; what came back without its size may end earlier.
      const known = [...before.values()];
      for (const text of after.values()) {
        const plain = text.replace(/\0+$/, '');
        assert.ok(plain === '' || known.includes(plain), plain);
      }
    });
  });
