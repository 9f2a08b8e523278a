/**
 * Kill points: recovery of a crashed image is cut at every sector it writes. A second run, and Linux at some
 * of the points, must come to the same end.
 *
 *     node --import tsx test/campaign/kill.ts [--every N] [--linux N] [--minutes N] IMAGE...
 *
 * `every`: each Nth point is tried (default all); `linux`: points given to Linux and xfs_repair, spread out.
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
import { linuxTree, treeDifferences } from '../support/crash.js';
import { Cut, CutSource } from '../support/cut.js';
import { copyImage, tmpdir } from '../support/oracle.js';
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

/** The image as a recovery leaves it that is cut after so many sectors. */
function cutAt(image: Source, sectors: number): OverlaySource {
  const overlay = new OverlaySource(image);
  try {
    recoverLog(new CutSource(overlay, sectors));
  } catch (error) {
    if (!(error instanceof Cut)) throw error;
  }
  return overlay;
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
    const counter = new CutSource(whole);
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
    for (let at = 0; at < sectors && Date.now() < o.until; at += o.every) {
      const cut = cutAt(image, at);
      tried++;
      if (o.linux > 0 && at % stride < o.every) {
        byLinux++;
        const to = materialize(path, cut, join(folder, 'cut'));
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
          const to = materialize(path, cut, join(folder, 'cut'));
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

if (process.argv[1]?.endsWith('campaign/kill.ts')) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      every: { type: 'string', default: '1' },
      linux: { type: 'string', default: '20' },
      minutes: { type: 'string', default: '60' },
    },
  });
  const until = Date.now() + Number(values.minutes) * 60_000;
  for (const path of positionals) {
    const { wrong, ...counts } = kill(path, {
      every: Number(values.every),
      linux: Number(values.linux),
      until,
    });
    console.log(`${wrong.length === 0 ? 'same' : 'DIFFERS'} ${path} ${JSON.stringify(counts)}`);
    for (const line of wrong.slice(0, 20)) console.log(`    ${line}`);
    if (wrong.length > 0) process.exitCode = 1;
  }
}
