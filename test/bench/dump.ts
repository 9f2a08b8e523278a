/**
 * How long dumps take next to xfs_db, and how much memory. Needs root, xfsprogs, and a bundle (`npm run build`).
 * Images are built once and kept in the system's temporary folder.
 *
 *     node --import tsx test/bench/dump.ts
 */
import { deepRefcount, manyInodes } from '../support/bench.js';
import { cachedImage } from '../support/cache.js';
import { compete, XFSIMG } from './measure.js';

const node = process.execPath;
const { image: many } = cachedImage('bench many inodes', (path) => manyInodes(path));
const { image: deep } = cachedImage('bench deep refcount', (path) => deepRefcount(path));
const ours = (...args: string[]): string[] => [node, XFSIMG, ...args];
const btdump = (image: string, ags: number, header: string, root: string): string[] => {
  const commands: string[] = [];
  for (let agno = 0; agno < ags; agno++)
    commands.push('-c', `${header} ${agno}`, '-c', `addr ${root}`, '-c', 'btdump');
  return ['xfs_db', '-r', ...commands, image];
};

const kept = compete([
  { what: 'start: --version', ours: ours('--version'), peer: [node, '-e', '0'], ratio: 1.6, runs: 30 },
  { what: 'start: dump --help', ours: ours('dump', '--help'), peer: [node, '-e', '0'], ratio: 1.6, runs: 30 },
  {
    what: 'dump refcount, 45,000 records',
    ours: ours('dump', deep, 'refcount'),
    peer: btdump(deep, 2, 'agf', 'refcntroot'),
    memory: 150,
  },
  {
    what: 'dump btree refcountbt, the same',
    ours: ours('dump', deep, 'btree', 'refcountbt'),
    peer: btdump(deep, 2, 'agf', 'refcntroot'),
    memory: 150,
  },
  {
    what: 'dump rmap, 90,000 records',
    ours: ours('dump', deep, 'rmap'),
    peer: btdump(deep, 2, 'agf', 'rmaproot'),
    memory: 150,
  },
  {
    what: 'dump extents, 300,000 inodes',
    ours: ours('dump', many, 'extents'),
    limit: 2,
    memory: 150,
    runs: 5,
  },
  { what: 'dump inodes, 300,000', ours: ours('dump', many, 'inodes'), limit: 3, memory: 150, runs: 5 },
  { what: 'dump shared, 61,000 claims', ours: ours('dump', many, 'shared'), limit: 3, memory: 150, runs: 5 },
]);
process.exitCode = kept ? 0 : 1;
