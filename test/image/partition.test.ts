import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { findPartition, readPartitions } from '../../src/image/partition.js';
import { FileSource, ImageError, MemorySource } from '../../src/image/source.js';
import { blank, oracle, tmpdir } from '../support/oracle.js';

const MIB = 2 ** 20;

function table(script: string): string {
  const path = join(tmpdir(), 'disk.img');
  blank(path, 64 * MIB);
  // It would call sync(2) for the sake of block devices: on a busy machine that waits for every other disk.
  execFileSync('sfdisk', ['-q', '--no-tell-kernel', path], {
    input: script,
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  return path;
}

test('GPT as sfdisk writes it', oracle('sfdisk'), () => {
  const path = table(
    'label: gpt\nstart=2048, size=16384, name=boot\nstart=20480, size=65536, name="the root"\n',
  );
  const source = FileSource.open(path);
  const found = readPartitions(source);
  assert.deepEqual(
    found?.map(({ number, start, size, name }) => ({ number, start, size, name })),
    [
      { number: 1, start: MIB, size: 8 * MIB, name: 'boot' },
      { number: 2, start: 10 * MIB, size: 32 * MIB, name: 'the root' },
    ],
  );
  assert.equal(found?.[0].type, '0fc63daf-8483-4772-8e79-3d69d8477de4');
  assert.throws(() => findPartition(source, 3), /no partition 3; this image has: 1, 2/);
  source.close();
});

test('MBR with logical partitions as sfdisk writes it', oracle('sfdisk'), () => {
  const path = table(
    'label: dos\nstart=2048, size=16384\nstart=18432, size=100000, type=5\nstart=20480, size=8192\nstart=30720, size=8192\n',
  );
  const source = FileSource.open(path);
  assert.deepEqual(
    readPartitions(source)?.map(({ number, start, size }) => [number, start / 512, size / 512]),
    [
      [1, 2048, 16384],
      [5, 20480, 8192],
      [6, 30720, 8192],
    ],
  );
  source.close();
});

test('a disk without a table, and a chain that bites its tail', () => {
  assert.throws(() => findPartition(new MemorySource(new Uint8Array(4096)), 1), ImageError);
  const disk = new Uint8Array(64 * 512);
  const view = new DataView(disk.buffer);
  const entry = (sector: number, slot: number, type: number, start: number, size: number): void => {
    const at = sector * 512 + 446 + slot * 16;
    view.setUint8(at + 4, type);
    view.setUint32(at + 8, start, true);
    view.setUint32(at + 12, size, true);
    view.setUint16(sector * 512 + 510, 0xaa55, true);
  };
  entry(0, 0, 5, 8, 50);
  entry(8, 0, 0x83, 1, 4);
  entry(8, 1, 5, 0, 0);
  entry(8, 1, 5, 8, 10); // extended + 8
  entry(16, 0, 0x83, 1, 4);
  entry(16, 1, 5, 4, 10); // turns back to before itself
  assert.deepEqual(
    readPartitions(new MemorySource(disk))?.map((p) => p.number),
    [5, 6],
  );
});
