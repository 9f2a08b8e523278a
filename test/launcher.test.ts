/** What V8 compiled of the program is kept beside it; whatever is wrong with that, the program runs all the same. */
import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { before, describe, test } from 'node:test';
import { builtProgram, top } from './support/built.js';
import { type RunResult, run, tmpdir } from './support/oracle.js';

const said = ({ stdout, stderr }: RunResult): string => stdout + stderr;

describe('the compiled code beside the program', () => {
  let program: string;
  let main: string;
  let cache: string;
  let good: Buffer;
  before(() => {
    program = builtProgram();
    main = join(dirname(program), '../dist/cli/main.js');
    cache = join(dirname(program), '../dist/compiled/schema');
    good = readFileSync(cache);
  });
  const works = (...flags: string[]): void => {
    const { stdout, stderr } = run(process.execPath, [...flags, program, 'schema', 'refcount']);
    assert.match(stdout, /"agbno"/);
    assert.equal(stderr, '');
  };

  /** The pieces a command reads one by one: those that are not taken from what is kept. */
  function readAlone(...args: string[]): string {
    const load = JSON.stringify(join(dirname(program), 'load.js'));
    const folder = JSON.stringify(join(dirname(program), '..'));
    const ask = `const missed = [];
      process.on('exit', () => console.error(missed.join()));
      require(${load}).load(${folder}, ${JSON.stringify(args[0])}, undefined, (id) => missed.push(id)).start();`;
    return run(process.execPath, ['-e', ask, program, ...args]).stderr.trim();
  }

  test('is taken by the Node that built it, and has all a command needs', () => {
    assert.equal(readAlone('schema', 'refcount'), '');
    assert.equal(readAlone('ls', '--help'), '');
    assert.equal(readAlone('--help'), '');
    rmSync(cache);
    assert.match(readAlone('schema', 'refcount'), /^\.\/main\.js,/);
    writeFileSync(cache, good);
  });
  test('is left aside: other flags', () => works('--no-opt'));
  test('is left aside: cut short, noise, empty, missing', () => {
    const noise = Buffer.from(good);
    for (let i = 64; i < noise.length; i += 7) noise[i] ^= 0x5a;
    for (const end of [0, 64, 79, 80, 1000, good.length - 1]) {
      writeFileSync(cache, good.subarray(0, end));
      works();
    }
    for (const bytes of [noise, noise.subarray(0, 1000)]) {
      writeFileSync(cache, bytes);
      works();
    }
    rmSync(cache);
    works();
    writeFileSync(cache, good);
    works();
  });
  test('is left aside: of another build', () => {
    const source = readFileSync(main, 'latin1');
    assert.match(source, /[0-9a-f]{64}$/);
    writeFileSync(main, source.slice(0, -64) + 'f'.repeat(64));
    assert.match(readAlone('schema', 'refcount'), /^\.\/main\.js,/);
    works();
    writeFileSync(main, source);
  });
  test('is made quietly or not at all: no build, no leave to write', () => {
    const bin = dirname(program);
    const lone = tmpdir();
    cpSync(bin, join(lone, 'bin'), { recursive: true });
    assert.deepEqual(said(run(process.execPath, [join(lone, 'bin/compile.js')])), '');
    assert.deepEqual(readdirSync(lone), ['bin']);
    const flags = ['--no-warnings', '--experimental-permission', '--allow-fs-read=*'];
    assert.deepEqual(said(run(process.execPath, [...flags, join(bin, 'compile.js')])), '');
    works();
  });
  test('--version and -V say what package.json says', () => {
    const { version } = JSON.parse(readFileSync(join(top, 'package.json'), 'utf8'));
    for (const flag of ['--version', '-V'])
      assert.equal(run(process.execPath, [program, flag]).stdout, `${version}\n`);
  });
});
