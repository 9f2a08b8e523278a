/** `xfsimg write IMAGE PATH < data` */
import { type Command, Option } from 'commander';
import { addCopyOptions, type CopyOptions, openRegular, positionArgument } from './data-support.js';
import { type EditCommand, type EditContext, registerEdit } from './edit-support.js';
import { CliError } from './errors.js';

interface WriteOptions extends CopyOptions {
  at?: bigint;
  append?: boolean;
  create?: boolean;
  truncate?: boolean;
  from?: string;
}

export const edit: EditCommand = {
  name: 'write',
  define: (command) =>
    addCopyOptions(
      command
        .description('Write standard input into a file of an image, from its start or from a position on.')
        .argument('<path>', 'the file')
        .addOption(
          new Option('--at <offset>', 'byte to begin at (default 0); past the end leaves a hole')
            .argParser(positionArgument)
            .conflicts('append'),
        )
        .option('--append', 'begin at the end of the file')
        .option('--create', 'make the file if it is not there: it appears with all of its data, or not')
        .option('--truncate', 'let the file end where the data ends')
        .option('--from <file>', 'write what is in a file of this machine instead of standard input'),
    ).addHelpText(
      'after',
      `
A write is one operation: a crash at any moment leaves all of the old data or all of the new. It goes to new
blocks, which take the place of the old ones when it is on stable storage. --in-place overwrites instead what
the file shares with nobody. Blocks shared with other files are never overwritten.

Examples:
  xfsimg write disk.img /etc/hostname --truncate < hostname
  printf 'done\\n' | xfsimg write disk.img /var/log/messages --append
  dd if=boot.bin | xfsimg write disk.img /vm/golden.img --at 1m -v`,
    ),
  async run(context, [path], options: WriteOptions) {
    const [{ writeFile, explainNoSpace }, { openInput }, { checkEnd }] = await Promise.all([
      import('../edit/write.js'),
      import('../edit/input.js'),
      import('../edit/regular.js'),
    ]);
    const { edit } = context;
    const name = path as string;
    const slot = options.create === true ? edit.slot(name) : undefined;
    const isNew = slot !== undefined && slot.entry === undefined;
    const inode = isNew ? undefined : await existing(context, name, options);
    const at = options.append === true ? (inode?.exactSize ?? 0n) : (options.at ?? 0n);
    const input = options.from === undefined ? context.stdin() : openInput(options.from);
    try {
      checkEnd(name, at + BigInt(input.size));
      if (inode !== undefined) {
        writeFile(edit, inode.ino, at, input, options);
        return;
      }
      const [{ createFilled }, { S_IF }] = await Promise.all([
        import('../edit/hidden.js'),
        import('../format/dinode.js'),
      ]);
      createFilled(edit, slot!, { mode: S_IF.REG | 0o666 }, (ino) =>
        writeFile(edit, ino, at, input, options),
      );
    } catch (error) {
      throw explainNoSpace(error, options.inPlace === true || isNew);
    } finally {
      input.close();
    }
  },
};

/** The file that is to be there already. Throws CliError where --create would have made it. */
async function existing(context: EditContext, name: string, options: WriteOptions) {
  const { edit, image } = context;
  try {
    return await openRegular(edit, name, options);
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    if (code !== 'ENOENT' || edit.slot(name).entry !== undefined) throw error;
    throw new CliError(`${image}: ${message}; --create makes it`);
  }
}

export const register = (program: Command): void => registerEdit(program, edit);
