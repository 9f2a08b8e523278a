/** `xfsimg rmdir IMAGE PATH...` */
import type { Command } from 'commander';
import { type EditCommand, registerEdit } from './edit-support.js';

export const edit: EditCommand = {
  name: 'rmdir',
  define: (command) =>
    command.description('Remove empty directories from an image.').argument('<paths...>', 'what to remove'),
  async run({ edit }, [paths]) {
    const { rmdir } = await import('../edit/remove.js');
    for (const path of paths as string[]) rmdir(edit, path);
  },
};

export const register = (program: Command): void => registerEdit(program, edit);
