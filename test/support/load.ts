/**
 * A process of the random load that images are crashed under. It is told a folder and a seed, works there
 * until the filesystem refuses (it was shut down) or it is told to stop, lets go of its files and says so.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  copyFileSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { random } from './random.js';

export interface LoadOrder {
  root: string;
  seed: number;
  /** Whether files can share blocks. */
  reflink: boolean;
  /**
   * 'mixed': everything. 'storm': names and inodes, as many as can be, so that the log wraps. 'shred': files of
   * thousands of extents cloned, overwritten and cut down, each a long chain of transactions to crash in. 'names':
   * nothing but names that come, go and change; the first process of them writes the log out all the while. 'links':
   * the same of files with many names, and long ones: their parent pointers fill blocks.
   */
  profile: 'mixed' | 'storm' | 'shred' | 'names' | 'links';
}

const SHUT = new Set(['EIO', 'ESHUTDOWN', 'EROFS', 'EUCLEAN']);
class Shut extends Error {}

let stop = false;

async function work({ root, seed, reflink, profile }: LoadOrder): Promise<number> {
  const rnd = random(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(rnd() * list.length)];
  const below = (n: number): number => Math.floor(rnd() * n);
  const data = Buffer.alloc(1 << 20);
  for (let i = 0; i < data.length; i += 4) data.writeUInt32LE(Math.floor(rnd() * 2 ** 32), i);

  const home = `${root}/p${seed % 1000}`;
  const shared = `${root}/shared`;
  const dirs = [home, shared];
  const files: string[] = [];
  const held: number[] = [];
  let serial = 0;
  let done = 0;

  const attempt = (fn: () => void): void => {
    try {
      fn();
    } catch (error) {
      if (SHUT.has((error as NodeJS.ErrnoException).code ?? '')) throw new Shut();
    }
  };
  const newName = (): string => {
    const long = rnd() < 0.1 ? `-${'n'.repeat(below(180))}` : '';
    return `${pick(dirs)}/f${seed % 1000}-${serial++}${long}`;
  };
  const bytes = (): Buffer => {
    const kind = rnd();
    const size = kind < 0.5 ? below(8192) : kind < 0.9 ? below(65536) : below(data.length);
    const from = below(data.length - size);
    return data.subarray(from, from + size);
  };
  const tool = (command: string, args: string[], input = ''): void => {
    const { status, stderr } = spawnSync(command, args, { input, encoding: 'latin1' });
    if (status !== 0 && /Input\/output error/.test(stderr)) throw new Shut();
  };
  const withFile = (path: string, flags: number, fn: (fd: number) => void): void => {
    const fd = openSync(path, flags);
    try {
      fn(fd);
    } finally {
      closeSync(fd);
    }
  };
  const create = (): void => {
    const path = newName();
    withFile(path, constants.O_CREAT | constants.O_WRONLY | constants.O_TRUNC, (fd) => {
      const content = bytes();
      if (content.length > 0) writeSync(fd, content, 0, content.length, rnd() < 0.2 ? below(1 << 22) : 0);
      if (rnd() < 0.15) fsyncSync(fd);
    });
    files.push(path);
  };
  const overwrite = (path: string): void =>
    withFile(path, constants.O_WRONLY, (fd) => {
      for (let n = 1 + below(4); n > 0; n--) {
        const content = bytes().subarray(0, 1 + below(20000));
        writeSync(fd, content, 0, content.length, below(200_000));
      }
      if (rnd() < 0.4) fsyncSync(fd);
    });
  const clone = (): void => {
    const to = newName();
    copyFileSync(pick(files), to, reflink ? constants.COPYFILE_FICLONE_FORCE : 0);
    files.push(to);
    if (rnd() < 0.6) overwrite(to);
  };
  const drop = (): string | undefined => {
    if (files.length === 0) return undefined;
    const i = below(files.length);
    const [path] = files.splice(i, 1);
    return path;
  };
  /** Name, value in base64: sizes from one byte to the greatest there is. */
  const attributes = (): void => {
    let script = '';
    for (let n = 1 + below(3); n > 0; n--) {
      script += `# file: ${pick(files)}\n`;
      for (let k = 1 + below(6); k > 0; k--) {
        const kind = rnd();
        const size =
          kind < 0.5 ? below(60) : kind < 0.8 ? below(2000) : kind < 0.95 ? below(9000) : below(65536);
        const space = pick(['user', 'trusted', 'security']);
        const from = below(data.length - size - 1);
        script += `${space}.a${below(12)}=0s${data.subarray(from, from + size + 1).toString('base64')}\n`;
      }
      script += '\n';
    }
    tool('setfattr', ['-h', '--restore=-'], script);
  };
  const ranges = (): void => {
    const args: string[] = [];
    const at = (): string => `${below(60) * 4096} ${(1 + below(12)) * 4096}`;
    for (let n = 1 + below(6); n > 0; n--) {
      const what = below(reflink ? 8 : 7);
      if (what === 0) args.push('-c', `falloc -k ${at()}`);
      else if (what === 1) args.push('-c', `falloc ${at()}`);
      else if (what === 2) args.push('-c', `fpunch ${at()}`);
      else if (what === 3) args.push('-c', `fzero ${at()}`);
      else if (what === 4) args.push('-c', rnd() < 0.5 ? `fcollapse ${at()}` : `finsert ${at()}`);
      else if (what === 5) args.push('-c', `pwrite -S ${below(255)} ${below(300_000)} ${1 + below(30_000)}`);
      else if (what === 6) args.push('-c', pick(['fsync', 'fdatasync', `truncate ${below(400_000)}`]));
      else
        args.push(
          '-c',
          `reflink ${pick(files)} ${below(8) * 4096} ${below(30) * 4096} ${(1 + below(6)) * 4096}`,
        );
    }
    tool('xfs_io', [...args, pick(files)]);
  };
  /** Every other block of a file: its extents outgrow the inode, and then a leaf. */
  const fragment = (): void =>
    withFile(pick(files), constants.O_WRONLY, (fd) => {
      const start = below(40);
      for (let n = 10 + below(60), i = 0; i < n; i++) {
        writeSync(fd, data, i * 64, 100, (start + i * 2) * 4096);
        if (i % 8 === 7) fsyncSync(fd);
      }
    });
  const crowd = (): void => {
    const dir = `${home}/crowd${serial++}`;
    mkdirSync(dir);
    for (let n = 20 + below(250), i = 0; i < n && !stop; i++) {
      const path = `${dir}/entry-${i}-${'x'.repeat(below(40))}`;
      closeSync(openSync(path, 'w'));
      if (rnd() < 0.02) files.push(path);
    }
    dirs.push(dir);
  };
  const thin = (): void => {
    const dir = pick(dirs.slice(2));
    if (dir === undefined) return;
    for (const name of readdirSync(dir))
      if (rnd() < 0.7 && !stop) attempt(() => unlinkSync(`${dir}/${name}`));
    if (rnd() < 0.5) {
      for (const name of readdirSync(dir)) attempt(() => unlinkSync(`${dir}/${name}`));
      dirs.splice(dirs.indexOf(dir), 1);
      rmdirSync(dir);
    }
  };
  /** An open file without a name: its inode waits on an unlinked list. */
  const orphan = (): void => {
    const path = drop();
    if (path === undefined) return;
    if (held.length > 30) closeSync(held.splice(below(held.length), 1)[0]);
    const fd = openSync(path, 'r+');
    held.push(fd);
    unlinkSync(path);
    if (rnd() < 0.5) writeSync(fd, data, 0, 5000, below(100_000));
  };

  const link = (): void => {
    const path = `${home}/l${serial++}`;
    linkSync(pick(files), path);
    files.push(path);
  };
  const folder = (): void => {
    const path = `${home}/d${serial++}`;
    mkdirSync(path);
    dirs.push(path);
  };
  const empty = (): void =>
    withFile(pick(files), constants.O_RDWR, (fd) => {
      ftruncateSync(fd, 0);
      fsyncSync(fd);
    });

  /** Thousands of extents: every other block. */
  const shards: string[] = [];
  const shard = (): void => {
    const path = `${home}/shard${serial++}`;
    withFile(path, constants.O_CREAT | constants.O_WRONLY, (fd) => {
      for (let n = 300 + below(2500), i = 0; i < n && !stop; i++) writeSync(fd, data, i * 16, 512, i * 8192);
      fsyncSync(fd);
    });
    shards.push(path);
    files.push(path);
  };
  const cloneShard = (): void => {
    const to = `${home}/shard${serial++}`;
    copyFileSync(pick(shards), to, reflink ? constants.COPYFILE_FICLONE_FORCE : 0);
    shards.push(to);
    files.push(to);
  };
  const overwriteShard = (): void =>
    withFile(pick(shards), constants.O_WRONLY, (fd) => {
      const step = 1 + below(4);
      for (let i = below(100); i < 1500 && !stop; i += step) writeSync(fd, data, i * 32, 700, i * 8192);
      if (rnd() < 0.7) fsyncSync(fd);
    });
  const cutShard = (): void => {
    const path = pick(shards);
    const kind = rnd();
    if (kind < 0.4) truncateSync(path, rnd() < 0.5 ? 0 : below(1 << 22));
    else if (kind < 0.7) {
      shards.splice(shards.indexOf(path), 1);
      unlinkSync(path);
    } else
      tool('xfs_io', [
        '-c',
        kind < 0.85
          ? `fpunch ${below(1000) * 4096} 12m`
          : `${pick(['fcollapse', 'finsert'])} ${below(9) * 8192} 8192`,
        path,
      ]);
  };
  const poke = (): void =>
    withFile(`${home}/poke`, constants.O_CREAT | constants.O_WRONLY, (fd) => {
      writeSync(fd, data, below(1000), 100, below(100_000));
      fsyncSync(fd);
    });

  type Op = [number, () => void];
  const storm: Op[] = [
    [3, crowd],
    [2, thin],
    [6, create],
    [4, () => unlinkSync(drop()!)],
    [3, () => renameSync(pick(files), pick(files))],
    [2, link],
    [1, poke],
  ];
  const shred: Op[] = [
    [2, shard],
    [reflink ? 4 : 1, cloneShard],
    [4, overwriteShard],
    [5, cutShard],
    [10, poke],
    [2, create],
  ];
  const mixed: Op[] = [
    [14, create],
    [8, () => overwrite(pick(files))],
    [reflink ? 9 : 2, clone],
    [8, () => unlinkSync(drop()!)],
    [3, orphan],
    [4, () => renameSync(pick(files), pick(files))],
    [3, () => renameSync(pick(files), newName())],
    [3, link],
    [3, () => truncateSync(pick(files), below(300_000))],
    [2, () => symlinkSync('t'.repeat(1 + below(rnd() < 0.5 ? 50 : 1000)), `${home}/s${serial++}`)],
    [1, folder],
    [2, () => chmodSync(pick(files), below(0o7777))],
    [1, () => chownSync(pick(files), below(70_000), below(70_000))],
    [1, () => utimesSync(pick(files), below(2 ** 32), below(2 ** 32) + rnd())],
    [3, attributes],
    [2, () => tool('setfattr', ['-h', '-x', `user.a${below(12)}`, pick(files)])],
    [4, ranges],
    [1, fragment],
    [1, crowd],
    [1, thin],
    [1, empty],
  ];
  const short = (): string => `${pick(dirs)}/n${seed % 1000}-${serial++}-${'x'.repeat(below(60))}`;
  const names: Op[] = [
    [
      6,
      () => {
        const path = short();
        closeSync(openSync(path, 'w'));
        files.push(path);
      },
    ],
    [4, () => unlinkSync(drop()!)],
    [
      6,
      () => {
        const to = short();
        renameSync(drop()!, to);
        files.push(to);
      },
    ],
    [
      3,
      () => {
        const to = short();
        linkSync(pick(files), to);
        files.push(to);
      },
    ],
    [1, folder],
  ];
  const long = (): string => `${pick(dirs)}/l${seed % 1000}-${serial++}-${'n'.repeat(100 + below(120))}`;
  const another = (): void => {
    const path = long();
    if (files.length < 3) closeSync(openSync(path, 'w'));
    else linkSync(pick(files), path);
    files.push(path);
  };
  const renamed = (): void => {
    const path = long();
    renameSync(drop()!, path);
    files.push(path);
  };
  const links: Op[] = [
    [3, another],
    [3, () => (files.length < 60 ? another() : unlinkSync(drop()!))],
    [6, () => (files.length < 40 ? another() : renamed())],
  ];
  const pokes = seed % 100 === 0 ? [[1, poke] as Op] : undefined;
  const ops = { mixed, storm, shred, names: pokes ?? names, links: pokes ?? links }[profile];
  const total = ops.reduce((sum, [weight]) => sum + weight, 0);
  try {
    attempt(() => mkdirSync(home));
    attempt(() => mkdirSync(shared));
    for (; !stop; done++) {
      let at = below(total);
      const [, op] = ops.find(([weight]) => {
        at -= weight;
        return at < 0;
      })!;
      if (files.length > 0 || op === create || op === poke || op === names[0][1]) attempt(op);
      // Let a message in.
      if (done % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  } catch (error) {
    if (!(error instanceof Shut)) throw error;
  }
  for (const fd of held)
    try {
      closeSync(fd);
    } catch {}
  return done;
}

process.on('message', (order: LoadOrder | 'stop') => {
  if (order === 'stop') stop = true;
  else {
    stop = false;
    work(order).then(
      (done) => process.send?.({ done }),
      (error) => process.send?.({ error: String(error?.stack ?? error) }),
    );
  }
});

process.send?.('ready');
