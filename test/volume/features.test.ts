/** Feature bits and sizes mkfs.xfs 6.1 makes, and those it is too old for but Linux is not. */
import assert from 'node:assert/strict';
import {
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { sealCrc } from '../../src/format/checksum.js';
import { INCOMPAT } from '../../src/format/features.js';
import { viewOf } from '../../src/format/structure.js';
import { SUPERBLOCK } from '../../src/format/superblock.js';
import { FileSource } from '../../src/image/source.js';
import { parentPointer, walkAttrs } from '../../src/volume/attr.js';
import { walkInodes } from '../../src/volume/inode.js';
import { openVolume } from '../../src/volume/volume.js';
import { populated } from '../support/cache.js';
import { xfsimg } from '../support/cli.js';
import { withMount } from '../support/mount.js';
import { oracle, tmpdir } from '../support/oracle.js';

const SIZES: readonly (readonly string[])[] = [
  ['-b', 'size=2048', '-i', 'size=1024', '-s', 'size=2048'],
  ['-b', 'size=8192', '-s', 'size=8192'],
  ['-b', 'size=32768', '-s', 'size=32768'],
  // A chunk of inodes is half a block: two of them share it.
  ['-b', 'size=65536', '-s', 'size=32768'],
  ['-b', 'size=65536', '-i', 'size=2048', '-m', 'rmapbt=1'],
  ['-b', 'size=65536', '-i', 'sparse=0'],
];

describe('sizes', () => {
  for (const args of SIZES)
    test(args.join(' '), oracle('mkfs.xfs', 'mount'), () => {
      const { image } = populated({ mkfs: { args } });
      const reads: Record<string, string[]> = {
        info: [],
        ls: ['-lR'],
        du: [],
        dump: ['extents'],
        log: [],
        repair: ['-n'],
      };
      for (const [command, operands] of Object.entries(reads)) {
        const { status, stdout, stderr } = xfsimg([command, image, ...operands]);
        assert.equal(status, 0, stderr);
        if (command === 'repair') assert.match(stderr, /: clean\n$/);
        else {
          assert.equal(stderr, '', command);
          assert.ok(stdout.length > 100, command);
        }
      }
    });
});

/** Sets incompat bits in every superblock. */
function setIncompat(image: string, agcount: number, bits: number): void {
  const fd = openSync(image, 'r+');
  const sector = Buffer.alloc(512);
  const v = viewOf(sector);
  const at = SUPERBLOCK.at.features_incompat;
  for (let agno = 0; agno < agcount; agno++) {
    const offset = agno * v.getUint32(SUPERBLOCK.at.agblocks) * v.getUint32(SUPERBLOCK.at.blocksize);
    readSync(fd, sector, 0, 512, offset);
    v.setUint32(at, (v.getUint32(at) | bits) >>> 0);
    sealCrc(sector, SUPERBLOCK.at.crc);
    writeSync(fd, sector, 0, 512, offset);
  }
  closeSync(fd);
}

/** "inode parent name" of every entry below a directory, as Linux shows it. */
function entries(folder: string, out: string[] = []): string[] {
  const parent = lstatSync(folder).ino;
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const { ino } = lstatSync(path);
    out.push(`${ino} ${parent} ${name}`);
    if (lstatSync(path).isDirectory()) entries(path, out);
  }
  return out;
}

describe('parent pointers and exchange-range, as Linux writes them', oracle('mount'), () => {
  let image: string;
  let byLinux: string[] = [];

  test('every name has its parent pointer', () => {
    image = join(tmpdir(), 'image');
    assert.equal(xfsimg(['mkfs', image, '--size', '320m', '-d', 'agcount=4', '-q']).status, 0);
    setIncompat(image, 4, INCOMPAT.PARENT | INCOMPAT.EXCHRANGE);
    withMount(image, (root) => {
      mkdirSync(join(root, 'a/b'), { recursive: true });
      writeFileSync(join(root, 'a/b/file'), 'contents');
      linkSync(join(root, 'a/b/file'), join(root, 'second'));
      renameSync(join(root, 'a/b/file'), join(root, 'a/renamed'));
      symlinkSync('nowhere', join(root, 'link'));
      // Past the inode, past a leaf, and names of every length.
      for (let i = 0; i < 600; i++)
        linkSync(join(root, 'second'), join(root, 'a/b', `${i}-`.padEnd(4 + ((i * 7) % 250), 'n')));
      for (let i = 0; i < 90; i++) writeFileSync(join(root, 'a', `small-${i}`), '');
      byLinux = entries(root);
    });
    assert.equal(byLinux.length, 600 + 90 + 5);
    const volume = openVolume(FileSource.open(image));
    assert.ok(volume.g.features.parent && volume.g.features.exchangeRange);
    const found: string[] = [];
    const generations = new Map<number, number>();
    walkInodes(volume, (inode) => void generations.set(inode.ino, inode.generation));
    walkInodes(volume, (inode) =>
      walkAttrs(volume, inode, (attribute) => {
        const parent = parentPointer(attribute);
        assert.ok(parent !== undefined);
        assert.equal(parent.generation, generations.get(parent.ino));
        found.push(`${inode.ino} ${parent.ino} ${Buffer.from(parent.name).toString()}`);
      }),
    );
    assert.deepEqual(volume.faults, []);
    assert.deepEqual(found.toSorted(), byLinux.toSorted());
    volume.close();
  });

  test('show in info, stat and dump attr, and are no damage', () => {
    assert.match(xfsimg(['info', image]).stdout, /^features\t.*\bexchange parent$/m);
    const stat = xfsimg(['stat', image, '/second', '--xattrs']).stdout;
    assert.match(stat, /^parent: +"second" in inode \d+ generation \d+$/m);
    assert.equal(stat.match(/^parent:/gm)?.length, 602);
    const rows = xfsimg(['dump', image, 'attr', '--columns', 'namespace,name', '--no-header']).stdout;
    assert.equal(rows.trimEnd().split('\n').length, byLinux.length);
    const { status, stderr } = xfsimg(['repair', image, '-n']);
    assert.match(stderr, /: clean\n$/);
    assert.equal(status, 0);
  });
});
