/** `xfsimg punch IMAGE PATH OFFSET LENGTH` */
import type { Command } from 'commander';
import { addCopyOptions, type CopyOptions, openRegular, positionArgument } from './data-support.js';
import { type EditCommand, registerEdit } from './edit-support.js';

export const edit: EditCommand = {
  name: 'punch',
  define: (command) =>
    addCopyOptions(
      command
        .description('Make a range of a file of an image zeros, and give its blocks back. The size stays.')
        .argument('<path>', 'the file')
        .argument('<offset>', 'first byte (suffixes s, k, m, g, t, p)', positionArgument)
        .argument('<length>', 'bytes', positionArgument),
    ),
  async run({ edit }, [path, offset, length], options: CopyOptions) {
    const [{ punchFile, explainNoSpace }, { checkEnd }] = await Promise.all([
      import('../edit/write.js'),
      import('../edit/regular.js'),
    ]);
    const inode = await openRegular(edit, path as string, options);
    const end = (offset as bigint) + (length as bigint);
    checkEnd(path as string, end);
    try {
      punchFile(edit, inode.ino, offset as bigint, end, options);
    } catch (error) {
      throw explainNoSpace(error, options.inPlace === true);
    }
  },
};

export const register = (program: Command): void => registerEdit(program, edit);
