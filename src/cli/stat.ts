/** `xfsimg stat`: everything an inode says of its file. */
import type { Command } from 'commander';
import type { Inode } from '../volume/inode.js';
import type { Volume } from '../volume/volume.js';
import type { Damage } from './damage.js';
import { addImageOptions, type ImageOptions } from './image.js';
import type { Output } from './render/output.js';
import { addTableOptions, type TableOptions } from './render/table.js';

interface StatOptions extends ImageOptions, TableOptions {
  inum?: boolean;
  follow?: boolean;
  xattrs?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command('stat')
    .description('Show the inodes of files.')
    .argument('<image>', 'image file or block device')
    .argument('<paths...>', 'files of the image')
    .option('--inum', 'the operands are inode numbers')
    .option('-L, --follow', 'what a symbolic link points to, not the link')
    .option('-x, --xattrs', 'extended attributes with their values too');
  addTableOptions(addImageOptions(command)).action(stat);
}

async function stat(image: string, paths: string[], options: StatOptions): Promise<void> {
  const [
    { openImage },
    { Damage },
    { findOperand },
    { Output },
    { openTable, wantsRows },
    { emitFile, FILES },
    text,
  ] = await Promise.all([
    import('./image.js'),
    import('./damage.js'),
    import('./operands.js'),
    import('./render/output.js'),
    import('./render/table.js'),
    import('../dump/files.js'),
    import('../format/text.js'),
  ]);
  const volume = openImage(image, options);
  try {
    const damage = new Damage(volume, image);
    const out = new Output();
    const rows = wantsRows(options) ? await openTable(FILES, options, { image, volume }) : undefined;
    const describe = rows === undefined ? (await import('./describe.js')).describeInode : undefined;
    let first = true;
    for (const path of paths) {
      const inode = findOperand(volume, path, damage, {
        inum: options.inum,
        follow: options.follow === true,
      });
      if (inode === undefined) continue;
      if (rows !== undefined) {
        damage.guard(() => emitFile(rows, volume, inode, text.textToBytes(path)));
        continue;
      }
      if (!first) out.text('\n');
      first = false;
      describe?.(out, volume, inode, path, damage, options.xattrs === true);
    }
    rows?.finish();
    out.flush();
    damage.finish();
  } finally {
    volume.close();
  }
}

/** The shape of describe.ts's function. */
export type Describe = (
  out: Output,
  volume: Volume,
  inode: Inode,
  path: string,
  damage: Damage,
  xattrs: boolean,
) => void;
