/**
 * Clones and dedupe of a gigabyte: `npm run bench:data`. Needs root and 4 GiB under the temporary folder
 * (TMPDIR). Each run begins with the same image.
 */
import { randomFillSync } from 'node:crypto';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { withMount } from '../support/mount.js';
import { run, tmpdir } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { seconds, XFSIMG } from './measure.js';

const MIB = 2 ** 20;
const folder = tmpdir();
const image = join(folder, 'image');
const work = join(folder, 'work');

/** A file of random bytes, the same for every copy. */
function fill(paths: readonly string[], mib: number): void {
  const bytes = Buffer.alloc(MIB);
  const files = paths.map((path) => openSync(path, 'w'));
  for (let i = 0; i < mib; i++) {
    randomFillSync(bytes);
    for (const fd of files) writeSync(fd, bytes);
  }
  for (const fd of files) closeSync(fd);
}

mkfs(image, { size: 3 * 1024 * MIB });
withMount(image, (root) => {
  fill([join(root, 'whole')], 1024);
  fill([join(root, 'one'), join(root, 'two')], 512);
});

const node = process.execPath;
const [bare] = seconds([[node, '-e', '0']], 5);
const again = `cp --sparse=always --reflink=auto ${image} ${work}`;
const [clone] = seconds([[node, XFSIMG, 'clone', work, '/whole', '/clone']], 3, again);
const [dedupe] = seconds([[node, XFSIMG, 'dedupe', work, '/one', '/two']], 3, again);
run('xfs_repair', ['-n', '-f', work]);
const rate = 1024 / dedupe;

console.log('what\tseconds\tlimit\tkept');
console.log(`node -e 0\t${bare.toFixed(3)}\t\t`);
const cloned = clone - bare;
console.log(
  `clone of 1 GiB, beyond node's start\t${cloned.toFixed(3)}\t0.2\t${cloned <= 0.2 ? 'yes' : 'NO'}`,
);
console.log(
  `dedupe of 1 GiB, half of it equal\t${dedupe.toFixed(3)}\t${rate.toFixed(0)} MiB/s > 286 (300 MB/s)\t${rate * 1.048576 > 300 ? 'yes' : 'NO'}`,
);
rmSync(folder, { recursive: true });
process.exitCode = cloned <= 0.2 && rate * 1.048576 > 300 ? 0 : 1;
