/**
 * Parent pointers, on filesystems that Linux filled: held against directory entries, made again where they are lost,
 * and names that were lost restored by them. xfs_repair 6.1 does not know them: Linux judges by removing and renaming
 * everything, which it refuses where a pointer is missing.
 */
import assert from 'node:assert/strict';
import {
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { sealCrc } from '../../src/format/checksum.js';
import { DINODE, FORK_FORMAT } from '../../src/format/dinode.js';
import { INCOMPAT } from '../../src/format/features.js';
import { inodeOffset } from '../../src/format/geometry.js';
import { setU64 } from '../../src/format/structure.js';
import { openSource } from '../../src/image/open.js';
import { repair } from '../../src/repair/repair.js';
import { Inode, readInode } from '../../src/volume/inode.js';
import { resolvePath } from '../../src/volume/path.js';
import { openVolume, type Volume } from '../../src/volume/volume.js';
import { setIncompat } from '../support/crash.js';
import { withMount } from '../support/mount.js';
import { copyImage, oracle, tmpdir } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';

import { findings, verdicts } from './base.js';

/** Changes an inode's bytes and makes its checksum right. */
function change(volume: Volume, path: string, fn: (v: DataView, inode: Inode) => void): void {
  const { g, source } = volume;
  const { ino } = resolvePath(volume, path, { follow: false });
  const bytes = new Uint8Array(g.inodesize);
  source.read(inodeOffset(g, ino), bytes);
  const v = new DataView(bytes.buffer);
  fn(v, new Inode(ino, v, 0, g.inodesize));
  sealCrc(bytes, DINODE.at.crc);
  source.write(inodeOffset(g, ino), bytes);
}

/** A short-form directory without its names. */
const forget = (volume: Volume, path: string): void =>
  change(volume, path, (v, inode) => {
    assert.equal(inode.format, FORK_FORMAT.LOCAL);
    v.setUint8(inode.dataAt, 0);
    setU64(v, DINODE.at.size, 6);
  });

/** Every path below a folder, with its inode's number and links. */
function names(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((path) => {
      const { ino, nlink } = lstatSync(join(folder, path));
      return `${path} ${ino} ${nlink}`;
    })
    .sort();
}

describe('parent pointers', oracle('mount', 'mkfs.xfs'), () => {
  let image: string;
  let whole: string[] = [];
  before(() => {
    image = mkfs(join(tmpdir(), 'image'), { size: 64 << 20, tiny: true, args: ['-m', 'rmapbt=1'] });
    setIncompat(image, INCOMPAT.PARENT | INCOMPAT.EXCHRANGE);
    withMount(image, (root) => {
      mkdirSync(join(root, 'a/b'), { recursive: true });
      mkdirSync(join(root, 'c'));
      writeFileSync(join(root, 'a/file'), 'contents');
      for (const name of ['one', 'two']) linkSync(join(root, 'a/file'), join(root, 'c', name));
      writeFileSync(join(root, 'c/alone'), 'alone');
      symlinkSync('nowhere', join(root, 'c/link'));
      for (let i = 0; i < 300; i++) linkSync(join(root, 'a/file'), join(root, 'a/b', `name-${i}`));
      whole = names(root);
    });
  });

  /** A damaged copy, repaired; its names as Linux shows them, and all of it removed by Linux. */
  function repaired(damage: (volume: Volume) => void): string[] {
    const copy = copyImage(image, join(tmpdir(), 'copy'));
    const volume = openVolume(openSource(copy, { write: true }));
    damage(volume);
    volume.close();
    const source = openSource(copy, { write: true });
    assert.ok(repair(source, { onDuplicate: 'quarantine' }).written > 0);
    assert.equal(repair(source, { onDuplicate: 'quarantine' }).written, 0, 'a second repair writes nothing');
    source.close();
    return withMount(copy, (root) => {
      const shown = names(root);
      for (const name of readdirSync(root)) {
        renameSync(join(root, name), join(root, `${name}-renamed`));
        rmSync(join(root, `${name}-renamed`), { recursive: true });
      }
      return shown;
    });
  }

  test('what Linux filled has nothing to find', () => {
    assert.deepEqual(verdicts(findings(image).damage), []);
  });

  test('a pointer that names another generation of its directory', () => {
    const after = repaired((volume) =>
      change(volume, '/c/alone', (v, inode) => {
        assert.equal(inode.aformat, FORK_FORMAT.LOCAL);
        const last = inode.attrAt + v.getUint16(inode.attrAt) - 1;
        v.setUint8(last, v.getUint8(last) ^ 1);
      }),
    );
    assert.deepEqual(after, whole);
  });

  test('an inode without its attributes has its pointer again', () => {
    const after = repaired((volume) =>
      change(volume, '/c/alone', (v) => {
        v.setUint8(DINODE.at.forkoff, 0);
        v.setInt8(DINODE.at.aformat, FORK_FORMAT.EXTENTS);
      }),
    );
    assert.deepEqual(after, whole);
  });

  test('a directory that lost its names has them again: of files with no other, and with others', () => {
    assert.deepEqual(
      repaired((volume) => forget(volume, '/c')),
      whole,
    );
  });

  test('three hundred pointers lost, in blocks of their own', () => {
    const after = repaired((volume) => {
      const { ino } = resolvePath(volume, '/a/file');
      assert.notEqual(readInode(volume, ino).aformat, FORK_FORMAT.LOCAL);
      change(volume, '/a/file', (v) => {
        v.setUint16(DINODE.at.naextents, 0);
        v.setInt8(DINODE.at.aformat, FORK_FORMAT.EXTENTS);
      });
    });
    assert.deepEqual(after, whole);
  });
});
