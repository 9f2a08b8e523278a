/** Ctrl-C in the middle of a long edit. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { withMount } from '../support/mount.js';
import { oracle, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';

const FILES = 6000;
const XFSIMG = fileURLToPath(new URL('../../bin/xfsimg.js', import.meta.url));

test(
  'Ctrl-C in put -r leaves whole files and a clean log, and says how many',
  oracle('mount', 'mkfs.xfs'),
  async () => {
    const folder = tmpdir();
    const image = mkfs(join(folder, 'image'), { size: 300 << 20 });
    const tree = join(folder, 'tree');
    mkdirSync(tree);
    for (let n = 0; n < FILES; n++) writeFileSync(join(tree, `file${n}`), `contents of ${n}`.repeat(50));
    const before = statSync(image).mtimeMs;
    const child = spawn(process.execPath, [XFSIMG, 'put', '-r', image, tree, '/'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text;
    });
    const ended = once(child, 'close');
    // The first data is in the image: it is under way.
    while (statSync(image).mtimeMs === before && child.exitCode === null) await setTimeout(2);
    child.kill('SIGINT');
    assert.deepEqual(await ended, [130, null], stderr);
    const [, count] =
      /^xfsimg: interrupted: of \S+, (\d+) of 6001 files are in, each whole; [^\n]+\n$/.exec(stderr) ?? [];
    assert.ok(Number(count) > 0 && Number(count) < FILES, stderr);
    xfsRepairClean(image);
    withMount(image, (root) => {
      const names = readdirSync(join(root, 'tree'));
      // The directory counts as one of them.
      assert.equal(names.length, Number(count) - 1);
      for (const name of names)
        assert.equal(
          readFileSync(join(root, 'tree', name), 'utf8'),
          `contents of ${name.slice(4)}`.repeat(50),
        );
    });
  },
);
