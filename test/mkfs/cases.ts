/** Combinations of size and options over which mkfs is held against mkfs.xfs, xfs_repair and Linux. */

export interface Case {
  /** Bytes of the image. */
  readonly size: number;
  /** Arguments both programs take, as on a command line. */
  readonly args: string;
  /** In the quick slice the test suite runs. */
  readonly quick?: true;
  /** Why the image of mkfs.xfs 6.1 is no measure here. */
  readonly differs?: string;
}

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const TIB = 2 ** 40;

const c = (size: number, args = '', quick?: true): Case => ({ size, args, quick });

export const CASES: readonly Case[] = [
  // Sizes, everything else as it comes.
  c(16 * MIB, '', true),
  c(17 * MIB + 5 * 1024),
  c(24 * MIB),
  c(32 * MIB),
  c(63 * MIB),
  c(64 * MIB, '', true),
  c(100 * MIB),
  c(128 * MIB),
  c(255 * MIB),
  c(299 * MIB),
  c(300 * MIB),
  c(512 * MIB, '', true),
  c(GIB),
  c(3 * GIB + 4096 * 7),
  c(10 * GIB),
  c(100 * GIB),
  c(TIB, '', true),
  c(TIB - 4096),
  c(5 * TIB),
  c(15 * TIB),
  c(32 * TIB),
  c(50 * TIB),
  c(64 * TIB),
  // Block sizes.
  c(64 * MIB, '-b size=1024', true),
  c(512 * MIB, '-b size=1024 -n size=4096'),
  c(300 * MIB, '-b size=2048'),
  c(512 * MIB, '-b size=8192'),
  c(GIB, '-b size=16384', true),
  c(2 * GIB, '-b size=32768'),
  c(2 * GIB, '-b size=65536', true),
  c(8 * GIB, '-b size=65536 -i size=2048 -s size=4096'),
  c(TIB, '-b size=1024 -m rmapbt=0'),
  // Sectors.
  c(512 * MIB, '-s size=4096', true),
  c(512 * MIB, '-s size=1024'),
  c(512 * MIB, '-b size=4096 -s size=2048'),
  c(GIB, '-b size=16384 -s size=16384'),
  c(2 * GIB, '-b size=32768 -s size=32768'),
  // Inodes and directories.
  c(512 * MIB, '-i size=1024'),
  c(512 * MIB, '-i size=2048', true),
  c(64 * MIB, '-b size=1024 -i size=512 -n size=8192'),
  c(512 * MIB, '-n size=65536', true),
  c(512 * MIB, '-n size=16384 -i perblock=4'),
  c(512 * MIB, '-i maxpct=90'),
  // Features on and off.
  c(64 * MIB, '-m rmapbt=0', true),
  c(512 * MIB, '-m reflink=0'),
  {
    size: 64 * MIB,
    args: '-m reflink=0',
    differs: 'Linux 6.18 does not mount the smallest log mkfs.xfs 6.1 makes with rmapbt and without reflink',
  },
  c(64 * MIB, '-m rmapbt=0,reflink=0', true),
  c(64 * MIB, '-m finobt=0', true),
  c(64 * MIB, '-m inobtcount=0'),
  c(64 * MIB, '-m bigtime=0', true),
  c(64 * MIB, '-m bigtime=0,finobt=0,rmapbt=0,reflink=0 -i sparse=0,nrext64=0'),
  c(64 * MIB, '-i sparse=0', true),
  c(64 * MIB, '-i nrext64=1', true),
  c(64 * MIB, '-b size=1024 -m rmapbt=0 -i sparse=0'),
  c(512 * MIB, '-m finobt=0,rmapbt=1 -i nrext64=1,sparse=0'),
  // Allocation groups.
  c(64 * MIB, '-d agcount=1'),
  c(64 * MIB, '-d agcount=2', true),
  c(100 * MIB, '-d agcount=3'),
  c(GIB, '-d agcount=5'),
  c(GIB, '-d agcount=16'),
  c(2 * GIB, '-d agcount=64', true),
  c(GIB, '-d agcount=17 -b size=1024'),
  c(GIB, '-d agsize=100m', true),
  c(GIB, '-d agsize=16m'),
  c(1000 * MIB, '-d agsize=33m'),
  // Stripes.
  c(GIB, '-d su=64k,sw=2', true),
  {
    size: 512 * MIB,
    args: '-d su=64k,sw=2',
    differs: 'the free blocks before an aligned log that ends with its AG are in no free-space tree',
  },
  c(GIB, '-d su=16k,sw=4 -b size=1024'),
  c(4 * GIB, '-d su=64k,sw=3'),
  c(10 * GIB, '-d su=256k,sw=8', true),
  c(10 * GIB, '-d su=512k,sw=4'),
  c(20 * GIB, '-d su=1m,sw=5 -i size=1024'),
  c(TIB, '-d su=128k,sw=7'),
  c(20 * TIB, '-d su=256k,sw=10'),
  c(2 * GIB, '-d sunit=128,swidth=512'),
  c(2 * GIB, '-d sunit=8,swidth=8 -s size=4096'),
  c(2 * GIB, '-d su=128k,sw=2 -i sparse=0 -m rmapbt=0'),
  c(2 * GIB, '-d noalign'),
  // Logs.
  c(GIB, '-l size=16m'),
  c(GIB, '-l size=64m,su=4k', true),
  c(GIB, '-l size=64m,su=256k', true),
  c(GIB, '-l su=32k'),
  c(GIB, '-l sunit=64'),
  c(512 * MIB, '-l agnum=0', true),
  c(512 * MIB, '-l agnum=3,size=32m'),
  c(512 * MIB, '-l agnum=0 -m rmapbt=0,reflink=0'),
  c(20 * GIB, '-l size=2000m'),
  c(300 * MIB, '-d agcount=2 -l size=137m'),
  c(GIB, '-d su=512k,sw=4 -l su=4k'),
  // Labels, sizes of parts, inherited hints.
  c(512 * MIB, '-L twelve-bytes'),
  c(512 * MIB, '-d size=400m -L label', true),
  c(512 * MIB, '-d extszinherit=16,cowextsize=32,projinherit=70000', true),
  c(512 * MIB, '-d daxinherit=1,rtinherit=1'),
];

/** "512 MiB -b size=1024", as test names have it. */
export function caseName(one: Case): string {
  const unit = one.size >= TIB ? 40 : one.size >= GIB ? 30 : 20;
  const name = { 40: 'TiB', 30: 'GiB', 20: 'MiB' }[unit];
  const amount = one.size / 2 ** unit;
  return `${Number.isInteger(amount) ? amount : amount.toFixed(3)} ${name} ${one.args}`.trim();
}
