/** `xfsimg chown IMAGE OWNER PATH...` */
import type { Command } from 'commander';
import { type EditCommand, registerEdit } from './edit-support.js';
import { CliError, EXIT } from './errors.js';

interface ChownFlags {
  recursive?: boolean;
  dereference: boolean;
}

export const edit: EditCommand = {
  name: 'chown',
  define: (command) =>
    command
      .description('Change the owner and group of files in an image, by number.')
      .argument('<owner>', 'UID, UID:GID or :GID')
      .argument('<paths...>', 'files of the image')
      .option('-R, --recursive', 'everything below directories too; links themselves')
      .option('-h, --no-dereference', 'links themselves, not what they lead to'),
  async run({ edit }, [owner, paths], options: ChownFlags) {
    const [{ chown }, { parseIds }] = await Promise.all([
      import('../edit/attributes.js'),
      import('../mkfs/populate/rules.js'),
    ]);
    const ids = parseIds(owner as string);
    if (ids === undefined)
      throw new CliError(
        `chown: '${owner}': UID, UID:GID or :GID is expected, numbers from 0 to 4294967294`,
        EXIT.USAGE,
      );
    for (const path of paths as string[])
      chown(edit, path, ids.uid, ids.gid, {
        recursive: options.recursive,
        noDereference: !options.dereference,
      });
  },
};

export const register = (program: Command): void => registerEdit(program, edit);
