/**
 * What goes wrong, told through the bundle as it is shipped: one line on stderr, the exit status of
 * xfsimg(1), nothing on stdout, and the image as it was.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { sealCrc } from '../../src/format/checksum.js';
import { setU64, viewOf } from '../../src/format/structure.js';
import { SUPERBLOCK } from '../../src/format/superblock.js';
import { builtProgram } from '../support/built.js';
import { withMount } from '../support/mount.js';
import { blank, oracle, type RunResult, run, sha256, tmpdir } from '../support/oracle.js';
import { random } from '../support/random.js';
import { unpackImage } from '../support/unpack.js';

const FAILED = 1;
const UNUSABLE = 2;
const USAGE = 64;
const AT = SUPERBLOCK.at;

let program: string;
let folder: string;
const at = (name: string): string => join(folder, name);
const xfsimg = (...args: string[]): RunResult => run(process.execPath, [program, ...args], { status: 'any' });

/** Runs a command that must end with one line and this status. */
function fails(args: string[], status: number, line: RegExp): void {
  const ran = xfsimg(...args);
  assert.match(ran.stderr, line);
  assert.match(ran.stderr, /^xfsimg: [^\n]+\n$/, 'one line, and ours');
  assert.doesNotMatch(ran.stderr, /internal error/);
  assert.equal(ran.stdout, '');
  assert.equal(ran.status, status, ran.stderr);
}

/** A copy of the good image with another superblock, its checksum made right. */
function craft(name: string, change: (v: DataView) => void): void {
  const bytes = readFileSync(at('good'));
  const sector = bytes.subarray(0, 512);
  change(viewOf(sector));
  sealCrc(sector, AT.crc);
  writeFileSync(at(name), bytes);
}

const setBit = (field: number, bit: number) => (v: DataView) =>
  v.setUint32(field, (v.getUint32(field) | (1 << bit)) >>> 0);

/** Every command that reads a filesystem, as it is asked for one. */
const READERS: Record<string, (image: string) => string[]> = {
  info: (image) => ['info', image],
  ls: (image) => ['ls', image],
  tree: (image) => ['tree', image],
  du: (image) => ['du', image],
  stat: (image) => ['stat', image, '/'],
  cat: (image) => ['cat', image, '/file'],
  find: (image) => ['find', image],
  dump: (image) => ['dump', image, 'extents'],
  log: (image) => ['log', image],
  replay: (image) => ['log', image, 'replay'],
  clear: (image) => ['log', image, 'clear'],
  'repair -n': (image) => ['repair', image, '-n'],
  repair: (image) => ['repair', image],
};

