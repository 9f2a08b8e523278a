/** `xfsimg mkdir IMAGE PATH...` */
import type { Command } from 'commander';
import { type EditCommand, registerEdit } from './edit-support.js';
import { octalMode } from './modes.js';

export const edit: EditCommand = {
  name: 'mkdir',
  define: (command) =>
    command
      .description('Make directories in an image.')
      .argument('<paths...>', 'directories to make')
      .option('-p, --parents', 'missing directories on the way too; no error where one is there')
      .option(
        '-m, --mode <octal>',
        'permissions, exactly these (default: 755, or what a default ACL says)',
        octalMode,
      ),
  async run({ edit }, [paths], options: { parents?: boolean; mode?: number }) {
    const { mkdir } = await import('../edit/create.js');
    for (const path of paths as string[]) mkdir(edit, path, options);
  },
};

export const register = (program: Command): void => registerEdit(program, edit);
