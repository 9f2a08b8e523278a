/**
 * The long campaign: every change of every target, round after round with new noise, until the time is over.
 *
 *     node --import tsx test/fuzz/campaign.ts [--seed N] [--seconds N] [--only STRUCTURE]
 *
 * Prints what went unnoticed or unnamed and is not known to be free, and every crash with its stack; exit
 * status 1 if there was any.
 */
import { parseArgs } from 'node:util';
import { CHANGES, damage, isFree, names, observe } from './fuzzer.js';
import { healthy } from './image.js';
import { random } from './verbs.js';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '600' },
    only: { type: 'string', default: '' },
  },
});
const { source, targets } = healthy();
const chosen = targets.filter((t) => t.structure.startsWith(values.only));
const end = performance.now() + Number(values.seconds) * 1000;
let slowest = { ms: 0, what: '' };
let tried = 0;
let noticed = 0;
let bad = 0;
let whole = 0;

const complain = (what: string, why: string): void => {
  bad++;
  console.log(`${what}: ${why}`);
};

rounds: for (let seed = Number(values.seed); ; seed++, whole++) {
  const next = random(seed);
  for (const target of chosen)
    for (const change of CHANGES) {
      // After the first round only noise is news.
      if (whole > 0 && change !== 'random') continue;
      if (performance.now() > end) break rounds;
      const image = damage(source, target, change, next);
      if (image === undefined) continue;
      tried++;
      const what = `${target.structure}, ${target.field} set to ${change} (seed ${seed})`;
      const from = performance.now();
      try {
        const lines = observe(image, target);
        if (lines.length > 0) noticed++;
        if (lines.length === 0 && isFree(target) === undefined) complain(what, 'not noticed');
        if (lines.length > 0 && !names(target, lines)) complain(what, `not named: ${lines[0]}`);
      } catch (error) {
        complain(what, `crash: ${(error as Error).stack}`);
      }
      const ms = performance.now() - from;
      if (ms > slowest.ms) slowest = { ms, what };
    }
}
console.log(
  `${tried} changes of ${chosen.length} fields, ${noticed} noticed, ${bad} complaints, ${whole} whole rounds; ` +
    `slowest ${slowest.ms.toFixed(0)} ms: ${slowest.what}`,
);
process.exitCode = bad > 0 ? 1 : 0;
