/**
 * The program as it is shipped, built apart from dist/: other tests may be running that, and a build empties
 * it first.
 */
import { cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type RunOptions, type RunResult, run, tmpdir } from './oracle.js';

export const top = fileURLToPath(new URL('../..', import.meta.url));

/** npm without what a surrounding `npm test` or the user's settings would tell it. */
export function npm(args: readonly string[], options: RunOptions = {}): RunResult {
  const env: Record<string, string | undefined> = { NO_UPDATE_NOTIFIER: '1', ...options.env };
  for (const name of Object.keys(process.env))
    if (/^npm_(config|package|lifecycle)_/i.test(name)) env[name] ??= undefined;
  return run('npm', args, { ...options, env });
}

/** A copy of what a package is built from, in a new folder; its node_modules is ours. */
export function sources(): string {
  const folder = tmpdir();
  for (const name of readdirSync(top))
    if (!['node_modules', 'dist', 'fixtures', 'test', '.git'].includes(name))
      cpSync(join(top, name), join(folder, name), { recursive: true });
  // Something a package must not hold.
  mkdirSync(join(folder, 'test'));
  cpSync(join(top, 'test/rooms.test.ts'), join(folder, 'test/rooms.test.ts'));
  symlinkSync(join(top, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

let bundled: string | undefined;

/** bin/xfsimg.js of a fresh bundle of the command line; made once a process. */
export function builtProgram(): string {
  if (bundled === undefined) {
    const folder = sources();
    npm(['run', '--silent', 'bundle:cli'], { cwd: folder });
    bundled = join(folder, 'bin/xfsimg.js');
  }
  return bundled;
}
