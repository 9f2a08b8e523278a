/**
 * The crash campaign: images crashed by Linux under random load, recovered by Linux and by xfsimg, compared.
 *
 *     node --import tsx test/campaign/crash.ts [--seed N] [--count N] [--minutes N] [--keep FOLDER]
 *         [--profile mixed|storm|shred] [--parents]
 *
 * Prints one line an image and a summary; exits 1 where any differed. What xfs_repair finds wrong with an
 * image that Linux recovered itself (an attribute whose value was being written) is no difference, but is
 * counted. `parents`: only filesystems with parent pointers, which xfs_repair 6.1 does not know: instead of it
 * `repair -n` of ours looks at both, and the parent pointers of all files are compared too.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { describeFault } from '../../src/format/fault.js';
import { FileSource } from '../../src/image/source.js';
import { type RecoveryResult, recoverLog } from '../../src/transaction/recovery/recover.js';
import { parentPointer, walkAttrs } from '../../src/volume/attr.js';
import { walkInodes } from '../../src/volume/inode.js';
import { openVolume } from '../../src/volume/volume.js';
import {
  CRASH_GEOMETRIES,
  crashImage,
  Load,
  linuxTree,
  PARENT_GEOMETRIES,
  treeDifferences,
} from '../support/crash.js';
import { withMount } from '../support/mount.js';
import { copyImage, run, tmpdir } from '../support/oracle.js';
import { random } from '../support/random.js';

/**
 * What xfs_repair -n complains about, without its headings; empty where it finds nothing. In order of the words: its
 * threads look at several AGs at a time.
 */
export function complaints(image: string): string[] {
  const { status, stdout, stderr } = run('xfs_repair', ['-n', '-f', image], { status: 'any' });
  if (status === 0) return [];
  return (stderr + stdout)
    .split('\n')
    .filter((line) => line !== '' && !/^(Phase|\s+- |Cannot get|Repair may|the image|No modify)/.test(line))
    .sort();
}

export interface Verdict {
  readonly result: RecoveryResult;
  /** Where the two recoveries differ, and what xfs_repair finds with ours alone. */
  readonly differences: readonly string[];
  /** xfs_repair complains about Linux's own recovery, and about ours in the same words. */
  readonly asLinux: boolean;
  readonly milliseconds: number;
}

/** The parent pointers of every file, and what our own examination finds wrong. */
function pointersAndFaults(image: string): string[] {
  const source = FileSource.open(image);
  try {
    const volume = openVolume(source);
    const out: string[] = [];
    volume.report = (fault) => out.push(describeFault(fault));
    walkInodes(volume, (inode, allocated) => {
      if (!allocated) return;
      walkAttrs(volume, inode, (attribute) => {
        const parent = parentPointer(attribute);
        if (parent === undefined) return;
        out.push(
          `${inode.ino} ${parent.ino} ${parent.generation} ${Buffer.from(parent.name).toString('latin1')}`,
        );
      });
    });
    return out.sort();
  } finally {
    source.close();
  }
}

/**
 * Makes `copy` the image as a mount alone leaves it: reading a tree, as was done with it before, frees blocks
 * preallocated behind the ends of files.
 */
function mountedOnce(image: string, copy: string): string {
  copyImage(image, copy);
  withMount(copy, () => {});
  return copy;
}

/** Recovers one copy here and one by Linux. `image` itself is left alone. `parents`: see above. */
export function judge(image: string, { parents = false } = {}): Verdict {
  const ours = copyImage(image, `${image}.ours`);
  const linux = copyImage(image, `${image}.linux`);
  try {
    const source = FileSource.open(ours, 'r+');
    const start = performance.now();
    let result: RecoveryResult;
    try {
      result = recoverLog(source);
    } finally {
      source.close();
    }
    const milliseconds = performance.now() - start;
    const expected = linuxTree(linux);
    const look = parents ? pointersAndFaults : complaints;
    const found = look(ours);
    const known = parents || found.length > 0 ? look(mountedOnce(image, linux)) : [];
    const asLinux = found.length > 0 && found.join('\n') === known.join('\n');
    const differences = [
      ...(asLinux ? [] : parents ? unlike(known, found) : found.slice(0, 10)),
      ...treeDifferences(expected, linuxTree(ours)),
    ];
    return { result, differences, asLinux, milliseconds };
  } finally {
    rmSync(ours);
    rmSync(linux);
  }
}

