/** Ctrl-C in the middle of long commands: the image is whole, or gone where it was only being made, and one line says so. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { xfsimg } from '../support/cli.js';
import { copyImage, sha256, tmpdir } from '../support/oracle.js';

const XFSIMG = fileURLToPath(new URL('../../bin/xfsimg.js', import.meta.url));
const INTERRUPTED = 130;
const FOLDERS = 40;
const FILES = 200;

/** Processor time a process has taken so far, in hundredths of a second: the load of the machine does not count. */
function ticks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const [utime, stime] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13);
  return Number(utime) + Number(stime);
}

interface Ended {
  status: number | null;
  signal: string | null;
  stderr: string;
}

/** Starts a command, sends a signal when it has worked so long, and waits for its end. */
async function interrupted(args: string[], hundredths: number, by: NodeJS.Signals): Promise<Ended> {
  const child = spawn(process.execPath, [XFSIMG, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const ended = once(child, 'close');
  while (child.exitCode === null && ticks(child.pid!) < hundredths) await setTimeout(2);
  child.kill(by);
  const [status, signal] = await ended;
  return { status, signal, stderr };
}

/**
 * The same in the middle of its work, wherever that begins on this machine: a command that is still being loaded ends
 * by the signal alone, and is started again. `prepare`: before each start.
 */
async function inTheMiddle(
  args: string[],
  from: number,
  words: RegExp,
  prepare = (): void => {},
): Promise<void> {
  for (let hundredths = from; ; hundredths += 3) {
    prepare();
    const { status, signal, stderr } = await interrupted(args, hundredths, 'SIGINT');
    if (signal !== null) continue;
    assert.match(stderr, words);
    assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
    assert.equal(status, INTERRUPTED);
    return;
  }
}

describe('Ctrl-C', { skip: process.platform !== 'linux' && 'processor time is read from /proc' }, () => {
  const folder = tmpdir();
  const at = (name: string): string => join(folder, name);
  const image = at('image');
  const work = at('work');
  const clean = (path: string): void => {
    const { status, stderr } = xfsimg(['repair', path, '-n']);
    assert.equal(status, 0, stderr);
  };
  before(() => {
    for (let d = 0; d < FOLDERS; d++) {
      mkdirSync(at(`top/t/d${d}`), { recursive: true });
      for (let i = 0; i < FILES; i++) writeFileSync(at(`top/t/d${d}/f${i}`), `contents ${i} `.repeat(400));
    }
    assert.equal(xfsimg(['mkfs', image, '--size', '512m', '-p', at('top'), '-q']).status, 0);
  });

  test('mkfs -p and copy: no file is left', async () => {
    const gone = (): void => rmSync(work, { force: true });
    for (const args of [
      ['mkfs', work, '--size', '512m', '-p', at('top'), '-q'],
      ['copy', image, work, '--size', '512m', '-q'],
    ]) {
      await inTheMiddle(
        args,
        9,
        /^xfsimg: interrupted: \S+work: not filled: the same command begins anew$/m,
        gone,
      );
      assert.ok(!existsSync(work), args[0]);
    }
  });

  test('mkfs -p over a filesystem: there is none then', async () => {
    copyImage(image, work);
    await inTheMiddle(['mkfs', work, '-f', '-p', at('top'), '-q'], 9, /not filled/);
    const { status, stderr } = xfsimg(['info', work]);
    assert.match(stderr, /not an XFS filesystem/);
    assert.equal(status, 2);
    rmSync(work);
  });

  test('metadump and mdrestore: no file is left', async () => {
    const dump = at('dump');
    await inTheMiddle(['metadump', image, dump, '-f'], 5, /no whole dump/);
    assert.ok(!existsSync(dump));
    assert.equal(xfsimg(['metadump', image, dump]).status, 0);
    await inTheMiddle(['mdrestore', work, dump, '-f'], 4, /not restored/, () =>
      rmSync(work, { force: true }),
    );
    assert.ok(!existsSync(work));
  });

  test('extract: files up to there are whole, and --overwrite goes on', async () => {
    const out = at('out');
    await inTheMiddle(['extract', image, '-C', out, '--overwrite'], 12, /--overwrite goes over it again$/m);
    assert.equal(xfsimg(['extract', image, '-C', out, '--overwrite', '-q']).status, 0);
    assert.equal(readdirSync(join(out, 't')).length, FOLDERS);
  });

  test('clone, rm -r, dedupe: as by a crash; and the replay of that, by another', async () => {
    const isDirty = (): boolean => /^state\tdirty$/m.test(xfsimg(['log', work, 'status']).stdout);
    const fresh = (): void => {
      copyImage(image, work);
    };
    for (const args of [
      ['rm', work, '-r', '/t'],
      ['dedupe', work, '/t'],
      ['clone', work, '/t', '/t2'],
    ]) {
      const whole = /each operation is there whole or not at all/;
      await inTheMiddle(args, 40, whole, fresh);
      if (args[0] === 'clone') {
        // Until there is enough in the log, for that is to be interrupted too.
        for (let hundredths = 70; !isDirty(); hundredths += 15)
          await inTheMiddle(args, hundredths, whole, fresh);
        const words = /is still to be replayed: the same command begins anew$/m;
        await inTheMiddle(['log', work, 'replay'], 6, words);
      }
      assert.equal(xfsimg(['log', work, 'replay']).status, 0);
      clean(work);
    }
  });

  test('repair: nothing was written', async () => {
    copyImage(image, work);
    // Something to be repaired: the checksum of an AGI.
    const bytes = readFileSync(work);
    bytes[bytes.indexOf('XAGI') + 24] ^= 1;
    writeFileSync(work, bytes);
    const before = sha256(work);
    await inTheMiddle(['repair', work], 6, /^xfsimg: interrupted: nothing was written$/m);
    assert.equal(sha256(work), before);
  });

  test('SIGTERM: the image is as sound', async () => {
    copyImage(image, work);
    const { signal } = await interrupted(['clone', work, '/t', '/t2'], 100, 'SIGTERM');
    assert.equal(signal, 'SIGTERM');
    assert.equal(xfsimg(['log', work, 'replay']).status, 0);
    clean(work);
  });
});
