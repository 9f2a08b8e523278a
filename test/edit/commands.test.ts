/** Every command through the program, held against Linux's tools on a twin; and what must be refused. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { xfsimg } from '../support/cli.js';
import { withMount } from '../support/mount.js';
import { copyImage, oracle, run, sha256, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { assertSameTrees } from '../support/sametree.js';
import { describeTree } from '../support/tree.js';

const needs = oracle('mount', 'mkfs.xfs', 'xfs_repair', 'setfattr', 'getfattr', 'setfacl');
const small = (args: string[] = []): string =>
  mkfs(join(tmpdir(), 'image'), { size: 32 << 20, tiny: true, args });

/** Lines for `xfsimg edit`, and the same for a shell in the root of the mounted twin. */
const LINES: readonly (readonly [ours: string, linux: string])[] = [
  ['mkdir -p /a/b "/with blank"', 'mkdir -p a/b "with blank"'],
  ['mkdir -m 2771 /group', 'mkdir -m 2771 group'],
  ['chown 7:8 /group', 'chown 7:8 group'],
  ['mkdir /group/in', 'mkdir group/in'],
  ['put -r SOURCE /a', 'cp -a SOURCE a'],
  ['put -r -T SOURCE /a/source', 'cp -a -T SOURCE a/source'],
  ['put SOURCE/file SOURCE/link /group', 'cp -a SOURCE/file SOURCE/link group'],
  ['ln /a/source/file /a/b/hard', 'ln a/source/file a/b/hard'],
  ['ln -s ../source/file /a/b/soft', 'ln -s ../source/file a/b/soft'],
  ['ln -s ../x ../y /a/b', 'ln -s ../x ../y a/b'],
  ['mknod /a/null c 1 3', 'mknod a/null c 1 3'],
  ['mknod -m 600 /a/pipe p', 'mknod -m 600 a/pipe p'],
  ['mknod /a/disk b 0x8 17', 'mknod a/disk b 0x8 17'],
  ['touch /empty /a/b/hard', 'touch empty a/b/hard'],
  ['mv /empty /a/b/y /group', 'mv empty a/b/y group'],
  ['mv -T /a/b "/with blank"', 'mv -T a/b "with blank"'],
  ['chmod -R u=rwX,g+w,o= /group', 'chmod -R u=rwX,g+w,o= group'],
  ['chmod 6755 /a/source/file', 'chmod 6755 a/source/file'],
  ['chown -R :55 "/with blank"', 'chown -R :55 "with blank"'],
  ['chown -h 3 "/with blank/soft"', 'chown -h 3 "with blank/soft"'],
  ['setfattr -n user.text -v hello /a/source/file', 'setfattr -n user.text -v hello a/source/file'],
  ['setfattr -n trusted.hex -v 0x0001ff "/with blank"', 'setfattr -n trusted.hex -v 0x0001ff "with blank"'],
  ['setfattr -n user.file --file SOURCE/file /a', 'setfattr -n user.file -v "$(cat SOURCE/file)" a'],
  ['setfattr -n user.gone -v 1 /a', 'setfattr -n user.gone -v 1 a'],
  ['setfattr -x user.gone /a', 'setfattr -x user.gone a'],
  [
    'setfattr -n system.posix_acl_access -v user::rwx,user:5:r--,group::r-x,mask::r-x,other::--- /group',
    'setfacl -m u::rwx,u:5:r,g::rx,m::rx,o::- group',
  ],
  [
    'setfattr -n system.posix_acl_default -v user::rwx,group::r-x,group:6:rwx,mask::rwx,other::--- /group',
    'setfacl -d -m u::rwx,g::rx,g:6:rwx,m::rwx,o::- group',
  ],
  ['mkdir /group/heir', 'mkdir group/heir'],
  ['touch /group/heir/file', 'touch group/heir/file'],
  ['rm "/with blank/x" -f /nothing', 'rm "with blank/x"; rm -f nothing'],
  ['rm -r /a/source/sub', 'rm -r a/source/sub'],
  ['rmdir /group/in', 'rmdir group/in'],
];

