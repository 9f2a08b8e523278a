/**
 * The edit campaign: random edits by xfsimg and, on a twin, by Linux.
 *
 *     node --import tsx test/campaign/edit.ts [--seed N] [--count N] [--shape NAME] [--minutes N]
 *
 * `--count` operations for each shape of image (default 300), in batches of 50. Prints one line a shape and a
 * summary; exits 1 where any differed.
 */
import { parseArgs } from 'node:util';
import { SHAPES } from '../edit/shapes.js';
import { type TwinResult, twinCampaign } from '../edit/twin.js';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '300' },
    batch: { type: 'string', default: '50' },
    shape: { type: 'string' },
    minutes: { type: 'string', default: '600' },
  },
});
const until = Date.now() + Number(values.minutes) * 60_000;
const total: TwinResult[] = [];
let failed = 0;
for (const [index, shape] of SHAPES.entries()) {
  if (values.shape !== undefined && !shape.name.includes(values.shape)) continue;
  if (Date.now() > until) break;
  const seed = Number(values.seed) + index;
  try {
    const result = await twinCampaign({
      ...shape,
      seed,
      operations: Number(values.count),
      batch: Number(values.batch),
    });
    total.push(result);
    const sum = (counts: Record<string, number>): number => Object.values(counts).reduce((a, b) => a + b, 0);
    console.log(
      `${shape.name}, seed ${seed}: ${sum(result.done)} done, ${sum(result.refused)} refused by both, ${result.noSpace} without room`,
    );
  } catch (error) {
    failed++;
    console.log(`${shape.name}, ${(error as Error).message}`);
  }
}
const done: Record<string, number> = {};
for (const { done: counts } of total)
  for (const [op, n] of Object.entries(counts)) done[op] = (done[op] ?? 0) + n;
console.log(JSON.stringify(done));
console.log(`${total.length} of ${total.length + failed} shapes without a difference`);
process.exitCode = failed > 0 ? 1 : 0;
