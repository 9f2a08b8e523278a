/** dump and schema as commands: what they print, their exit statuses, and what they say of images that are none. */
import assert from 'node:assert/strict';
import {
  closeSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { rowSchema } from '../../src/dump/schema.js';
import { TABLES } from '../../src/dump/tables.js';
import { AGF } from '../../src/format/ag.js';
import { sealCrc } from '../../src/format/checksum.js';
import { openSource } from '../../src/image/open.js';
import { random } from '../fuzz/verbs.js';
import { populated } from '../support/cache.js';
import { xfsimg } from '../support/cli.js';
import { crash, mount, unmount } from '../support/mount.js';
import { blank, copyImage, oracle, run, tmpdir } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';

const folder = tmpdir();
const path = (name: string): string => join(folder, name);
const image = (): string =>
  populated({ mkfs: { args: ['-m', 'rmapbt=1'] }, populate: { scale: 'small' } }).image;

const DUMPS: readonly (readonly [table: string, ...words: string[]])[] = [
  ['sb', 'sb'],
  ['agf', 'agf'],
  ['agi', 'agi'],
  ['agfl', 'agfl', '--ag', '1'],
  ['inode', 'inode', '128', '/files/extents300'],
  ['extents', 'extents'],
  ['refcount', 'refcount'],
  ['rmap', 'rmap'],
  ['free', 'free'],
  ['inodes', 'inodes', '--free'],
  ['dir', 'dir'],
  ['attr', 'attr'],
  ['shared', 'shared', '--paths'],
  ['btree rmapbt', 'btree', 'rmapbt'],
  ['btree inobt', 'btree', 'inobt'],
  ['btree bmbt', 'btree', 'bmbt', '/files/extents300'],
  ['btree blocks', 'btree', 'cntbt', '--blocks'],
];

test('every row of every dump is what its zod schema says', oracle('mount'), () => {
  for (const [name, ...words] of DUMPS) {
    const { status, stdout, stderr } = xfsimg(['dump', image(), ...words, '--format', 'ndjson'], {
      encoding: 'utf8',
    });
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' }, words.join(' '));
    const schema = rowSchema(TABLES.get(name)!);
    const lines = stdout.trimEnd().split('\n');
    for (const line of lines) {
      const result = schema.safeParse(JSON.parse(line));
      assert.ok(result.success, `${name}: ${line}: ${result.error}`);
    }
    assert.ok(lines.length > 1, name);
  }
});

test('every table that src/dump declares has a schema', () => {
  const folder = join(import.meta.dirname, '../../src/dump');
  const declared = (readdirSync(folder, { recursive: true }) as string[])
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) => [...readFileSync(join(folder, name), 'utf8').matchAll(/= table\(\s*'([^']+)'/g)]);
  assert.ok(declared.length > 20);
  for (const [, name] of declared) assert.ok(TABLES.has(name), name);
});

test('schema prints JSON Schema with every column described, and lists the tables', () => {
  const listed = xfsimg(['schema']).stdout.trimEnd().split('\n');
  assert.deepEqual(
    listed.map((line) => line.split(/ {2,}/)[0]),
    [...TABLES.keys()],
  );
  const { status, stdout } = xfsimg(['schema', 'btree', 'rmapbt']);
  assert.equal(status, 0);
  const schema = JSON.parse(stdout);
  assert.deepEqual(
    Object.keys(schema.properties),
    TABLES.get('btree rmapbt')!.columns.map((c) => c.name),
  );
  for (const [name, column] of Object.entries<{ description?: string }>(schema.properties))
    assert.ok((column.description ?? '').length > 3, name);
  const unknown = xfsimg(['schema', 'nothing']);
  assert.equal(unknown.status, 64);
  assert.match(unknown.stderr, /^xfsimg: no table 'nothing'.*\n$/);
});

test('a wrong command line is one line and status 64', oracle('mount'), () => {
  const wrong: [string[], RegExp][] = [
    [['nonsense'], /nonsense.*sb.*agf/s],
    [['extents', '--columns', 'ino,nope'], /'nope'.*ino,fork,offset/],
    [['agf', '--ag', '99'], /--ag 99.*0 to 3/],
    [['agf', '--ag', 'x'], /--ag/],
    [['refcount', '131'], /refcount takes no selection/],
    [['inode'], /inode numbers or paths/],
    [['btree'], /bnobt, cntbt/],
    [['btree', 'oaktree'], /'oaktree'.*bnobt, cntbt/],
    [['btree', 'bmbt'], /inode numbers or paths/],
    [['rmap', '--fork', 'attr'], /--fork.*extents/],
    [['sb', '--by-size'], /--by-size.*free/],
    [['sb', '--offset', '12q'], /--offset/],
    [['sb', '--offset', '0', '--partition', '1'], /--offset.*--partition|--partition.*--offset/],
  ];
  for (const [words, message] of wrong) {
    const { status, stdout, stderr } = xfsimg(['dump', image(), ...words]);
    assert.equal(status, 64, `${words.join(' ')}: ${stderr}`);
    assert.equal(stdout, '');
    assert.match(stderr, /^xfsimg: .*\n$/);
    assert.match(stderr, message);
  }
});

test('a path that is not there, or an inode that is none, is one line and status 1', oracle('mount'), () => {
  const missing = xfsimg(['dump', image(), 'inode', '/no/such/file']);
  assert.equal(missing.status, 1);
  assert.match(missing.stderr, /^xfsimg: .*\/no\/such\/file: no such file.*\n$/);
  const wild = xfsimg(['dump', image(), 'extents', '99999999999']);
  assert.equal(wild.status, 1);
  assert.match(wild.stderr, /^xfsimg: .*inode 99999999999.*\n$/);
});

test('a feature that is not there is status 2', oracle('mkfs.xfs'), () => {
  const plain = mkfs(path('plain'), { args: ['-m', 'reflink=0'] });
  const { status, stderr } = xfsimg(['dump', plain, 'refcount']);
  assert.equal(status, 2);
  assert.match(stderr, /^xfsimg: .*refcountbt.*\n$/);
});

test('what is no XFS image is said in one line', oracle('mkfs.xfs', 'mkfs.ext4'), () => {
  const empty = path('empty');
  writeFileSync(empty, '');
  const short = path('short');
  writeFileSync(short, 'XFSB');
  const prose = path('prose');
  writeFileSync(prose, 'It was a dark and stormy night.\n'.repeat(500));
  const zeros = path('zeros');
  blank(zeros, 2 ** 20);
  const noise = path('noise');
  const next = random(7);
  writeFileSync(noise, Uint8Array.from({ length: 2 ** 20 }, next));
  const ext4 = path('ext4');
  blank(ext4, 16 * 2 ** 20);
  run('mkfs.ext4', ['-q', ext4]);
  const cut = mkfs(path('cut'));
  truncateSync(cut, 100 * 2 ** 20);
  const stub = mkfs(path('stub'));
  truncateSync(stub, 1000);
  const cases: [string, number, RegExp][] = [
    [empty, 2, /empty \(0 bytes\)/],
    [short, 2, /only 4 bytes/],
    [prose, 2, /not an XFS filesystem: found text/],
    [zeros, 2, /not an XFS filesystem: found zeros/],
    [noise, 2, /not an XFS filesystem: found unknown data/],
    [ext4, 2, /not an XFS filesystem: found an ext2\/3\/4 filesystem/],
    [cut, 2, /truncated image/],
    [stub, 2, /truncated image/],
    [path('missing'), 1, /: cannot open: no such file or directory$/m],
    [folder, 1, /is a directory/],
  ];
  for (const [file, expected, message] of cases) {
    const { status, stdout, stderr } = xfsimg(['dump', file, 'extents']);
    assert.equal(status, expected, `${file}: ${stderr}`);
    assert.equal(stdout, '');
    assert.match(stderr, /^xfsimg: .*\n$/);
    assert.ok(stderr.includes(file), stderr);
    assert.match(stderr, message);
  }
});

test('an image inside another is found by offset and by partition', oracle('mkfs.xfs'), () => {
  const inner = mkfs(path('inner'));
  const disk = path('disk');
  const at = 2 ** 20;
  copyImage(inner, disk);
  // An MBR with one partition, and the filesystem behind it.
  const fd = openSync(disk, 'w');
  ftruncateSync(fd, at + 512 * 2 ** 20);
  const mbr = Buffer.alloc(512);
  mbr[446 + 4] = 0x83;
  mbr.writeUInt32LE(at / 512, 446 + 8);
  mbr.writeUInt32LE((512 * 2 ** 20) / 512, 446 + 12);
  mbr.writeUInt16LE(0xaa55, 510);
  writeSync(fd, mbr, 0, 512, 0);
  closeSync(fd);
  run('dd', [`if=${inner}`, `of=${disk}`, 'bs=1M', 'seek=1', 'conv=notrunc,sparse', 'status=none']);
  const expected = xfsimg(['dump', inner, 'free']);
  assert.equal(expected.status, 0);
  for (const where of [
    ['--offset', '1m'],
    ['--offset', '2048s'],
    ['--offset', String(at)],
    ['--partition', '1'],
  ]) {
    const { status, stdout } = xfsimg(['dump', disk, 'free', ...where]);
    assert.equal(status, 0);
    assert.equal(stdout, expected.stdout);
  }
  const none = xfsimg(['dump', disk, 'sb', '--partition', '3']);
  assert.notEqual(none.status, 0);
  assert.match(none.stderr, /^xfsimg: .*no partition 3.*1\n$/);
});

/** Writes another freeblks into the AGF of AG 0, and makes its checksum right. */
function setFreeblks(file: string, value: number): void {
  const source = openSource(file, { write: true });
  const sector = new Uint8Array(512);
  source.read(512, sector);
  new DataView(sector.buffer).setUint32(AGF.at.freeblks, value);
  sealCrc(sector, AGF.at.crc);
  source.write(512, sector);
  source.close();
}

test('damage is shown after the rows, a line each, with status 1', oracle('mount'), () => {
  const damaged = copyImage(image(), path('damaged'));
  setFreeblks(damaged, 12345);
  const { status, stdout, stderr } = xfsimg(['dump', damaged, 'free', '--ag', '0']);
  assert.equal(status, 1);
  assert.equal(stdout, xfsimg(['dump', image(), 'free', '--ag', '0']).stdout);
  assert.match(
    stderr,
    /^xfsimg: .*agf \(AG 0 block 0\): freeblks is 12345, expected \d+, the free blocks in the bnobt$/m,
  );
  // Other AGs are none the worse.
  assert.equal(xfsimg(['dump', damaged, 'free', '--ag', '1']).status, 0);
  const unchecked = xfsimg(['dump', damaged, 'agf', '--ag', '0', '--no-check', '--columns', 'field,value']);
  assert.equal(unchecked.status, 1); // freeblks is below longest, which the AGF says of itself
  assert.match(unchecked.stdout, /^freeblks\t12345$/m);
});

test(
  'where the log is dirty, the counters are not held against it, and faults come with a hint',
  oracle('mount', 'xfs_io'),
  () => {
    const dirty = mkfs(path('dirty'), { args: ['-m', 'rmapbt=1'] });
    const at = mount(dirty);
    try {
      for (let i = 0; i < 50; i++) writeFileSync(join(at, `file${i}`), Buffer.alloc(20_000, i + 1));
      crash(at, { flushlog: true });
    } finally {
      unmount(at);
    }
    const { stderr } = xfsimg(['dump', dirty, 'sb']);
    assert.doesNotMatch(stderr, /icount|ifree|fdblocks/);
    setFreeblks(dirty, 12345);
    const agf = xfsimg(['dump', dirty, 'agf', '--ag', '0']);
    assert.equal(agf.status, 1);
    assert.match(agf.stderr, /freeblks is 12345/);
    assert.match(agf.stderr, /the log is not clean.*\n$/);
  },
);
