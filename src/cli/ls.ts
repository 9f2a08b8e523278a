/** `xfsimg ls`: the options. What they do is in list.ts. */
import type { Command } from 'commander';
import { addImageOptions, type ImageOptions } from './image.js';
import { addTableOptions, type TableOptions } from './render/table.js';

export interface LsOptions extends ImageOptions, TableOptions {
  long?: boolean;
  recursive?: boolean;
  all?: boolean;
  almostAll?: boolean;
  inode?: boolean;
  directory?: boolean;
  unsorted?: boolean;
  fullTime?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command('ls')
    .description('List directories of an image.')
    .argument('<image>', 'image file or block device')
    .argument('[paths...]', 'what to list (default: the root directory)')
    .option('-l, --long', 'mode, links, owner, group, size, time of last change, target of links')
    .option('-R, --recursive', 'directories below too')
    .option('-a, --all', "names that begin with a dot too, '.' and '..' with them")
    .option('-A, --almost-all', "the same without '.' and '..'")
    .option('-i, --inode', 'inode numbers')
    .option('-d, --directory', 'directories themselves, not what is in them')
    .option('-U, --unsorted', 'in the order of the directory, not by name')
    .option('--full-time', 'as -l, with times to the nanosecond');
  addTableOptions(addImageOptions(command)).action(
    async (image: string, paths: string[], options: LsOptions) => {
      const { list } = await import('./list.js');
      await list(image, paths, options);
    },
  );
}