/** Images no command reads: how each is made, the status, and what is said of it. */
const IMAGES: Record<string, { make: () => void; status: number; says: RegExp }> = {
  missing: { make: () => {}, status: FAILED, says: /missing: cannot open: no such file or directory$/m },
  folder: { make: () => mkdirSync(at('folder')), status: FAILED, says: /is a directory, not an image$/m },
  empty: { make: () => writeFileSync(at('empty'), ''), status: UNUSABLE, says: /empty \(0 bytes\)/ },
  ten: { make: () => writeFileSync(at('ten'), '0123456789'), status: UNUSABLE, says: /only 10 bytes/ },
  text: {
    make: () => writeFileSync(at('text'), 'no image\n'.repeat(5000)),
    status: UNUSABLE,
    says: /not an XFS filesystem: found text$/m,
  },
  zeros: { make: () => blank(at('zeros'), 2 ** 20), status: UNUSABLE, says: /found zeros$/m },
  random: {
    make: () => {
      const next = random(7);
      writeFileSync(
        at('random'),
        Uint8Array.from({ length: 2 ** 20 }, () => next() * 256),
      );
    },
    status: UNUSABLE,
    says: /found unknown data$/m,
  },
  ext4: {
    make: () => {
      const bytes = Buffer.alloc(2 ** 20);
      bytes.writeUInt16LE(0xef53, 1080);
      writeFileSync(at('ext4'), bytes);
    },
    status: UNUSABLE,
    says: /found an ext2\/3\/4 filesystem$/m,
  },
  metadump: {
    make: () => writeFileSync(at('metadump'), Buffer.concat([Buffer.from('XFSM'), Buffer.alloc(9000)])),
    status: UNUSABLE,
    says: /found an xfs_metadump file/,
  },
  metadump2: {
    make: () => writeFileSync(at('metadump2'), Buffer.concat([Buffer.from('XMD2'), Buffer.alloc(9000)])),
    status: UNUSABLE,
    says: /found an xfs_metadump file/,
  },
  disk: {
    make: () => {
      const bytes = Buffer.alloc(2 ** 20);
      bytes.write('EFI PART', 512);
      bytes.writeUInt16BE(0x55aa, 510);
      writeFileSync(at('disk'), bytes);
    },
    status: UNUSABLE,
    says: /GPT partition table \(use --partition N\)/,
  },
  v4: {
    make: () => craft('v4', (v) => v.setUint16(AT.versionnum, (v.getUint16(AT.versionnum) & 0xfff0) | 4)),
    status: UNUSABLE,
    says: /XFS version 4 is not supported: only version 5/,
  },
  'external-log': {
    make: () => craft('external-log', (v) => setU64(v, AT.logstart, 0)),
    status: UNUSABLE,
    says: /does not support: external log device$/m,
  },
  realtime: {
    make: () =>
      craft('realtime', (v) => {
        setU64(v, AT.rblocks, 1000);
        setU64(v, AT.rextents, 1000);
      }),
    status: UNUSABLE,
    says: /does not support: realtime device$/m,
  },
  zoned: {
    make: () => craft('zoned', setBit(AT.features_incompat, 9)),
    status: UNUSABLE,
    says: /does not support: zoned realtime device$/m,
  },
  incompat: {
    make: () => craft('incompat', setBit(AT.features_incompat, 20)),
    status: UNUSABLE,
    says: /does not support: incompat feature bit 20$/m,
  },
  'ro-compat': {
    make: () => craft('ro-compat', setBit(AT.features_ro_compat, 31)),
    status: UNUSABLE,
    says: /does not support: ro-compat feature bit 31$/m,
  },
  truncated: {
    make: () => {
      copyFileSync(at('good'), at('truncated'));
      truncateSync(at('truncated'), 8 * 2 ** 20);
    },
    status: UNUSABLE,
    says: /truncated image: the superblock's 4096 blocks take 16777216 bytes, the image has 8388608$/m,
  },
};
/** Those on which every command is tried: one of each way to be stopped. */
const FOR_ALL = ['missing', 'folder', 'text', 'incompat', 'truncated'];

