/**
 * The crash campaign: images crashed by Linux under random load, recovered by Linux and by xfsimg, compared.
 *
 *     node --import tsx test/campaign/crash.ts [--seed N] [--count N] [--minutes N] [--keep FOLDER]
 *         [--profile mixed|storm|shred]
 *
 * Prints one line an image and a summary; exits 1 where any differed. What xfs_repair finds wrong with an
 * image that Linux recovered itself (an attribute whose value was being written) is no difference, but is
 * counted.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { FileSource } from '../../src/image/source.js';
import { type RecoveryResult, recoverLog } from '../../src/transaction/recovery/recover.js';
import { CRASH_GEOMETRIES, crashImage, Load, linuxTree, treeDifferences } from '../support/crash.js';
import { copyImage, run, tmpdir } from '../support/oracle.js';
import { random } from '../support/random.js';

/** What xfs_repair -n complains about, without its headings; empty where it finds nothing. */
export function complaints(image: string): string[] {
  const { status, stdout, stderr } = run('xfs_repair', ['-n', '-f', image], { status: 'any' });
  if (status === 0) return [];
  return (stderr + stdout)
    .split('\n')
    .filter((line) => line !== '' && !/^(Phase|\s+- |Cannot get|Repair may|the image|No modify)/.test(line));
}

export interface Verdict {
  readonly result: RecoveryResult;
  /** Where the two recoveries differ, and what xfs_repair finds with ours alone. */
  readonly differences: readonly string[];
  /** xfs_repair complains about Linux's own recovery, and about ours in the same words. */
  readonly asLinux: boolean;
  readonly milliseconds: number;
}

/** Recovers one copy here and one by Linux. `image` itself is left alone. */
export function judge(image: string): Verdict {
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
    const found = complaints(ours);
    const known = found.length > 0 ? complaints(linux) : [];
    const asLinux = found.length > 0 && found.join('\n') === known.join('\n');
    const differences = [
      ...(asLinux ? [] : found.slice(0, 10)),
      ...treeDifferences(expected, linuxTree(ours)),
    ];
    return { result, differences, asLinux, milliseconds };
  } finally {
    rmSync(ours);
    rmSync(linux);
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      count: { type: 'string', default: '20' },
      minutes: { type: 'string', default: '60' },
      keep: { type: 'string' },
      profile: { type: 'string' },
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
      const geometry = CRASH_GEOMETRIES[(seed + i) % CRASH_GEOMETRIES.length];
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
        const { result, differences, asLinux, milliseconds: took } = judge(image);
        good = differences.length === 0;
        const intents = Object.entries(result.intents).map(([kind, n]) => `${kind} ${n}`);
        for (const [kind, n] of Object.entries(result.intents)) count(`open ${kind}`, n);
        rare = intents.length > 0;
        if (rare) count('images with open intents');
        if (result.clean) count('clean logs');
        if (result.unlinked > 0) count('images with unlinked inodes');
        if (result.cowBlocks > 0) count('images with CoW staging');
        if (asLinux) count('as bad as by Linux itself');
        line = [
          `${result.transactions} transactions`,
          `${result.replayed} items`,
          ...(result.newer > 0 ? [`${result.newer} newer`] : []),
          `${result.unlinked} unlinked`,
          `${result.cowBlocks} CoW blocks`,
          ...intents,
          `${Math.round(took)} ms`,
          ...(asLinux ? ['(as by Linux)'] : []),
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
