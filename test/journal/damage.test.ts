/** Damaged logs: nothing but a LogError comes of them, and where they end is where they end for Linux. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Geometry } from '../../src/format/geometry.js';
import { BLFT, BLFT_SHIFT, LI } from '../../src/format/logitems.js';
import { openSource } from '../../src/image/open.js';
import { OverlaySource } from '../../src/image/overlay.js';
import { FileSource, type Source } from '../../src/image/source.js';
import { committedTransactions } from '../../src/journal/decode.js';
import { LogError } from '../../src/journal/error.js';
import { allRecords, allTransactions } from '../../src/journal/history.js';
import { scanLog } from '../../src/journal/scan.js';
import { summarizeLog } from '../../src/journal/status.js';
import { recoverLog } from '../../src/transaction/recovery/recover.js';
import { openVolume } from '../../src/volume/volume.js';
import { DamagedLog, damages, recoverDamaged } from '../campaign/damaged-log.js';
import { random as noise } from '../fuzz/verbs.js';
import { fixture } from '../support/fixture.js';
import { copyImage, oracle, tmpdir } from '../support/oracle.js';
import { random } from '../support/random.js';
import { activeRecords, DAMAGE_KINDS, damage } from './damage.js';
import { linuxDecision } from './linux.js';
import { changeField, logFields } from './logfields.js';

interface Decision {
  /** 'replay' up to the head found, 'clean', or an error. */
  what: 'replay' | 'clean' | 'error';
  torn: number | undefined;
  transactions: number;
}

function decide(source: Source, g: Geometry): Decision {
  let torn: number | undefined;
  let transactions = 0;
  try {
    const state = scanLog(source, g);
    torn = state.torn;
    for (const _ of committedTransactions(state)) transactions++;
    return { what: state.clean ? 'clean' : 'replay', torn, transactions };
  } catch (error) {
    assert.ok(error instanceof LogError, String((error as Error).stack));
    assert.match(error.message, /^log at LSN \d+\/\d+: \S/);
    return { what: 'error', torn, transactions };
  }
}

for (const name of ['crash-plain', 'crash-wrapped', 'crash-intents'])
  test(`${name}: 210 damages end in a replay or a LogError`, () => {
    const under = openSource(fixture(name));
    const { g } = openVolume(under);
    const state = scanLog(under, g);
    const records = activeRecords(state);
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 210; seed++) {
      const rnd = random(seed);
      const kind = DAMAGE_KINDS[seed % DAMAGE_KINDS.length];
      const record = records[Math.floor(rnd() * records.length)];
      const overlay = new OverlaySource(under);
      for (let n = seed % 3; n >= 0; n--) damage(overlay, state, record, kind, rnd);
      const { what, torn } = decide(overlay, g);
      outcomes.add(`${what}${torn === undefined ? '' : ' torn'}`);
      if (seed % 15 !== 0) continue;
      try {
        const damaged = scanLog(overlay, g);
        summarizeLog(damaged);
        for (const _ of allRecords(damaged));
        for (const _ of allTransactions(damaged));
      } catch (error) {
        assert.ok(error instanceof LogError, String((error as Error).stack));
      }
    }
    assert.ok(
      outcomes.has('replay') && outcomes.has('replay torn') && outcomes.has('error'),
      [...outcomes].join(),
    );
  });

test('a log of noise, of zeros, and of nothing but headers', () => {
  const under = openSource(fixture('crash-plain'));
  const { g } = openVolume(under);
  const { device } = scanLog(under, g);
  const bytes = device.blocks * 512;
  const rnd = random(7);
  const fill: Record<string, (b: Uint8Array) => void> = {
    noise: (b) => {
      for (let i = 0; i < b.length; i++) b[i] = Math.floor(rnd() * 256);
    },
    zeros: () => {},
    headers: (b) => {
      const v = new DataView(b.buffer);
      for (let at = 0; at < b.length; at += 512) v.setBigUint64(at, 0xfeedbabe_00000009n);
    },
    'one cycle': (b) => {
      const v = new DataView(b.buffer);
      for (let at = 0; at < b.length; at += 512) v.setUint32(at, 9);
    },
  };
  const piece = new Uint8Array(1 << 16);
  for (const [what, make] of Object.entries(fill)) {
    const overlay = new OverlaySource(under);
    piece.fill(0);
    make(piece);
    for (let at = 0; at < bytes; at += piece.length) overlay.write(device.start + at, piece);
    const decision = decide(overlay, g);
    assert.equal(decision.what, what === 'zeros' ? 'clean' : 'error', what);
  }
});

