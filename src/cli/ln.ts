/** `xfsimg ln IMAGE TARGET... LINK` */
import type { Command } from 'commander';
import { type EditCommand, registerEdit } from './edit-support.js';
import { lastOperand } from './operands.js';

interface LnOptions {
  symbolic?: boolean;
  logical?: boolean;
  targetDirectory: boolean;
}

export const edit: EditCommand = {
  name: 'ln',
  define: (command) =>
    command
      .description('Make hard links, or symbolic ones, in an image.')
      .argument('<paths...>', 'what the links lead to, and last the link or the directory they go into')
      .option('-s, --symbolic', 'symbolic links: what they lead to need not be there')
      .option('-L, --logical', 'of a symbolic link, what it leads to gets the name')
      .option('-T, --no-target-directory', 'the last operand is the link, whatever stands there'),
  async run({ edit }, [operands], options: LnOptions) {
    const [{ link, symlink }, { destinations }] = await Promise.all([
      import('../edit/create.js'),
      import('../edit/target.js'),
    ]);
    const { paths, last } = lastOperand(operands as string[], options.targetDirectory);
    const to = options.targetDirectory ? destinations(edit, paths, last) : [last];
    for (const [i, path] of paths.entries())
      if (options.symbolic === true) symlink(edit, path, to[i]);
      else link(edit, path, to[i], { follow: options.logical });
  },
};

export const register = (program: Command): void => registerEdit(program, edit);
