/** What V8 compiled of the bundle is kept beside it; whatever is wrong with that, the program runs all the same. */
import assert from 'node:assert/strict';
import {
  appendFileSync,
  cpSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { before, describe, test } from 'node:test';
import { builtProgram, top } from './support/built.js';
import { type RunResult, run, tmpdir } from './support/oracle.js';

const said = ({ stdout, stderr }: RunResult): string => stdout + stderr;

describe('the compiled code beside the bundle', () => {
  let program: string;
  let bundle: string;
  let cache: string;
  let good: Buffer;
  before(() => {
    program = builtProgram();
    bundle = join(dirname(program), '../dist/xfsimg.cjs');
    cache = join(dirname(bundle), 'compiled/schema');
    good = readFileSync(cache);
  });
  const works = (...flags: string[]): void => {
    const { stdout, stderr } = run(process.execPath, [...flags, program, 'schema', 'refcount']);
    assert.match(stdout, /"agbno"/);
    assert.equal(stderr, '');
  };

  test('is taken by the Node that built it', () => {
    const load = join(dirname(program), 'load.js');
    const ask = `console.error(require(${JSON.stringify(load)}).load(${JSON.stringify(bundle)}, 'schema').script.cachedDataRejected)`;
    assert.equal(run(process.execPath, ['-e', ask, program, 'schema']).stderr, 'false\n');
  });
  test('is left aside: other flags', () => works('--no-opt'));
  test('is left aside: cut short, noise, empty, missing', () => {
    const noise = Buffer.from(good);
    for (let i = 64; i < noise.length; i += 7) noise[i] ^= 0x5a;
    for (const bytes of [good.subarray(0, 1000), good.subarray(0, 64), noise, Buffer.alloc(0)]) {
      writeFileSync(cache, bytes);
      works();
    }
    rmSync(cache);
    works();
    writeFileSync(cache, good);
    works();
  });
  test('is left aside: of another bundle of the same length', () => {
    const source = readFileSync(bundle, 'latin1');
    assert.match(source, /[0-9a-f]{64}$/);
    truncateSync(bundle, source.length - 64);
    appendFileSync(bundle, 'f'.repeat(64));
    works();
  });
  test('is made quietly or not at all: no bundle, no leave to write', () => {
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
