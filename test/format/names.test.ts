/** Structures of directories, attributes and links, field by field against xfs_db; hashes against its `hash`. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  ATTR_LEAF_ENTRY,
  ATTR_SF_HDR,
  ATTR3_LEAF_HDR,
  ATTR3_RMT_HDR,
  attrHash,
  attrLocalSize,
  attrRemoteSize,
  PARENT_REC,
  parentHash,
} from '../../src/format/attr.js';
import { DA_NODE_ENTRY, DA3_NODE_HDR, daHash } from '../../src/format/da.js';
import {
  BLOCK_TAIL,
  blockEntriesEnd,
  DATA_ENTRY,
  DIR3_DATA_HDR,
  DIR3_FREE_HDR,
  DIR3_LEAF_HDR,
  dataEntrySize,
  freeSpaceBlock,
  LEAF_ENTRY,
  LEAF_TAIL,
  leafSpaceBlock,
  SF_HDR4,
} from '../../src/format/dir.js';
import { throwFault } from '../../src/format/fault.js';
import { type Decoded, type Structure, setU64 } from '../../src/format/structure.js';
import { SYMLINK_HDR } from '../../src/format/symlink.js';
import { openSource } from '../../src/image/open.js';
import { ForkBlocks } from '../../src/volume/forkblocks.js';
import type { Inode } from '../../src/volume/inode.js';
import { resolvePath } from '../../src/volume/path.js';
import { openVolume, type Volume } from '../../src/volume/volume.js';
import { populated } from '../support/cache.js';
import { oracle, run } from '../support/oracle.js';
import { print } from '../support/xfsdb.js';

const needed = oracle('mount', 'mkfs.xfs', 'xfs_db', 'xfs_io', 'setfattr');

/** Fields of a decoded structure by the names xfs_db gives them; padding, which it does not print, left out. */
function flatten(decoded: Decoded, prefix: string, into = new Map<string, string>()): Map<string, string> {
  for (const [name, value] of Object.entries(decoded)) {
    if (/^pad/.test(name)) continue;
    if (Array.isArray(value))
      value.forEach((v, i) => {
        flatten(v as unknown as Decoded, `${prefix}${name}[${i}].`, into);
      });
    else if (typeof value === 'object') flatten(value as unknown as Decoded, `${prefix}${name}.`, into);
    else into.set(prefix + name, String(value));
  }
  return into;
}

/** xfs_db prints arrays as `name[0-1] = [a,b] 0:[1,2] 1:[3,4]`: the same a field each, `name[0].a` and so on. */
function unpack(db: Map<string, string>): Map<string, string> {
  const out = new Map(db);
  for (const [name, value] of db) {
    const array = /^(.*)\[\d+(?:-\d+)?\]$/.exec(name);
    const columns = /^\[([\w,]+)\]/.exec(value)?.[1].split(',');
    if (array === null || columns === undefined) continue;
    for (const [, i, cells] of value.matchAll(/(\d+):\[([^\]]*)\]/g))
      cells.split(',').forEach((cell, k) => {
        out.set(`${array[1]}[${i}].${columns[k]}`, cell);
      });
  }
  return out;
}

/** A value as xfs_db prints it, in decimal where it is a number: '0x2c' is 44, '0x1 (correct)' is 1. */
const plain = (s: string): string =>
  /^(0x[0-9a-f]+|-?\d+)( \(.*\))?$/.test(s) ? BigInt(s.split(' ')[0]).toString() : s;

/** Holds a structure at `at` of a block against what xfs_db prints of it. */
function compare(s: Structure, v: DataView, at: number, prefix: string, db: Map<string, string>): void {
  const ours = flatten(s.decode(v, at), prefix);
  assert.ok(ours.size > 0);
  for (const [name, value] of ours) {
    const theirs = db.get(name);
    assert.ok(theirs !== undefined, `xfs_db prints no ${name}; it prints ${[...db.keys()].slice(0, 20)}`);
    // xfs_db shows the bytes of a checksum in the order of a big-endian number.
    const same = name.endsWith('crc') ? swap(value) : value;
    assert.equal(same, plain(theirs), name);
  }
}

