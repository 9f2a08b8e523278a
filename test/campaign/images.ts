/**
 * The image campaign: large trees of this machine into images and back, held against Linux.
 *
 *     node --import tsx test/campaign/images.ts [--source DIR,...] [--dedupe-source DIR,...] [--keep FOLDER]
 *
 * For each source: xfs_repair finds nothing, Linux shows the same tree (contents, metadata, attributes, ACLs,
 * holes), an archive comes back with the same members, and another copy of the source, made in another order
 * and another folder at another time, gives the same bytes. Then two copies of a tree with --dedupe take the
 * space of one, and share what Linux's FIDEDUPERANGE makes the same files share. Needs root, tar, xfsprogs and a
 * bundle (`npm run build`).
 */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { xfsimg } from '../support/cli.js';
import { mount, unmount, withMount } from '../support/mount.js';
import { oracle, run, sha256, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { assertSameTree, holesOf } from '../support/sametree.js';
import { describeTree } from '../support/tree.js';
import { bmapAll, btdumpAll } from '../support/xfsdb.js';

const { values } = parseArgs({
  options: {
    source: { type: 'string', default: '/usr/share,node_modules' },
    'dedupe-source': { type: 'string', default: '/usr/share/perl' },
    keep: { type: 'string' },
  },
});
oracle('mount', 'tar', 'xfs_repair', 'xfs_io', 'xfs_db', 'getfattr');

const folder = values.keep ?? tmpdir('xfsimg-images-');
mkdirSync(folder, { recursive: true });

function done(what: string, from: number): void {
  console.log(`${what}\tok\t${((performance.now() - from) / 1000).toFixed(1)} s`);
}

function program(...args: string[]): string {
  const { status, stdout, stderr } = xfsimg(args, { encoding: 'utf8' });
  assert.equal(status, 0, `${args.join(' ')}: ${stderr}`);
  return stdout + stderr;
}

/** Members of an archive as GNU tar tells them, owners, modes, times and targets included. */
const members = (archive: string): string[] =>
  run('tar', ['--full-time', '--numeric-owner', '-tvf', archive], { encoding: 'latin1' })
    .stdout.split('\n')
    .filter((line) => line !== '')
    .map((line) => line.replace(/ \.?\//, ' ').replace(/\/$/, ''))
    .sort();

/** A copy of a tree made last name first: another readdir order. */
function copyBackwards(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  const pack =
    'find . -print0 | sort -zr | tar --format=pax --xattrs --acls --null --no-recursion -T - -cf -';
  run('sh', ['-c', `cd "$0" && ${pack} | tar --xattrs --xattrs-include='*' --acls -C "$1" -xpf -`, from, to]);
}

/** Where data and holes begin within the file: what lies behind its end is told differently. */
const holes = (at: string, path: string): string =>
  [...holesOf(at, path).matchAll(/^(DATA|HOLE)\t(\d+)$/gm)]
    .filter(([, , offset]) => Number(offset) < statSync(join(at, path)).size)
    .map(([line]) => line)
    .join(' ');

function roundTrip(source: string): void {
  const image = join(folder, 'image');
  let from = performance.now();
  program('mkfs', image, '-f', '-q', '--size', 'auto+5%', '-p', source);
  done(`${source}: made`, from);
  from = performance.now();
  xfsRepairClean(image);
  done(`${source}: xfs_repair -n`, from);
  from = performance.now();
  withMount(
    image,
    (root) => {
      assertSameTree(root, source);
      const sparse = run('find', ['.', '-type', 'f', '-printf', '%S %P\\n'], { cwd: source })
        .stdout.split('\n')
        .filter((line) => Number(line.split(' ')[0]) < 1 && !line.startsWith('0 '))
        .slice(0, 20);
      for (const line of sparse) {
        const path = line.slice(line.indexOf(' ') + 1);
        assert.equal(holes(root, path), holes(source, path), path);
      }
    },
    { options: 'ro,norecovery' },
  );
  done(`${source}: the same tree under Linux`, from);

  from = performance.now();
  const [first, second] = [join(folder, 'first.tar'), join(folder, 'second.tar')];
  run('tar', ['--format=pax', '--xattrs', '--acls', '-C', source, '-cf', first, '.']);
  program('mkfs', image, '-f', '-q', '--size', 'auto+5%', '-p', first);
  xfsRepairClean(image);
  program('extract', image, '--tar', second);
  const [before, after] = [members(first), members(second)];
  // Of hard links either name may be the one that carries the file.
  const names = (list: string[]): string[] =>
    list.map((line) =>
      line
        .replace(/^h/, '-')
        .replace(/^(\S+ \S+) +\d+ /, '$1 ')
        .replace(/ link to .*/, ''),
    );
  assert.deepEqual(names(after).sort(), names(before).sort());
  done(`${source}: archive, image, archive (${before.length} members)`, from);
  for (const path of [first, second, image]) rmSync(path);
}

function reproducible(source: string): void {
  const from = performance.now();
  const elsewhere = join(folder, 'else', 'where');
  copyBackwards(source, elsewhere);
  for (const dedupe of [[], ['--dedupe']]) {
    const digests = [source, elsewhere].map((tree, i) => {
      const image = join(folder, `again-${i}`);
      program(...['mkfs', image, '-f', '-q', '--size', 'auto', '--reproducible', ...dedupe, '-p', tree]);
      const digest = sha256(image);
      rmSync(image);
      return digest;
    });
    assert.equal(digests[0], digests[1], `${source} ${dedupe.join(' ')}`);
  }
  rmSync(join(folder, 'else'), { recursive: true });
  done(`${source}: elsewhere, later, in another order: the same bytes`, from);
}

/** What shares blocks: for each file block with more owners than one, the owners, by path and place. */
function sharing(image: string, paths: Map<number, string>): string[] {
  const owners = new Map<number, string[]>();
  for (const [ino, extents] of bmapAll(image, [...paths.keys()]))
    for (const e of extents)
      for (let i = 0; i < e.blockcount; i++) {
        const block = e.startblock + i;
        const list = owners.get(block) ?? [];
        list.push(`${paths.get(ino)}:${e.startoff + i}`);
        owners.set(block, list);
      }
  return [...owners.values()]
    .filter((list) => list.length > 1)
    .map((list) => list.sort().join(' '))
    .sort();
}

/** Blocks by their number of owners, from the refcount btrees. */
function refcounts(image: string): Record<string, number> {
  const found: Record<string, number> = {};
  for (const { columns, rows } of btdumpAll(image, 'refcntbt'))
    for (const row of rows) {
      const refs = Number(row[columns.indexOf('refcount')]);
      found[refs] = (found[refs] ?? 0) + Number(row[columns.indexOf('blockcount')]);
    }
  assert.ok(Object.keys(found).length > 0);
  return found;
}

function deduplicated(source: string): void {
  const from = performance.now();
  const twice = join(folder, 'twice');
  mkdirSync(twice);
  for (const name of ['a', 'b']) cpSync(source, join(twice, name), { recursive: true });
  const [one, two] = [join(folder, 'one'), join(folder, 'two')];
  const said = program('mkfs', two, '-f', '-q', '--size', '4g', '--dedupe=file', '-p', twice);
  program('mkfs', one, '-f', '-q', '--size', '4g', '-p', twice);
  xfsRepairClean(two);
  const used = (image: string): number =>
    withMount(image, (root) => Number(run('df', ['-k', '--output=used', root]).stdout.split('\n')[1]));
  const plain = used(one);
  const shared = used(two);
  const aliases = join(folder, 'aliases');
  mkdirSync(aliases);
  const root = mount(one);
  const paths: string[] = [];
  try {
    // Linux's own: each file of the second copy onto that of the first, and equal files within the first.
    const known = new Map<string, string>();
    const commands: string[] = [];
    for (const [path, node] of describeTree(root, { xattrs: false })) {
      if (node.type !== 'file' || node.size === 0n) continue;
      // xfs_io parts its words at blanks, and knows no quotes.
      const alias = join(aliases, `${paths.push(path)}`);
      symlinkSync(Buffer.from(join(root, path), 'latin1'), alias);
      const key = `${node.size} ${node.content}`;
      const first = known.get(key);
      if (first === undefined) known.set(key, alias);
      else commands.push(`open ${alias}`, `dedupe -q ${first} 0 0 ${node.size}`, 'close');
    }
    run('xfs_io', [], { input: `${commands.join('\n')}\n` });
  } finally {
    unmount(root);
  }
  xfsRepairClean(one);
  assert.deepEqual(refcounts(two), refcounts(one));
  const numbers = (image: string): Map<number, string> =>
    withMount(
      image,
      (at) => new Map(paths.map((path) => [statSync(Buffer.from(join(at, path), 'latin1')).ino, path])),
      {
        options: 'ro,norecovery',
      },
    );
  const [ours, linux] = [two, one].map((image) => sharing(image, numbers(image)));
  assert.deepEqual(ours, linux);
  console.log(
    `${said.trim()}; used ${shared} KiB, without sharing ${plain} KiB; ${ours.length} blocks shared`,
  );
  done(`${source} twice: what Linux's FIDEDUPERANGE shares`, from);
  for (const path of [one, two]) rmSync(path);
  for (const path of [twice, aliases]) rmSync(path, { recursive: true });
}

const listed = (names: string): string[] => names.split(',').filter((name) => name !== '');
for (const origin of listed(values.source)) {
  // A copy: other trees may hold links to the files.
  const source = join(folder, basename(origin));
  run('cp', ['-a', origin, source]);
  roundTrip(source);
  reproducible(source);
  rmSync(source, { recursive: true });
}
for (const source of listed(values['dedupe-source'])) deduplicated(source);
