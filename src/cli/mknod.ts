/** `xfsimg mknod IMAGE PATH TYPE [MAJOR MINOR]` */
import { Argument, type Command } from 'commander';
import { type EditCommand, registerEdit } from './edit-support.js';
import { CliError, EXIT } from './errors.js';
import { octalMode } from './modes.js';

/** XFS has 14 bits for the major number and 18 for the minor one. */
const MAX_MAJOR = 2 ** 14 - 1;
const MAX_MINOR = 2 ** 18 - 1;

export const edit: EditCommand = {
  name: 'mknod',
  define: (command) =>
    command
      .description('Make a device, FIFO or socket in an image.')
      .argument('<path>', 'what to make')
      .addArgument(
        new Argument('<type>', 'b block device, c or u character device, p FIFO, s socket').choices([
          'b',
          'c',
          'u',
          'p',
          's',
        ]),
      )
      .argument('[major]', 'of a device')
      .argument('[minor]', 'of a device')
      .option('-m, --mode <octal>', 'permissions, exactly these (default: 644)', octalMode),
  async run({ edit }, operands, options: { mode?: number }) {
    const [path, type, major, minor] = operands as (string | undefined)[];
    const [{ mknod }, { S_IF }] = await Promise.all([
      import('../edit/create.js'),
      import('../format/dinode.js'),
    ]);
    const types: Record<string, number> = {
      b: S_IF.BLK,
      c: S_IF.CHR,
      u: S_IF.CHR,
      p: S_IF.FIFO,
      s: S_IF.SOCK,
    };
    mknod(edit, path!, { type: types[type!], rdev: deviceNumber(type!, major, minor), mode: options.mode });
  },
};

function deviceNumber(type: string, major: string | undefined, minor: string | undefined): number {
  const isDevice = type !== 'p' && type !== 's';
  if (!isDevice && major !== undefined)
    throw new CliError(`mknod: type ${type} has no device number`, EXIT.USAGE);
  if (!isDevice) return 0;
  const number = (text: string | undefined, max: number): number => {
    const n = Number(text);
    if (text === undefined || !/^(0x[0-9a-f]+|\d+)$/i.test(text) || n > max)
      throw new CliError(
        `mknod: type ${type} needs MAJOR and MINOR: at most ${MAX_MAJOR} and ${MAX_MINOR}`,
        EXIT.USAGE,
      );
    return n;
  };
  return number(major, MAX_MAJOR) * 2 ** 18 + number(minor, MAX_MINOR);
}

export const register = (program: Command): void => registerEdit(program, edit);
