import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir as systemTmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

/** A command's result; `status` is null when a signal ended it. */
export interface RunResult {
  status: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  /** Exit statuses that are not an error; default [0]. 'any' accepts every status. */
  status?: number | readonly number[] | 'any';
  input?: string | Buffer;
  cwd?: string;
  env?: Record<string, string | undefined>;
  /** How stdout and stderr become strings; latin1 keeps every byte. Default utf8. */
  encoding?: 'utf8' | 'latin1';
  /** Milliseconds after which the command is killed; default 10 minutes. */
  timeout?: number;
}

const GIB = 1024 * 1024 * 1024;

/**
 * Run a command to its end. Throws, with its stderr in the message, on a status that `options.status` does
 * not allow. Times are printed in UTC and messages in C locale, so that output can be parsed.
 */
export function run(command: string, args: readonly string[], options: RunOptions = {}): RunResult {
  const result = spawnSync(command, args, {
    input: options.input ?? '',
    cwd: options.cwd,
    env: { ...process.env, LC_ALL: 'C', TZ: 'UTC', PATH: searchPath(), ...options.env },
    encoding: options.encoding ?? 'utf8',
    maxBuffer: GIB,
    timeout: options.timeout ?? 600_000,
  });
  if (result.error) throw new Error(`${command} could not be run to its end: ${result.error.message}`);
  const { status, stdout, stderr } = result;
  const allowed = options.status ?? 0;
  const accepted =
    allowed === 'any' || (Array.isArray(allowed) ? allowed.includes(status) : allowed === status);
  if (!accepted) {
    const line = [command, ...args].join(' ').slice(0, 500);
    throw new Error(`${line}\nexited with ${status ?? result.signal}\n${stderr}${stdout.slice(-2000)}`);
  }
  return { status, stdout, stderr };
}

/** PATH with the sbin folders, where xfsprogs lives but an ordinary user's PATH does not look. */
function searchPath(): string {
  const path = (process.env.PATH ?? '').split(delimiter);
  for (const folder of ['/usr/local/sbin', '/usr/sbin', '/sbin']) {
    if (!path.includes(folder)) path.push(folder);
  }
  return path.join(delimiter);
}

const missing = new Map<string, string | false>();

/**
 * The options of a test that needs oracles: `test('...', oracle('mount', 'xfs_db'), () => {...})`.
 * Names are commands, or 'mount': a loop mount of XFS really works here. A test whose oracle is missing is
 * skipped with the reason; where CI=true nothing may be skipped, and this throws instead.
 */
export function oracle(...names: string[]): { skip: string | false } {
  for (const name of names) {
    let reason = missing.get(name);
    if (reason === undefined) {
      reason = name === 'mount' ? probeMount() : probeCommand(name);
      missing.set(name, reason);
    }
    if (reason === false) continue;
    if (process.env.CI === 'true') throw new Error(`no test may be skipped in CI, but ${reason}`);
    return { skip: reason };
  }
  return { skip: false };
}

function probeCommand(name: string): string | false {
  const found = spawnSync('/bin/sh', ['-c', `command -v ${name}`], { env: { PATH: searchPath() } });
  return found.status === 0 ? false : `${name} is not installed`;
}

function probeMount(): string | false {
  if (process.getuid?.() !== 0) return 'a loop mount needs root';
  const absent = probeCommand('mkfs.xfs') || probeCommand('mount');
  if (absent) return absent;
  const folder = mkdtempSync(join(systemTmpdir(), 'xfsimg-probe-'));
  const mountpoint = join(folder, 'mnt');
  let mounted = false;
  try {
    const image = join(folder, 'image');
    mkdirSync(mountpoint);
    blank(image, 300 * 1024 * 1024);
    run('mkfs.xfs', ['-q', image]);
    run('mount', ['-t', 'xfs', '-o', 'loop,nouuid', image, mountpoint]);
    mounted = true;
    return false;
  } catch (error) {
    return `a loop mount of XFS does not work here: ${(error as Error).message.split('\n').slice(-3).join(' ')}`;
  } finally {
    if (mounted) run('umount', [mountpoint], { status: 'any' });
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Make `path` a sparse file of `bytes` zeros, whatever it held. */
export function blank(path: string, bytes: number): void {
  const fd = openSync(path, 'w');
  try {
    ftruncateSync(fd, bytes);
  } finally {
    closeSync(fd);
  }
}

/** `xfs_repair -n` finds nothing wrong: throws with its output if it does. Returns the output. */
export function xfsRepairClean(image: string): string {
  // Small caches and no prefetch halve its time on a small image.
  const small = statSync(image).size < 2 ** 30 ? ['-P', '-o', 'bhash=512'] : [];
  const { stdout, stderr } = run('xfs_repair', ['-n', ...small, '-f', image]);
  return stdout + stderr;
}

/** What xfs_repair complains of first, in one line: its output without the headings. */
export const essence = (text: string): string =>
  text
    .split('\n')
    .filter((l) => l !== '' && !/^ {8}- |^Phase|host filesystem|the image and|No modify/.test(l))
    .slice(0, 6)
    .join(' | ');

const scratch: string[] = [];

/** A new scratch folder, removed when this process ends. */
export function tmpdir(prefix = 'xfsimg-test-', parent = systemTmpdir()): string {
  if (scratch.length === 0) {
    process.on('exit', () => {
      for (const folder of scratch) rmSync(folder, { recursive: true, force: true });
    });
  }
  const folder = mkdtempSync(join(parent, prefix));
  scratch.push(folder);
  return folder;
}

/** SHA-256 in hex, of bytes or of the file at a path given as a string. */
export function sha256(bytesOrPath: Uint8Array | string): string {
  const hash = createHash('sha256');
  if (typeof bytesOrPath !== 'string') return hash.update(bytesOrPath).digest('hex');
  const buffer = Buffer.alloc(1 << 20);
  const fd = openSync(bytesOrPath, 'r');
  try {
    for (let count = 1; count > 0; ) {
      count = readSync(fd, buffer);
      hash.update(buffer.subarray(0, count));
    }
  } finally {
    closeSync(fd);
  }
  return hash.digest('hex');
}

/** Copy an image, leaving its zeros unwritten. */
export function copyImage(from: string, to: string): string {
  run('cp', ['--sparse=always', '--reflink=auto', from, to]);
  return to;
}
