/** `xfsimg rm IMAGE PATH...` */
import type { Command } from 'commander';
import { type EditCommand, registerEdit } from './edit-support.js';
import { asByCrash, untilInterrupted } from './interrupt.js';

export const edit: EditCommand = {
  name: 'rm',
  define: (command) =>
    command
      .description('Remove files from an image.')
      .argument('<paths...>', 'what to remove')
      .option('-r, --recursive', 'directories too, with all that is in them')
      .option('-f, --ignore-missing', 'no error where a file is not there'),
  async run({ edit, image }, [paths], options: { recursive?: boolean; ignoreMissing?: boolean }) {
    const { removeTree, unlink } = await import('../edit/remove.js');
    const { present } = await import('../edit/target.js');
    const all = paths as string[];
    untilInterrupted(asByCrash(image), () => {
      for (const path of options.ignoreMissing === true ? all.filter((p) => present(edit, p)) : all)
        if (options.recursive === true) removeTree(edit, path);
        else unlink(edit, path);
    });
  },
};

export const register = (program: Command): void => registerEdit(program, edit);
