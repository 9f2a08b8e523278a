/** What `npm pack` makes, installed as users install it. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { COMMANDS } from '../src/cli/commands.js';
import { npm, sources, top } from './support/built.js';
import { run, tmpdir } from './support/oracle.js';

interface Packed {
  filename: string;
  size: number;
  files: { path: string }[];
}

const MIB = 2 ** 20;

describe('the package', () => {
  let folder: string;
  let packed: Packed;
  let tarball: string;
  const bin = (name: string): string => join(top, 'node_modules/.bin', name);

  before(() => {
    folder = sources();
    // With its build, as it is published.
    const { stdout } = npm(['pack', '--json', '--loglevel=error'], { cwd: folder });
    const told: unknown = JSON.parse(stdout.slice(stdout.search(/^[[{]/m)));
    packed = (Array.isArray(told) ? told : Object.values(told as object))[0] as Packed;
    tarball = join(folder, packed.filename);
  });

  test('is small and holds what is needed alone', () => {
    const files = packed.files.map((f) => f.path);
    assert.ok(statSync(tarball).size < MIB, `${statSync(tarball).size} bytes`);
    assert.equal(statSync(tarball).size, packed.size);
    for (const path of files)
      assert.match(path, /^(bin\/|dist\/|man\/|package\.json$|(README|DESIGN|CHANGELOG)\.md$|LICENSE$)/);
    const pieces = files.filter((f) => /^dist\/cli\/(main|[A-Z0-9]{8})\.js$/.test(f));
    assert.ok(pieces.includes('dist/cli/main.js'));
    const declared = files.filter((f) => /^dist\/types\/.*\.d\.ts$/.test(f));
    const rest = files.filter((f) => f.startsWith('dist/') && !pieces.includes(f) && !declared.includes(f));
    const page = ['dist/report.css', 'dist/report.js'];
    assert.deepEqual(rest.toSorted(), ['dist/index.js', ...page, 'dist/worker.cjs']);
    assert.ok(!files.includes('bin/bundle.js'));
    assert.ok(!files.some((f) => /\.test\.|(^|\/)test\/|fixtures/.test(f)));
    for (const page of readdirSync(join(top, 'man'))) assert.ok(files.includes(`man/${page}`), page);
  });

  /** Installs the package as `npm install --global` does. Returns the prefix. */
  function install(...flags: string[]): string {
    const prefix = tmpdir();
    const quiet = ['--prefer-offline', '--no-audit', '--no-fund'];
    npm(['install', '--global', ...flags, ...quiet, tarball], { env: { npm_config_prefix: prefix } });
    return prefix;
  }

  /** The names of what V8 compiled at the install. */
  function compiled(prefix: string): string[] {
    const folder = join(prefix, 'lib/node_modules/xfsimg/dist/compiled');
    return existsSync(folder) ? readdirSync(folder).toSorted() : [];
  }

  test('installs globally: the command runs, the man pages are in place', () => {
    const prefix = install();
    const xfsimg = join(prefix, 'bin/xfsimg');
    const { version } = JSON.parse(readFileSync(join(top, 'package.json'), 'utf8'));
    assert.equal(run(xfsimg, ['--version']).stdout, `${version}\n`);
    const image = join(prefix, 'new.img');
    run(xfsimg, ['mkfs', image, '--size', '64m', '-L', 'packed', '-q']);
    assert.equal(
      run(xfsimg, ['info', image, '--columns', 'value', '--no-header']).stdout.includes('packed'),
      true,
    );
    assert.match(run(xfsimg, ['ls', '-la', image]).stdout, /^d.* \.$/m);
    run(xfsimg, ['repair', image, '-n']);
    // The page's code is found where it was installed.
    assert.match(run(xfsimg, ['report', image, '-o', '-']).stdout, /<title>packed /);
    assert.match(run(xfsimg, ['schema', 'refcount']).stdout, /"agbno"/);
    assert.match(run(xfsimg, ['info', image, '--format', 'table']).stdout, /│/);
    assert.deepEqual(
      readdirSync(join(prefix, 'share/man/man1')).toSorted(),
      readdirSync(join(top, 'man')).toSorted(),
    );
    assert.deepEqual(compiled(prefix), [...COMMANDS.keys(), 'help'].toSorted());
  });

  test('installs without scripts, and the command runs', () => {
    const prefix = install('--ignore-scripts');
    assert.deepEqual(compiled(prefix), []);
    assert.match(run(join(prefix, 'bin/xfsimg'), ['schema', 'refcount']).stdout, /"agbno"/);
  });

  test('is a library with types', () => {
    const user = tmpdir();
    const at = join(user, 'node_modules/xfsimg');
    mkdirSync(at, { recursive: true });
    run('tar', ['-xzf', tarball, '-C', at, '--strip-components=1']);
    writeFileSync(join(user, 'package.json'), '{"type":"module"}');
    writeFileSync(
      join(user, 'user.ts'),
      `import { type Features, MemorySource, openVolume, UnsupportedError } from 'xfsimg';
let said = '';
try {
  const features: Features = openVolume(new MemorySource(new Uint8Array(4096))).g.features;
  said = String(features.reflink);
} catch (error) {
  said = error instanceof UnsupportedError ? error.message : 'something else';
}
console.log(said);
// @ts-expect-error a source has no such method
new MemorySource(new Uint8Array(1)).nonsense();
`,
    );
    for (const [module, moduleResolution] of [
      ['nodenext', 'nodenext'],
      ['esnext', 'bundler'],
    ]) {
      // Without Node's types, and with ours checked themselves.
      const compilerOptions = {
        ...{ module, moduleResolution, target: 'es2022', lib: ['es2023', 'dom'], types: [] },
        ...{ strict: true, noEmit: true, skipLibCheck: false },
      };
      writeFileSync(join(user, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['user.ts'] }));
      run(bin('tsc'), ['-p', user]);
    }
    const program = `
      import { MemorySource, openVolume } from 'xfsimg';
      try { openVolume(new MemorySource(new Uint8Array(4096))) } catch (error) { console.log(error.name) }`;
    const ran = run(process.execPath, ['--input-type=module', '-e', program], { cwd: user });
    assert.equal(ran.stdout, 'UnsupportedError\n');
  });

  test('every public declaration is documented where the reference needs it', () => {
    run(bin('typedoc'), ['--options', join(top, '.typedoc.json'), '--out', join(tmpdir(), 'api')], {
      cwd: top,
    });
  });

  test('publint and arethetypeswrong have nothing to say', () => {
    run(bin('publint'), [tarball, '--strict']);
    run(bin('attw'), [tarball, '--profile', 'esm-only', '--no-color']);
  });
});
