/** `xfsimg truncate IMAGE PATH SIZE` */
import type { Command } from 'commander';
import { addCopyOptions, type CopyOptions, openRegular, positionArgument } from './data-support.js';
import { type EditCommand, registerEdit } from './edit-support.js';

export const edit: EditCommand = {
  name: 'truncate',
  define: (command) =>
    addCopyOptions(
      command
        .description('Give a file of an image another size: cut off, or extended by zeros.')
        .argument('<path>', 'the file')
        .argument('<size>', 'its new size in bytes (suffixes s, k, m, g, t, p)', positionArgument),
    ),
  async run({ edit }, [path, size], options: CopyOptions) {
    const [{ truncateFile }, { checkEnd }] = await Promise.all([
      import('../edit/write.js'),
      import('../edit/regular.js'),
    ]);
    const inode = await openRegular(edit, path as string, options);
    checkEnd(path as string, size as bigint);
    truncateFile(edit, inode.ino, size as bigint, options);
  },
};

export const register = (program: Command): void => registerEdit(program, edit);
