/** The crashed images under fixtures/, read without root, tools or mounts. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { inodeOffset } from '../../src/format/geometry.js';
import { BLFT, blftOf, LI } from '../../src/format/logitems.js';
import { openSource } from '../../src/image/open.js';
import { committedTransactions } from '../../src/journal/decode.js';
import { applyBuf, bufBlkno, bufBytes, bufFlags, inodeFields, inodeIno } from '../../src/journal/items.js';
import type { LogItem } from '../../src/journal/logitem.js';
import { type LogState, scanLog } from '../../src/journal/scan.js';
import { summarizeLog } from '../../src/journal/status.js';
import { openVolume } from '../../src/volume/volume.js';
import { fixture } from '../support/fixture.js';

interface Node {
  type: string;
  ino: number;
  mode: number;
  size: string;
}
const treeOf = (name: string): Node[] => {
  const file = fileURLToPath(new URL(`../../fixtures/${name}/tree.json.gz`, import.meta.url));
  return Object.values(JSON.parse(gunzipSync(readFileSync(file)).toString()) as Record<string, Node>);
};
const scan = (name: string): LogState => {
  const volume = openVolume(openSource(fixture(name)));
  return scanLog(volume.source, volume.g);
};
const items = (state: LogState): LogItem[] => [...committedTransactions(state)].flatMap((t) => [...t.items]);

test('a dirty log: transactions, unlinked inodes, no open intents', () => {
  for (const name of ['crash-plain', 'crash-rmapbt']) {
    const summary = summarizeLog(scan(name));
    assert.equal(summary.error, undefined);
    assert.equal(summary.transactions, 4);
    assert.equal(summary.unlinkedLists, 6);
    assert.deepEqual(summary.openIntents, []);
  }
});

test('a wrapped log: tail and head in neighbouring cycles, extended headers', () => {
  const state = scan('crash-wrapped');
  assert.equal(state.tail.cycle, 1);
  assert.equal(state.head.cycle, 2);
  assert.ok(state.tail.block > state.head.block);
  const summary = summarizeLog(state);
  assert.equal(summary.error, undefined);
  assert.equal(summary.unlinkedLists, 6);
});

test('intents without a done-item are found, by kind', () => {
  const { openIntents, error } = summarizeLog(scan('crash-intents'));
  assert.equal(error, undefined);
  assert.deepEqual(new Set(openIntents.map(({ item }) => item.type)), new Set([LI.RUI, LI.CUI]));
});

test('inode items stand where the inode is, and the last of each agrees with what Linux recovered', () => {
  for (const name of ['crash-plain', 'crash-rmapbt', 'crash-wrapped']) {
    const state = scan(name);
    const { g } = state.device;
    const last = new Map<number, LogItem>();
    for (const item of items(state)) if (item.type === LI.INODE) last.set(inodeIno(item), item);
    let compared = 0;
    for (const node of treeOf(name)) {
      const item = last.get(node.ino);
      if (item === undefined || (inodeFields(item) & 1) === 0) continue;
      const core = new DataView(item.regions[1].buffer, item.regions[1].byteOffset);
      assert.equal(core.getUint16(2, true) & 0o7777, node.mode);
      assert.equal(String(core.getBigUint64(56, true)), node.size);
      // ilf_blkno is the cluster's place in 512-byte blocks, ilf_boffset the inode's in the cluster.
      const cluster = Number(item.view.getBigInt64(40, true)) * 512;
      assert.equal(cluster + item.view.getInt32(52, true), inodeOffset(g, node.ino));
      compared++;
    }
    assert.ok(compared > 30, `${name}: ${compared} inodes compared`);
  }
});

test('buffer items carry whole images of AG headers', () => {
  const state = scan('crash-plain');
  const magic: Record<number, string> = { [BLFT.AGF]: 'XAGF', [BLFT.AGI]: 'XAGI' };
  let seen = 0;
  for (const item of items(state)) {
    if (item.type !== LI.BUF) continue;
    const expected = magic[blftOf(bufFlags(item))];
    if (expected === undefined) continue;
    const { source } = state.device;
    const sector = new Uint8Array(bufBytes(item));
    source.read(bufBlkno(item) * 512, sector);
    applyBuf(item, sector);
    assert.equal(String.fromCharCode(...sector.subarray(0, 4)), expected);
    seen++;
  }
  assert.ok(seen > 0);
});
