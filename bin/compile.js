/**
 * Keeps what V8 compiles of the bundle for each command (see load.js): the last step of the build, and of an install,
 * for it fits one version of Node alone. V8 compiles functions when they are first called, so every command is run
 * once on a small image. Prints nothing and never fails: without this the program starts slower, no more. Does nothing
 * where there is no bundle yet.
 */
const { spawnSync } = require('node:child_process');
const { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { dirname, join } = require('node:path');
const { Script } = require('node:vm');
const paths = require('./load.js');

const top = dirname(__dirname);

/** Command lines on IMAGE, in this order, each its words apart by blanks; under the name of the first word. */
const LINES = `
mkfs IMAGE --size 16m -L compiled -f
mkdir IMAGE /a /b
put IMAGE -r MAN /b/c
write IMAGE /b/c/xfsimg.1 --at 100
clone IMAGE /b/c/xfsimg.1 /a/clone
dedupe IMAGE /b
mv IMAGE /a/clone /a/moved
ln IMAGE -s moved /a/link
mknod IMAGE /a/fifo p
chmod IMAGE 600 /a/moved
chown IMAGE 1:1 /a/moved
touch IMAGE /a/new
setfattr IMAGE -n user.a -v b /a/moved
getfattr IMAGE /a/moved
truncate IMAGE /a/moved 9000
punch IMAGE /a/moved 0 4k
edit IMAGE --script /dev/null
rm IMAGE /a/link
rmdir IMAGE /none
label IMAGE
uuid IMAGE
info IMAGE
info IMAGE --format table
ls IMAGE -l /a
tree IMAGE
stat IMAGE /a
stat IMAGE /a --format table
cat IMAGE /a/moved
find IMAGE
find IMAGE --format table
du IMAGE
du IMAGE --format table
map IMAGE
map IMAGE --format table
dump IMAGE shared --paths
dump IMAGE free --format table
chmod IMAGE 644 /a/moved --cut after:log
log IMAGE
log IMAGE --format table
log IMAGE items
log IMAGE replay
extract IMAGE --tar -
copy IMAGE COPY
metadump IMAGE DUMP
mdrestore RESTORED DUMP
report IMAGE -o -
repair IMAGE -n
repair IMAGE
undo IMAGE /none
schema refcount
completion bash
help mkfs
`;

/** Runs every line, and --help of its command, by the program that `program(command)` gives. */
async function runAll(program) {
  const folder = mkdtempSync(join(tmpdir(), 'xfsimg-compile-'));
  const files = { MAN: join(top, 'man') };
  for (const name of ['IMAGE', 'COPY', 'DUMP', 'RESTORED']) files[name] = join(folder, name);
  try {
    for (const line of LINES.trim().split('\n')) {
      const words = line.split(' ').map((word) => files[word] ?? word);
      const { main } = program(words[0]);
      await main(words[0] === 'help' ? ['--help'] : [words[0], '--help']);
      await main(words);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** In a process of its own, for the commands print. */
async function compile() {
  const hash = readFileSync(paths.main(top), 'latin1').slice(-64);
  // First which pieces each command needs; then they are compiled together and run again.
  const needed = new Map();
  await runAll((command) => {
    const sources = needed.get(command) ?? new Map();
    needed.set(command, sources);
    return paths.load(top, command, Object.create(null), (id, source) => sources.set(id, source));
  });
  const scripts = new Map();
  for (const [command, sources] of needed) {
    // The hash that ends main.js is a comment up to the end of its line.
    const source = `({${[...sources].map(([id, code]) => `${JSON.stringify(id)}:${code}\n`)}})`;
    scripts.set(command, { source, script: new Script(source, { filename: paths.compiled(top, command) }) });
  }
  await runAll((command) => paths.load(top, command, scripts.get(command).script.runInThisContext()));
  for (const [command, { source, script }] of scripts)
    writeFileSync(paths.compiled(top, command), paths.pack(hash, script.createCachedData(), source));
}

if (process.argv[2] === 'child') compile();
else
  try {
    const folder = dirname(paths.compiled(top, 'help'));
    rmSync(folder, { recursive: true, force: true });
    readFileSync(paths.main(top));
    mkdirSync(folder);
    spawnSync(process.execPath, [__filename, 'child'], { stdio: ['ignore', 'pipe', 'pipe'] });
  } catch {
    // No build, or a folder that cannot be written to.
  }
