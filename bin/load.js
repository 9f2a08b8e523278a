/**
 * Runs the bundle. Compiling its 600 KB takes longer than most commands; V8 can keep what it compiled, and
 * compile.js puts that beside the bundle. Where it does not fit (another version of Node, other flags, another
 * bundle, no such file) V8 compiles as ever.
 */
const { readFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { dirname } = require('node:path');
const { Script } = require('node:vm');

/** Characters of the hash that ends the bundle and begins its cache: V8 itself compares lengths alone. */
const HASH = 64;

/** What V8 compiled of `source`, or undefined where the file is missing or of another bundle. */
function compiled(path, source) {
  try {
    const cache = readFileSync(path);
    if (source.endsWith(cache.latin1Slice(0, HASH))) return cache.subarray(HASH);
  } catch {
    // Nothing kept.
  }
  return undefined;
}

/** Runs the bundle at `path` as Node would run a CommonJS module. Returns its script and exports. */
exports.load = (path) => {
  // The bundle is ASCII: esbuild escapes everything else.
  const source = readFileSync(path, 'latin1');
  const script = new Script(`(function(exports,require,module,__filename,__dirname){${source}\n})`, {
    filename: path,
    cachedData: compiled(path.replace(/cjs$/, 'cache'), source),
  });
  const module = { exports: {} };
  const run = script.runInThisContext();
  run.call(module.exports, module.exports, createRequire(path), module, path, dirname(path));
  return { script, exports: module.exports };
};
