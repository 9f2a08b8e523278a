/**
 * Kill points: recovery of a crashed image is cut at every sector it writes. A second run, and Linux at some
 * of the points, must come to the same end.
 *
 *     node --import tsx test/campaign/kill.ts [--every N] [--linux N] [--minutes N] IMAGE...
 *     node --import tsx test/campaign/kill.ts --make 20 [--seed N] [--sectors N] ...
 *
 * `every`: each Nth point is tried (default all); `linux`: points given to Linux and xfs_repair, spread out.
 * `make`: so many images are crashed by Linux, every geometry in turn, the moment chosen so that recovery
 * changes at most `sectors` sectors (default 1500) and has something to finish besides the replay.
 */
import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { OverlaySource } from '../../src/image/overlay.js';
import { FileSource, type Source } from '../../src/image/source.js';
import { recoverLog } from '../../src/transaction/recovery/recover.js';
import { walkExtents } from '../../src/volume/fork.js';
import { walkInodes } from '../../src/volume/inode.js';
import { openVolume } from '../../src/volume/volume.js';
import { CRASH_GEOMETRIES, crashImage, Load, linuxTree, treeDifferences } from '../support/crash.js';
import { CutSource } from '../support/cut.js';
import { copyImage, tmpdir } from '../support/oracle.js';
import { random } from '../support/random.js';
import { complaints } from './crash.js';

/** What a recovered filesystem holds, free space and the shape of trees aside: all inodes and their extents. */
export function holdings(source: Source): string {
  const volume = openVolume(source);
  const hash = createHash('sha256');
  volume.report = (fault) => hash.update(JSON.stringify(fault));
  for (const at of [128, 136, 144]) hash.update(new Uint8Array(volume.superblock.buffer, at, 8));
  walkInodes(volume, (inode, allocated) => {
    if (!allocated) return;
    const own = new Uint8Array(
      inode.view.buffer,
      inode.view.byteOffset + inode.base,
      inode.inodesize,
    ).slice();
    own.fill(0, 100, 120); // checksum, change count, LSN
    hash.update(own.subarray(0, inode.format === 3 ? 176 : own.length));
    for (const fork of ['data', 'attr'] as const)
      walkExtents(volume, inode, fork, (...extent) => hash.update(extent.join()));
  });
  return hash.digest('hex');
}

/** Copies an image and puts the changes of an overlay over it. */
function materialize(image: string, overlay: OverlaySource, to: string): string {
  copyImage(image, to);
  const file = FileSource.open(to, 'r+');
  for (const [offset, bytes] of overlay.pages()) file.write(offset, bytes);
  file.close();
  return to;
}

export interface KillOptions {
  readonly every: number;
  readonly linux: number;
  readonly until: number;
}

/** Tries the kill points of one image. Returns what went wrong, and how many points were tried. */
export function kill(
  path: string,
  o: KillOptions,
): { wrong: string[]; sectors: number; writes: number; tried: number; byLinux: number } {
  const image = FileSource.open(path);
  const wrong: string[] = [];
  const folder = tmpdir();
  let tried = 0;
  let byLinux = 0;
  try {
    const whole = new OverlaySource(image);
    const counter = new CutSource(whole, undefined, { record: true });
    recoverLog(counter);
    const expected = holdings(whole);
    const recovered = materialize(path, whole, join(folder, 'whole'));
    // An attribute whose value was being written is left as it is, by Linux too.
    const known = new Set(complaints(recovered));
    const fresh = (to: string): string[] =>
      complaints(to)
        .filter((line) => !known.has(line))
        .slice(0, 3);
    const tree = linuxTree(recovered);
    const sectors = counter.written;
    const stride = Math.max(o.every, Math.floor(sectors / Math.max(1, o.linux)));
    // The image as it is when the first so many of its sectors have been changed.
    const state = new OverlaySource(image);
    let changed = 0;
    for (let at = 0; at < sectors && Date.now() < o.until; at += o.every) {
      for (; changed < at; changed++) {
        const { offset, bytes } = counter.changes![changed];
        state.write(offset, bytes);
      }
      const cut = new OverlaySource(state);
      tried++;
      if (o.linux > 0 && at % stride < o.every) {
        byLinux++;
        const to = materialize(path, state, join(folder, 'cut'));
        try {
          const shown = linuxTree(to);
          for (const d of treeDifferences(tree, shown, 3)) wrong.push(`${at}: Linux: ${d}`);
          for (const d of fresh(to)) wrong.push(`${at}: after Linux: ${d}`);
        } catch (error) {
          wrong.push(`${at}: Linux: ${(error as Error).message.slice(0, 300)}`);
        }
        rmSync(to);
      }
      try {
        recoverLog(cut);
        if (holdings(cut) !== expected) wrong.push(`${at}: the second run comes to another end`);
        if (o.linux > 0 && at % stride < o.every) {
          const to = materialize(path, state, join(folder, 'cut'));
          const file = FileSource.open(to, 'r+');
          for (const [offset, bytes] of cut.pages()) file.write(offset, bytes);
          file.close();
          for (const d of fresh(to)) wrong.push(`${at}: after the second run: ${d}`);
          rmSync(to);
        }
      } catch (error) {
        wrong.push(`${at}: the second run: ${(error as Error).stack?.slice(0, 600)}`);
      }
    }
    return { wrong, sectors, writes: counter.ends.length, tried, byLinux };
  } finally {
    image.close();
    rmSync(folder, { recursive: true });
  }
}

