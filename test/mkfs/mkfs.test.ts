/** What mkfs does to the image: creates, refuses, clears, and in which order. */
import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { crcHolds } from '../../src/format/checksum.js';
import { SUPERBLOCK } from '../../src/format/superblock.js';
import { FileSource, type Source } from '../../src/image/source.js';
import { MkfsError } from '../../src/mkfs/error.js';
import { NewFilesystem } from '../../src/mkfs/filesystem.js';
import { planLayout } from '../../src/mkfs/layout.js';
import { mkfs } from '../../src/mkfs/mkfs.js';
import { DEFAULT_FEATURES } from '../../src/mkfs/profiles.js';
import { withMount, withMountAsync } from '../support/mount.js';
import { blank, oracle, run, sha256, tmpdir } from '../support/oracle.js';
import { repairClean, UUID, unexplained } from './support.js';

const MIB = 2 ** 20;
const SIZE = 64 * MIB;
const scratch = (name = 'image'): string => join(tmpdir(), name);

const refused =
  (kind: string, message: RegExp) =>
  (error: Error): boolean => {
    assert.ok(error instanceof MkfsError, error.stack);
    assert.equal(error.kind, kind);
    assert.match(error.message, message);
    return true;
  };

function writeAt(path: string, offset: number, bytes: Uint8Array): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, bytes, 0, bytes.length, offset);
  closeSync(fd);
}

function readAt(path: string, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const fd = openSync(path, 'r');
  readSync(fd, bytes, 0, length, offset);
  closeSync(fd);
  return bytes;
}

describe('creating', () => {
  test('a file of --size, sparse', async () => {
    const path = scratch();
    const { geometry } = await mkfs(path, { size: 2 ** 40 });
    assert.equal(statSync(path).size, 2 ** 40);
    assert.equal(geometry.dblocks, 2 ** 28);
    // A mebibyte is generous: headers of four AGs, one chunk of inodes, one log record.
    assert.ok(statSync(path).blocks * 512 < MIB, `${statSync(path).blocks * 512} bytes on disk`);
  });
  test('a file of -d size=', async () => {
    const path = scratch();
    await mkfs(path, { dataSize: SIZE });
    assert.equal(statSync(path).size, SIZE);
  });
  test('a size in an existing file: it becomes that size', async () => {
    const path = scratch();
    blank(path, 20 * MIB);
    await mkfs(path, { size: SIZE });
    assert.equal(statSync(path).size, SIZE);
  });
  test('no size and no file', async () => {
    await assert.rejects(() => mkfs(scratch(), {}), refused('image', /does not exist; --size or -d size=/));
  });
  test('an empty file needs a size', async () => {
    const path = scratch();
    blank(path, 0);
    await assert.rejects(() => mkfs(path, {}), refused('image', /is empty; --size/));
    await mkfs(path, { dataSize: SIZE });
    assert.equal(statSync(path).size, SIZE);
  });
  test('a directory, a folder that is not there', async () => {
    await assert.rejects(() => mkfs(tmpdir(), { size: SIZE }), refused('image', /neither a file nor/));
    await assert.rejects(
      () => mkfs(join(tmpdir(), 'no', 'image'), { size: SIZE }),
      refused('image', /cannot open/),
    );
  });
  test('a size the file cannot have leaves no file behind', async () => {
    // 1 PiB is more than ext4 and most other filesystems hold in a file; where it fits, it is made.
    const path = scratch();
    try {
      await mkfs(path, { size: 2 ** 50 });
      assert.equal(statSync(path).size, 2 ** 50);
    } catch (error) {
      refused('image', /cannot set the size/)(error as Error);
      assert.ok(!existsSync(path));
    }
  });
  test('a dry run writes nothing', async () => {
    const path = scratch();
    const { report } = await mkfs(path, { size: SIZE, dryRun: true });
    assert.match(report, /^meta-data=/);
    assert.ok(!existsSync(path));
  });
});

