/** `xfsimg mv IMAGE PATH... DST` */
import type { Command } from 'commander';
import { type EditCommand, registerEdit } from './edit-support.js';
import { lastOperand } from './operands.js';

export const edit: EditCommand = {
  name: 'mv',
  define: (command) =>
    command
      .description('Move files of an image, or give them other names.')
      .argument('<paths...>', 'files, and last the new name or the directory they go into')
      .option('-T, --no-target-directory', 'the last operand is the new name, whatever stands there'),
  async run({ edit }, [operands], options: { targetDirectory: boolean }) {
    const [{ rename }, { destinations }] = await Promise.all([
      import('../edit/rename.js'),
      import('../edit/target.js'),
    ]);
    const { paths, last } = lastOperand(operands as string[], options.targetDirectory);
    const to = options.targetDirectory ? destinations(edit, paths, last) : [last];
    for (const [i, path] of paths.entries()) rename(edit, path, to[i]);
  },
};

export const register = (program: Command): void => registerEdit(program, edit);