test('where a damaged log ends, Linux says so too', oracle('mount', 'losetup', 'dmesg', 'mkfs.xfs'), () => {
  // What is wrong with an item's contents shows only when it is replayed.
  const kinds = DAMAGE_KINDS.filter((kind) => kind !== 'sealed data');
  for (const name of ['crash-plain', 'crash-wrapped']) {
    const image = fixture(name);
    const source = openSource(image);
    const { g } = openVolume(source);
    const state = scanLog(source, g);
    const records = activeRecords(state);
    for (let seed = 0; seed < 18; seed++) {
      const rnd = random(900 + seed);
      const copy = copyImage(image, join(tmpdir(), 'copy'));
      const target = FileSource.open(copy, 'r+');
      const record = records[Math.floor(rnd() * records.length)];
      const what = damage(target, state, record, kinds[seed % kinds.length], rnd);
      const ours = decide(target, g);
      target.close();
      const linux = linuxDecision(copy);
      const said = `${name}, seed ${seed}, ${what}: ${JSON.stringify(ours)}\n${linux.messages.join('\n')}`;
      // Refused here, though Linux goes on: a header that lies about its own LSN, and a tail without a
      // record, from which Linux skips to the next and leaves out what is missing.
      const skipped = linux.messages.some((m) => m.includes('overwrite detected'));
      if (ours.what === 'error' && (skipped || /: (lsn|cycle)$/.test(what))) continue;
      assert.equal(linux.mounted, ours.what !== 'error', said);
      if (ours.what === 'error') continue;
      assert.equal(linux.torn, ours.torn, said);
      assert.equal(linux.recovered, ours.what === 'replay', said);
    }
  }
});

test('an item that no filesystem could have logged is refused, by its LSN', () => {
  const source = openSource(fixture('crash-rmapbt'));
  const { g } = openVolume(source);
  const state = scanLog(source, g);
  const fields = [...logFields(activeRecords(state))];
  const modes: [string, string, (old: bigint) => bigint, RegExp][] = [
    ['INODE core', 'mode', () => 0xffffn, /inode \d+: mode is 0177777, expected a known file type/],
    ['INODE core', 'onlink', () => 1n, /inode \d+: onlink is 1, expected 0/],
    ['INODE core', 'flags2', (old) => old | 0x10n, /inode \d+: flags2 is 0x.*this filesystem's features/],
    ['INODE core', 'v3_pad', () => 1n, /inode \d+: v3_pad is 0x1, expected 0/],
    ['INODE core', 'forkoff', () => 0xffn, /inode \d+: forkoff is 255, expected below/],
    ['INODE core', 'inumber', (old) => old + 1n, /inode \d+: inumber is \d+, expected \d+/],
    ['INODE', 'boffset', (old) => old + 512n, /inode \d+ at block \d+, byte \d+: not its place/],
    ['INODE', 'len', (old) => old + 1n, /inode \d+ at block \d+, byte \d+: not its place/],
    ['record header', 'fs_uuid', () => 0n, /record of another filesystem \(UUID 0{8}-/],
    ['BUF', 'data_map', () => 0x5555_5555n, /BUF item with \d+ data regions and \d+ or more in its map/],
    ['BUF', 'flags', () => BigInt(BLFT.DINO << BLFT_SHIFT), /BUF item of inodes that is not marked as one/],
    ['BUF', 'type', () => BigInt(LI.DQUOT), /DQUOT item without a quota record/],
    ['BUF', 'type', () => BigInt(LI.RUD), /RUD item of \d+ bytes/],
    ['BUF', 'blkno', (old) => old ^ 1n, /a buffer at block \d+, where nothing of its type stands/],
  ];
  for (const [structure, field, change, expected] of modes) {
    const place = fields.find((f) => f.structure === structure && f.field === field)!;
    const overlay = new OverlaySource(source);
    assert.ok(changeField(overlay, state, place, change, random(1)));
    const before = overlay.dirtyPages;
    assert.throws(
      () => recoverLog(overlay),
      (error: Error) => error instanceof LogError && expected.test(error.reason),
      `${structure} ${field}`,
    );
    assert.equal(overlay.dirtyPages, before);
  }
});

test('fields and sectors of real logs damaged: a LogError with nothing written, or a recovery', () => {
  const decided = new Set<string>();
  for (const [i, name] of ['crash-plain', 'crash-attri', 'crash-xmi'].entries()) {
    const log = new DamagedLog(fixture(name));
    const next = noise(i);
    for (const { what, apply } of damages(log, next)) {
      if (next() % 8 !== 0) continue;
      const overlay = new OverlaySource(log.file);
      if (!apply(overlay, next)) continue;
      try {
        decided.add(recoverDamaged(overlay).kind);
      } catch (error) {
        assert.fail(`${name}: ${what}: ${(error as Error).stack}`);
      }
    }
    log.close();
  }
  assert.deepEqual([...decided].sort(), ['recovered', 'refused']);
});
