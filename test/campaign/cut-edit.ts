/**
 * Power cuts in edits: each kind of edit is cut after every sector it writes, and each cut recovered by Linux
 * and by us.
 *
 *     node --import tsx test/campaign/cut-edit.ts [--geometry NAME] [--edit REGEXP] [--points N] [--eager]
 *         [--plain] [--minutes N]
 *
 * `points`: cuts an edit, spread out (default: all); `eager`, `plain`: every transaction a checkpoint of its
 * own, or all collected, alone (default: both).
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { FORM_EDITS, makeFormsBase } from '../edit/cutforms.js';
import { Judge } from '../edit/cutjudge.js';
import { CUT_EDITS, CUT_GEOMETRIES, cutEdit, makeCutBase } from '../edit/cuts.js';
import { tmpdir } from '../support/oracle.js';

const { values } = parseArgs({
  options: {
    geometry: { type: 'string' },
    edit: { type: 'string', default: '' },
    points: { type: 'string' },
    eager: { type: 'boolean', default: false },
    plain: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '600' },
  },
});
const until = Date.now() + Number(values.minutes) * 60_000;
const modes = values.eager === values.plain ? [false, true] : [values.eager];
const only = new RegExp(values.edit);
const total = { points: 0, alike: 0, before: 0, after: 0, between: 0, failures: 0, edits: 0 };

let recovered = 0;
process.stdout.write('geometry\tedit\tcheckpoints\tsectors\tcuts\talike\tbefore\tafter\tbetween\tfailures\n');
for (const [geometry, args] of Object.entries(CUT_GEOMETRIES))
  for (const { make, edits } of [
    { make: makeCutBase, edits: CUT_EDITS },
    { make: makeFormsBase, edits: FORM_EDITS },
  ]) {
    const chosen = Object.entries(edits).filter(
      ([name, edit]) => only.test(name) && (edit.reflink !== true || geometry !== 'no reflink'),
    );
    if ((values.geometry ?? geometry) !== geometry || chosen.length === 0) continue;
    const base = join(tmpdir(), 'base');
    make(base, args);
    const judge = new Judge(base);
    for (const [name, edit] of chosen)
      for (const eager of modes) {
        if (Date.now() > until) break;
        const points = values.points === undefined ? undefined : Number(values.points);
        const r = cutEdit(judge, edit, { eager, points, until });
        const cells = [r.sectors, r.points, r.alike, r.before, r.after, r.between, r.failures.length];
        const line = [geometry, name, eager ? 'each' : 'collected', ...cells].join('\t');
        process.stdout.write(`${line}\n`);
        for (const failure of r.failures) process.stdout.write(`\t${failure}\n`);
        total.edits++;
        total.points += r.points;
        total.alike += r.alike;
        total.before += r.before;
        total.after += r.after;
        total.between += r.between;
        total.failures += r.failures.length;
      }
    recovered += judge.recovered;
    judge.close();
  }
process.stdout.write(`${JSON.stringify({ ...total, recovered })}\n`);
process.exitCode = total.failures > 0 ? 1 : 0;
