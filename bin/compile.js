/**
 * Keeps what V8 compiles of the bundle for each command (see load.js): the last step of the build, and of an install,
 * for it fits one version of Node alone. V8 compiles functions when they are first called, so every command is run
 * once on a small image. Prints nothing and never fails: without this the program starts slower, no more. Does nothing
 * where there is no bundle yet.
 */
const { spawnSync } = require('node:child_process');
const { createHash } = require('node:crypto');
const { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { dirname, join } = require('node:path');
const { cacheOf, load } = require('./load.js');

const bundle = join(__dirname, '../dist/xfsimg.cjs');

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
ls IMAGE -l /a
tree IMAGE
stat IMAGE /a
cat IMAGE /a/moved
find IMAGE
du IMAGE
map IMAGE
dump IMAGE shared --paths
log IMAGE
extract IMAGE --tar -
copy IMAGE COPY
metadump IMAGE DUMP
mdrestore RESTORED DUMP
report IMAGE -o -
repair IMAGE -n
undo IMAGE /none
schema refcount
completion bash
help mkfs
`;

/** Ends the bundle with its hash, once. */
function mark() {
  const bytes = readFileSync(bundle);
  if (/^\/\/[0-9a-f]{64}$/.test(bytes.subarray(-66).toString('latin1'))) return;
  appendFileSync(bundle, `//${createHash('sha256').update(bytes).digest('hex')}`);
}

/** In a process of its own, for the commands print. */
async function compile() {
  const folder = mkdtempSync(join(tmpdir(), 'xfsimg-compile-'));
  const files = { MAN: join(__dirname, '../man') };
  for (const name of ['IMAGE', 'COPY', 'DUMP', 'RESTORED']) files[name] = join(folder, name);
  try {
    const hash = readFileSync(bundle).subarray(-64);
    for (const line of LINES.trim().split('\n')) {
      const words = line.split(' ').map((word) => files[word] ?? word);
      // Under a name of its own V8 compiles the bundle anew.
      const { script, exports } = load(bundle, undefined, `${bundle} for ${words[0]}`);
      await exports.main([words[0], '--help']);
      await exports.main(words);
      writeFileSync(cacheOf(bundle, words[0]), Buffer.concat([hash, script.createCachedData()]));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[2] === 'child') compile();
else
  try {
    mark();
    const folder = dirname(cacheOf(bundle, 'help'));
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    spawnSync(process.execPath, [__filename, 'child'], { stdio: ['ignore', 'pipe', 'pipe'] });
  } catch {
    // No bundle, or a folder that cannot be written to.
  }
