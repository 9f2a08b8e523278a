/** Options that fill, copy and extract images, by the command line. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { xfsimg } from '../support/cli.js';
import { fixture } from '../support/fixture.js';
import { withMount } from '../support/mount.js';
import { blank, oracle, run, sha256, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { assertSameTree } from '../support/sametree.js';
import { describeTree } from '../support/tree.js';

const MIB = 2 ** 20;

const done = (args: readonly string[], input?: Buffer): string => {
  const { status, stdout, stderr } = xfsimg(args, { encoding: 'utf8', input });
  assert.equal(status, 0, stderr);
  return stdout;
};

describe('images by the command line', () => {
  test('whose the files are', oracle('mount'), () => {
    const folder = tmpdir();
    const source = join(folder, 'source');
    mkdirSync(source);
    for (const [name, owner] of [
      ['root', '0:0'],
      ['user', '1000:1000'],
      ['other', '1005:2000'],
    ]) {
      writeFileSync(join(source, name), name);
      run('chown', [owner, join(source, name)]);
    }
    const owners = (...options: string[]): string[] => {
      const image = join(folder, 'image');
      done(['mkfs', image, '-f', '-q', '--size', 'auto', '-p', source, ...options]);
      return withMount(
        image,
        (root) =>
          [...describeTree(root, { content: false, xattrs: false })]
            .filter(([path]) => path !== '')
            .map(([path, n]) => `${path} ${n.uid}:${n.gid}`)
            .sort(),
        { options: 'ro,norecovery' },
      );
    };
    assert.deepEqual(owners('--squash'), ['other 0:0', 'root 0:0', 'user 0:0']);
    assert.deepEqual(owners('--owner', ':7'), ['other 1005:7', 'root 0:7', 'user 1000:7']);
    assert.deepEqual(owners('--map-uid', '1000:0:3', '--map-uid', '1005:5', '--map-gid', '1000:100'), [
      'other 5:2000',
      'root 0:0',
      'user 0:100',
    ]);
    assert.deepEqual(owners('--exclude', 'o*'), ['root 0:0', 'user 1000:1000']);
    const list = join(folder, 'list');
    writeFileSync(list, '/user 4755 0:0 user.note="told"\n');
    assert.deepEqual(owners('--metadata', list), ['other 1005:2000', 'root 0:0', 'user 0:0']);
  });

  test('an archive on standard input; one that is cut leaves nothing, or what there is', () => {
    const folder = tmpdir();
    const [image, archive] = [join(folder, 'image'), join(folder, 'a.tar')];
    writeFileSync(join(folder, 'file'), 'x'.repeat(10_000));
    run('tar', ['-cf', archive, '-C', folder, 'file']);
    const bytes = readFileSync(archive);
    done(['mkfs', image, '--size', '64m', '-q', '-p', '-'], bytes);
    assert.equal(done(['cat', image, '/file']), 'x'.repeat(10_000));
    const cut = bytes.subarray(0, 3000);
    const other = join(folder, 'other');
    for (const keep of [[], ['--keep-partial']]) {
      const ran = xfsimg(['mkfs', other, '--size', '64m', '-q', '-p', '-', ...keep], { input: cut });
      assert.equal(ran.status, 1);
      assert.match(ran.stderr, /^xfsimg: .*truncated.*\n$/);
    }
    assert.equal(existsSync(other), false);
    // Filled past its end: what is kept is marked unfinished.
    writeFileSync(join(folder, 'large'), Buffer.alloc(80 * MIB, 1));
    const large = ['mkfs', other, '--size', '64m', '-q', '-p', folder, '--exclude', 'image'];
    assert.equal(xfsimg(large).status, 1);
    assert.equal(existsSync(other), false);
    assert.equal(xfsimg([...large, '--keep-partial']).status, 1);
    assert.equal(statSync(other).size, 64 * MIB);
    assert.match(xfsimg(['info', other]).stderr, /inprogress/);
  });

  test('a shrink to a size', oracle('mount', 'xfs_repair'), () => {
    const image = fixture('shared-healthy');
    const copy = join(tmpdir(), 'copy');
    const size = statSync(image).size;
    const target = 32 * MIB;
    assert.ok(target < size, `${size}`);
    done(['copy', image, copy, '--size', `${target}`, '-q', '--dedupe']);
    assert.equal(statSync(copy).size, target);
    // One AG: xfs_repair wants to be told that this is meant.
    run('xfs_repair', ['-n', '-f', '-o', 'force_geometry', copy]);
    withMount(
      image,
      (before) => withMount(copy, (after) => assertSameTree(after, before), { options: 'ro,norecovery' }),
      { options: 'ro,norecovery' },
    );
    const refused = xfsimg(['copy', image, `${copy}2`, '--size', '1m']);
    assert.notEqual(refused.status, 0);
    assert.equal(existsSync(`${copy}2`), false);
  });

  test('clones come out as clones where the filesystem can', oracle('mount', 'xfs_io'), () => {
    const folder = tmpdir();
    const source = join(folder, 'source');
    mkdirSync(source);
    for (const name of ['a', 'b']) writeFileSync(join(source, name), Buffer.alloc(MIB, 'content '));
    const image = join(folder, 'image');
    done(['mkfs', image, '--size', 'auto', '-q', '--dedupe=file', '-p', source]);
    const target = join(folder, 'target');
    blank(target, 512 * MIB);
    run('mkfs.xfs', ['-q', '-m', 'reflink=1', target]);
    withMount(target, (root) => {
      done(['extract', image, '/', '-C', join(root, 'out')]);
      for (const name of ['a', 'b']) {
        assert.deepEqual(readFileSync(join(root, 'out', name)), readFileSync(join(source, name)));
        assert.match(run('xfs_io', ['-r', '-c', 'fiemap -v', join(root, 'out', name)]).stdout, /0x2001/);
      }
    });
    xfsRepairClean(target);
  });

  test('nothing is written over what it is made of', () => {
    const folder = tmpdir();
    const at = (name: string): string => join(folder, name);
    const [image, link, dump, archive] = ['image', 'link', 'dump', 'a.tar'].map(at);
    mkdirSync(at('source'));
    writeFileSync(at('source/file'), 'contents');
    done(['mkfs', image, '--size', '64m', '-q', '-p', at('source')]);
    done(['metadump', image, dump]);
    done(['extract', image, '--tar', archive]);
    symlinkSync(image, link);
    const before = [image, dump, archive].map(sha256);
    for (const [args, what] of [
      [['copy', image, link, '-f'], 'the image itself'],
      [['metadump', image, link, '-f'], 'the image itself'],
      [['extract', link, '--tar', image], 'the image itself'],
      [['mdrestore', dump, dump, '-f'], 'the dump itself'],
      [['mkfs', archive, '-f', '--size', '64m', '-p', archive], 'the source itself'],
      [['mkfs', image, '-f', '--size', '64m', '-p', at('gone')], 'gone: no such file or directory'],
      [
        ['mkfs', image, '-f', '--dedupe', '-m', 'reflink=0', '-p', at('source')],
        '--dedupe needs a filesystem',
      ],
    ] as const) {
      const ran = xfsimg(args);
      assert.match(ran.stderr, /^xfsimg: [^\n]*\n$/);
      assert.ok(ran.stderr.includes(what), ran.stderr);
      assert.ok(ran.status === 64 || ran.status === 1, `${ran.status}`);
    }
    assert.deepEqual([image, dump, archive].map(sha256), before);
    // An image among the files it is made of, as tar does it.
    const inner = at('source/inner');
    copyFileSync(image, inner);
    const ran = xfsimg(['mkfs', inner, '-f', '-q', '--size', '64m', '-p', at('source')]);
    assert.match(ran.stderr, /inner: is the image itself: left out/);
    assert.equal(done(['ls', inner, '/']), 'file\n');
  });

  test('one file is taken out by its name; where nothing can go is told', oracle('tar'), () => {
    const folder = tmpdir();
    const image = fixture('shared-healthy');
    const path = done(['find', image, '--type', 'f', '--columns', 'path', '--no-header']).split('\n')[0];
    const name = path.slice(path.lastIndexOf('/') + 1);
    done(['extract', image, path, '-C', folder]);
    assert.equal(sha256(join(folder, name)), createHash('sha256').update(bytesOf(image, path)).digest('hex'));
    writeFileSync(join(folder, 'a.tar'), xfsimg(['extract', image, path, '--tar']).stdout, 'latin1');
    assert.equal(run('tar', ['-tf', join(folder, 'a.tar')]).stdout, `./${name}\n`);
    const again = xfsimg(['extract', image, path, '-C', folder]);
    assert.match(again.stderr, /is there already: --overwrite replaces it\n$/);
    assert.equal(again.status, 1);
    const into = xfsimg(['extract', image, path, '-C', join(folder, name)]);
    assert.match(into.stderr, /^xfsimg: [^\n]*: cannot be made: file already exists\n$/);
    assert.equal(into.status, 1);
  });
});

const bytesOf = (image: string, path: string): Buffer =>
  Buffer.from(xfsimg(['cat', image, path]).stdout, 'latin1');