/** Crashes an image whose recovery changes at most `most` sectors; undefined where none came up. */
async function crashSmall(path: string, load: Load, seed: number, most: number): Promise<string | undefined> {
  const rnd = random(seed);
  for (let attempt = 0, milliseconds = 120 + Math.floor(rnd() * 300); attempt < 12; attempt++) {
    const geometry = CRASH_GEOMETRIES[seed % CRASH_GEOMETRIES.length];
    const profile = (['mixed', 'mixed', 'shred'] as const)[Math.floor(rnd() * 3)];
    const flushlog = rnd() < 0.7;
    await crashImage(path, load, { geometry, seed: seed * 100 + attempt, milliseconds, profile, flushlog });
    const image = FileSource.open(path);
    try {
      const counter = new CutSource(new OverlaySource(image));
      const { clean, intents, unlinked, cowBlocks } = recoverLog(counter);
      const more = Object.keys(intents).length + unlinked + cowBlocks > 0;
      if (counter.written > most) milliseconds = Math.max(20, Math.floor(milliseconds * 0.6));
      else if (!clean && (more || attempt > 6)) return path;
      else milliseconds = Math.floor(milliseconds * 1.2);
    } finally {
      image.close();
    }
  }
  return undefined;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      every: { type: 'string', default: '1' },
      linux: { type: 'string', default: '20' },
      minutes: { type: 'string', default: '60' },
      make: { type: 'string', default: '0' },
      seed: { type: 'string', default: '1' },
      sectors: { type: 'string', default: '1500' },
    },
  });
  const until = Date.now() + Number(values.minutes) * 60_000;
  const totals = { images: 0, sectors: 0, tried: 0, byLinux: 0, whole: 0, wrong: 0 };
  const one = (path: string): void => {
    const { wrong, ...counts } = kill(path, {
      every: Number(values.every),
      linux: Number(values.linux),
      until,
    });
    totals.images++;
    totals.sectors += counts.sectors;
    totals.tried += counts.tried;
    totals.byLinux += counts.byLinux;
    if (counts.tried === counts.sectors) totals.whole++;
    totals.wrong += wrong.length;
    console.log(`${wrong.length === 0 ? 'same' : 'DIFFERS'} ${path} ${JSON.stringify(counts)}`);
    for (const line of wrong.slice(0, 20)) console.log(`    ${line}`);
  };
  for (const path of positionals) one(path);
  const make = Number(values.make);
  if (make > 0) {
    const load = new Load(2);
    const folder = tmpdir();
    for (let i = 0; i < make && Date.now() < until; i++) {
      const seed = Number(values.seed) + i;
      const name = CRASH_GEOMETRIES[seed % CRASH_GEOMETRIES.length].name;
      const path = await crashSmall(join(folder, `${seed}-${name}.img`), load, seed, Number(values.sectors));
      if (path === undefined) continue;
      const before = totals.wrong;
      one(path);
      // What differs is kept.
      if (totals.wrong === before) rmSync(path);
    }
    load.close();
  }
  console.log(JSON.stringify(totals));
  process.exitCode = totals.wrong > 0 ? 1 : 0;
}

if (process.argv[1]?.endsWith('campaign/kill.ts')) await main();
