/**
 * What xfsimg does, in a minute: `npm run demo`. Runs the lines of the README's walk as one shell script in an empty
 * folder and shows each before what it prints. Needs Node, a build and a POSIX shell; no root, no mount, no xfsprogs.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const top = fileURLToPath(new URL('..', import.meta.url));
const readme = readFileSync(join(top, 'README.md'), 'utf8');
const [, walk] = /```sh\n([\s\S]*?)```/.exec(readme.slice(readme.indexOf('\n## A walk\n')));

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const script = walk
  .trimEnd()
  .split('\n')
  .flatMap((line) => {
    if (line === '' || line.startsWith('#')) return [`printf '%s\\n' ${quoted(line)}`];
    return [`printf '%s\\n' ${quoted(`$ ${line}`)}`, line];
  });

const folder = mkdtempSync(join(tmpdir(), 'xfsimg-demo-'));
try {
  const bin = join(folder, 'bin');
  const cwd = join(folder, 'walk');
  mkdirSync(bin);
  mkdirSync(cwd);
  symlinkSync(join(top, 'bin/xfsimg.js'), join(bin, 'xfsimg'));
  const { status } = spawnSync('sh', ['-e', '-c', ['exec 2>&1', ...script].join('\n')], {
    cwd,
    env: { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` },
    stdio: 'inherit',
  });
  process.exitCode = status ?? 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
