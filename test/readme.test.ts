import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { tmpdir } from './support/oracle.js';
import { unpackImage } from './support/unpack.js';

const top = fileURLToPath(new URL('..', import.meta.url));
const readme = readFileSync(join(top, 'README.md'), 'utf8');

/** The commands of the section on pipelines, each with its comment: groups between empty lines. */
function examples(): string[] {
  const section = readme.slice(readme.indexOf('## Pipelines to paste'));
  const block = /```sh\n([\s\S]*?)```/.exec(section);
  assert.ok(block, 'the section has a block of commands');
  return block[1].trim().split('\n\n');
}

test('every example of the README runs', async (t) => {
  const work = tmpdir();
  const bin = join(work, 'bin');
  mkdirSync(bin);
  symlinkSync(join(top, 'bin/xfsimg.js'), join(bin, 'xfsimg'));
  unpackImage(join(top, 'fixtures/shared-healthy/image.gz'), join(work, 'disk.img'));
  unpackImage(join(top, 'fixtures/crash-plain/image.gz'), join(work, 'crashed.img'));
  unpackImage(join(top, 'fixtures/duplicate-unflagged/image.gz'), join(work, 'damaged.img'));
  cpSync(join(top, 'man'), join(work, 'site'), { recursive: true });
  const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}`, LC_ALL: 'C' };
  const all = examples();
  assert.ok(all.length >= 10);
  for (const example of all)
    await t.test(example.split('\n')[0].replace(/^# /, ''), () => {
      const ran = spawnSync('bash', ['-euo', 'pipefail', '-c', example], {
        cwd: work,
        env,
        encoding: 'utf8',
      });
      assert.equal(ran.status, 0, `${ran.stderr}\n${ran.stdout}`);
      assert.doesNotMatch(ran.stderr, /error|is damaged/i);
      // Made quietly, or found clean: nothing to say.
      if (!/-q$|--json/m.test(example)) assert.notEqual(ran.stdout, '');
    });
});

test('the README names every command and no other', () => {
  const help = spawnSync(process.execPath, [join(top, 'bin/xfsimg.js'), '--help'], {
    encoding: 'utf8',
  }).stdout;
  const commands = [...help.slice(help.indexOf('Commands:')).matchAll(/^ {2}(\w+) +\S/gm)].map((m) => m[1]);
  const table = readme.slice(readme.indexOf('## What it does'), readme.indexOf('## Pipelines'));
  const named = [...table.matchAll(/^\| (.+?) \|/gm)].flatMap((row) =>
    [...row[1].matchAll(/`(\w+)[^`]*`/g)].map((m) => m[1]),
  );
  assert.deepEqual(named.toSorted(), commands.filter((c) => c !== 'help').toSorted());
});

test('every command has a man page and --help', () => {
  const help = spawnSync(process.execPath, [join(top, 'bin/xfsimg.js'), '--help'], {
    encoding: 'utf8',
  }).stdout;
  for (const [, command] of help.slice(help.indexOf('Commands:')).matchAll(/^ {2}(\w+) +\S/gm)) {
    if (command === 'help') continue;
    const page = readFileSync(join(top, `man/xfsimg-${command}.1`), 'utf8');
    assert.match(page, new RegExp(`^\\.SH NAME\\nxfsimg-${command} \\\\- `, 'm'), command);
    for (const section of ['SYNOPSIS', 'DESCRIPTION', 'EXIT STATUS', 'EXAMPLES'])
      assert.ok(
        page.includes(`.SH ${section}`) || page.includes(`.SH "${section}"`),
        `${command}: ${section}`,
      );
    const shown = spawnSync(process.execPath, [join(top, 'bin/xfsimg.js'), command, '--help'], {
      encoding: 'utf8',
    });
    assert.equal(shown.status, 0);
    assert.match(shown.stdout, new RegExp(`^Usage: xfsimg ${command} `));
  }
});
