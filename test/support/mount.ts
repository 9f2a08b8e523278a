import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { copyImage, run, tmpdir } from './oracle.js';

export interface MountOptions {
  /** Further mount options, such as 'ro,norecovery'. */
  options?: string;
}

const mounted = new Set<string>();
let watchingExit = false;

/**
 * Mount an image through a loop device at a mount point of its own, call `fn` with the mount point, and
 * unmount again whatever happens. Returns what `fn` returns. An `fn` that returns a promise is awaited by
 * withMountAsync instead.
 */
export function withMount<T>(image: string, fn: (mountpoint: string) => T, options: MountOptions = {}): T {
  const mountpoint = mount(image, options);
  try {
    return fn(mountpoint);
  } finally {
    unmount(mountpoint);
  }
}

export async function withMountAsync<T>(
  image: string,
  fn: (mountpoint: string) => Promise<T>,
  options: MountOptions = {},
): Promise<T> {
  const mountpoint = mount(image, options);
  try {
    return await fn(mountpoint);
  } finally {
    unmount(mountpoint);
  }
}

/** Mount by hand; the caller unmounts (a mount left over when the process ends is taken down then). */
export function mount(image: string, { options }: MountOptions = {}): string {
  const mountpoint = join(tmpdir('xfsimg-mount-'), 'mnt');
  mkdirSync(mountpoint);
  const all = ['loop', 'nouuid', ...(options ? [options] : [])].join(',');
  const args = ['-t', 'xfs', '-o', all, image, mountpoint];
  for (let attempt = 0; ; attempt++) {
    try {
      run('mount', args);
      break;
    } catch (error) {
      // Two processes can be given the same free loop device; the loser only has to ask again.
      if (attempt === 5 || !/loop device/.test((error as Error).message)) throw error;
      sleep(100 * (attempt + 1));
    }
  }
  if (!watchingExit) process.on('exit', unmountAll);
  watchingExit = true;
  mounted.add(mountpoint);
  return mountpoint;
}

/** Unmount; a mount point that stays busy is detached lazily, so that none outlives the test. */
export function unmount(mountpoint: string): void {
  if (!mounted.has(mountpoint)) return;
  for (let attempt = 0; attempt < 20; attempt++) {
    if (run('umount', [mountpoint], { status: 'any' }).status === 0) {
      mounted.delete(mountpoint);
      rmSync(mountpoint, { recursive: true, force: true });
      return;
    }
    sleep(50 * (attempt + 1));
  }
  run('umount', ['-l', mountpoint]);
  mounted.delete(mountpoint);
}

function unmountAll(): void {
  for (const mountpoint of mounted) run('umount', ['-l', mountpoint], { status: 'any' });
}

/**
 * Crash a mounted filesystem: nothing more reaches the image, and its log is left to be recovered.
 * With `flushlog` the log is written out first, so that recovery has everything done so far to replay.
 */
export function crash(mountpoint: string, { flushlog = false } = {}): void {
  run('xfs_io', ['-x', '-c', flushlog ? 'shutdown -f' : 'shutdown', mountpoint]);
}

/** LSN of the head and of the tail of a mounted filesystem's log, in basic blocks from the log's start. */
export function logEnds(mountpoint: string): {
  head: number;
  cycle: number;
  tail: number;
  tailCycle: number;
} {
  const device = run('findmnt', ['-n', '-o', 'SOURCE', mountpoint]).stdout.trim();
  const read = (name: string): number[] =>
    readFileSync(`/sys/fs/xfs/${device.replace('/dev/', '')}/log/${name}`, 'utf8')
      .split(':')
      .map(Number);
  const [cycle, head] = read('log_head_lsn');
  const [tailCycle, tail] = read('log_tail_lsn');
  return { head, cycle, tail, tailCycle };
}

/**
 * Copy the image of a mounted filesystem while it is frozen: all metadata is in place, and what only a
 * mounted filesystem has (copy-on-write staging extents, open unlinked inodes) is still there.
 */
export function snapshot(image: string, mountpoint: string, to: string): string {
  run('xfs_io', ['-x', '-c', 'freeze', mountpoint]);
  try {
    return copyImage(image, to);
  } finally {
    run('xfs_io', ['-x', '-c', 'thaw', mountpoint]);
  }
}

function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
