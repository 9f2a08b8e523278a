/**
 * The whole matrix of cases, by hand: `node --import tsx test/mkfs/matrix.ts [seconds]`. For each: made by
 * mkfs.xfs and by us, byte for byte the same; xfs_repair finds nothing; Linux mounts it, files are written,
 * cloned, overwritten and deleted; xfs_repair again finds nothing. Stops after `seconds` (default: never) and
 * says how far it came. Exit status 1 where a case failed.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, statfsSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withMount } from '../support/mount.js';
import { run } from '../support/oracle.js';
import { CASES, type Case, caseName } from './cases.js';
import { discard, folderFor, makeOurs, makeWithOracle, repairClean, UUID, unexplained } from './support.js';

/** Files of many sizes, clones, overwrites, deletions, directories: every AG and every tree is used. */
function exercise(root: string, reflink: boolean): void {
  const space = statfsSync(root);
  const folders = Math.min(16, Math.floor((space.bavail * space.bsize) / 400_000));
  const block = Buffer.alloc(Math.min(256 * 1024, folders * 16 * 1024), 'xfsimg');
  for (let d = 0; d < folders; d++) {
    const folder = join(root, `folder${d}`);
    mkdirSync(folder);
    for (let f = 0; f < 20; f++) writeFileSync(join(folder, `file${f}`), block.subarray(0, f * 1000));
  }
  writeFileSync(join(root, 'large'), block);
  if (reflink) {
    run('cp', ['--reflink=always', join(root, 'large'), join(root, 'clone')]);
    writeFileSync(join(root, 'clone'), block.subarray(0, 70_000), { flag: 'r+' });
  }
  for (let d = 0; d < folders; d += 2) rmSync(join(root, `folder${d}`), { recursive: true });
  truncateSync(join(root, 'large'), 12_345);
}

/** What the kernel said last of the device, where it would not mount it. */
const kernelSays = (): string =>
  spawnSync('dmesg', { encoding: 'utf8' })
    .stdout.split('\n')
    .filter((line) => line.includes('XFS'))
    .at(-1)
    ?.replace(/^\[[^\]]*\] /, '') ?? '';

interface Outcome {
  identical: string;
  repair: string;
  mount: string;
  kib: number;
}

async function check(one: Case): Promise<Outcome> {
  const out: Outcome = { identical: '-', repair: '-', mount: '-', kib: 0 };
  const folder = folderFor(one.size);
  if (folder === undefined) return { ...out, identical: 'skipped: no filesystem for a file of this size' };
  const theirs = join(folder, 'theirs');
  const ours = join(folder, 'ours');
  try {
    const { geometry } = await makeOurs(ours, one, { uuid: UUID });
    out.kib = statSync(ours).blocks / 2;
    makeWithOracle(theirs, one);
    const different = unexplained(theirs, ours);
    if (one.differs === undefined) out.identical = different.length === 0 ? 'yes' : `NO: ${different[0]}`;
    else out.identical = different.length === 0 ? 'NO: no difference left' : `not compared: ${one.differs}`;
    rmSync(theirs);
    repairClean(ours);
    out.repair = 'clean';
    try {
      withMount(ours, (root) => exercise(root, geometry.features.reflink));
      out.mount = 'ok';
    } catch (error) {
      const message = (error as Error).message;
      if (!/^mount /.test(message)) throw error;
      out.mount = `not mounted: ${kernelSays()}`;
      return out;
    }
    repairClean(ours);
    out.repair = 'clean, clean after use';
  } catch (error) {
    out.repair = `FAILED: ${(error as Error).message.slice(0, 400)}`;
  } finally {
    discard(theirs, ours);
  }
  return out;
}

const budget = Number(process.argv[2] ?? Number.POSITIVE_INFINITY);
const started = Date.now();
let done = 0;
let failed = 0;
let mounted = 0;
for (const one of CASES) {
  if ((Date.now() - started) / 1000 > budget) break;
  const { identical, repair, mount, kib } = await check(one);
  done++;
  if (identical.startsWith('NO') || repair.startsWith('FAILED')) failed++;
  if (mount === 'ok') mounted++;
  console.log([caseName(one), `identical: ${identical}`, repair, `mount: ${mount}`, `${kib} KiB`].join('\t'));
}
console.log(`${done} of ${CASES.length} cases, ${mounted} mounted, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
