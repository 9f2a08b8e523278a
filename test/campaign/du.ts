/**
 * Paths deleted by Linux, and what that frees held against `du`: `npm run campaign:du`. Needs root and xfsprogs.
 *
 *     node --import tsx test/campaign/du.ts [--seed N] [--count N]
 *
 * `--count` deletions (default 200) over images of several geometries. Prints a line for each image; exits 1 at the
 * first difference.
 */
import { parseArgs } from 'node:util';
import { deletions, summary } from '../dump/deletions.js';
import { populated } from '../support/cache.js';

const GEOMETRIES: readonly (readonly string[])[] = [
  ['-m', 'rmapbt=1'],
  ['-m', 'rmapbt=0'],
  ['-b', 'size=1024', '-m', 'rmapbt=1'],
  ['-m', 'rmapbt=0', '-d', 'agcount=7', '-i', 'nrext64=1'],
];

const { values } = parseArgs({
  options: { seed: { type: 'string', default: '1' }, count: { type: 'string', default: '200' } },
});
const each = Math.ceil(Number(values.count) / GEOMETRIES.length);
for (const [index, args] of GEOMETRIES.entries()) {
  const { image } = populated({ mkfs: { args: [...args] }, populate: { seed: Number(values.seed) } });
  console.log(`${args.join(' ')}: ${summary(deletions(image, each, Number(values.seed) + index))}`);
}