describe('reproducible', () => {
  test('the same options give the same bytes, other options another UUID', async () => {
    const [a, b, c] = [scratch(), scratch(), scratch()];
    const first = await mkfs(a, { size: SIZE, reproducible: true });
    await mkfs(b, { size: SIZE, reproducible: true });
    const other = await mkfs(c, { size: SIZE, reproducible: true, label: 'other' });
    assert.equal(sha256(a), sha256(b));
    assert.match(
      first.geometry.uuid,
      /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
    assert.notEqual(first.geometry.uuid, other.geometry.uuid);
  });
  test('SOURCE_DATE_EPOCH is the time of the root directory', oracle('mount'), async () => {
    const path = scratch();
    process.env.SOURCE_DATE_EPOCH = '1234567890';
    try {
      await mkfs(path, { size: SIZE, reproducible: true });
    } finally {
      delete process.env.SOURCE_DATE_EPOCH;
    }
    withMount(path, (root) => assert.equal(statSync(root).mtimeMs, 1_234_567_890_000), { options: 'ro' });
  });
  test('without it, UUIDs are random', async () => {
    const a = await mkfs(scratch(), { size: SIZE, dryRun: true });
    const b = await mkfs(scratch(), { size: SIZE, dryRun: true });
    assert.notEqual(a.geometry.uuid, b.geometry.uuid);
  });
});

describe('what is there is not overwritten without -f', () => {
  const text = (at: number, s: string): [number, Uint8Array] => [at, Buffer.from(s, 'latin1')];
  const contents: [string, [number, Uint8Array][], RegExp][] = [
    ['btrfs', [text(65600, '_BHRfS_M')], /contains a btrfs filesystem; -f overwrites it/],
    ['GPT', [text(512, 'EFI PART')], /a GPT partition table/],
    ['GPT of 4096-byte sectors', [text(4096, 'EFI PART')], /a GPT partition table/],
    ['swap', [text(4086, 'SWAPSPACE2')], /swap space/],
    ['squashfs', [text(0, 'hsqs')], /a squashfs filesystem/],
    ['ext', [[1080, Uint8Array.of(0x53, 0xef)]], /an ext2, ext3 or ext4 filesystem/],
    ['LUKS', [[0, Uint8Array.of(0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe)]], /LUKS/],
    [
      'MBR',
      [
        [446, Uint8Array.of(0x80, 0, 2, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0, 1, 0)],
        [510, Uint8Array.of(0x55, 0xaa)],
      ],
      /an MBR partition table/,
    ],
  ];
  for (const [name, pieces, message] of contents)
    test(name, async () => {
      const path = scratch();
      blank(path, SIZE);
      for (const [at, bytes] of pieces) writeAt(path, at, bytes);
      const before = sha256(path);
      await assert.rejects(() => mkfs(path, {}), refused('exists', message));
      assert.equal(sha256(path), before);
      await mkfs(path, { force: true });
    });
  test('real ones, as their makers write them', oracle('mkfs.xfs', 'mkfs.ext4', 'mkswap'), async () => {
    for (const [command, args, message] of [
      ['mkfs.ext4', ['-q', '-F'], /ext4/],
      ['mkswap', [], /swap space/],
    ] as const) {
      const path = scratch();
      blank(path, SIZE);
      run(command, [...args, path]);
      await assert.rejects(() => mkfs(path, {}), refused('exists', message));
    }
  });
  test('our own', async () => {
    const path = scratch();
    await mkfs(path, { size: SIZE });
    await assert.rejects(() => mkfs(path, {}), refused('exists', /contains an XFS filesystem/));
    await assert.rejects(() => mkfs(path, { size: SIZE }), refused('exists', /contains an XFS/));
  });
  test('a boot sector without partitions is nothing', async () => {
    const path = scratch();
    blank(path, SIZE);
    writeAt(path, 510, Uint8Array.of(0x55, 0xaa));
    await mkfs(path, {});
  });
});

describe('in use', () => {
  test('a mounted image is refused, with -f too', oracle('mount'), async () => {
    const path = scratch();
    await mkfs(path, { size: SIZE });
    await withMountAsync(path, async () => {
      await assert.rejects(() => mkfs(path, { force: true }), refused('in-use', /attached to \/dev\/loop/));
    });
    repairClean(path);
  });
  test('a loop device', oracle('mount', 'losetup'), async () => {
    const path = scratch();
    blank(path, SIZE);
    const device = run('losetup', ['--show', '-f', path]).stdout.trim();
    try {
      await assert.rejects(
        () => mkfs(device, { size: SIZE }),
        refused('options', /--size: .* is a block device; -d size= uses a part of it/),
      );
      const { geometry } = await mkfs(device, { uuid: UUID });
      assert.equal(geometry.dblocks, SIZE / 4096);
      assert.equal(run('blkid', ['-p', '-o', 'value', '-s', 'UUID', device]).stdout.trim(), UUID);
    } finally {
      run('losetup', ['-d', device]);
    }
    repairClean(path);
  });
});

describe('old contents', () => {
  /** An image full of 0xa5 with traces of an older XFS. */
  function dirty(path: string): void {
    writeFileSync(path, Buffer.alloc(SIZE, 0xa5));
  }
  test('are given up by default', async () => {
    const path = scratch();
    dirty(path);
    await mkfs(path, { uuid: UUID });
    assert.ok(statSync(path).blocks * 512 < MIB);
  });
  test('stay with -K in blocks that are free, and nowhere else', oracle('mkfs.xfs', 'mount'), async () => {
    const [theirs, ours] = [scratch(), scratch()];
    dirty(theirs);
    dirty(ours);
    const env = { TEST_DIR: '/', TEST_DEV: theirs, QA_CHECK_FS: '1' };
    run('mkfs.xfs', ['-q', '-f', '-K', '-m', `rmapbt=1,uuid=${UUID}`, theirs], { env });
    await mkfs(ours, { uuid: UUID, keep: true });
    const differ = unexplained(theirs, ours);
    // mkfs.xfs leaves what stands between the AG headers and the first btree block of AGs 1 to 3.
    for (const line of differ) assert.match(line, /AG [123] block 0 sector [4-7] /);
    repairClean(ours);
    withMount(ours, (root) => writeFileSync(join(root, 'file'), 'text'));
    repairClean(ours);
    assert.equal(readAt(ours, 30 * MIB, 1)[0], 0xa5);
  });
  test('superblock copies of an older XFS are cleared', oracle('mkfs.xfs'), async () => {
    const path = scratch();
    await mkfs(path, { size: 256 * MIB, agCount: 8 });
    assert.equal(readAt(path, 32 * MIB, 4).toString(), 'XFSB');
    await mkfs(path, { force: true, keep: true, agCount: 2 });
    for (const ag of [1, 2, 3, 5, 6, 7]) assert.equal(readAt(path, ag * 32 * MIB, 4).readUInt32BE(), 0);
    repairClean(path);
  });
  test('of a log are cleared', oracle('mount'), async () => {
    const path = scratch();
    await mkfs(path, { size: SIZE });
    withMount(path, (root) => {
      for (let i = 0; i < 300; i++) writeFileSync(join(root, `file${i}`), `${i}`);
    });
    await mkfs(path, { force: true, keep: true });
    withMount(path, (root) => assert.equal(run('ls', [root]).stdout, ''));
    repairClean(path);
  });
});

describe('a part of an image', () => {
  test('--offset: nothing before it is touched', oracle('mkfs.xfs'), async () => {
    const path = scratch();
    blank(path, SIZE + MIB);
    writeAt(path, 0, Buffer.alloc(MIB, 0x5a));
    const { geometry } = await mkfs(path, { offset: MIB, uuid: UUID });
    assert.equal(geometry.dblocks, SIZE / 4096);
    assert.ok(readAt(path, 0, MIB).every((b) => b === 0x5a));
    const part = scratch();
    writeFileSync(part, readFileSync(path).subarray(MIB));
    repairClean(part);
    await assert.rejects(
      () => mkfs(path, { offset: MIB, size: SIZE }),
      refused('options', /--size: the image has its size/),
    );
  });
  test('--partition: the GPT stays', oracle('sfdisk'), async () => {
    const path = scratch();
    blank(path, 100 * MIB);
    run('sfdisk', ['-q', '--no-tell-kernel', path], {
      input: 'label: gpt\nstart=2048, size=131072\nstart=133120\n',
    });
    const table = sha256(readAt(path, 0, MIB));
    const { geometry } = await mkfs(path, { partition: 1 });
    assert.equal(geometry.dblocks, SIZE / 4096);
    assert.equal(sha256(readAt(path, 0, MIB)), table);
    const part = scratch();
    writeFileSync(part, readAt(path, MIB, SIZE));
    repairClean(part);
  });
});

describe('killed on the way', () => {
  /** Runs out of luck after a number of writes. */
  class Failing implements Source {
    readonly inner: Source;
    readonly log: string[] = [];
    left: number;
    constructor(inner: Source, left: number) {
      this.inner = inner;
      this.left = left;
    }
    get size(): number {
      return this.inner.size;
    }
    read(offset: number, into: Uint8Array): void {
      this.inner.read(offset, into);
    }
    write(offset: number, from: Uint8Array): void {
      if (this.left-- === 0) throw new Error('killed');
      this.log.push(`write ${offset}`);
      this.inner.write(offset, from);
    }
    sync(): void {
      this.log.push('sync');
    }
    close(): void {
      this.inner.close();
    }
  }
  const layout = planLayout({}, DEFAULT_FEATURES, SIZE);
  const time = { sec: 0, nsec: 0 };
  const filesystem = (): NewFilesystem => new NewFilesystem(layout, UUID, new Uint8Array(0), {}, time);

  test('no state but the last can be mounted', oracle('mount'), () => {
    const path = scratch();
    const inprogress = (): number => readAt(path, SUPERBLOCK.at.inprogress, 1)[0];
    for (let writes = 0; ; writes++) {
      blank(path, SIZE);
      const source = new Failing(FileSource.open(path, 'r+'), writes);
      try {
        filesystem().write(source);
        break;
      } catch (error) {
        assert.equal((error as Error).message, 'killed');
      } finally {
        source.close();
      }
      assert.equal(inprogress(), writes === 0 ? 0 : 1);
      assert.throws(() => withMount(path, () => {}), /mount/, `mounted after ${writes} writes`);
    }
    assert.equal(inprogress(), 0);
    withMount(path, () => {});
  });
  test('everything is on stable storage before the superblock says so', () => {
    const path = scratch();
    blank(path, SIZE);
    const source = new Failing(FileSource.open(path, 'r+'), 1000);
    filesystem().write(source);
    source.close();
    assert.deepEqual(source.log.slice(-3), ['sync', 'write 0', 'sync']);
    assert.equal(source.log[0], 'write 0');
    assert.ok(crcHolds(readAt(path, 0, 512), SUPERBLOCK.at.crc));
  });
});

test('the image of --size in a file that is longer ends where it was asked to', async () => {
  const path = scratch();
  await mkfs(path, { size: 2 * SIZE });
  await mkfs(path, { size: SIZE, force: true });
  assert.equal(statSync(path).size, SIZE);
});
