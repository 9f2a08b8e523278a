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

test('the walk of the README, as the demo runs it, leads from an empty folder to a report', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(top, 'test/demo.js')], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  });
  assert.equal(status, 0, stdout + stderr);
  assert.equal(stderr, '');
  const walk = readme.slice(readme.indexOf('\n## A walk\n'), readme.indexOf('\n## What it does\n'));
  const lines = /```sh\n([\s\S]*?)\n```/.exec(walk)![1].split('\n');
  let at = 0;
  for (const line of lines) {
    const shown = line === '' || line.startsWith('#') ? `${line}\n` : `$ ${line}\n`;
    at = stdout.indexOf(shown, at);
    assert.ok(at >= 0, `${line} is not in the transcript`);
  }
  /** What the commands that begin so printed, one after the other. */
  const printed = (command: string): string[] =>
    stdout
      .split(/^(?=\$ |# |$)/m)
      .filter((part) => part.startsWith(`$ ${command}`))
      .map((part) => part.slice(part.indexOf('\n') + 1));
  assert.match(printed('xfsimg dump demo.img shared')[0], /\/srv\/numbers\.txt\n.*\/srv\/clone\.txt\n$/);
  assert.match(printed('xfsimg log demo.img status')[0], /^recovery of efi\t.*frees them/);
  assert.match(printed('xfsimg log demo.img replay')[0], /1 transaction replayed[\s\S]*1 EFI/);
  // The letters show the diary's words until they are repaired, and the diary keeps its own.
  assert.deepEqual(printed('xfsimg cat demo.img /srv/clone.txt'), ['1\n']);
  const [foreign, zeros] = printed('xfsimg cat demo.img /srv/letters.txt');
  assert.equal(foreign, 'dear diary\n');
  assert.match(zeros, /^0000000( +\\0){16}\n\*\n$/);
  assert.deepEqual(printed('xfsimg cat demo.img /srv/diary.txt'), ['dear diary\n']);
  const looks = printed('xfsimg repair demo.img -n');
  assert.equal(looks.length, 3);
  assert.match(looks[0], /: clean\n$/);
  assert.match(
    looks[1],
    /^duplicate\.corrupt: .*\/srv\/letters\.txt[\s\S]*1 finding; nothing was written\n$/m,
  );
  assert.match(looks[2], /: clean\n$/);
  assert.deepEqual(printed('ls *.html'), ['damaged.html\ndemo.html\n']);
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
