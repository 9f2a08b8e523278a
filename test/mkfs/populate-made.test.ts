import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { cpSync, linkSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDirectory } from '../../src/mkfs/populate/directory.js';
import { fill, makeFilled } from '../../src/mkfs/populate/make.js';
import { type NodeFields, SourceTree, type TreeSource } from '../../src/mkfs/populate/tree.js';
import { mount, unmount, withMount } from '../support/mount.js';
import { oracle, run, sha256, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs as mkfsXfs } from '../support/populate.js';
import { assertSameTree, holesOf } from '../support/sametree.js';

const MIB = 2 ** 20;

test('shapes a plain tree has not', oracle('mount', 'xfs_repair', 'xfs_io', 'getfattr'), async (t) => {
  const folder = tmpdir();
  const origin = mkfsXfs(join(folder, 'origin'), { size: 1024 * MIB });
  const source = mount(origin);
  try {
    await t.test('1,000 links, 100 GiB with ten islands, 60 KiB of attribute', async () => {
      writeFileSync(join(source, 'linked'), 'linked');
      mkdirSync(join(source, 'links'));
      for (let i = 0; i < 1000; i++) linkSync(join(source, 'linked'), join(source, 'links', `${i}`));
      const commands = ['truncate 107374182400'];
      for (let i = 0; i < 10; i++)
        commands.push(`pwrite -q -S ${i + 1} ${i * 10_737_418_240 + 5000} ${3000 * (i + 1)}`);
      run('xfs_io', ['-f', ...commands.flatMap((c) => ['-c', c]), join(source, 'sparse')]);
      run('setfattr', [
        '-n',
        'user.big',
        '-v',
        `0x${randomBytes(60 * 1024).toString('hex')}`,
        join(source, 'linked'),
      ]);
      run('setfacl', ['-m', 'u:1234:rw,g:77:r', join(source, 'linked')]);
      symlinkSync('y'.repeat(1023), join(source, 'symlink'));
      const image = join(folder, 'image');
      await makeFilled(image, { size: 256 * MIB }, { source });
      xfsRepairClean(image);
      withMount(
        image,
        (root) => {
          assertSameTree(root, source);
          assert.equal(holesOf(root, 'sparse'), holesOf(source, 'sparse'));
        },
        { options: 'ro,norecovery' },
      );
    });
  } finally {
    unmount(source);
  }
});

test('a directory of 100,000 names of 1,000 files', oracle('mount', 'xfs_repair'), async () => {
  const image = join(tmpdir(), 'image');
  const source = new Names();
  const { tree } = source;
  const files: number[] = [];
  const names = new Map<string, number>();
  tree.add(-1, new Uint8Array(0), fields(0o040755));
  const many = tree.add(0, Buffer.from('many'), fields(0o040755));
  for (let i = 0; i < 100_000; i++) {
    const name = `${i}-${'x'.repeat(i % 40)}`;
    const row = tree.add(many, Buffer.from(name), fields(0o100644));
    if (files.length < 1000) files.push(row);
    else tree.link[row] = files[i % 1000];
    names.set(name, i % 1000);
  }
  await fill(image, { size: 64 * MIB }, {}, source, false);
  xfsRepairClean(image);
  withMount(
    image,
    (root) => {
      const listed = run('find', [join(root, 'many'), '-type', 'f', '-printf', '%f %i %n\\n']).stdout.split(
        '\n',
      );
      assert.equal(listed.pop(), '');
      assert.equal(listed.length, names.size);
      const inodes = new Map<number, string>();
      for (const line of listed) {
        const [name, ino, nlink] = line.split(' ');
        const file = names.get(name);
        assert.ok(file !== undefined, name);
        assert.equal(inodes.get(file) ?? ino, ino, name);
        inodes.set(file, ino);
        assert.equal(nlink, '100', name);
      }
      assert.equal(new Set(inodes.values()).size, 1000);
    },
    { options: 'ro,norecovery' },
  );
});

const fields = (mode: number): NodeFields => ({
  ...{ mode, uid: 0, gid: 0, size: 0, major: 0, minor: 0 },
  ...{ mtime: 1_700_000_000, mtimeNsec: 0, atime: 1_700_000_000, atimeNsec: 0 },
});

/** A tree of empty files. */
class Names implements TreeSource {
  readonly tree = new SourceTree();
  readonly warnings = [];
  open(): void {}
  nextData(): undefined {}
  read(): number {
    return 0;
  }
  shut(): void {}
  close(): void {}
}

/** The rows of another source, last first: what another readdir order gives. */
class Backwards implements TreeSource {
  readonly tree = new SourceTree();
  readonly warnings = [];
  readonly #inner: TreeSource;
  readonly #old: number[] = [];
  constructor(inner: TreeSource) {
    this.#inner = inner;
    const from = inner.tree;
    const rows = new Map<number, number>();
    const depth = (i: number): number => (i === 0 ? 0 : 1 + depth(from.parent[i]));
    const order = [...Array(from.count).keys()].sort((a, b) => depth(a) - depth(b) || b - a);
    for (const i of order) {
      const row = this.tree.add(i === 0 ? -1 : (rows.get(from.parent[i]) as number), from.name(i).slice(), {
        mode: from.mode[i],
        uid: from.uid[i],
        gid: from.gid[i],
        size: from.size[i],
        mtime: from.mtime[i],
        mtimeNsec: from.mtimeNsec[i],
        atime: from.atime[i],
        atimeNsec: from.atimeNsec[i],
        major: 0,
        minor: 0,
      });
      rows.set(i, row);
      this.#old[row] = i;
      if (from.targetLength[i] > 0) this.tree.setTarget(row, from.target(i).slice());
    }
  }
  open(file: number): void {
    this.#inner.open(this.#old[file], this.#old[file]);
  }
  nextData(from: number): readonly [number, number] | undefined {
    return this.#inner.nextData(from);
  }
  read(offset: number, into: Uint8Array): number {
    return this.#inner.read(offset, into);
  }
  shut(): void {
    this.#inner.shut();
  }
  close(): void {
    this.#inner.close();
  }
}