/** Lines that only one of two lists has. */
function unlike(theirs: readonly string[], ours: readonly string[]): string[] {
  const [a, b] = [new Set(theirs), new Set(ours)];
  return [
    ...ours.filter((line) => !a.has(line)).map((line) => `only here: ${line}`),
    ...theirs.filter((line) => !b.has(line)).map((line) => `only after Linux: ${line}`),
  ].slice(0, 10);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      count: { type: 'string', default: '20' },
      minutes: { type: 'string', default: '60' },
      keep: { type: 'string' },
      profile: { type: 'string' },
      parents: { type: 'boolean', default: false },
    },
  });
  const seed = Number(values.seed);
  const end = Date.now() + Number(values.minutes) * 60_000;
  const folder = values.keep ?? tmpdir();
  mkdirSync(folder, { recursive: true });
  const load = new Load(3);
  const totals: Record<string, number> = {};
  const count = (name: string, n = 1): void => {
    totals[name] = (totals[name] ?? 0) + n;
  };
  let failed = 0;
  try {
    for (let i = 0; i < Number(values.count) && Date.now() < end; i++) {
      const geometries = values.parents ? PARENT_GEOMETRIES : CRASH_GEOMETRIES;
      const geometry = geometries[(seed + i) % geometries.length];
      const rnd = random(seed * 1000 + i);
      const milliseconds = 150 + Math.floor(rnd() ** 2 * 2500);
      const flushlog = rnd() < 0.5;
      const profile =
        values.profile ?? (['mixed', 'mixed', 'storm', 'shred'] as const)[Math.floor(rnd() * 4)];
      const image = join(folder, `${seed}-${i}-${geometry.name}.img`);
      const operations = await crashImage(image, load, {
        geometry,
        seed: seed * 1000 + i,
        milliseconds,
        flushlog,
        profile: profile as 'mixed',
      });
      count(profile);
      let line: string;
      let good = false;
      let rare = false;
      try {
        const {
          result,
          differences,
          asLinux,
          milliseconds: took,
        } = judge(image, { parents: values.parents });
        good = differences.length === 0;
        const intents = Object.entries(result.intents).map(([kind, n]) => `${kind} ${n}`);
        for (const [kind, n] of Object.entries(result.intents)) count(`open ${kind}`, n);
        rare = intents.length > 0;
        if (rare) count('images with open intents');
        if (result.clean) count('clean logs');
        if (result.unlinked > 0) count('images with unlinked inodes');
        if (result.cowBlocks > 0) count('images with CoW staging');
        if (asLinux && !values.parents) count('as bad as by Linux itself');
        line = [
          `${result.transactions} transactions`,
          `${result.replayed} items`,
          ...(result.newer > 0 ? [`${result.newer} newer`] : []),
          `${result.unlinked} unlinked`,
          `${result.cowBlocks} CoW blocks`,
          ...intents,
          `${Math.round(took)} ms`,
          ...(asLinux && !values.parents ? ['(as by Linux)'] : []),
          ...differences.map((d) => `\n    ${d}`),
        ].join(', ');
      } catch (error) {
        line = String((error as Error).stack).slice(0, 1500);
      }
      count('images');
      if (!good) failed++;
      console.log(
        `${good ? 'same' : 'DIFFERS'} ${image} ${profile} ${flushlog ? 'flushed' : 'cut'} ${operations} ops: ${line}`,
      );
      // What differs is kept, and what is rare: --keep says where.
      if (good && !rare) rmSync(image);
    }
  } finally {
    load.close();
  }
  console.log(JSON.stringify({ ...totals, failed }));
  return failed === 0 ? 0 : 1;
}

if (process.argv[1]?.endsWith('campaign/crash.ts'))
  main().then((status) => {
    process.exitCode = status;
  });
