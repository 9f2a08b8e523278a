import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { MkfsError } from '../../src/mkfs/error.js';
import { mkfs } from '../../src/mkfs/mkfs.js';
import { OPTIONS, parseOptions } from '../../src/mkfs/options.js';
import { PROFILES } from '../../src/mkfs/profiles.js';
import { formatBytes, parseNumber } from '../../src/mkfs/units.js';
import { tmpdir } from '../support/oracle.js';
import { optionsOf } from './support.js';

describe('numbers and units', () => {
  const units = { block: 4096, sector: 512 };
  const cases: [string, number][] = [
    ['0', 0],
    ['17', 17],
    ['0x10', 16],
    ['010', 8],
    ['4k', 4096],
    ['3M', 3 * 2 ** 20],
    ['2g', 2 ** 31],
    ['64T', 64 * 2 ** 40],
    ['1p', 2 ** 50],
    ['1e', 2 ** 60],
    ['5b', 5 * 4096],
    ['7s', 7 * 512],
    ['-1k', -1024],
  ];
  for (const [text, value] of cases)
    test(`${text} is ${value}`, () => assert.equal(parseNumber(text, units), value));
  for (const text of ['', 'k', '1kk', '1x', '1.5g', '09', '0x', '1 k', 'ten', '1k ', '--1'])
    test(`'${text}' is no number`, () => assert.ok(Number.isNaN(parseNumber(text, units))));
  test('without sizes b and s are refused', () => {
    assert.ok(Number.isNaN(parseNumber('1b', {})));
    assert.ok(Number.isNaN(parseNumber('1s', {})));
    assert.ok(Number.isNaN(parseNumber('1k')));
  });
  test('sizes are shown in the largest unit that is exact', () => {
    assert.equal(formatBytes(2 ** 50), '1 PiB');
    assert.equal(formatBytes(16 * 2 ** 20), '16 MiB');
    assert.equal(formatBytes(1536), '1536');
  });
});

describe('option groups', () => {
  test('several suboptions, several times, in any order', () => {
    assert.deepEqual(
      parseOptions(
        { d: ['su=64k,sw=2', 'agcount=4'], b: ['size=1k'], l: ['size=9000b'], m: ['finobt'] },
        { size: '1g', label: 'abc' },
      ),
      {
        size: 2 ** 30,
        blockSize: 1024,
        stripeUnit: 65536,
        stripeWidth: 2,
        agCount: 4,
        logSize: 9000 * 1024,
        finobt: 1,
        label: 'abc',
      },
    );
  });
  test('s and b are those of the same command line', () => {
    const values = parseOptions({ s: ['size=4k'], d: ['size=100000s'] });
    assert.equal(values.dataSize, 100_000 * 4096);
  });
});

