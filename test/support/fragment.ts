/** Free space in single blocks: what is allocated then, Linux has to put together of pieces. */
import { mkdirSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './oracle.js';

/**
 * Fills a mounted filesystem and frees every third block of what it was filled with. What is allocated before
 * lies side by side, what is allocated after does not.
 */
export function fragment(root: string): void {
  const { bsize } = statfsSync(root);
  // What the filesystem holds back for itself would stay in one piece.
  run('xfs_io', ['-x', '-c', 'resblks 1', root]);
  const fill = join(root, 'fill');
  writeFileSync(fill, '');
  const io = (file: string, commands: readonly string[]): void => {
    run('xfs_io', [file], { input: `${commands.join('\n')}\n`, status: 'any' });
  };
  const from = (): number => Math.ceil(statSync(fill).size / bsize);
  for (const step of [4096, 256, 16, 1])
    for (let before = -1; before !== from(); ) {
      before = from();
      io(fill, [`falloc ${before * bsize} ${step * bsize}`]);
    }
  const holes: string[] = [];
  for (let b = 0; b < from(); b += 3) holes.push(`fpunch ${b * bsize} ${bsize}`);
  io(fill, holes);
  // The rest, which the filesystem counted on for its trees, goes to files that ask for it by the piece.
  mkdirSync(join(root, 'rest'));
  for (let n = 0; longestRun(root) > 1 && n < 64; n++) {
    const file = join(root, 'rest', String(n));
    writeFileSync(file, '');
    io(file, [`falloc 0 ${longestRun(root) * bsize}`]);
  }
}

/** Blocks of the longest run that is free. */
function longestRun(root: string): number {
  const { stdout } = run('xfs_spaceman', ['-c', 'freesp -d', root]);
  const lengths = [...stdout.matchAll(/^ *\d+ +\d+ +(\d+)$/gm)].map((m) => Number(m[1]));
  return Math.max(0, ...lengths);
}
