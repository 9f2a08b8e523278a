/**
 * The last step of the build: marks the bundle with its hash and keeps what V8 compiled of it (see load.js).
 * The commands are run on a small image first, for V8 compiles functions when they are first called. Those with much
 * to compile and much to do, such as repair, are left out: what they would save is little beside their work, and what
 * is kept here is a good part of the package.
 */
const { spawnSync } = require('node:child_process');
const { createHash } = require('node:crypto');
const { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');

const bundle = join(__dirname, '../dist/xfsimg.cjs');
const cache = bundle.replace(/cjs$/, 'cache');

async function child() {
  const folder = mkdtempSync(join(tmpdir(), 'xfsimg-compile-'));
  const image = join(folder, 'image');
  try {
    process.argv.length = 2;
    const { script, exports } = require('./load.js').load(bundle);
    for (const command of [
      ['mkfs', image, '--size', '16m', '-q'],
      ['info', image],
      ['ls', image],
      ['dump', image, 'free'],
      ['log', image],
      ['info', '--help'],
    ])
      await exports.main(command);
    const hash = readFileSync(bundle, 'latin1').slice(-64);
    writeFileSync(cache, Buffer.concat([Buffer.from(hash, 'latin1'), script.createCachedData()]));
    process.exitCode = 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[2] === 'child') child();
else {
  const hash = createHash('sha256').update(readFileSync(bundle)).digest('hex');
  appendFileSync(bundle, `//${hash}`);
  rmSync(cache, { force: true });
  // In a process of its own: the commands print.
  const { status, stderr } = spawnSync(process.execPath, [__filename, 'child'], { encoding: 'utf8' });
  if (status !== 0) {
    process.stderr.write(stderr);
    process.exitCode = 1;
  }
}