/** Command lines that are wrong. `good` stands for an image nothing is wrong with. */
const USAGES: [string[], number, RegExp][] = [
  [['inof', 'good'], USAGE, /unknown command 'inof': did you mean info\?$/m],
  [['frobnicate'], USAGE, /unknown command 'frobnicate': xfsimg --help lists the commands$/m],
  [['--nonsense'], USAGE, /unknown option '--nonsense'/],
  [['help', 'nonsense'], USAGE, /no help on 'nonsense': xfsimg --help lists the commands/],
  [['ls', 'good', '--recursiv'], USAGE, /unknown option '--recursiv': did you mean --recursive\?$/m],
  [['dump', 'good', 'refcuont'], USAGE, /: no WHAT 'refcuont': did you mean refcount\?$/m],
  [['dump', 'good', 'nonsense'], USAGE, /: no WHAT 'nonsense': it is one of sb, agf, agi, /],
  [['repair', 'good', '--on-duplicate', 'clown'], USAGE, /: no 'clown': did you mean clone\?$/m],
  [['schema', 'refcont'], USAGE, /no table 'refcont': did you mean refcount\?$/m],
  [['dump', 'good'], USAGE, /missing required argument 'what'$/m],
  [['dump', 'good', 'btree'], USAGE, /needs the name of a tree/],
  [['dump', 'good', 'btree', 'oak'], USAGE, /no btree 'oak': there are bnobt/],
  [['dump', 'good', 'btree', 'rmap'], USAGE, /no btree 'rmap': did you mean rmapbt\?$/m],
  [['info', 'good', '--columns', 'valu'], USAGE, /no column 'valu' in info: did you mean value\?$/m],
  [['dump', 'good', 'free', '--paths'], USAGE, /--paths has no meaning for free/],
  [['dump', 'good', 'free', '--ag', '99'], USAGE, /has AGs 0 to /],
  [['dump', 'good', 'free', '--ag', '-1'], USAGE, /--ag/],
  [['dump', 'good', 'inode', '/nowhere'], FAILED, /\/nowhere/],
  [['info', 'good', '--columns', 'nonsense'], USAGE, /no column 'nonsense' in info: its columns are /],
  [['info', 'good', '--format', 'xml'], USAGE, /table, json, ndjson, csv, tsv/],
  [['info', 'good', '--partition', '0'], USAGE, /--partition/],
  [['info', 'good', '--partition', 'one'], USAGE, /--partition/],
  [['info', 'good', '--partition', '1', '--offset', '512'], USAGE, /cannot be used with/],
  [['info', 'good', '--partition', '1'], FAILED, /no partition table|no partition 1/],
  [['info', 'good', '--offset', 'far'], USAGE, /--offset/],
  [['info', 'good', '--offset', '1t'], FAILED, /lies past the end \(16777216 bytes\)/],
  [['info', 'good', '--offset', '512'], UNUSABLE, /not an XFS filesystem/],
  [['info', 'good', 'more'], USAGE, /too many arguments/],
  [['ls', 'good', '/nowhere'], FAILED, /\/nowhere: no such file or directory in this image$/m],
  [['stat', 'good', '/nowhere/deeper'], FAILED, /\/nowhere/],
  [['cat', 'good', '/'], FAILED, /is a directory$/m],
  [['cat', 'good', '/x', '--xattr', 'nonsense'], USAGE, /does not begin with user\./],
  [['schema', 'nonsense'], USAGE, /no table 'nonsense'/],
  [['log', 'good', 'cabin'], USAGE, /status, records, transactions, items/],
  [['mkfs', 'absent/image', '--size', '64m'], FAILED, /absent\/image/],
  [['mkfs', 'good'], FAILED, /good: .*XFS.*-f/],
  [['mkfs', 'nothing'], FAILED, /nothing: /],
];

/** Commands printing rows, each more than a pipe holds or else as much as there is. */
const PRINTERS: string[][] = [
  ['info', 'shared'],
  ['ls', 'shared', '-lR'],
  ['tree', 'shared'],
  ['du', 'shared', '-a'],
  ['stat', 'shared', '/'],
  ['find', 'shared'],
  ['cat', 'shared', '/vm/golden.img'],
  ['dump', 'shared', 'inodes', '--free', '--format', 'json'],
  ['dump', 'shared', 'btree', 'rmapbt'],
  ['log', 'shared', 'items', '--all'],
  ['repair', 'forged', '-n', '-v'],
  ['schema', 'extents'],
  ['mkfs', 'piped', '--size', '64m', '-N'],
  ['--help'],
  ['--version'],
  ['dump', '--help'],
];