function makeSource(): string {
  const root = join(tmpdir(), 'source');
  const script = `mkdir -p "${root}/sub" && cd "${root}" && printf 'a file' > file && ln file sub/again && ln -s /file link
truncate -s 200000 sparse && printf x | dd of=sparse bs=1 seek=100000 conv=notrunc status=none
setfattr -n user.own -v 1 sub && chown 77:88 sparse && chmod 640 sparse && touch -h -d @1000000000 file link sparse sub .`;
  run('sh', ['-e', '-c', script]);
  return root;
}

describe('commands', () => {
  for (const args of [[], ['-b', 'size=1024', '-m', 'rmapbt=1']])
    test(`as Linux's tools ${args.join(' ')}`, needs, () => {
      const image = small(args);
      const twin = copyImage(image, `${image}.twin`);
      const source = makeSource();
      const of = (which: 0 | 1): string => LINES.map((l) => l[which].replaceAll('SOURCE', source)).join('\n');
      const ours = xfsimg(['edit', image, '--script', '-'], { input: of(0) });
      assert.deepEqual(ours, { status: 0, stdout: '', stderr: '' });
      xfsRepairClean(image);
      const clean = xfsimg(['repair', '-n', image]);
      assert.equal(clean.status, 0, clean.stderr);
      // Times of what was made just now differ; they are compared by the random edits.
      const still = (root: string) => {
        run('find', [root, '-newermt', '2020-01-01', '-exec', 'touch', '-h', '-d', '@0', '{}', '+']);
        return describeTree(root);
      };
      const linux = withMount(twin, (root) => {
        run('sh', ['-e', '-c', `umask 022\n${of(1)}`], { cwd: root });
        return still(root);
      });
      assertSameTrees(withMount(image, still), linux);
    });

  test('each alone, and standard input', needs, () => {
    const image = small();
    const ok = (args: string[], input = ''): string => {
      const result = xfsimg([args[0], image, ...args.slice(1)], { input });
      assert.deepEqual([result.status, result.stderr], [0, ''], args.join(' '));
      return result.stdout;
    };
    ok(['mkdir', '/d']);
    ok(['put', '-', '/d/f', '-m', '640'], 'contents\n');
    ok(['put', '-', '/d/f'], 'other contents\n');
    ok(['setfattr', '-n', 'user.a', '--file', '-', '/d/f'], 'value');
    ok(['setfattr', '-n', 'user.b', '-v', '0sAAE=', '/d/f']);
    assert.equal(ok(['getfattr', '/d/f']), '# file: /d/f\nuser.a="value"\nuser.b=0sAAE=\n\n');
    assert.equal(ok(['getfattr', '-n', 'user.a', '--only-values', '/d/f']), 'value');
    ok(['touch', '-d', '2001-02-03T04:05:06.7Z', '/d/f']);
    ok(['ln', '/d/f', '/d/g']);
    ok(['mv', '/d/g', '/g']);
    ok(['chmod', '--', '-w', '/g']);
    ok(['chown', '5', '/g']);
    ok(['mknod', '/p', 'p']);
    ok(['rm', '/p']);
    ok(['mkdir', '/e']);
    ok(['rmdir', '/e']);
    xfsRepairClean(image);
    withMount(image, (root) => {
      const stat = run('stat', ['-c', '%a %u %h %Y %s', join(root, 'g')]).stdout;
      assert.equal(stat, '444 5 2 981173106 15\n');
      assert.equal(run('cat', [join(root, 'd/f')]).stdout, 'other contents\n');
    });
  });
});

