import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { ATTR, DIR, dumpAttr, dumpDir } from '../../src/dump/names.js';
import { textToBytes } from '../../src/format/text.js';
import { PathMap } from '../../src/volume/path.js';
import { populated } from '../support/cache.js';
import { withMount } from '../support/mount.js';
import { oracle } from '../support/oracle.js';
import { describeTree, type Tree } from '../support/tree.js';
import { collect, SHAPES, withVolume } from './support.js';

/** Names of all entries of a mounted tree by directory, as latin1; '' is the root. */
function listings(root: string): Map<string, string[]> {
  const out = new Map<string, string[]>();
  const walk = (path: string): void => {
    const names: string[] = [];
    const below: string[] = [];
    const at = Buffer.from(join(root, path), 'latin1');
    for (const entry of readdirSync(at, { withFileTypes: true, encoding: 'buffer' })) {
      const name = (entry.name as unknown as Buffer).toString('latin1');
      names.push(name);
      if (entry.isDirectory()) below.push(path === '' ? name : `${path}/${name}`);
    }
    out.set(path, names.sort());
    below.forEach(walk);
  };
  walk('');
  return out;
}

const latin1 = (b: Uint8Array): string => Buffer.from(b).toString('latin1');

for (const { name, mkfs, scale } of SHAPES)
  test(`dir and attr hold what Linux shows: ${name}`, oracle('mount'), () => {
    const { image } = populated({ mkfs, populate: { scale } });
    const [listed, tree] = withMount(
      image,
      (root): [Map<string, string[]>, Tree] => [listings(root), describeTree(root, { content: false })],
      { options: 'ro,norecovery' },
    );
    withVolume(image, (volume) => {
      const paths = new PathMap(volume);
      const pathOf = (ino: number): string => latin1(paths.get(ino)!).slice(1);

      const dirs = collect(volume, DIR, (sink) => dumpDir(volume, sink));
      assert.deepEqual(dirs.faults, []);
      const ours = new Map<string, string[]>();
      for (const row of dirs.rows) {
        const dir = pathOf(row.ino as number);
        if (!ours.has(dir)) ours.set(dir, []);
        const entry = latin1(textToBytes(row.name as string));
        if (entry === '.') assert.equal(row.inumber, row.ino);
        else if (entry !== '..') ours.get(dir)!.push(entry);
        if (volume.g.features.ftype && entry !== '.' && entry !== '..') {
          const node = tree.get(dir === '' ? entry : `${dir}/${entry}`)!;
          assert.equal(row.ftype, node.type, `${dir}/${entry}`);
        }
      }
      for (const names of ours.values()) names.sort();
      assert.deepEqual([...ours.keys()].sort(), [...listed.keys()].sort());
      for (const [dir, names] of listed) assert.deepEqual(ours.get(dir), names, dir);

      const attrs = collect(volume, ATTR, (sink) => dumpAttr(volume, sink));
      assert.deepEqual(attrs.faults, []);
      const expected = new Map<string, string>();
      for (const node of tree.values())
        for (const [key, value] of node.xattrs)
          if (!key.startsWith('system.')) expected.set(`${node.ino} ${key}`, value);
      assert.ok(expected.size > 300, `${expected.size} attributes to compare`);
      for (const row of attrs.rows) {
        const key = `${row.ino} ${row.namespace}.${latin1(textToBytes(row.name as string))}`;
        const value =
          row.encoding === 'base64'
            ? Buffer.from(row.value as string, 'base64')
            : Buffer.from(textToBytes(row.value as string));
        assert.equal(value.length, row.valuelen);
        assert.equal(value.toString('hex'), expected.get(key), key);
        expected.delete(key);
      }
      assert.deepEqual([...expected.keys()], [], 'attributes missing');
    });
  });