test('the same files give the same bytes: elsewhere, later, in another order, with sharing', async () => {
  const folder = tmpdir();
  const one = join(folder, 'one');
  run('cp', ['-a', 'src', one]);
  const two = join(folder, 'deeper', 'two');
  mkdirSync(join(folder, 'deeper'));
  for (const dedupe of [undefined, 'block', 'file'] as const) {
    const digests = new Set<string>();
    const options = { reproducible: true, force: true };
    for (const source of [one, two]) {
      if (source === two && dedupe === undefined) run('cp', ['-a', one, two]);
      const image = join(folder, 'image');
      await makeFilled(image, options, { source, auto: 0.1, dedupe });
      digests.add(sha256(image));
    }
    const backwards = new Backwards(await openDirectory(one, {}));
    for (let i = 0; i < backwards.tree.count; i++) {
      backwards.tree.atime[i] = backwards.tree.mtime[i];
      backwards.tree.atimeNsec[i] = backwards.tree.mtimeNsec[i];
    }
    const image = join(folder, 'backwards');
    await fill(image, options, { auto: 0.1, dedupe }, backwards, true);
    digests.add(sha256(image));
    assert.equal(digests.size, 1, `dedupe ${dedupe}`);
  }
});

test(
  'two copies of a tree take the space of one, and the refcount btree is what FIDEDUPERANGE makes',
  oracle('mount', 'xfs_repair', 'xfs_io'),
  async () => {
    const folder = tmpdir();
    const source = join(folder, 'source');
    mkdirSync(join(source, 'a'), { recursive: true });
    for (let i = 0; i < 40; i++) writeFileSync(join(source, 'a', `f${i}`), randomBytes(1 + i * 3001));
    cpSync(join(source, 'a'), join(source, 'b'), { recursive: true });
    cpSync(join(source, 'a'), join(source, 'c'), { recursive: true });
    for (const dedupe of ['file', 'block'] as const) {
      const image = join(folder, `image-${dedupe}`);
      const plain = join(folder, 'plain');
      const { stats } = await makeFilled(image, { size: 64 * MIB }, { source, dedupe });
      await makeFilled(plain, { size: 64 * MIB, force: true }, { source });
      assert.equal(stats.sharedBlocks, 2 * stats.dataBlocks);
      xfsRepairClean(image);
      withMount(image, (root) => assertSameTree(root, source), { options: 'ro,norecovery' });
      withMount(plain, (root) => {
        for (let i = 0; i < 40; i++)
          for (const copy of ['b', 'c']) {
            const from = join(root, 'a', `f${i}`);
            const size = statSync(from).size;
            run('xfs_io', ['-c', `dedupe ${from} 0 0 ${size}`, join(root, copy, `f${i}`)]);
          }
      });
      xfsRepairClean(plain);
      assert.deepEqual(refcounts(image), refcounts(plain));
    }
  },
);

/** How many blocks have how many owners. */
function refcounts(image: string): Record<string, number> {
  const found: Record<string, number> = {};
  const agcount = Number(
    /agcount = (\d+)/.exec(run('xfs_db', ['-r', '-c', 'sb 0', '-c', 'p agcount', image]).stdout)?.[1],
  );
  for (let agno = 0; agno < agcount; agno++) {
    const { stdout } = run('xfs_db', [
      '-r',
      '-c',
      `agf ${agno}`,
      '-c',
      'addr refcntroot',
      '-c',
      'p recs',
      image,
    ]);
    for (const [, , blocks, refs] of stdout.matchAll(/\[(\d+),(\d+),(\d+),\d+\]/g))
      found[refs] = (found[refs] ?? 0) + Number(blocks);
    for (const [, blocks, refs] of stdout.matchAll(/\d+:\[\d+,(\d+),(\d+)(?:,0)?\]/g))
      found[refs] = (found[refs] ?? 0) + Number(blocks);
  }
  assert.ok(Object.keys(found).length > 0);
  return found;
}

test(
  '--size auto: the smallest that holds it, with room asked for',
  oracle('xfs_repair', 'mount'),
  async () => {
    const folder = tmpdir();
    const source = join(folder, 'source');
    mkdirSync(source);
    for (let i = 0; i < 300; i++) writeFileSync(join(source, `f${i}`), randomBytes((i * 7919) % 1_000_000));
    const image = join(folder, 'image');
    await makeFilled(image, {}, { source, auto: 0 });
    xfsRepairClean(image);
    const smallest = statSync(image).size;
    assert.ok(smallest < 220 * MIB, `${smallest}`);
    withMount(image, (root) => assertSameTree(root, source), { options: 'ro,norecovery' });
    await assert.rejects(
      makeFilled(join(folder, 'less'), { size: smallest - 8 * MIB }, { source }),
      /the filesystem is full/,
    );
    await makeFilled(image, { force: true }, { source, auto: 0.25 });
    withMount(image, (root) => {
      const [, size, , available] = run('df', ['-k', '--output=source,size,used,avail', root])
        .stdout.split('\n')[1]
        .split(/\s+/)
        .map(Number);
      // Linux keeps 5 % of a filesystem back while it is mounted.
      assert.ok(available > size * 0.14, `${available} of ${size} KiB`);
    });
  },
);
