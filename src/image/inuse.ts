/**
 * Whether something else may be writing to an image: mounted, or attached to a loop device. Linux says so in
 * /proc and /sys; elsewhere nothing is known and nothing refused.
 */
import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';

/** Why the image is in use ("attached to /dev/loop3, mounted at /mnt"), or undefined. */
export function imageInUse(path: string): string | undefined {
  if (process.platform !== 'linux') return undefined;
  let target: { dev: number; ino: number; rdev: number; isBlockDevice(): boolean };
  let real: string;
  try {
    target = statSync(path);
    real = realpathSync(path);
  } catch {
    return undefined;
  }
  const mounts = readMounts();
  if (target.isBlockDevice()) {
    const at = mounts.find((m) => sameDevice(m.device, target.rdev));
    return at === undefined ? undefined : `mounted at ${at.mountpoint}`;
  }
  for (const loop of loopDevices()) {
    if (loop.file !== real && !sameFile(loop.file, target)) continue;
    const at = mounts.find((m) => m.device === `/dev/${loop.name}`);
    return `attached to /dev/${loop.name}${at === undefined ? '' : `, mounted at ${at.mountpoint}`}`;
  }
  return undefined;
}

function sameDevice(path: string, rdev: number): boolean {
  if (!path.startsWith('/')) return false;
  try {
    const s = statSync(path);
    return s.isBlockDevice() && s.rdev === rdev;
  } catch {
    return false;
  }
}

function sameFile(path: string, target: { dev: number; ino: number }): boolean {
  try {
    const s = statSync(path);
    return s.dev === target.dev && s.ino === target.ino;
  } catch {
    return false;
  }
}

function readMounts(): { device: string; mountpoint: string }[] {
  // Octal escapes stand for blanks in both columns.
  const plain = (s: string): string =>
    s.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
  try {
    return readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const [device, mountpoint] = line.split(' ');
        return { device: plain(device), mountpoint: plain(mountpoint) };
      });
  } catch {
    return [];
  }
}

function loopDevices(): { name: string; file: string }[] {
  const out: { name: string; file: string }[] = [];
  let names: string[];
  try {
    names = readdirSync('/sys/block').filter((n) => n.startsWith('loop'));
  } catch {
    return out;
  }
  for (const name of names) {
    try {
      out.push({ name, file: readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').trimEnd() });
    } catch {
      // Not attached.
    }
  }
  return out;
}
