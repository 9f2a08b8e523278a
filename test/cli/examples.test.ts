/** The examples of every manual page, run as they stand there: on an image that has what they name. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { before, describe, test } from 'node:test';
import { xfsimg } from '../support/cli.js';
import { copyImage, run, tmpdir } from '../support/oracle.js';
import { unpackImage } from '../support/unpack.js';

const top = join(import.meta.dirname, '../..');

/** What the examples name inside disk.img: a trailing / is a directory. */
const INSIDE =
  'etc/fstab etc/fstab.new etc/passwd etc/machine-id etc/hostname var/log/syslog var/log/messages bin/ping ' +
  'srv/www/index.html srv/data home/me/notes vm/golden.img vm/disk.raw vm/copy.img a b secret dev/ lost/ ' +
  'var/cache/apt/pkg';
/** Files and folders beside it. */
const BESIDE = 'hosts hostname boot.bin site/index.html tree/file x';

/** The example lines of a page, without roff's escapes. */
function examples(page: string): string[] {
  const source = readFileSync(join(top, 'man', page), 'utf8');
  const section = source.slice(source.indexOf('\n.SH EXAMPLES\n') + 1).split(/\n\.SH /)[0];
  return [...section.matchAll(/^\.nf\n([\s\S]*?)^\.fi$/gm)]
    .flatMap(([, lines]) => lines.trim().split('\n'))
    .map((line) => line.replaceAll('\\-', '-').replaceAll('\\(aq', "'").replaceAll('\\e', '\\'));
}

/** A line without what follows a pipe into a program that is not here. */
function runnable(line: string): string {
  const missing = ['jq', 'zstd', 'xxd'].find(
    (tool) => line.includes(`| ${tool} `) && spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0,
  );
  if (missing !== undefined) return line.slice(0, line.indexOf(`| ${missing}`));
  return line.endsWith('| xxd') ? line.replace('| xxd', '| od -c') : line;
}

describe('examples of the manual', {
  skip: process.platform === 'win32' && 'they are lines of a shell',
}, () => {
  const base = tmpdir();
  const at = (name: string): string => join(base, name);
  const pages = readdirSync(join(top, 'man'));

  before(() => {
    const make = (folder: string, names: string): void => {
      for (const name of names.split(' ')) {
        const path = join(folder, name);
        mkdirSync(name.endsWith('/') ? path : dirname(path), { recursive: true });
        if (!name.endsWith('/')) writeFileSync(path, `what is in ${name}\n`.repeat(500));
      }
    };
    make(at('inside'), INSIDE);
    writeFileSync(at('inside/a'), Buffer.alloc(2 ** 20, 'of /a '));
    mkdirSync(at('bin'));
    symlinkSync(join(top, 'bin/xfsimg.js'), at('bin/xfsimg'));
    const made = xfsimg(['mkfs', at('disk.img'), '--size', '64m', '-p', at('inside'), '-q']);
    assert.equal(made.stderr, '');
    const caps = ['-n', 'security.capability', '-v', '0x0100000200200000000000000000000000000000'];
    assert.equal(xfsimg(['setfattr', at('disk.img'), ...caps, '/bin/ping']).status, 0);
    unpackImage(join(top, 'fixtures/duplicate-unflagged/image.gz'), at('damaged.img'));
    unpackImage(join(top, 'fixtures/crash-plain/image.gz'), at('crashed.img'));
    unpackImage(join(top, 'fixtures/shared-healthy/image.gz'), at('clean.img'));
    assert.equal(xfsimg(['metadump', at('disk.img'), at('fs.metadump')]).status, 0);
    run('sh', ['-c', `gzip -k ${at('fs.metadump')}`]);
    make(at('beside'), BESIDE);
    run('tar', ['-cf', at('a.tar'), '-C', at('beside'), 'x']);
    writeFileSync(at('changes'), 'mkdir -p /etc/conf.d\nchmod 600 /secret\n');
  });

  for (const page of pages)
    test(page, () => {
      const lines = examples(page);
      assert.ok(lines.length > 0);
      const folder = tmpdir();
      const here = (name: string): string => join(folder, name);
      // What these three are about is damage.
      const damaged = /-(repair|undo|report)\.1$/.test(page);
      copyImage(at(damaged ? 'damaged.img' : 'disk.img'), here('disk.img'));
      if (page === 'xfsimg-copy.1') copyImage(at('disk.img'), here('big.img'));
      for (const name of ['crashed.img', 'clean.img', 'fs.metadump', 'fs.metadump.gz', 'a.tar', 'changes'])
        copyFileSync(at(name), here(name));
      run('cp', ['-r', `${at('beside')}/.`, folder]);
      for (const name of ['.zfunc', '.config/fish/completions']) mkdirSync(here(name), { recursive: true });
      const env = {
        ...process.env,
        HOME: folder,
        PATH: `${at('bin')}${delimiter}${process.env.PATH}`,
        LC_ALL: 'C',
      };
      for (const line of lines) {
        // Each of these makes its image anew.
        if (/^xfsimg mkfs disk\.img/.test(line)) run('rm', ['-f', here('disk.img')]);
        if (/mdrestore fs\.img/.test(line)) run('rm', ['-f', here('fs.img')]);
        const ran = spawnSync('bash', ['-c', runnable(line)], { cwd: folder, env, encoding: 'utf8' });
        const said = `${line}\n${ran.stderr}`;
        assert.ok(ran.status === 0 || (damaged && ran.status === 1), `${said}status ${ran.status}`);
        assert.doesNotMatch(ran.stderr, /internal error|unknown option|command not found/, said);
      }
    });
});
