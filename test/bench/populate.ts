/**
 * How long filling an image takes next to mkfs.xfs with a protofile of the same tree, and how both grow. Needs
 * xfsprogs, GNU time, about 12 GB of scratch space, and a bundle (`npm run build`).
 *
 *     node --import tsx test/bench/populate.ts [--paths 50000] [--large 500000] [--runs 5] [--folder DIR]
 *
 * The commands run in turn; each figure is the best of its runs, for other work on the machine only ever adds.
 * With --folder the trees are made there once and stay; --runs 0 only makes them.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { run, tmpdir } from '../support/oracle.js';
import { random } from '../support/random.js';
import { XFSIMG } from './measure.js';

const { values } = parseArgs({
  options: {
    paths: { type: 'string', default: '50000' },
    large: { type: 'string', default: '500000' },
    runs: { type: 'string', default: '5' },
    folder: { type: 'string' },
    seed: { type: 'string', default: '1' },
  },
});

/**
 * A tree like /usr/share: directories of a dozen files, half of them below 2 KiB and few above 64 KiB, some
 * symbolic links. Writes a protofile and an archive of it too, and how many bytes it takes.
 */
function makeTree(folder: string, paths: number): void {
  const tree = join(folder, 'tree');
  const dice = random(Number(values.seed));
  const text = Buffer.from(Array.from({ length: 2 ** 18 }, () => 32 + Math.floor(dice() * 95)));
  let bytes = 0;
  let count = 0;
  const lines = ['/none', '0 0', 'd--755 0 0'];
  const fill = (path: string, name: string, depth: number): void => {
    const at = join(path, name);
    mkdirSync(at);
    lines.push(`${name} d--755 0 0`);
    const files = 4 + Math.floor(dice() * 20);
    for (let i = 0; i < files && count < paths; i++) {
      count++;
      const file = `entry-${i}.${['txt', 'png', 'mo', 'html'][i % 4]}`;
      if (dice() < 0.08) {
        symlinkSync(`../shared/target-${i}`, join(at, file));
        lines.push(`${file} l--777 0 0 ../shared/target-${i}`);
        continue;
      }
      const size = Math.floor(256 * 2 ** (dice() * dice() * 11));
      const from = Math.floor(dice() * (text.length - Math.min(size, text.length)));
      writeFileSync(join(at, file), text.subarray(from, from + size));
      bytes += Math.ceil(size / 4096) * 4096;
      lines.push(`${file} ---644 0 0 ${join(at, file)}`);
    }
    for (let i = 0; depth < 5 && i < 6 && count < paths; i++) {
      count++;
      fill(at, `folder-${i}`, depth + 1);
    }
    lines.push('$');
  };
  mkdirSync(tree);
  for (let i = 0; count < paths; i++) {
    count++;
    fill(tree, `part-${i}`, 0);
  }
  const proto = join(folder, 'proto');
  writeFileSync(proto, [...lines, '$', ''].join('\n'));
  const archive = join(folder, 'tar');
  run('tar', ['-C', tree, '-cf', archive, '.']);
  writeFileSync(join(folder, 'bytes'), `${bytes}`);
}

interface Figure {
  wall: number;
  cpu: number;
  megabytes: number;
}

/** The best of wall time, CPU time and peak memory of each command, run in turn. Outputs go before each run. */
function measure(commands: readonly (readonly string[])[], output: string, runs: number): Figure[] {
  const best = commands.map(() => ({ wall: Infinity, cpu: Infinity, megabytes: Infinity }));
  for (let i = 0; i < runs; i++)
    commands.forEach((command, c) => {
      rmSync(output, { force: true });
      const { stderr } = run('/usr/bin/time', ['-f', '%e %U %S %M', ...command], {
        env: { NODE_EXTRA_CA_CERTS: undefined },
      });
      const [wall, user, system, kb] = (stderr.trimEnd().split('\n').at(-1) ?? '').split(' ').map(Number);
      const b = best[c];
      b.wall = Math.min(b.wall, wall);
      b.cpu = Math.min(b.cpu, user + system);
      b.megabytes = Math.min(b.megabytes, kb / 1024);
    });
  return best;
}

console.log('paths\twhat\twall s\tCPU s\tpeak MB\twall ratio\tCPU ratio\tmemory ratio');
let kept = true;
const perPath: number[] = [];
for (const paths of [Number(values.paths), Number(values.large)]) {
  if (paths === 0) continue;
  const folder = values.folder === undefined ? tmpdir('xfsimg-bench-') : join(values.folder, `${paths}`);
  if (!existsSync(join(folder, 'bytes'))) {
    mkdirSync(folder, { recursive: true });
    makeTree(folder, paths);
  }
  if (values.runs === '0') continue;
  const [tree, proto, archive] = ['tree', 'proto', 'tar'].map((name) => join(folder, name));
  const bytes = Number(readFileSync(join(folder, 'bytes'), 'utf8'));
  const image = join(folder, 'image');
  const size = `${Math.ceil((bytes * 1.1 + paths * 1024) / 2 ** 20) + 400}m`;
  const ours = (source: string): string[] => [
    ...[process.execPath, XFSIMG, 'mkfs', image, '--size', size, '-q', '-f', '-p', source],
  ];
  const theirs = ['mkfs.xfs', '-q', '-f', '-d', `file,name=${image},size=${size}`, '-p', proto];
  const [peer, byProto, byTree, byTar] = measure(
    [theirs, ours(proto), ours(tree), ours(archive)],
    image,
    Number(values.runs),
  );
  const row = (what: string, f: Figure): void => {
    const ratios = [f.wall / peer.wall, f.cpu / peer.cpu, f.megabytes / peer.megabytes];
    console.log(
      [
        ...[paths, what, f.wall.toFixed(2), f.cpu.toFixed(2), f.megabytes.toFixed(0)],
        ...ratios.map((r) => r.toFixed(2)),
      ].join('\t'),
    );
    if (what !== 'mkfs.xfs -p proto') kept &&= ratios[0] <= 1 && ratios[1] <= 1 && ratios[2] <= 0.5;
  };
  row('mkfs.xfs -p proto', peer);
  row('xfsimg mkfs -p proto', byProto);
  row('xfsimg mkfs -p tree', byTree);
  row('xfsimg mkfs -p tar', byTar);
  perPath.push(byTree.cpu / paths);
  rmSync(image);
  if (values.folder === undefined) rmSync(folder, { recursive: true });
}
if (perPath.length === 2)
  console.log(`CPU time a path, large to small: ${(perPath[1] / perPath[0]).toFixed(2)}`);
process.exitCode = kept ? 0 : 1;
