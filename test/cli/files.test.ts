/** ls, tree, stat, cat and find against what Linux's own tools say of the same image, mounted. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { sealCrc } from '../../src/format/checksum.js';
import { DA_AT } from '../../src/format/da.js';
import { DINODE } from '../../src/format/dinode.js';
import { DIR3_BLK_HDR } from '../../src/format/dir.js';
import { packExtent } from '../../src/format/extent.js';
import { throwFault } from '../../src/format/fault.js';
import { blockOffset, inodeOffset } from '../../src/format/geometry.js';
import { viewOf } from '../../src/format/structure.js';
import { openSource } from '../../src/image/open.js';
import { ForkBlocks } from '../../src/volume/forkblocks.js';
import { resolvePath } from '../../src/volume/path.js';
import { openVolume } from '../../src/volume/volume.js';
import { populated } from '../support/cache.js';
import { programArgs, xfsimg } from '../support/cli.js';
import { mount, unmount } from '../support/mount.js';
import { copyImage, oracle, run, sha256, tmpdir } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { describeTree, type Tree, type TreeNode } from '../support/tree.js';

const needed = oracle('mount', 'mkfs.xfs', 'xfs_io', 'setfattr', 'getfattr', 'find', 'ls');

describe('reading commands', needed, () => {
  let image = '';
  let notes = new Map<string, string>();
  let root = '';
  let linux: Tree = new Map();

  before(() => {
    ({ image, notes } = populated({ mkfs: { args: ['-b', 'size=1024', '-n', 'size=8192'] } }));
    root = mount(copyImage(image, join(tmpdir(), 'copy')), { options: 'ro' });
    linux = describeTree(root);
  });
  after(() => {
    if (root !== '') unmount(root);
  });

  /** Runs a command that must end well and say nothing but its output. */
  const good = (...args: string[]): string => {
    const { status, stdout, stderr } = xfsimg(args);
    assert.equal(stderr, '');
    assert.equal(status, 0);
    return stdout;
  };

  /** What an ls of Linux says, made comparable: no totals, no '+' for an ACL, one blank between columns. */
  const byLinux = (...args: string[]): string =>
    run(
      'ls',
      ['-n', '--time-style=+%Y-%m-%d %H:%M:%S', '--quoting-style=literal', '--show-control-chars', ...args],
      {
        cwd: root,
        encoding: 'latin1',
      },
    )
      .stdout.split('\n')
      .filter((line) => !/^total \d+$/.test(line))
      .map((line) => line.replace(/^\.(\/.*)?:$/, (_, path) => `${path ?? '/'}:`))
      .map(squeeze)
      .join('\n');
  const squeeze = (line: string): string => {
    const columns = /^( *\d+ )?([-dlbcps][-rwxsStT]{9})\+?( +\d+ +\d+ +\d+ +\d+(?:, +\d+)? +[\d-]+ [\d:]+ )/;
    return line.replace(columns, (_, ino, mode, rest) =>
      `${(ino ?? '').trim()}${ino ? ' ' : ''}${mode}${rest}`.replace(/ +/g, ' '),
    );
  };
  const squeezed = (text: string): string => text.split('\n').map(squeeze).join('\n');

  test('ls -lR of the whole image', () => {
    const ours = squeezed(good('ls', image, '-lRA'));
    const theirs = byLinux('-lRA');
    assert.ok(theirs.length > 200_000);
    assert.equal(ours === theirs, true, firstDifference(ours, theirs));
  });

  test('ls -R hides what begins with a dot, and what is below', () => {
    const theirs = byLinux('-R', '-1').replaceAll(/^[-dlbcps][-rwxsStT]{9}.*?\d\d:\d\d:\d\d /gm, '');
    const names = run('ls', ['-R', '-1', '--quoting-style=literal', '--show-control-chars'], {
      cwd: root,
      encoding: 'latin1',
    }).stdout.replaceAll(/^\.(\/.*)?:$/gm, (_, path) => `${path ?? '/'}:`);
    assert.ok(theirs.length > 0);
    const ours = good('ls', image, '-R');
    assert.equal(ours === names, true, firstDifference(ours, names));
  });

  test('ls -lai of single directories, of files and of several operands', () => {
    for (const path of ['dirs/awkward', 'special', 'symlinks', 'times', notes.get('dir:empty')!]) {
      const ours = squeezed(good('ls', image, path, '-la', '-i'));
      assert.equal(ours, byLinux('-la', '-i', path));
    }
    const two = ['files/tiny', 'symlinks/good', 'special'];
    assert.equal(squeezed(good('ls', image, '-l', ...two)), byLinux('-l', ...two));
    assert.equal(squeezed(good('ls', image, '-ld', 'dirs')), byLinux('-ld', 'dirs'));
  });

  test('ls as rows', () => {
    const rows = JSON.parse(good('ls', image, '-RA', '--format', 'json')) as Record<string, unknown>[];
    assert.equal(rows.length, linux.size - 1);
    const narrow = good('ls', image, '-RA', '--format', 'tsv', '--columns', 'ino,type', '--no-header').trim();
    assert.deepEqual(
      narrow.split('\n'),
      rows.map((r) => `${r.ino}\t${r.type}`),
    );
  });

  const latin1OfText = (text: string): string => {
    // Bytes that are no UTF-8 come as lone surrogates U+DC80 to U+DCFF.
    let out = '';
    for (const c of text) {
      const code = c.codePointAt(0)!;
      out +=
        code >= 0xdc80 && code <= 0xdcff
          ? String.fromCharCode(code - 0xdc00)
          : Buffer.from(c).toString('latin1');
    }
    return out;
  };

  test('find --format ndjson: every column of every file', () => {
    const lines = xfsimg(['find', image, '--format', 'ndjson'], { encoding: 'utf8' })
      .stdout.trim()
      .split('\n');
    const seen = new Set<string>();
    for (const line of lines) {
      const row = JSON.parse(line);
      const path = latin1OfText(row.path).replace(/^\//, '');
      const node = linux.get(path);
      assert.ok(node, path);
      seen.add(path);
      const time = (iso: string): bigint => {
        const [, seconds, nanoseconds] = /^(.*)\.(\d{9})Z$/.exec(iso)!;
        return BigInt(Date.parse(`${seconds}Z`)) * 1_000_000n + BigInt(nanoseconds);
      };
      const ours: Partial<TreeNode> = {
        type: row.type,
        ino: row.ino,
        mode: Number.parseInt(row.perm, 8),
        nlink: row.nlink,
        uid: row.uid,
        gid: row.gid,
        size: BigInt(row.size),
        blocks: row.blocks * 2,
        atime: time(row.atime),
        mtime: time(row.mtime),
        ctime: time(row.ctime),
        btime: time(row.crtime),
        device: row.rdev?.split(':').map(Number),
        target: row.target === null ? undefined : latin1OfText(row.target),
      };
      for (const [key, value] of Object.entries(ours))
        assert.deepEqual(value, node[key as keyof TreeNode], `${path} ${key}`);
    }
    assert.equal(seen.size, linux.size);
  });

  test('find: each test against GNU find', () => {
    const cases: [string[], string[]][] = [
      [[], []],
      [
        ['--name', '*1*'],
        ['-name', '*1*'],
      ],
      [
        ['--name', '[a-c]?*'],
        ['-name', '[a-c]?*'],
      ],
      [
        ['--iname', 'GOOD'],
        ['-iname', 'GOOD'],
      ],
      [
        ['--path', '*/dirs/*/4*'],
        ['-path', '*/dirs/*/4*'],
      ],
      [
        ['--type', 'd'],
        ['-type', 'd'],
      ],
      [
        ['--type', 'l,p,s'],
        ['-type', 'l,p,s'],
      ],
      [
        ['--type', 'b,c'],
        ['-type', 'b,c'],
      ],
      [
        ['--size', '+1m', '--type', 'f'],
        ['-size', '+1048576c', '-type', 'f'],
      ],
      [
        ['--size', '-5', '--type', 'f'],
        ['-size', '-5c', '-type', 'f'],
      ],
      [
        ['--size', '4096'],
        ['-size', '4096c'],
      ],
      [
        ['--links', '+2', '--type', 'f'],
        ['-links', '+2', '-type', 'f'],
      ],
      [
        ['--maxdepth', '1'],
        ['-maxdepth', '1'],
      ],
      [
        ['--mindepth', '3', '--maxdepth', '4'],
        ['-mindepth', '3', '-maxdepth', '4'],
      ],
      [
        ['--uid', '0', '--gid', '0'],
        ['-uid', '0', '-gid', '0'],
      ],
    ];
    const sorted = (text: string): string[] => text.split('\0').sort();
    for (const [ours, theirs] of cases) {
      const found = sorted(good('find', image, '-0', ...ours));
      const said = run('find', ['.', ...theirs, '-print0'], { cwd: root, encoding: 'latin1' }).stdout;
      assert.deepEqual(found, sorted(said.replaceAll(/(^|\0)\.\/?/g, '$1/')), ours.join(' '));
    }
    const { ino } = linux.get('files/tiny')!;
    assert.equal(good('find', image, '--inum', String(ino)), '/files/tiny\n');
    assert.equal(good('find', image, 'files', '--name', 'tiny'), 'files/tiny\n');
  });

  test('find --flag finds the inodes with shared extents', () => {
    const flagged = good('find', image, '--flag', 'reflink', '-0').split('\0').filter(Boolean);
    for (const [key, path] of notes)
      if (/^shared:clone/.test(key)) assert.ok(flagged.includes(`/${path}`), key);
    assert.ok(!flagged.includes('/files/big'));
  });

  test('cat: files one after the other, holes and unwritten extents as zeros', () => {
    const paths = [
      'files/tiny',
      'files/odd',
      'files/hole-middle',
      'files/unwritten-mixed',
      'files/extents300',
    ];
    const theirs = Buffer.concat(paths.map((p) => readFileSync(join(root, p))));
    const ours = Buffer.from(good('cat', image, ...paths), 'latin1');
    assert.equal(sha256(ours), sha256(theirs));
    const { ino } = linux.get('files/odd')!;
    const byNumber = Buffer.from(good('cat', image, '--inum', String(ino)), 'latin1');
    assert.equal(sha256(byNumber), sha256(readFileSync(join(root, 'files/odd'))));
  });

  test('cat --xattr: every attribute to the byte', () => {
    let tried = 0;
    for (const key of ['attr:short', 'attr:leaf', 'attr:remote', 'attr:colliding']) {
      const path = notes.get(key)!;
      for (const [name, value] of [...linux.get(path)!.xattrs].slice(0, 4)) {
        if (name.startsWith('system.')) continue;
        const utf8 = Buffer.from(name, 'latin1').toString();
        if (utf8.includes('\ufffd')) continue; // a test of its own
        assert.equal(Buffer.from(good('cat', image, path, '--xattr', utf8), 'latin1').toString('hex'), value);
        tried++;
      }
    }
    assert.ok(tried > 8);
    const none = xfsimg(['cat', image, 'files/tiny', '--xattr', 'user.none']);
    assert.equal(none.status, 1);
    assert.match(none.stderr, /files\/tiny: no attribute user\.none/);
    assert.equal(xfsimg(['cat', image, 'files/tiny', '--xattr', 'none']).status, 64);
  });

  test('operands and attribute names that are no UTF-8', () => {
    const command = programArgs.map((a) => `'${a}'`).join(' ');
    const sh = (args: string): string =>
      run('/bin/bash', ['-c', `${command} ${args}`], { encoding: 'latin1' }).stdout;
    assert.equal(sh(`ls ${image} $'dirs/awkward/\\xff\\xfe\\x80'`), 'dirs/awkward/\xff\xfe\x80\n');
    const awkward = [...linux.get(notes.get('attr:colliding')!)!.xattrs].find(([name]) =>
      Buffer.from(name, 'latin1').toString().includes('\ufffd'),
    );
    assert.ok(awkward);
    const [name, value] = awkward;
    const quoted = Buffer.from(name, 'latin1').toString('hex').replace(/../g, '\\x$&');
    const said = sh(`cat ${image} ${notes.get('attr:colliding')} --xattr $'${quoted}'`);
    assert.equal(Buffer.from(said, 'latin1').toString('hex'), value);
  });

  test('stat', () => {
    for (const path of [
      'files/huge1t',
      'symlinks/good',
      'special/char',
      'special/fifo',
      'shared/clone0',
      'dirs',
    ]) {
      const node = linux.get(path)!;
      const said = new Map(
        good('stat', image, path)
          .trim()
          .split('\n')
          .map((line) => line.split(/: +/) as [string, string]),
      );
      assert.equal(said.get('inode'), String(node.ino));
      assert.equal(said.get('type'), node.type);
      assert.match(said.get('mode')!, new RegExp(`^${node.mode.toString(8).padStart(4, '0')} `));
      assert.equal(said.get('links'), String(node.nlink));
      assert.equal(said.get('size'), String(node.size));
      assert.equal(said.get('blocks'), `${node.blocks / 2} of 1024 bytes`);
      assert.equal(said.get('target'), node.target);
      assert.equal(said.get('device'), node.device?.join(':'));
    }
    assert.match(good('stat', image, 'shared/clone0'), /^flags: +.*reflink/m);
    const followed = good('stat', image, '-L', 'symlinks/good');
    assert.match(followed, new RegExp(`^inode: +${linux.get('files/tiny')!.ino}$`, 'm'));
    const attributes = good('stat', image, '-x', notes.get('attr:leaf')!).match(/^attribute:/gm);
    assert.equal(attributes?.length, linux.get(notes.get('attr:leaf')!)!.xattrs.size);
  });

  test('tree', () => {
    /** The same tree drawn from what Linux shows. */
    const draw = (directory: string, prefix: string): string => {
      const below = [...linux.keys()]
        .filter((p) => p !== '' && p.slice(0, Math.max(0, p.lastIndexOf('/'))) === directory)
        .sort();
      return below
        .map((path, i) => {
          const isLast = i === below.length - 1;
          const node = linux.get(path)!;
          const target = node.target === undefined ? '' : ` -> ${node.target}`;
          const line = `${prefix}${isLast ? '└── ' : '├── '}${path.slice(path.lastIndexOf('/') + 1)}${target}\n`;
          return node.type === 'dir' ? line + draw(path, prefix + (isLast ? '    ' : '│   ')) : line;
        })
        .join('');
    };
    const utf8 = (text: string): string => Buffer.from(text, 'latin1').toString();
    for (const top of ['hardlinks', 'special', 'symlinks', 'dirs/deep']) {
      const lines = utf8(good('tree', image, top, '-a')).split('\n');
      const expected = `${top}\n${utf8Lines(draw(top, ''))}`;
      assert.equal(`${lines.slice(0, -3).join('\n')}\n`, expected);
    }
    const inSpecial = [...linux].filter(([p]) => p.startsWith('special/')).length;
    assert.match(good('tree', image, 'special'), new RegExp(`^0 directories, ${inSpecial} files$`, 'm'));
    const directories = [...linux.values()].filter((n) => n.type === 'dir').length;
    assert.match(good('tree', image, '-ad'), new RegExp(`^${directories - 1} directories$`, 'm'));
  });

  test('what is not there, or no file of the kind, is said in one line', () => {
    const cases: [string[], RegExp][] = [
      [['ls', image, 'no/such'], /no\/such: no such file or directory in this image$/],
      [['cat', image, 'dirs'], /dirs: is a directory$/],
      [['cat', image, 'special/fifo'], /special\/fifo: no regular file, it has no contents$/],
      [['cat', image, 'files/tiny/x'], /files\/tiny\/x: not a directory$/],
      [['stat', image, '--inum', '1'], /dinode/],
    ];
    for (const [args, message] of cases) {
      const { status, stdout, stderr } = xfsimg(args);
      assert.equal(status, 1, args.join(' '));
      assert.equal(stdout, '');
      assert.match(stderr.trimEnd(), message);
      assert.equal(stderr.split('\n').length, 2, stderr);
    }
    // The others are still read.
    const some = xfsimg(['cat', image, 'no/such', 'files/tiny']);
    assert.equal(some.status, 1);
    assert.equal(some.stdout, readFileSync(join(root, 'files/tiny'), 'latin1'));
  });

  test('a reader that goes away early ends the program quietly', () => {
    const command = [...programArgs, 'ls', '-R', image].map((a) => `'${a}'`).join(' ');
    const script = `{ ${command}; echo "status $?" >&2; } | head -n 1`;
    const { stdout, stderr } = run('/bin/bash', ['-c', script]);
    assert.equal(stdout, '/:\n');
    assert.equal(stderr, 'status 0\n');
  });

  test('on a terminal names are columns and cannot steer it', oracle('script'), () => {
    const command = [...programArgs, 'ls', image, notes.get('dir:awkward')!].map((a) => `'${a}'`).join(' ');
    const { stdout } = run('script', ['-qec', `stty cols 100; ${command}`, '/dev/null']);
    assert.ok(!stdout.includes('\x1b'), JSON.stringify(stdout));
    assert.match(stdout, /\\x01\\x1b\[31mred/);
    assert.match(stdout, /new\\x0aline/);
    assert.match(stdout, /grün/);
    assert.match(stdout, /\\xff\\xfe\\x80/);
  });
});

