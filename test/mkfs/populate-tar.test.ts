import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodeTarHeader, paxRecord, type TarFields } from '../../src/format/tar.js';
import { makeFilled } from '../../src/mkfs/populate/make.js';
import { mount, unmount, withMount } from '../support/mount.js';
import { oracle, run, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { populate as fill, mkfs as mkfsXfs } from '../support/populate.js';
import { assertSameTrees } from '../support/sametree.js';
import { describeTree, type Tree } from '../support/tree.js';

/** What GNU tar does not carry: sockets; links to a fifo; in its own format nanoseconds and attributes too. */
function withoutSockets(tree: Tree): Tree {
  return new Map(
    [...tree].filter(([, node]) => node.type !== 'socket' && !(node.type === 'fifo' && node.nlink > 1)),
  );
}

test('archives of GNU tar', oracle('mount', 'xfs_repair', 'tar'), async (t) => {
  const folder = tmpdir();
  const origin = mkfsXfs(join(folder, 'origin'), { size: 1024 * 2 ** 20, args: ['-m', 'reflink=1'] });
  fill(origin);
  const source = mount(origin, { options: 'ro,norecovery' });
  try {
    const expected = withoutSockets(describeTree(source));
    const pax = ['--format=posix', '--xattrs', '--xattrs-include=*', '--acls'];
    for (const [name, args] of [
      ['pax', pax],
      ['pax, sparse 1.0', [...pax, '-S']],
      ['pax, sparse 0.1', [...pax, '-S', '--sparse-version=0.1']],
      ['pax, sparse 0.0', [...pax, '-S', '--sparse-version=0.0']],
      ['GNU', ['--format=gnu', '-S']],
    ] as const)
      await t.test(name, async () => {
        const archive = join(folder, 'archive.tar');
        const image = join(folder, 'image');
        const isSparse = args.includes('-S' as never);
        run(
          'tar',
          [
            ...args,
            '--numeric-owner',
            '--warning=no-file-ignored',
            '-C',
            source,
            ...(isSparse ? [] : ['--exclude=huge*']),
            '-cf',
            archive,
            '.',
          ],
          { status: 'any' },
        );
        await makeFilled(image, { force: true, size: 1024 * 2 ** 20 }, { source: archive });
        xfsRepairClean(image);
        withMount(
          image,
          (root) => {
            const found = withoutFifos(describeTree(root));
            const want: Tree = new Map();
            for (const [path, node] of expected) {
              if (!isSparse && /\/huge/.test(path)) continue;
              want.set(path, args.includes('--format=gnu' as never) ? coarse(node) : node);
            }
            const got: Tree = new Map();
            for (const [path, node] of found)
              got.set(path, args.includes('--format=gnu' as never) ? coarse(node) : node);
            assertSameTrees(got, want);
          },
          { options: 'ro,norecovery' },
        );
      });
  } finally {
    unmount(source);
  }
});

const withoutFifos = (tree: Tree): Tree => new Map([...tree].filter(([path]) => !path.endsWith('/fifo')));

const coarse = <T extends { mtime: bigint; xattrs: Map<string, string> }>(node: T): T => ({
  ...node,
  mtime: node.mtime - (((node.mtime % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n),
  xattrs: new Map(),
});

type Member = TarFields & { readonly data?: string; readonly pax?: readonly [string, string][] };

const member = (name: string, more: Partial<Member> = {}): Member => ({
  name,
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: more.data?.length ?? 0,
  mtime: 1_700_000_000,
  typeflag: '0',
  ...more,
});

const padded = (b: Uint8Array): Buffer => Buffer.concat([b, Buffer.alloc((512 - (b.length % 512)) % 512)]);

function archiveOf(members: readonly Member[], end = true): Buffer {
  const parts: Uint8Array[] = [];
  for (const m of members) {
    if (m.pax !== undefined) {
      const records = Buffer.concat(m.pax.map(([key, value]) => paxRecord(key, value)));
      parts.push(encodeTarHeader({ ...member('pax'), typeflag: 'x', size: records.length }), padded(records));
    }
    parts.push(encodeTarHeader(m), padded(Buffer.from(m.data ?? '')));
  }
  if (end) parts.push(Buffer.alloc(1024));
  return Buffer.concat(parts);
}

const HOSTILE: [string, Buffer, RegExp][] = [
  ['a path with ..', archiveOf([member('a/../../etc/passwd')]), /\.\./],
  ['a device out of range', archiveOf([member('d', { typeflag: '3', devmajor: 2 ** 20 })]), /out of range/],
  ['a size past the end', archiveOf([{ ...member('f'), size: 10 ** 9 }]), /truncated/],
  ['a negative size', negativeSize(), /size is no number/],
  ['no end', archiveOf([member('f', { data: 'x' })], false), /truncated/],
  ['cut within a file', archiveOf([member('f', { data: 'x'.repeat(3000) })]).subarray(0, 2000), /truncated/],
  [
    'a file through a symlink',
    archiveOf([member('l', { typeflag: '2', linkname: '/etc' }), member('l/passwd')]),
    /goes through \/l/,
  ],
  ['a hard link to nothing', archiveOf([member('h', { typeflag: '1', linkname: 'gone' })]), /hard link/],
  ['a hard link out', archiveOf([member('h', { typeflag: '1', linkname: '../x' })]), /hard link/],
  [
    'a hard link to a directory',
    archiveOf([member('d', { typeflag: '5' }), member('h', { typeflag: '1', linkname: 'd' })]),
    /hard link/,
  ],
  ['a bad pax header', archiveOf([{ ...member('x', { data: '99 path=x\n' }), typeflag: 'x' }]), /pax/],
  ['a name too long', archiveOf([member('x', { pax: [['path', 'n'.repeat(300)]] })]), /300 bytes/],
  ['an owner out of range', archiveOf([member('x', { pax: [['uid', '4294967296']] })]), /out of range/],
  [
    'a sparse map beyond its size',
    archiveOf([
      member('x', {
        data: 'abc',
        pax: [
          ['GNU.sparse.size', '10'],
          ['GNU.sparse.map', '8,3'],
        ],
      }),
    ]),
    /map/,
  ],
  [
    'a sparse map beyond its data',
    archiveOf([
      member('x', {
        data: 'abc',
        pax: [
          ['GNU.sparse.size', '100'],
          ['GNU.sparse.map', '0,50'],
        ],
      }),
    ]),
    /map/,
  ],
  [
    'a file where a directory was',
    archiveOf([member('d', { typeflag: '5' }), member('d')]),
    /is there already/,
  ],
  ['an unknown type', archiveOf([member('x', { typeflag: 'Z' })]), /unknown type/],
  [
    'noise',
    Buffer.concat([archiveOf([member('x')], false), Buffer.alloc(512, 7), Buffer.alloc(1024)]),
    /checksum/,
  ],
  [
    'a symlink too long',
    archiveOf([member('l', { typeflag: '2', pax: [['linkpath', 'x'.repeat(1025)]] })]),
    /1025 bytes/,
  ],
  [
    'an attribute too long',
    archiveOf([member('x', { pax: [['SCHILY.xattr.user.x', 'v'.repeat(65537)]] })]),
    /65537/,
  ],
  [
    'an ACL without its three entries',
    archiveOf([member('x', { pax: [['SCHILY.acl.access', 'user::rwx']] })]),
    /an ACL has one entry each/,
  ],
  ['a path too long', archiveOf([member('x', { pax: [['path', 'p/'.repeat(40_000)]] })]), /80000 bytes/],
  [
    'a file where the root was',
    archiveOf([member('./', { typeflag: '2', linkname: '/etc' })]),
    /is there already, as a directory/,
  ],
];

function negativeSize(): Buffer {
  const b = archiveOf([member('f')]);
  b.fill(0xff, 124, 136);
  let sum = 0;
  for (let i = 0; i < 512; i++) sum += i >= 148 && i < 156 ? 32 : b[i];
  b.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return b;
}

test('hostile archives are refused in one line, and nothing is left', async (t) => {
  const folder = tmpdir();
  for (const [name, bytes, message] of HOSTILE)
    await t.test(name, async () => {
      const archive = join(folder, 'hostile.tar');
      const image = join(folder, 'image');
      writeFileSync(archive, bytes);
      await assert.rejects(makeFilled(image, { size: 2 ** 26 }, { source: archive }), (error: Error) => {
        assert.equal(error.name, 'MkfsError');
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      });
      assert.equal(existsSync(image), false);
    });
});

test(
  'absolute paths stay below the root, later members count, links keep what they had',
  oracle('mount'),
  async () => {
    const folder = tmpdir();
    const archive = join(folder, 'a.tar');
    const image = join(folder, 'image');
    writeFileSync(
      archive,
      archiveOf([
        member('/abs/file', { data: 'first' }),
        member('link', { typeflag: '1', linkname: 'abs/file' }),
        member('abs/file', { data: 'second' }),
        member('libarchive', { pax: [['LIBARCHIVE.xattr.user.a%25b', Buffer.from('v').toString('base64')]] }),
        member('acl', {
          pax: [['SCHILY.acl.access', 'user::rw-,user:joe:r--:1234,group::r--,mask::r--,other::---']],
        }),
      ]),
    );
    await makeFilled(image, { size: 2 ** 26 }, { source: archive });
    withMount(image, (root) => {
      assert.equal(readFileSync(join(root, 'abs/file'), 'utf8'), 'second');
      assert.equal(readFileSync(join(root, 'link'), 'utf8'), 'first');
      const tree = describeTree(root);
      assert.equal(tree.get('link')?.nlink, 1);
      assert.equal(tree.get('libarchive')?.xattrs.get('user.a%b'), '76');
      assert.match(run('getfacl', ['-n', '-c', join(root, 'acl')]).stdout, /^user:1234:r--$/m);
    });
  },
);
