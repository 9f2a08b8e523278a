/**
 * Makes the images of crashes under fixtures/ anew, on Linux as root:
 *
 *     node --import tsx test/journal/make-fixtures.ts [name...]
 *
 * Each folder gets image.gz (the crashed image) and tree.json.gz: what Linux shows once it has recovered the
 * same image. Its README says what was done. No two runs give the same bytes.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, renameSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { openSource } from '../../src/image/open.js';
import { scanLog } from '../../src/journal/scan.js';
import { type LogSummary, summarizeLog } from '../../src/journal/status.js';
import { openVolume } from '../../src/volume/volume.js';
import { linuxTree } from '../support/crash.js';
import { packImage } from '../support/fixture.js';
import { crash, mount, unmount } from '../support/mount.js';
import { copyImage, run, tmpdir } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';

const root = fileURLToPath(new URL('../../fixtures/', import.meta.url));
const put = (path: string, text: string): void => writeFileSync(path, text);

interface Recipe {
  readonly mkfs: string;
  readonly options?: string;
  readonly flushlog: boolean;
  /** What is done on the mounted filesystem, up to the crash. */
  readonly work: (mountpoint: string) => void | Promise<void>;
  /** Tried again until this holds. */
  readonly wanted?: (summary: LogSummary) => boolean;
}

/** Files, names, links, attributes, clones half overwritten, and inodes that are unlinked but open. */
function everyday(at: string): void {
  mkdirSync(`${at}/dir`);
  for (let i = 0; i < 120; i++) put(`${at}/dir/file-${i}`, `contents of file ${i}\n`.repeat(1 + (i % 40)));
  run('sync', ['-f', at]);
  for (let i = 0; i < 120; i += 3) unlinkSync(`${at}/dir/file-${i}`);
  for (let i = 1; i < 120; i += 9) renameSync(`${at}/dir/file-${i}`, `${at}/dir/renamed-${i}`);
  run('xfs_io', ['-f', '-c', 'pwrite -S 65 0 256k', '-c', 'fsync', `${at}/base`]);
  run('cp', ['--reflink=always', `${at}/base`, `${at}/clone`]);
  run('xfs_io', ['-c', 'pwrite -S 66 64k 32k', '-c', 'fsync', `${at}/clone`]);
  run('xfs_io', ['-c', 'fpunch 16k 16k', '-c', 'falloc -k 512k 64k', '-c', 'truncate 200k', `${at}/base`]);
  run('setfattr', ['-n', 'user.small', '-v', 'value', `${at}/base`]);
  run('setfattr', ['-n', 'user.large', '-v', 'v'.repeat(3000), `${at}/base`]);
  run('ln', ['-s', '/somewhere/else', `${at}/link`]);
  for (let i = 0; i < 5; i++) held.push(openSync(`${at}/open-${i}`, 'w'));
  run('cp', ['--reflink=always', `${at}/clone`, `${at}/open-shared`]);
  held.push(openSync(`${at}/open-shared`, 'r+'));
  for (const fd of held.slice(0, 5)) writeSync(fd, 'data of a file without a name\n'.repeat(300));
  for (let i = 0; i < 5; i++) unlinkSync(`${at}/open-${i}`);
  unlinkSync(`${at}/open-shared`);
}
const held: number[] = [];

const RECIPES: Record<string, Recipe> = {
  'crash-plain': { mkfs: '-m rmapbt=0', flushlog: true, work: everyday },
  'crash-rmapbt': { mkfs: '-m rmapbt=1 -b size=1024 -l size=24m', flushlog: true, work: everyday },
  'crash-wrapped': {
    mkfs: '-m rmapbt=1 -l size=24m,su=256k',
    flushlog: true,
    work: (at) => {
      for (let i = 0; i < 95; i++) {
        const path = `${at}/f${i % 10}`;
        run('xfs_io', ['-f', '-c', `pwrite -S ${65 + (i % 26)} ${(i % 7) * 4096} 4k`, '-c', 'fsync', path]);
      }
      everyday(at);
    },
  },
  'crash-intents': {
    mkfs: '-m rmapbt=1 -l size=24m',
    flushlog: true,
    wanted: (s) => new Set(s.openIntents.map(({ item }) => item.type)).size >= 2,
    work: async (at) => {
      const extents = 1500;
      const punches = Array.from({ length: extents }, (_, i) => `fpunch ${i * 8192} 4096`);
      run('xfs_io', ['-f', '-c', `falloc 0 ${extents * 8192}`, `${at}/long`]);
      run('xfs_io', [...punches.flatMap((c) => ['-c', c]), `${at}/long`]);
      run('xfs_io', ['-f', '-c', `reflink ${at}/long`, `${at}/clone`]);
      run('xfs_io', ['-x', '-c', 'freeze', '-c', 'thaw', at]);
      unlinkSync(`${at}/long`);
      const second = spawn('xfs_io', ['-f', '-c', `reflink ${at}/clone`, `${at}/second`]);
      await setTimeout(5 + Math.random() * 60);
      second.unref();
    },
  },
};

async function make(name: string, recipe: Recipe): Promise<void> {
  const image = join(tmpdir(), 'image');
  for (let attempt = 1; ; attempt++) {
    mkfs(image, { size: 300 * 2 ** 20, args: recipe.mkfs.split(' '), tiny: true });
    const at = mount(image, { options: recipe.options });
    try {
      await recipe.work(at);
      crash(at, { flushlog: recipe.flushlog });
    } finally {
      for (const fd of held.splice(0)) closeSync(fd);
      unmount(at);
    }
    const volume = openVolume(openSource(image));
    const summary = summarizeLog(scanLog(volume.source, volume.g));
    volume.close();
    if (recipe.wanted === undefined || recipe.wanted(summary)) {
      const kinds = summary.openIntents.map(({ item }) => item.type.toString(16)).join(' ');
      console.log(
        `${name}: attempt ${attempt}, ${summary.transactions} transactions, ${summary.items} items, ` +
          `open intents: ${kinds || 'none'}, unlinked lists: ${summary.unlinkedLists}`,
      );
      break;
    }
    if (attempt === 100) throw new Error(`${name}: not the crash that was wanted, 100 times`);
  }
  const folder = join(root, name);
  mkdirSync(folder, { recursive: true });
  const size = packImage(image, join(folder, 'image.gz'));
  const tree = linuxTree(copyImage(image, `${image}.linux`));
  const plain = (_: string, value: unknown): unknown =>
    typeof value === 'bigint' ? String(value) : value instanceof Map ? Object.fromEntries(value) : value;
  const json = gzipSync(JSON.stringify(tree, plain), { level: 9 });
  writeFileSync(join(folder, 'tree.json.gz'), json);
  console.log(`${name}: image ${size} bytes, tree of ${tree.size} nodes ${json.length} bytes`);
}

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(RECIPES);
for (const name of names) await make(name, RECIPES[name]);
