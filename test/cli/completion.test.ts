/** Completion as the shells themselves do it: each loads the script and is asked what comes next. */
import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { before, describe, test } from 'node:test';
import { builtProgram, top } from '../support/built.js';
import { oracle, run, tmpdir } from '../support/oracle.js';
import { unpackImage } from '../support/unpack.js';

/** What is typed behind `xfsimg `, and what the last word can become; the fixture holds /home and /vm. */
const CASES: [typed: string, words: string[]][] = [
  ['comp', ['completion']],
  ['dump disk.img refc', ['refcount']],
  ['dump di', ['disk.img']],
  ['cat disk.img /v', ['/vm/']],
  ['cat disk.img /vm/d', ['/vm/db.img']],
  ['ls -l --format nd', ['ndjson']],
  ['ls --format json di', ['disk.img']],
  ['repair disk.img --on-d', ['--on-duplicate']],
  ['repair --on-duplicate cl', ['clone', 'clear']],
  ['help mdr', ['mdrestore']],
];

let folder: string;
const shell = (name: string, script: string): string =>
  run(name, name === 'zsh' ? ['-f', '-c', script] : ['-c', script], {
    cwd: folder,
    env: {
      PATH: `${join(folder, 'bin')}${delimiter}${process.env.PATH}`,
      HOME: folder,
      XDG_CONFIG_HOME: folder,
    },
    timeout: 60_000,
  }).stdout;

describe('completion', () => {
  before(() => {
    folder = tmpdir();
    mkdirSync(join(folder, 'bin'));
    symlinkSync(builtProgram(), join(folder, 'bin/xfsimg'));
    unpackImage(join(top, 'fixtures/shared-healthy/image.gz'), join(folder, 'disk.img'));
    for (const name of ['bash', 'zsh', 'fish']) {
      const { stdout } = run(process.execPath, [builtProgram(), 'completion', name]);
      writeFileSync(join(folder, name === 'zsh' ? '_xfsimg' : `xfsimg.${name}`), stdout);
    }
  });

  test('bash', oracle('bash'), () => {
    for (const [typed, words] of CASES) {
      const out = shell(
        'bash',
        `source xfsimg.bash; COMP_WORDS=(xfsimg ${typed}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _xfsimg; printf '%s\\n' "\${COMPREPLY[@]}"`,
      );
      assert.deepEqual(
        out
          .split('\n')
          .map((w) => w.trim())
          .filter(Boolean)
          .sort(),
        words.toSorted(),
        typed,
      );
    }
  });

  test('fish', oracle('fish'), () => {
    for (const [typed, words] of CASES) {
      const out = shell('fish', `source xfsimg.fish; complete -C 'xfsimg ${typed}'`);
      assert.deepEqual(
        out
          .split('\n')
          .map((l) => l.split('\t')[0])
          .filter(Boolean)
          .sort(),
        words.toSorted(),
        typed,
      );
    }
  });

  test('zsh', oracle('zsh'), () => {
    // Only a terminal completes: zsh types into one of its own. Control-G shows what became of each line.
    const one = CASES.filter(([, words]) => words.length === 1);
    const setUp =
      'PROMPT=""; KEYTIMEOUT=1; fpath=($PWD $fpath); autoload -U compinit; compinit -u -D; bindkey -e; ' +
      'bindkey "^I" complete-word; show() { print -r -- "GOT:$BUFFER:"; BUFFER="" }; zle -N show; bindkey "^G" show';
    const out = shell(
      'zsh',
      `zmodload zsh/zpty; zpty z zsh -f -i
zpty -w z '${setUp}'
zpty -w -n z $'ready\\x07'; zpty -r z seen '*GOT:*ready:*'
${one.map(([typed]) => `zpty -w -n z 'xfsimg ${typed}'$'\\t\\x07'; zpty -r z seen '*GOT:xfsimg *:*'; print -r -- "$seen"`).join('\n')}
zpty -d z`,
    );
    const got = [...out.matchAll(/GOT:xfsimg (.*?):/g)].map((m) =>
      m[1].trim().split(' ').at(-1)?.replace(/\/$/, ''),
    );
    // A folder's slash is taken away again when the line ends there.
    assert.deepEqual(
      got,
      one.map(([, [word]]) => word.replace(/\/$/, '')),
    );
  });

  test('a shell it does not know', () => {
    const ran = run(process.execPath, [builtProgram(), 'completion', 'powershell'], { status: 'any' });
    assert.equal(ran.status, 64);
    assert.match(ran.stderr, /^xfsimg: [^\n]*bash, zsh, fish[^\n]*\n$/);
  });
});