const swap = (s: string): string => {
  const v = new DataView(new ArrayBuffer(4));
  v.setUint32(0, Number(s), true);
  return String(v.getUint32(0));
};

describe('structures as xfs_db prints them', needed, () => {
  if (needed.skip) return;
  const { image, notes } = populated({
    mkfs: { args: ['-b', 'size=1024', '-n', 'size=4096'] },
    populate: { scale: 'full' },
  });
  const open = (key: string, check: (volume: Volume, inode: Inode) => void): void => {
    const volume = openVolume(openSource(image));
    try {
      check(volume, resolvePath(volume, notes.get(key)!, { follow: false }));
    } finally {
      volume.close();
    }
  };
  const block = (
    volume: Volume,
    inode: Inode,
    fork: 'data' | 'attr',
    at: number,
  ): [DataView, Map<string, string>] => {
    const v = new ForkBlocks(volume, inode, fork, throwFault).read(at);
    assert.ok(v);
    const to = fork === 'data' ? 'dblock' : 'ablock';
    return [v, unpack(print(image, [`inode ${inode.ino}`, `${to} ${at}`, 'p']))];
  };

  test('short form directory', () =>
    open('dir:4', (_, inode) => {
      const db = print(image, [`inode ${inode.ino}`, 'p u3']);
      compare(SF_HDR4, inode.view, inode.dataAt, 'u3.sfdir3.hdr.', db);
    }));

  test('block directory', () =>
    open('dir:40', (volume, inode) => {
      const [v, db] = block(volume, inode, 'data', 0);
      compare(DIR3_DATA_HDR, v, 0, 'bhdr.', db);
      compare(DATA_ENTRY, v, DIR3_DATA_HDR.size, 'bu[0].', db);
      compare(DATA_ENTRY, v, DIR3_DATA_HDR.size + dataEntrySize(1, true), 'bu[1].', db);
      const tail = v.byteLength - BLOCK_TAIL.size;
      compare(BLOCK_TAIL, v, tail, 'btail.', db);
      const count = v.getUint32(tail);
      for (let i = 0; i < count; i++) {
        const at = blockEntriesEnd(v.byteLength, count) + i * LEAF_ENTRY.size;
        compare(LEAF_ENTRY, v, at, `bleaf[${i}].`, db);
      }
    }));

  test('leaf directory', () =>
    open('dir:200', (volume, inode) => {
      const [data, dataDb] = block(volume, inode, 'data', volume.g.dirblkfsbs);
      compare(DIR3_DATA_HDR, data, 0, 'dhdr.', dataDb);
      compare(DATA_ENTRY, data, DIR3_DATA_HDR.size, 'du[0].', dataDb);
      const [leaf, db] = block(volume, inode, 'data', leafSpaceBlock(volume.g));
      compare(DIR3_LEAF_HDR, leaf, 0, 'lhdr.', db);
      compare(LEAF_TAIL, leaf, leaf.byteLength - LEAF_TAIL.size, 'ltail.', db);
      for (let i = 0; i < 200; i++)
        compare(LEAF_ENTRY, leaf, DIR3_LEAF_HDR.size + i * LEAF_ENTRY.size, `lents[${i}].`, db);
    }));

  test('node directory', () =>
    open('dir:3000', (volume, inode) => {
      const [node, db] = block(volume, inode, 'data', leafSpaceBlock(volume.g));
      compare(DA3_NODE_HDR, node, 0, 'nhdr.', db);
      for (let i = 0; i < node.getUint16(DA3_NODE_HDR.at.count); i++)
        compare(DA_NODE_ENTRY, node, DA3_NODE_HDR.size + i * DA_NODE_ENTRY.size, `nbtree[${i}].`, db);
      const [free, freeDb] = block(volume, inode, 'data', freeSpaceBlock(volume.g));
      compare(DIR3_FREE_HDR, free, 0, 'fhdr.', freeDb);
    }));

  test('attributes', () => {
    open('attr:short', (_, inode) => {
      const db = print(image, [`inode ${inode.ino}`, 'p a']);
      compare(ATTR_SF_HDR, inode.view, inode.attrAt, 'a.sfattr.hdr.', db);
    });
    open('attr:leaf', (volume, inode) => {
      const [leaf, db] = block(volume, inode, 'attr', 0);
      compare(ATTR3_LEAF_HDR, leaf, 0, 'hdr.', db);
      for (let i = 0; i < leaf.getUint16(ATTR3_LEAF_HDR.at.count); i++) {
        const at = ATTR3_LEAF_HDR.size + i * ATTR_LEAF_ENTRY.size;
        for (const name of ['hashval', 'nameidx'])
          assert.equal(
            String(ATTR_LEAF_ENTRY.decode(leaf, at)[name as 'hashval']),
            plain(db.get(`entries[${i}].${name}`)!),
          );
      }
    });
    open('attr:node', (volume, inode) => {
      const [node, db] = block(volume, inode, 'attr', 0);
      compare(DA3_NODE_HDR, node, 0, 'hdr.', db);
      compare(DA_NODE_ENTRY, node, DA3_NODE_HDR.size, 'btree[0].', db);
    });
    open('attr:remote', (volume, inode) => {
      const [remote, db] = block(volume, inode, 'attr', 1);
      compare(ATTR3_RMT_HDR, remote, 0, 'hdr.', db);
    });
  });

  test('symbolic link', () =>
    open('symlink:700', (volume, inode) => {
      const [v, db] = block(volume, inode, 'data', 0);
      compare(SYMLINK_HDR, v, 0, '', db);
    }));
});

