/**
 * Builds the command line into dist/cli: pieces that each hold what the same commands need, main.js the first. esbuild
 * makes them as ES modules; here each becomes a function that Node's slow module loader has no part in: imports are
 * constants taken from other pieces when it is called, exports what it returns (see load.js). Part of the build, not
 * of the package.
 */
const { createHash } = require('node:crypto');
const { mkdirSync, rmSync, writeFileSync } = require('node:fs');
const { basename, join } = require('node:path');
const { buildSync, transformSync } = require('esbuild');

const top = join(__dirname, '..');
const folder = join(top, 'dist/cli');

/** Names as `import` lists them, for a pattern or an object: `a as b` becomes `a: b`, or `b: a`. */
const names = (list, turn) =>
  list
    .split(',')
    .map((item) => item.trim().split(' as '))
    .map(([a, b = a]) => (turn ? `${b}: ${a}` : `${a}: ${b}`))
    .join(', ');

/** The function of an ES module as esbuild prints it, statements on lines of their own. */
function piece(text) {
  const body = text
    // For the order of evaluation alone; our modules do nothing when they are evaluated.
    .replace(/^import "\.\/[^"]+";$/gm, '')
    .replace(
      /^import \{([^}]*)\} from ("[^"]+");$/gm,
      (_, list, id) => `const {${names(list)}} = require(${id});`,
    )
    .replace(/^import (?:\* as )?([\w$]+) from ("[^"]+");$/gm, 'const $1 = require($2);')
    .replace(/^export \{([^}]*)\};$/m, (_, list) => `return {${names(list, true)}};`)
    .replace(/^export default (.*);$/m, 'return {default: $1};')
    .replace(/\bimport\(("\.\/[^"]+")\)/g, 'later($1)');
  const options = { minifyWhitespace: true, charset: 'ascii' };
  return transformSync(`(function(require,later,importMeta){\n${body}\n})`, options).code.replace(/;\n$/, '');
}

const { outputFiles } = buildSync({
  absWorkingDir: top,
  entryPoints: ['src/cli/main.ts'],
  outdir: 'dist/cli',
  entryNames: '[name]',
  chunkNames: '[hash]',
  write: false,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  minifyIdentifiers: true,
  minifySyntax: true,
  charset: 'ascii',
  legalComments: 'none',
  external: ['@node-rs/crc32'],
  define: { 'import.meta.url': 'importMeta.url' },
  logLevel: 'warning',
});
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const pieces = outputFiles.map(({ path, text }) => ({ name: basename(path), code: piece(text) }));
const hash = createHash('sha256');
for (const { code } of pieces) hash.update(code);
for (const { name, code } of pieces)
  writeFileSync(join(folder, name), name === 'main.js' ? `${code}//${hash.digest('hex')}` : code);
