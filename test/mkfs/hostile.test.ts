/** A slice of the campaign of hostile files (test/campaign/hostile.ts), whose oracles it leaves out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { damagedArchive, headersOf } from '../fuzz/archives.js';
import { damagedDump, recordsOf } from '../fuzz/dumps.js';
import { dumpOf, judgeArchive, judgeDump, type Outcome, richArchive, smallImage } from '../fuzz/hostile.js';
import { oracle, tmpdir } from '../support/oracle.js';
import { random } from '../support/random.js';

const CASES = 60;

async function outcomes(attempt: (dice: () => number) => Promise<Outcome>): Promise<Record<Outcome, number>> {
  const found = { made: 0, refused: 0 };
  for (let seed = 1; seed <= CASES; seed++) found[await attempt(random(seed))]++;
  return found;
}

test('metadumps changed at random are restored, or refused in one line with nothing left', async () => {
  const folder = tmpdir();
  const dump = dumpOf(await smallImage(folder));
  const records = recordsOf(dump);
  const { made, refused } = await outcomes((dice) => {
    const { what, bytes } = damagedDump(dump, records, dice);
    return judgeDump(what, bytes, folder);
  });
  assert.ok(made > CASES / 5 && refused > CASES / 5, `${made} made, ${refused} refused`);
});

test(
  'archives changed at random make an image, or are refused in one line with nothing left',
  oracle('mount', 'tar', 'setfattr', 'setfacl'),
  async () => {
    const folder = tmpdir();
    const archives = (['pax', 'gnu'] as const).map((format) => {
      const bytes = richArchive(folder, format);
      return { bytes, headers: headersOf(bytes) };
    });
    const { made, refused } = await outcomes((dice) => {
      const { bytes, headers } = archives[Math.floor(dice() * archives.length)];
      const damaged = damagedArchive(bytes, headers, dice);
      return judgeArchive(damaged.what, damaged.bytes, folder);
    });
    assert.ok(made > CASES / 5 && refused > CASES / 5, `${made} made, ${refused} refused`);
  },
);
