/** `xfsimg help TOPIC`, held against groff: the same words in the same order under the same headings. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { renderManual, STYLE } from '../../src/cli/manual/roff.js';
import { top } from '../support/built.js';
import { xfsimg } from '../support/cli.js';
import { oracle, run } from '../support/oracle.js';

const pages = readdirSync(join(top, 'man'));
const words = (lines: string[]): string[] => lines.join(' ').split(/\s+/).filter(Boolean);
/** Characters groff has better ones for. */
const ascii = (s: string): string => s.replace(/[‐−–]/g, '-').replace(/[’‘]/g, "'");

describe('manual pages', () => {
  for (const name of pages)
    test(name, oracle('groff'), () => {
      const file = join(top, 'man', name);
      const groff = run(
        'groff',
        ['-k', '-man', '-Tutf8', '-P-cbou', '-rHY=0', '-rcR=1', '-rLL=2000n', file],
        {
          cwd: top,
        },
      );
      assert.equal(groff.stderr, '', 'groff has nothing to complain of');
      // Its first and last line are the header and the footer.
      const theirs = groff.stdout.trim().split('\n').slice(1, -1);
      const topic = name.replace(/^xfsimg-|\.1$/g, '');
      const ours = xfsimg(['help', topic], { encoding: 'utf8' });
      assert.equal(ours.stderr, '');
      const lines = ours.stdout.split('\n').slice(1);
      assert.deepEqual(words(lines), words(theirs.map(ascii)));
      const headings = (all: string[]): string[] =>
        all.filter((l) => /^ {0,3}\S/.test(l)).map((l) => l.trim());
      assert.deepEqual(headings(lines), headings(theirs.map(ascii)));
      // What does not fit is an example, which stands as it is written.
      const source = readFileSync(file, 'utf8').replaceAll('\\-', '-').replaceAll('\\e', '\\');
      for (const line of lines) assert.ok(line.length <= 80 || source.includes(line.trim()), line);
    });

  test('fonts', () => {
    const [, , , line] = renderManual('.TH X 1\n.SH NAME\n.BR a ", " b (1) \\fIc\\fP d\n', 80);
    assert.deepEqual(
      line.slice(1).filter((s) => s.text !== ' '),
      [
        { text: 'a', style: STYLE.BOLD },
        { text: ',', style: STYLE.PLAIN },
        { text: 'b', style: STYLE.BOLD },
        { text: '(1)', style: STYLE.PLAIN },
        { text: 'c', style: STYLE.ITALIC },
        { text: 'd', style: STYLE.PLAIN },
      ],
    );
  });

  test('roff that is not known is an error, not left out', () => {
    for (const source of ['.XX a', 'a \\*(lq b', 'a \\fQ b', 'a \\(zz b'])
      assert.throws(() => renderManual(source, 80), /unknown/, source);
  });

  test('no such topic', () => {
    const ran = xfsimg(['help', 'repiar']);
    assert.equal(ran.status, 64);
    assert.equal(ran.stderr, "xfsimg: no help on 'repiar': did you mean repair?\n");
    assert.equal(ran.stdout, '');
  });

  test('the overview tells of it', () => {
    assert.match(xfsimg(['help']).stdout, /xfsimg help COMMAND/);
    assert.match(readFileSync(join(top, 'man/xfsimg.1'), 'utf8'), /help/);
  });
});
