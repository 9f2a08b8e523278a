/**
 * Every forgery repaired by xfsimg and by xfs_repair, side by side: whose bytes the files show afterwards.
 *
 *     node --import tsx test/campaign/forgeries.ts [--only REGEXP]
 *
 * Prints a Markdown table. 'own' is a repair after which every file has its own bytes; 'holes' names the files that
 * read zeros where their bytes were; 'FOREIGN' those that show bytes of another; 'GONE' those without a name. Exit
 * status 1 where ours has any of the last two, or leaves an image that is not clean or not settled.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openSource } from '../../src/image/open.js';
import { repair } from '../../src/repair/repair.js';
import { type Base, contents, forge, isOwn, makeBase } from '../repair/base.js';
import { FORGERIES, RMAP_FORGERIES } from '../repair/forgeries.js';
import { copyImage, run, tmpdir } from '../support/oracle.js';

interface Told {
  text: string;
  foreign: boolean;
  good: boolean;
}

function told(base: Base, image: string): Told {
  const clean = run('xfs_repair', ['-n', '-f', image], { status: 'any' }).status === 0;
  const foreign: string[] = [];
  const gone: string[] = [];
  const holes: string[] = [];
  for (const [name, shown] of contents(base, image)) {
    if (shown === 'gone') gone.push(name);
    else if (!isOwn(base, name, shown)) foreign.push(name);
    else if (shown.split(' ').includes('zeros')) holes.push(name);
  }
  const parts = [
    ...(foreign.length > 0 ? [`FOREIGN ${foreign.join(' ')}`] : []),
    ...(gone.length > 0 ? [`GONE ${gone.join(' ')}`] : []),
    ...(holes.length > 0 ? [`holes ${holes.join(' ')}`] : []),
  ];
  return {
    text: `${parts.join(', ') || 'own'}${clean ? '' : ', not clean'}`,
    foreign: foreign.length > 0,
    good: clean && foreign.length + gone.length === 0,
  };
}

/** Repairs an image by xfsimg; true where it was, and a second run writes nothing. */
function mended(image: string): boolean {
  const source = openSource(image, { write: true });
  try {
    repair(source, { onDuplicate: 'quarantine' });
    return repair(source, { onDuplicate: 'quarantine' }).written === 0;
  } finally {
    source.close();
  }
}

const { values } = parseArgs({ options: { only: { type: 'string', default: '.' } } });
const only = new RegExp(values.only);
const counts = { situations: 0, bad: 0, theirForeign: 0, theirBad: 0 };
console.log('| situation | rmapbt | xfsimg | xfs_repair |\n|---|---|---|---|');
for (const rmapbt of [false, true]) {
  const base = makeBase(rmapbt);
  for (const forgery of rmapbt ? [...FORGERIES, ...RMAP_FORGERIES] : FORGERIES) {
    if (!only.test(forgery.name)) continue;
    const forged = forge(base, forgery.make(base));
    const theirs = copyImage(forged, join(tmpdir(), 'theirs'));
    let settled = false;
    let refusal = '';
    try {
      settled = mended(forged);
    } catch (error) {
      refusal = `REFUSED: ${(error as Error).message}`;
    }
    run('xfs_repair', ['-f', theirs], { status: 'any' });
    const [a, b] = [told(base, forged), told(base, theirs)];
    counts.situations++;
    counts.bad += Number(!a.good || !settled);
    counts.theirForeign += Number(b.foreign);
    counts.theirBad += Number(!b.good);
    const text = refusal || `${a.text}${settled ? '' : ', NOT SETTLED'}`;
    console.log(`| ${forgery.name} | ${rmapbt ? 'on' : 'off'} | ${text} | ${b.text} |`);
  }
}
console.log(JSON.stringify(counts));
process.exitCode = counts.bad > 0 ? 1 : 0;