test('hashes are those of xfs_db', needed, () => {
  const { image } = populated({
    mkfs: { args: ['-b', 'size=1024', '-n', 'size=4096'] },
    populate: { scale: 'full' },
  });
  const names = [
    '.',
    '..',
    'a',
    'ab',
    'abc',
    'abcd',
    'abcde',
    'lost+found',
    'x'.repeat(255),
    'grün',
    '日本語',
  ];
  const said = run('xfs_db', ['-r', ...names.flatMap((n) => ['-c', `hash ${n}`]), image]).stdout;
  const hashes = [...said.matchAll(/0x[0-9a-f]+/g)].map(([h]) => Number(h));
  assert.deepEqual(
    names.map((n) => daHash(Buffer.from(n))),
    hashes,
  );
});

test('a parent pointer is hashed by name and parent', () => {
  const name = Buffer.from('name');
  const value = new Uint8Array(PARENT_REC.size);
  const ino = 0x12_3456_789a;
  setU64(new DataView(value.buffer), 0, ino);
  assert.equal(parentHash(name, ino), (daHash(name) ^ 0x12 ^ 0x3456_789a) >>> 0);
  assert.equal(attrHash(0x08, name, value), parentHash(name, ino));
  assert.equal(attrHash(0x00, name, value), daHash(name));
});

test('sizes of entries', () => {
  // 8 of inode number, 1 of length, the name, 1 of type, 2 of tag, rounded up to 8.
  assert.equal(dataEntrySize(1, true), 16);
  assert.equal(dataEntrySize(4, true), 16);
  assert.equal(dataEntrySize(5, true), 24);
  assert.equal(dataEntrySize(5, false), 16);
  assert.equal(dataEntrySize(255, true), 272);
  assert.equal(attrLocalSize(1, 0), 4);
  assert.equal(attrLocalSize(1, 1), 8);
  assert.equal(attrRemoteSize(1), 12);
  assert.equal(attrRemoteSize(2), 16);
});
