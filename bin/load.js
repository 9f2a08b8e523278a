/**
 * Runs the bundle. Compiling it takes longer than most commands; V8 can keep what it compiled, and compile.js puts
 * that into dist/compiled, a file for each command. Where it does not fit (another version of Node, other flags,
 * another bundle, no such file) V8 compiles as ever.
 */
const { readFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { dirname, join } = require('node:path');
const { Script } = require('node:vm');

/** Characters of the hash that ends the bundle and begins what was compiled of it: V8 itself compares lengths alone. */
const HASH = 64;

/** What V8 compiled of `source` for a command, or undefined where the file is missing or of another bundle. */
function compiled(path, source) {
  try {
    const cache = readFileSync(path);
    if (source.endsWith(cache.latin1Slice(0, HASH))) return cache.subarray(HASH);
  } catch {
    // Nothing kept.
  }
  return undefined;
}

/** Where what was compiled for the command `name` is kept; for --help and its like under `help`. */
exports.cacheOf = (bundle, name) => join(dirname(bundle), 'compiled', /^[a-z]+$/.test(name) ? name : 'help');

/** A module loaded when something of it is used: commander asks for child_process, which takes 4 ms, and never uses it. */
const later = (require, name) => new Proxy({}, { get: (_, key) => require(name)[key] });

/** Runs the bundle at `path` as Node would run a CommonJS module, for the command `name`. Returns its script and exports. */
exports.load = (path, name, filename = path) => {
  // The bundle is ASCII: esbuild escapes everything else.
  const source = readFileSync(path, 'latin1');
  const script = new Script(`(function(exports,require,module,__filename,__dirname){${source}\n})`, {
    filename,
    cachedData: name === undefined ? undefined : compiled(exports.cacheOf(path, name), source),
  });
  const module = { exports: {} };
  const require = createRequire(path);
  const ask = (id) => (id === 'node:child_process' ? later(require, id) : require(id));
  script.runInThisContext().call(module.exports, module.exports, ask, module, path, dirname(path));
  return { script, exports: module.exports };
};