/** Arguments, and what the one line must name: the option and what could be. */
const REFUSED: [string, RegExp][] = [
  ['-d agcount=0', /^-d agcount=0: must be from 1 to 4294967294$/],
  ['-d agcount=-1', /^-d agcount=-1: must be from 1/],
  ['-d agcount=4k', /^-d agcount=4k: not a number, from 1/],
  ['-d agcount', /^-d agcount needs a value/],
  ['-d agcount=', /^-d agcount needs a value/],
  ['-d agcount=2,agcount=3', /^-d agcount is given twice$/],
  ['-d agcount=4,agsize=64m', /^-d agcount and -d agsize exclude each other$/],
  ['-d agsize=1m', /^-d agsize=1 MiB: must be from 16 MiB to 1 TiB$/],
  ['-d agsize=2t', /^-d agsize=2 TiB: must be/],
  ['-d agsize=16777217', /^-d agsize=16777217: must be a multiple of the block size 4096$/],
  ['-d agcount=60', /^-d agcount=60: makes AGs of 2185 blocks, but they have from 4096/],
  ['-d size=15m', /^-d size=15 MiB: must be from 16 MiB to 1 PiB$/],
  ['-d size=2p', /^-d size=2 PiB: must be/],
  ['-d size=1g', /^-d size=1 GiB: the image has only 512 MiB$/],
  ['-d size=300m,bogus=1', /^unknown option -d bogus=1: known are agcount/],
  ['-d ,', /^unknown option -d \(empty\)/],
  ['-d name=foo', /^-d name: the image is the operand$/],
  ['-d su=64k', /^-d su needs -d sw/],
  ['-d sw=4', /^-d sw needs -d su/],
  ['-d sunit=8', /^-d sunit and -d swidth go together$/],
  ['-d su=5k,sw=2', /^-d su=5120,sw=2: unit 5120 and width 10240 must be multiples of the block size/],
  ['-d sunit=8,swidth=12', /^-d sunit=8,swidth=12: the width 6144 is not a multiple of the unit 4096$/],
  ['-d su=64k,sw=2,noalign', /^-d su and -d noalign exclude each other$/],
  ['-d su=64k,swidth=8', /exclude each other$/],
  ['-d su=1g,sw=9', /a stripe width of 9663676416 bytes, at most 2147483647$/],
  ['-b size=4095', /^-b size=4095: must be from 1 KiB to 64 KiB, a power of two$/],
  ['-b size=512', /^-b size=512: must be from 1 KiB/],
  ['-b size=128k', /^-b size=128 KiB: must be/],
  ['-b size=1024 -s size=4096', /^-b size=1024: must be at least the sector size 4096$/],
  ['-s size=256', /^-s size=256: must be from 512 to 32 KiB, a power of two$/],
  ['-s size=4096 -d sectsize=512', /^-s size and -d sectsize exclude each other$/],
  ['-i size=256', /^-i size=256: must be from 512 to 2048, a power of two$/],
  ['-i size=4096', /^-i size=4096: must be/],
  ['-b size=1024 -i size=1024', /^-i size=1024: inodes in blocks of 1024 bytes have from 512 to 512 bytes$/],
  ['-i perblock=3', /^-i perblock=3: must be from 2 to 128, a power of two$/],
  ['-i perblock=2,size=512', /^-i size and -i perblock exclude each other$/],
  ['-i perblock=64', /^-i perblock=64: inodes in blocks of 4096 bytes have from 512/],
  ['-i maxpct=101', /^-i maxpct=101: must be from 0 to 100$/],
  ['-i sparse=2', /^-i sparse=2: must be from 0 to 1$/],
  ['-i align=0', /^-i align=0: must be 1 \(inodes are always aligned/],
  ['-i attr=1', /^-i attr=1: must be 2/],
  ['-l size=1m', /^-l size=1 MiB: must be from 2 MiB to 2038 MiB$/],
  ['-l size=3g', /^-l size=3 GiB: must be from/],
  ['-l size=4m', /^-l size=4 MiB: the log needs at least \d+ blocks of 4096 bytes/],
  ['-l size=200m', /^-l size=200 MiB: an internal log has from \d+ to \d+ blocks/],
  ['-l size=20m,su=48k', /^-l size=20 MiB: must be a multiple of the log stripe unit, 49152 bytes$/],
  ['-l su=6k', /^-l su=6144: must be a multiple of the block size 4096 bytes$/],
  ['-l su=512k', /^-l su=512 KiB: must be from 512 to 256 KiB$/],
  ['-l su=8k,sunit=16', /^-l su and -l sunit exclude each other$/],
  ['-l agnum=4', /^-l agnum=4: must be from 0 to 3$/],
  ['-l internal=0', /^-l internal=0: must be 1 \(no external log is made\)$/],
  ['-l logdev=/dev/null', /^-l logdev: no external log is made$/],
  ['-l version=1', /^-l version=1: must be 2/],
  ['-l lazy-count=0', /^-l lazy-count=0: must be 1/],
  ['-l sectsize=4096', /^-l sectsize=4096: an internal log has the sector size 512$/],
  ['-m crc=0', /^-m crc=0: must be 1 \(filesystems of version 4 are not made\)$/],
  ['-m finobt=0,inobtcount=1', /^-m inobtcount=1: needs the free inode btree/],
  ['-m uuid=x', /^-m uuid=x: not a UUID/],
  ['-m uuid', /^-m uuid needs a value$/],
  ['-m rmapbt=yes', /^-m rmapbt=yes: not a number, from 0 to 1$/],
  ['-n size=2048', /^-n size=2 KiB: must be from 4 KiB to 64 KiB, a power of two$/],
  ['-b size=16384 -n size=4096', /^-n size=4096: must be at least the block size 16384$/],
  ['-n ftype=0', /^-n ftype=0: must be 1/],
  ['-n version=ci', /^-n version=ci: not a number/],
  ['-m reflink=0 -d cowextsize=8', /^-d cowextsize=8: needs -m reflink=1$/],
  ['-d extszinherit=20000', /^-d extszinherit=20000: must be from 0 to 16384 blocks$/],
  ['-L thirteen-byte', /^-L thirteen-byte: longer than 12 bytes$/],
  ['-L ääääääu', /^-L ääääääu: longer than 12 bytes$/],
];

describe('what cannot be is refused in one line, and nothing is written', () => {
  for (const [args, message] of REFUSED)
    test(args, async () => {
      const path = join(tmpdir(), 'image');
      await assert.rejects(
        async () => mkfs(path, { ...optionsOf(args.split(' ')), size: 512 * 2 ** 20 }),
        (error: Error) => {
          assert.ok(error instanceof MkfsError, error.stack);
          assert.equal(error.kind, 'options');
          assert.match(error.message, message);
          assert.ok(!error.message.includes('\n'));
          return true;
        },
      );
      assert.ok(!existsSync(path), 'the image was created');
    });
  test('an unknown profile names the known ones', async () => {
    await assert.rejects(
      () => mkfs(join(tmpdir(), 'image'), { size: 2 ** 30, profile: 'lts_7.0' }),
      /--profile lts_7.0: known are lts_4.19, /,
    );
  });
  test('an unknown library option', async () => {
    const options = { size: 2 ** 30, agcount: 4 } as object;
    await assert.rejects(() => mkfs(join(tmpdir(), 'image'), options), /unknown option/);
  });
  test('SOURCE_DATE_EPOCH that is no number', async () => {
    process.env.SOURCE_DATE_EPOCH = 'yesterday';
    try {
      await assert.rejects(
        () => mkfs(join(tmpdir(), 'image'), { size: 2 ** 30 }),
        /^MkfsError: SOURCE_DATE_EPOCH=yesterday: must be seconds since 1970$/,
      );
    } finally {
      delete process.env.SOURCE_DATE_EPOCH;
    }
  });
});

test('every option is read by its own name', () => {
  for (const [name, spec] of Object.entries(OPTIONS)) {
    if (spec.kind !== 'number' || spec.flag.startsWith('--')) continue;
    const [dash, key] = spec.flag.split(' ');
    const values = parseOptions({ [dash.slice(1)]: [`${key}=${spec.min}`] });
    assert.deepEqual(values, { [name]: spec.min });
  }
});

test('profiles are the feature sets of the releases', async () => {
  const features = async (profile: string): Promise<string> => {
    const { geometry } = await mkfs('/nonexistent', { size: 2 ** 30, profile, dryRun: true });
    const f = geometry.features as unknown as Record<string, boolean>;
    return ['finobt', 'inobtcount', 'rmapbt', 'reflink', 'bigtime', 'sparseInodes', 'nrext64']
      .filter((name) => f[name])
      .join(' ');
  };
  assert.equal(await features('lts_4.19'), 'finobt sparseInodes');
  assert.equal(await features('lts_5.4'), 'finobt reflink sparseInodes');
  assert.equal(await features('lts_5.10'), 'finobt reflink sparseInodes');
  assert.equal(await features('lts_6.1'), 'finobt inobtcount reflink bigtime sparseInodes');
  assert.equal(await features('lts_6.12'), 'finobt inobtcount rmapbt reflink bigtime sparseInodes nrext64');
  assert.equal(Object.keys(PROFILES).length, 7);
});
