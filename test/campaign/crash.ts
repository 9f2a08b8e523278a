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
import { BTREES, recordAt, refcountIsCow } from '../../src/format/btree.js';
import { describeFault } from '../../src/format/fault.js';
import { fsblockOf } from '../../src/format/geometry.js';
import { FileSource } from '../../src/image/source.js';
import { redoLog } from '../../src/journal/recover.js';
import { scanLog } from '../../src/journal/scan.js';
import { type RecoveryResult, recoverLog } from '../../src/transaction/recovery/recover.js';
import { parentPointer, walkAttrs } from '../../src/volume/attr.js';
import { agTree, walkLeaves } from '../../src/volume/btree.js';
import { readExtents } from '../../src/volume/fork.js';
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

/** Files without a name that share blocks with others when the log is replayed, and nothing else is done yet. */
function sharedUnlinked(image: string): number {
  const source = FileSource.open(image);
  try {
    const { set } = redoLog(scanLog(source, openVolume(source).g));
    const volume = openVolume(set);
    const { g } = volume;
    if (!g.features.reflink) return 0;
    const shared: [number, number][] = [];
    for (let agno = 0; agno < g.agcount; agno++)
      walkLeaves(volume, agTree(volume, agno, 'refcountbt'), (leaf, numrecs) => {
        for (let i = 0; i < numrecs; i++) {
          const at = recordAt(BTREES.refcountbt, i);
          if (refcountIsCow(leaf, at) || leaf.getUint32(at + 8) < 2) continue;
          const first = fsblockOf(g, agno, leaf.getUint32(at));
          shared.push([first, first + leaf.getUint32(at + 4)]);
        }
      });
    let count = 0;
    walkInodes(volume, (inode, allocated) => {
      if (!allocated || inode.mode === 0 || inode.nlink > 0 || !inode.isReflink) return;
      const { fsblock, blocks, count: extents } = readExtents(volume, inode, 'data', () => {});
      let shares = false;
      for (let i = 0; i < extents && !shares; i++)
        shares = shared.some(([from, to]) => from < fsblock[i] + blocks[i] && fsblock[i] < to);
      if (shares) count++;
    });
    return count;
  } finally {
    source.close();
  }
}

export interface Verdict {
  readonly result: RecoveryResult;
  /** How many of the unlinked inodes shared blocks. */
  readonly sharers: number;
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
    return {
      result,
      sharers: result.unlinked > 0 ? sharedUnlinked(image) : 0,
      differences,
      asLinux,
      milliseconds,
    };
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
          sharers,
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
        if (sharers > 0) count('images with unlinked inodes that share blocks');
        count('unlinked inodes', result.unlinked);
        count('unlinked inodes that share blocks', sharers);
        if (result.cowBlocks > 0) count('images with CoW staging');
        if (asLinux && !values.parents) count('as bad as by Linux itself');
        line = [
          `${result.transactions} transactions`,
          `${result.replayed} items`,
          ...(result.newer > 0 ? [`${result.newer} newer`] : []),
          `${result.unlinked} unlinked`,
          ...(sharers > 0 ? [`${sharers} of them sharing blocks`] : []),
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
