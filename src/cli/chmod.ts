/** `xfsimg chmod IMAGE MODE PATH...` */
import type { Command } from 'commander';
import { type EditCommand, registerEdit } from './edit-support.js';
import { CliError, EXIT } from './errors.js';

export const edit: EditCommand = {
  name: 'chmod',
  define: (command) =>
    command
      .description('Change the permissions of files in an image.')
      .argument('<mode>', 'octal, or letters as in u+rwX,go-w')
      .argument('<paths...>', 'files of the image')
      .option('-R, --recursive', 'everything below directories too'),
  async run({ edit }, [mode, paths], options: { recursive?: boolean }) {
    const [{ chmod }, { parseMode }] = await Promise.all([
      import('../edit/attributes.js'),
      import('../edit/mode.js'),
    ]);
    const change = parseMode(mode as string, edit.umask);
    if (change === undefined)
      throw new CliError(
        `chmod: '${mode}' is no mode: octal such as 755, or letters such as u+rwX,go-w`,
        EXIT.USAGE,
      );
    for (const path of paths as string[]) chmod(edit, path, change, options);
  },
};

export const register = (program: Command): void => registerEdit(program, edit);
