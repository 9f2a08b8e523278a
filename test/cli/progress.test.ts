/** What a long command shows of its way: on a terminal, on a signal, with -v, and nothing anywhere else. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as after } from 'node:timers/promises';
import { Progress, stageText } from '../../src/cli/render/progress.js';
import { xfsimg } from '../support/cli.js';
import { tmpdir } from '../support/oracle.js';

const inodes = (done: number, agno = 0) => ({ phase: 'inodes', agno, done, total: 300_000, unit: 'inodes' });

/** A progress on a clock of its own, and what it wrote. */
function watched(options: { terminal?: boolean; verbose?: boolean; quiet?: boolean }) {
  const written: string[] = [];
  const clock = { ms: 0 };
  const write = (text: string): void => void written.push(text);
  return { written, clock, progress: new Progress({ ...options, write, now: () => clock.ms }) };
}

test('a line says phase, AG, how many of how many, rate and time left', () => {
  assert.equal(
    stageText(inodes(100_000, 2), 4),
    'inodes: AG 2, 100,000 of 300,000 inodes (33%), 25,000/s, 8 s left',
  );
  assert.equal(stageText(inodes(0), 0), 'inodes: AG 0, 0 of 300,000 inodes (0%)');
  assert.equal(stageText({ phase: 'extracting', done: 90, unit: 'files' }, 30), 'extracting: 90 files, 3/s');
  assert.equal(
    stageText({ phase: 'filling', done: 1, total: 3601, unit: 'files' }, 2),
    'filling: 1 of 3,601 files (0%), 2 h 0 min left',
  );
});

test('on a terminal: nothing at first, then ten lines a second at most, and none is left behind', () => {
  const { written, clock, progress } = watched({ terminal: true });
  for (; clock.ms < 450; clock.ms += 50) progress.update(inodes(clock.ms * 100));
  assert.deepEqual(written, []);
  for (; clock.ms < 1500; clock.ms += 10) progress.update(inodes(clock.ms * 100));
  assert.equal(written.length, 10);
  for (const line of written) assert.match(line, /^\r.*inodes: AG 0, [\d,]+ of 300,000 .*\x1b\[K$/);
  progress.finish();
  assert.equal(written.at(-1), '\r\x1b[K');
});

test('elsewhere, and where it is to be quiet: nothing', () => {
  for (const options of [{ terminal: false }, { terminal: true, verbose: true, quiet: true }]) {
    const { written, clock, progress } = watched(options);
    for (; clock.ms < 5000; clock.ms += 50) progress.update(inodes(clock.ms));
    progress.finish();
    assert.deepEqual(written, []);
  }
});

test('-v: each phase with its time, once it is over', () => {
  const { written, clock, progress } = watched({ terminal: false, verbose: true });
  progress.update({ phase: 'inode btrees', done: 0, total: 4, unit: 'AGs' });
  clock.ms = 250;
  progress.update(inodes(0));
  clock.ms = 1750;
  progress.finish();
  assert.deepEqual(written, [
    'xfsimg: inode btrees: 4 AGs, 0.25 s\n',
    'xfsimg: inodes: 300,000 inodes, 1.50 s\n',
  ]);
});

test('SIGUSR1: a line where the command stands', async () => {
  const { written, clock, progress } = watched({ terminal: false });
  progress.onSignal();
  try {
    progress.update(inodes(0));
    clock.ms = 2000;
    progress.update(inodes(150_000, 1));
    process.kill(process.pid, 'SIGUSR1');
    for (let i = 0; i < 100 && written.length === 0; i++) await after(10);
    assert.deepEqual(written, [
      'xfsimg: inodes: AG 1, 150,000 of 300,000 inodes (50%), 75,000/s, 2 s left\n',
    ]);
  } finally {
    progress.finish();
  }
  assert.equal(process.listenerCount('SIGUSR1'), 0);
});

test('repair -v names its phases in a pipe, repair alone is silent there', () => {
  const image = join(tmpdir(), 'image');
  assert.equal(xfsimg(['mkfs', image, '--size', '64m', '-q']).status, 0);
  assert.equal(xfsimg(['repair', image, '-n']).stderr, `xfsimg: ${image}: clean\n`);
  const phases = xfsimg(['repair', image, '-n', '-v'])
    .stderr.split('\n')
    .map((line) => line.split(':')[1]);
  assert.deepEqual(phases.slice(0, 4), [' inode btrees', ' space btrees', ' inodes', ' comparing']);
});
