/**
 * What xfsimg does, in a minute: `npm run demo`. Needs Node and a build; no root, no mount, no xfsprogs.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unpackImage } from './support/unpack.js';

const here = fileURLToPath(new URL('.', import.meta.url));
const xfsimg = join(here, '../bin/xfsimg.js');
const folder = mkdtempSync(join(tmpdir(), 'xfsimg-demo-'));
const fixture = (name) =>
  unpackImage(join(here, `../fixtures/${name}/image.gz`), join(folder, `${name}.img`));

const say = (text) => process.stdout.write(`\n${text}\n`);

/** Shows and runs one command, which must end with `status`; of its output the first `lines` lines. */
function show(status, args, lines) {
  process.stdout.write(`\n$ xfsimg ${args}${lines === undefined ? '' : ` | head -n ${lines}`}\n`);
  const result = spawnSync(process.execPath, [xfsimg, ...args.split(' ')], { cwd: folder, encoding: 'utf8' });
  process.stdout.write(
    lines === undefined ? result.stdout : `${result.stdout.split('\n').slice(0, lines).join('\n')}\n`,
  );
  process.stdout.write(result.stderr);
  if (result.status !== status) {
    process.stdout.write(`exit status ${result.status}, expected ${status}\n`);
    process.exitCode = 1;
  }
}

try {
  say('1. A new filesystem, in the real format: Linux mounts it.');
  show(0, 'mkfs new.img --size 64m -L demo');
  show(0, 'info new.img');

  fixture('shared-healthy');
  fixture('duplicate-unflagged');
  say('2. An image that Linux made: a disk image and three clones of it, all on the same blocks.');
  show(0, 'ls -l shared-healthy.img /home /vm');
  show(0, 'dump shared-healthy.img refcount');
  say('   Its sharing is sound: flags, reference counts and reverse mappings agree.');
  show(0, 'repair shared-healthy.img -n');

  say(`3. The same image after one wrong write: letters.txt now points at the blocks of diary.txt.
   Neither file ever shared anything. xfs_repair takes the two claims for sharing: it sets both reflink flags,
   frees the true blocks of letters.txt and calls the result clean. The evidence says otherwise:`);
  show(0, 'cat duplicate-unflagged.img /home/letters.txt', 1);
  show(1, 'repair duplicate-unflagged.img -n -v');
  say('   Repaired, letters.txt has its own bytes again: the rmap btree still knew where they are.');
  show(0, 'repair duplicate-unflagged.img');
  show(0, 'cat duplicate-unflagged.img /home/letters.txt', 1);
  show(0, 'repair duplicate-unflagged.img -n');

  fixture('crash-plain');
  say(`4. An image that Linux crashed in the middle of its work. xfs_repair refuses it (mount it first), and its -L
   would throw the last changes away. Replayed here, without a kernel:`);
  show(0, 'log crash-plain.img', 12);
  show(0, 'log crash-plain.img replay');
  show(0, 'repair crash-plain.img -n');

  say('5. An image filled from a directory, and files taken out again.');
  cpSync(join(here, '../man'), join(folder, 'docs'), { recursive: true });
  show(0, 'mkfs docs.img --size auto -p docs -q');
  show(0, 'ls -l docs.img', 4);
  show(0, 'extract docs.img /xfsimg.1 -C out');
} finally {
  rmSync(folder, { recursive: true, force: true });
}