describe('errors', () => {
  before(() => {
    program = builtProgram();
    folder = tmpdir();
    assert.equal(xfsimg('mkfs', at('good'), '--size', '16m', '-q').status, 0);
    for (const { make } of Object.values(IMAGES)) make();
    for (const [name, fixture] of [
      ['shared', 'shared-healthy'],
      ['forged', 'duplicate-unflagged'],
    ])
      unpackImage(join(import.meta.dirname, `../../fixtures/${fixture}/image.gz`), at(name));
  });

  for (const [name, { status, says }] of Object.entries(IMAGES))
    test(`an image that is ${name}`, () => {
      const isFile = existsSync(at(name)) && statSync(at(name)).isFile();
      const hash = isFile ? sha256(at(name)) : '';
      const names = FOR_ALL.includes(name) ? Object.keys(READERS) : ['info', 'repair'];
      for (const command of names) fails(READERS[command](at(name)), status, says);
      if (isFile) assert.equal(sha256(at(name)), hash);
    });

  for (const [args, status, line] of USAGES)
    test(`xfsimg ${args.join(' ')}`, () => {
      const hash = sha256(at('good'));
      const here = ['good', 'nothing', 'absent/image'];
      fails(
        args.map((a) => (here.includes(a) ? at(a) : a)),
        status,
        line,
      );
      assert.equal(sha256(at('good')), hash);
    });

  test('without a command: the overview on stderr', () => {
    const { status, stdout, stderr } = xfsimg();
    assert.equal(status, USAGE);
    assert.equal(stdout, '');
    assert.match(stderr, /^Usage: xfsimg COMMAND IMAGE/);
  });

  test('every command without an image', () => {
    const commands = [...xfsimg('--help').stdout.matchAll(/^ {2}(\w+) {2,}\S/gm)].map((m) => m[1]);
    assert.ok(commands.length >= 12);
    for (const command of commands)
      if (!['schema', 'help'].includes(command))
        fails([command], USAGE, /missing required argument '|required option '-/);
  });

  test('a primary superblock that is damaged names the field', () => {
    const bytes = readFileSync(at('good'));
    bytes[AT.crc] ^= 1;
    writeFileSync(at('crc'), bytes);
    fails(['info', at('crc')], FAILED, /sb \(AG 0 block 0\): crc is 0x/);
    craft('unfinished', (v) => v.setUint8(AT.inprogress, 1));
    fails(['info', at('unfinished')], FAILED, /inprogress is 1, expected 0/);
  });

  test('a file that may not be read', { skip: process.getuid?.() === 0 && !canDropRoot() }, () => {
    copyFileSync(at('good'), at('secret'));
    chmodSync(at('secret'), 0o000);
    const options = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
    chmodSync(folder, 0o755);
    chmodSync(join(program, '../..'), 0o755);
    const ran = spawnSync(process.execPath, [program, 'info', at('secret')], { ...options, cwd: '/' });
    assert.equal(String(ran.stderr), `xfsimg: ${at('secret')}: cannot open: permission denied\n`);
    assert.equal(ran.status, FAILED);
  });

  test('XFS version 4 as mkfs.xfs makes it', oracle('mkfs.xfs'), () => {
    const image = at('real-v4');
    blank(image, 320 * 2 ** 20);
    run('mkfs.xfs', ['-q', '-f', '-m', 'crc=0', image]);
    fails(['info', image], UNUSABLE, /XFS version 4 is not supported/);
  });

  test('external log and realtime device as mkfs.xfs makes them', oracle('mkfs.xfs'), () => {
    const image = at('real-external');
    for (const name of [image, at('log'), at('rt')]) blank(name, 320 * 2 ** 20);
    run('mkfs.xfs', ['-q', '-f', '-l', `logdev=${at('log')},size=64m`, image]);
    fails(['info', image], UNUSABLE, /does not support: external log device$/m);
    run('mkfs.xfs', ['-q', '-f', '-m', 'reflink=0,rmapbt=0', '-r', `rtdev=${at('rt')}`, image]);
    fails(['repair', image, '-n'], UNUSABLE, /does not support: realtime device$/m);
  });

  test('a reader that goes away early ends every command quietly', () => {
    for (const args of PRINTERS) {
      const words = [
        process.execPath,
        program,
        ...args.map((a) => (['shared', 'forged', 'piped'].includes(a) ? at(a) : a)),
      ];
      // `exec` closes the reading end before anything is written.
      const script = '{ sleep 0.2; "$@"; echo "status $?" >&3; } 3>&2 | exec true';
      const { stderr } = run('bash', ['-c', script, 'bash', ...words]);
      const lines = stderr.split('\n').filter((l) => l !== '' && !/^xfsimg: /.test(l));
      assert.deepEqual(lines.length, 1, `${args.join(' ')}: ${stderr}`);
      assert.match(lines[0], /^status [01]$/);
      assert.doesNotMatch(stderr, /EPIPE|internal error/);
    }
  });

  test('an image that is mounted, or attached, is refused by name', oracle('mkfs.xfs', 'mount'), () => {
    const image = at('mounted');
    assert.equal(xfsimg('mkfs', image, '--size', '320m', '-q').status, 0);
    withMount(image, () => {
      for (const args of [
        ['mkfs', image, '-f'],
        ['repair', image],
        ['log', image, 'replay'],
        ['log', image, 'clear'],
      ])
        fails(args, UNUSABLE, /attached to \/dev\/loop\d+, mounted at /);
    });
  });
});

/** Whether a process of another user can run this Node at all. */
function canDropRoot(): boolean {
  return spawnSync(process.execPath, ['-e', '0'], { uid: 65534, gid: 65534, cwd: '/' }).status === 0;
}
