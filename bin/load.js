/**
 * Runs the pieces of the command line (see bundle.js). Compiling them takes longer than most commands; V8 can keep what
 * it compiled, and compile.js puts that, with the pieces a command needs, into a file for each command in
 * dist/compiled. Where such a file does not fit (another version of Node, other flags, another build, no such file) the
 * pieces are read one by one and compiled as ever.
 */
const { readFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { join } = require('node:path');
const { Script } = require('node:vm');

/** Characters of the hash that ends main.js and begins what was compiled: V8 itself compares lengths alone. */
const HASH = 64;
/** Bytes before what V8 kept: the hash, and how many bytes that is. What follows is the source. */
const HEAD = HASH + 16;

const node = createRequire(__filename);

/**
 * Modules that take milliseconds to load and are often not used (commander asks for child_process and never does): each
 * function of theirs loads its module when it is called.
 */
const LATER = new Set(['node:child_process', 'node:crypto']);
const loadLater = (id) =>
  new Proxy(
    {},
    {
      get:
        (_, name) =>
        (...args) =>
          node(id)[name](...args),
    },
  );

/** The files of a package, by its folder. */
exports.main = (top) => join(top, 'dist/cli/main.js');
exports.compiled = (top, command) => join(top, 'dist/compiled', /^[a-z]+$/.test(command) ? command : 'help');

/** The file that keeps `cache`, what V8 compiled of `source`. */
exports.pack = (hash, cache, source) =>
  Buffer.concat([
    Buffer.from(hash + String(cache.length).padEnd(HEAD - HASH), 'latin1'),
    cache,
    Buffer.from(source),
  ]);

/** The pieces compiled for a command, or none where there are none of this build. `main`: the text of main.js. */
function known(path, main) {
  try {
    const kept = readFileSync(path);
    if (!main.endsWith(kept.latin1Slice(0, HASH))) return {};
    const end = HEAD + Number(kept.latin1Slice(HASH, HEAD));
    const script = new Script(kept.latin1Slice(end), {
      filename: path,
      cachedData: kept.subarray(HEAD, end),
    });
    if (!script.cachedDataRejected) return script.runInThisContext();
  } catch {
    // No such file, or no whole one.
  }
  return {};
}

/**
 * Runs the program in the folder `top` for a command. Returns what main.ts exports. `pieces`: functions by name to
 * take instead of what is kept; `missed` is told of every piece that is read because it is not among them.
 */
exports.load = (top, command, pieces, missed) => {
  const path = exports.main(top);
  const main = readFileSync(path, 'latin1');
  const functions = pieces ?? known(exports.compiled(top, command), main);
  const loaded = new Map();
  const importMeta = {
    get url() {
      return require('node:url').pathToFileURL(path.slice(0, -'/main.js'.length)).href;
    },
  };
  const ask = (id) => {
    if (!id.startsWith('./')) return LATER.has(id) ? loadLater(id) : node(id);
    let piece = loaded.get(id);
    if (piece === undefined) {
      const run = functions[id] ?? compile(id);
      piece = run(ask, later, importMeta);
      loaded.set(id, piece);
    }
    return piece;
  };
  const later = async (id) => ask(id);
  const compile = (id) => {
    const filename = join(path, '..', id);
    const source = id === './main.js' ? main : readFileSync(filename, 'latin1');
    missed?.(id, source);
    return new Script(source, { filename }).runInThisContext();
  };
  return ask('./main.js');
};