describe('refused, with one line and the image untouched', () => {
  const image = needs.skip === false ? prepared() : '';
  const before = needs.skip === false ? sha256(image) : '';

  function prepared(): string {
    const path = small();
    withMount(path, (root) => {
      mkdirSync(join(root, 'full/sub'), { recursive: true });
      mkdirSync(join(root, 'fixed'));
      writeFileSync(join(root, 'file'), 'x');
      run('setfattr', ['-n', 'user.x', '-v', '1', join(root, 'file')]);
      run('chattr', ['+i', join(root, 'fixed')]);
      run('mkfifo', [join(root, 'fifo')]);
    });
    return path;
  }

  const long = 'n'.repeat(256);
  const cases: readonly (readonly [args: string[], status: number, stderr: RegExp])[] = [
    [['mkdir', '/missing/x'], 1, /no such file or directory/],
    [['mkdir', '/file/x'], 1, /not a directory/],
    [['mkdir', '/full'], 1, /exists already/],
    [['mkdir', `/${long}`], 1, /more than 255 bytes/],
    [['mkdir', '/fixed/x'], 1, /immutable/],
    [['mkdir', '-m', '9', '/x'], 64, /octal/],
    [['rm', '/missing'], 1, /no such file/],
    [['rm', '/full'], 1, /is a directory/],
    [['rm', '-r', '/fixed'], 1, /immutable/],
    [['rm', '-r', '/'], 1, /root directory/],
    [['rmdir', '/full'], 1, /not empty/],
    [['rmdir', '/file'], 1, /not a directory/],
    [['mv', '/full', '/full/sub'], 1, /into itself/],
    [['mv', '-T', '/file', '/full'], 1, /is a directory/],
    [['mv', '/file'], 64, /second operand/],
    [['ln', '/full', '/x'], 1, /one name only/],
    [['ln', '-s', 'x'.repeat(1024), '/x'], 1, /at most 1023/],
    [['mknod', '/x', 'b', '20000', '0'], 64, /at most 16383/],
    [['mknod', '/x', 'q'], 64, /no TYPE 'q': it is one of b, c, u, p/],
    [['chmod', 'u+q', '/file'], 64, /no mode/],
    [['chmod', '755', '/missing'], 1, /no such file/],
    [['chown', 'root', '/file'], 64, /numbers/],
    [['touch', '-d', 'tomorrow', '/file'], 64, /no time/],
    [['setfattr', '-n', 'noprefix', '-v', '1', '/file'], 1, /begins with user/],
    [['setfattr', '-n', 'user.a', '-v', '0xzz', '/file'], 64, /no value/],
    [['setfattr', '-x', 'user.missing', '/file'], 1, /no attribute/],
    [['setfattr', '-x', 'user.missing', '/fifo'], 1, /files and directories only/],
    [['setfattr', '-n', 'system.posix_acl_access', '-v', 'user::rwx', '/file'], 1, /one entry each/],
    [['setfattr', '-n', 'user.x', '--create', '/file'], 1, /exists already/],
    [['getfattr', '-n', 'user.missing', '/file'], 1, /no attribute/],
    [['put', '/nowhere/at/all', '/x'], 1, /no such file/],
    [['put', '/usr/share', '/x'], 1, /-r puts it in/],
    [['put', '/dev/null', '/full/sub/x/y'], 1, /no such file/],
    [['edit', '--script', '/nowhere'], 1, /cannot read the script/],
  ];
  for (const [args, status, stderr] of cases) {
    test(args.map((a) => a.slice(0, 20)).join(' '), needs, () => {
      const result = xfsimg([args[0], image, ...args.slice(1)]);
      assert.equal(result.status, status, result.stderr);
      assert.match(result.stderr, stderr);
      assert.match(result.stderr, /^xfsimg: [^\n]+\n$/);
      assert.equal(result.stdout, '');
      assert.equal(sha256(image), before);
    });
  }

  test('no room: nothing of it is there', needs, () => {
    // 38.147 MiB; of a file what it takes besides its data is known too.
    const big = join(tmpdir(), 'big');
    run('sh', ['-c', `head -c 40000000 /dev/urandom > ${big}`]);
    for (const [source, needed] of [
      [big, '38.2'],
      ['-', '38.1'],
    ]) {
      const result = run(
        'sh',
        ['-c', `'${process.execPath}' bin/xfsimg.js put ${image} ${source} /x < ${big}`],
        {
          status: 'any',
        },
      );
      assert.equal(result.status, 1);
      assert.match(
        result.stderr,
        /^xfsimg: [^\n]+no space left in the image: [\d.]+ MiB are needed, [\d.]+ MiB[^\n]+\n$/,
      );
      assert.ok(result.stderr.includes(`: ${needed} MiB are needed`), result.stderr);
      assert.equal(sha256(image), before);
    }
  });
});
