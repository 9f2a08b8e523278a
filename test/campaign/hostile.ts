/**
 * The campaign of hostile files: metadumps and archives changed at random, each restored or made, or refused in one
 * line with nothing left behind.
 *
 *     node --import tsx test/campaign/hostile.ts [--seed 1] [--dumps 2000] [--archives 2000]
 *
 * What is restored of a dump is what xfs_mdrestore makes of it, and what that refuses is refused; what is made of an
 * archive is clean to xfs_repair. Needs xfsprogs, tar, attr, acl and root (a device node).
 */
import assert from 'node:assert/strict';
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { damagedArchive, headersOf } from '../fuzz/archives.js';
import { claimedBytes, damagedDump, recordsOf } from '../fuzz/dumps.js';
import { dumpOf, judgeArchive, judgeDump, richArchive, smallImage } from '../fuzz/hostile.js';
import { oracle, run, tmpdir } from '../support/oracle.js';
import { random } from '../support/random.js';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    dumps: { type: 'string', default: '2000' },
    archives: { type: 'string', default: '2000' },
  },
});
oracle('tar', 'setfattr', 'setfacl', 'xfs_mdrestore', 'xfs_repair');
const folder = tmpdir();
const image = join(folder, 'image');
let failures = 0;

async function each(count: number, attempt: (dice: () => number) => Promise<string>): Promise<void> {
  const found: Record<string, number> = {};
  for (let i = 0; i < count; i++) {
    const seed = Number(values.seed) * 1_000_000 + i;
    try {
      const outcome = await attempt(random(seed));
      found[outcome] = (found[outcome] ?? 0) + 1;
    } catch (error) {
      failures++;
      console.log(`seed ${seed}: ${(error as Error).message}`);
    }
  }
  console.log(JSON.stringify(found));
}

const dump = dumpOf(await smallImage(folder));
const records = recordsOf(dump);
/** xfs_mdrestore gives a file of the size the superblock claims; beyond this nobody can have one. */
const LARGEST = 2n ** 42n;
await each(Number(values.dumps), async (dice) => {
  const { what, bytes } = damagedDump(dump, records, dice);
  const outcome = await judgeDump(what, bytes, folder);
  if (bytes.length > 1024 && claimedBytes(bytes) > LARGEST) return `dump ${outcome}, too large to compare`;
  const theirs = join(folder, 'theirs');
  rmSync(theirs, { force: true });
  const { status } = run('xfs_mdrestore', [join(folder, 'dump'), theirs], { status: 'any', timeout: 20_000 });
  if (outcome === 'made') {
    assert.equal(status, 0, `${what}: restored by us, refused by xfs_mdrestore`);
    // It writes the superblock anew.
    if (statSync(image).size < 2 ** 31) run('cmp', ['-i', '512', image, theirs]);
  }
  return `dump ${outcome}, by xfs_mdrestore ${status === 0 ? 'made' : 'refused'}`;
});

const archives = (['pax', 'gnu'] as const).map((format) => {
  const bytes = richArchive(folder, format);
  return { bytes, headers: headersOf(bytes) };
});
await each(Number(values.archives), async (dice) => {
  const { bytes, headers } = archives[Math.floor(dice() * archives.length)];
  const damaged = damagedArchive(bytes, headers, dice);
  const outcome = await judgeArchive(damaged.what, damaged.bytes, folder);
  if (outcome === 'made') {
    const { status, stdout, stderr } = run('xfs_repair', ['-n', '-f', '-o', 'force_geometry', image], {
      status: 'any',
    });
    assert.equal(status, 0, `${damaged.what}: ${stdout}${stderr}`);
  }
  return `archive ${outcome}`;
});
process.exitCode = failures > 0 ? 1 : 0;
