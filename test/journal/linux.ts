/** What Linux decides about a log: mounts the image and reads what the kernel says of that device. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { run, tmpdir } from '../support/oracle.js';

export interface LinuxDecision {
  /** The mount succeeded: the log was replayed, or there was nothing to replay. */
  readonly mounted: boolean;
  /** Block of the record Linux took for torn, where it did. */
  readonly torn: number | undefined;
  readonly recovered: boolean;
  /** The kernel's lines. */
  readonly messages: string[];
}

/** Mounts a copy made by the caller, and unmounts it again. */
export function linuxDecision(image: string): LinuxDecision {
  const mountpoint = join(tmpdir('xfsimg-mount-'), 'mnt');
  mkdirSync(mountpoint);
  const device = run('losetup', ['-f', '--show', image]).stdout.trim();
  const name = `XFS (${device.replace('/dev/', '')})`;
  const lines = (): string[] =>
    run('dmesg', [])
      .stdout.split('\n')
      .filter((line) => line.includes(name));
  try {
    const before = lines();
    const last = before[before.length - 1];
    const mounted =
      run('mount', ['-t', 'xfs', '-o', 'nouuid', device, mountpoint], { status: 'any' }).status === 0;
    const after = lines();
    const messages = after.slice(last === undefined ? 0 : after.lastIndexOf(last) + 1);
    if (mounted) run('umount', [mountpoint]);
    const torn = messages
      .map((m) => /Torn write .* log block (0x[0-9a-f]+)\./.exec(m))
      .find((m) => m !== null);
    return {
      mounted,
      torn: torn === undefined ? undefined : Number(torn[1]),
      recovered: messages.some((m) => /(Starting|Ending) recovery/.test(m)),
      messages,
    };
  } finally {
    run('losetup', ['-d', device], { status: 'any' });
  }
}