/** Lines of latin1 names under a drawing in UTF-8. */
const utf8Lines = (text: string): string =>
  text.replaceAll(/[\x80-\xff]+/g, (bytes) => Buffer.from(bytes, 'latin1').toString());

function firstDifference(a: string, b: string): string {
  const ours = a.split('\n');
  const theirs = b.split('\n');
  const at = ours.findIndex((line, i) => line !== theirs[i]);
  return `line ${at + 1}: ${JSON.stringify(ours[at])}, Linux says ${JSON.stringify(theirs[at])}`;
}

test('a filesystem whose names ignore case is refused by name', oracle('mkfs.xfs'), () => {
  const image = mkfs(join(tmpdir(), 'ci'), { args: ['-n', 'version=ci'] });
  const { status, stdout, stderr } = xfsimg(['ls', image]);
  assert.equal(status, 2);
  assert.equal(stdout, '');
  assert.match(stderr, /does not support: case-insensitive names/);
});

describe('damage in the way', needed, () => {
  const damaged = (
    change: (bytes: Uint8Array, view: DataView) => number,
    at: (image: string) => [number, number],
  ) => {
    const { image } = populated({ mkfs: { args: ['-b', 'size=1024', '-n', 'size=8192'] } });
    const copy = copyImage(image, join(tmpdir(), 'damaged'));
    const [offset, length] = at(copy);
    const source = openSource(copy, { write: true });
    const bytes = new Uint8Array(length);
    source.read(offset, bytes);
    sealCrc(bytes, change(bytes, viewOf(bytes)));
    source.write(offset, bytes);
    source.close();
    return copy;
  };
  const inodeAt =
    (path: string) =>
    (image: string): [number, number] => {
      const volume = openVolume(openSource(image));
      const { ino } = resolvePath(volume, path, { follow: false });
      const at = inodeOffset(volume.g, ino);
      volume.close();
      return [at, volume.g.inodesize];
    };
  const blockAt =
    (path: string, block: number) =>
    (image: string): [number, number] => {
      const volume = openVolume(openSource(image));
      const blocks = new ForkBlocks(volume, resolvePath(volume, path), 'data', throwFault);
      const { agno, agbno } = blocks.place(block)!;
      volume.close();
      return [blockOffset(volume.g, agno, agbno), blocks.fsbs * volume.g.blocksize];
    };

  test('cat: an extent outside the filesystem names inode and field; what comes after is still read', () => {
    const image = damaged((_, v) => {
      packExtent(v, DINODE.size, 0, 2 ** 40, 4, false);
      return DINODE.at.crc;
    }, inodeAt('files/block'));
    const { status, stdout, stderr } = xfsimg(['cat', image, 'files/block', 'files/tiny']);
    assert.equal(status, 1);
    assert.equal(stdout.length, 7);
    assert.match(stderr, /^xfsimg: .*inode \d+.*bmx\[0\]\.startblock is 1099511627776/);
  });

  test('ls: a damaged entry is named, the others are listed', () => {
    const image = damaged(
      (b, v) => {
        // The tag of the third entry: behind '.' and '..', 16 bytes each.
        const size = (8 + 1 + b[64 + 32 + 8] + 1 + 2 + 7) & ~7;
        v.setUint16(64 + 32 + size - 2, 0);
        return DIR3_BLK_HDR.at.crc;
      },
      blockAt('dirs/d40', 0),
    );
    const { status, stdout, stderr } = xfsimg(['ls', image, 'dirs/d40']);
    assert.equal(status, 1);
    assert.equal(stdout.trim().split('\n').length, 40);
    assert.match(stderr, /^xfsimg: .*dir block \(inode \d+ AG \d+ block \d+\): bu\[2\]\.tag is 0, expected/);
    assert.equal(stderr.trim().split('\n').length, 1);
  });

  test('a lookup through a damaged hash btree is refused, the listing is not needed for it', () => {
    const node = 2 ** 35 / 1024;
    const image = damaged(
      (_, v) => {
        v.setUint16(DA_AT.magic, 0x1234);
        return DA_AT.crc;
      },
      blockAt('dirs/d3000', node),
    );
    const { status, stderr } = xfsimg(['stat', image, 'dirs/d3000/0.']);
    assert.equal(status, 1);
    assert.match(stderr, /dir leaf .*magic is 0x1234/);
    assert.equal(xfsimg(['ls', image, 'dirs/d3000']).stdout.trim().split('\n').length, 3000);
  });

  test('a loop of directories ends', () => {
    // A directory's inode takes the place of an entry: dirs/deep/0 gets the inode number of dirs.
    const { image } = populated({ mkfs: { args: ['-b', 'size=1024', '-n', 'size=8192'] } });
    const volume = openVolume(openSource(image));
    const target = resolvePath(volume, 'dirs').ino;
    volume.close();
    const copy = damaged((b, v) => {
      // Short form: header of 6, then length, offset (2), one byte of name, type, inode number.
      const at = DINODE.size + 6;
      assert.equal(b[at], 1);
      v.setUint32(at + 5, target);
      return DINODE.at.crc;
    }, inodeAt('dirs/deep'));
    const { status, stdout, stderr } = xfsimg(['find', copy, '/dirs']);
    assert.equal(status, 1);
    assert.ok(stdout.split('\n').includes('/dirs/deep/0'));
    assert.match(stderr, /directory \(inode \d+\): 0 is \d+, expected a directory not met before/);
  });
});
