/** `xfsimg clone IMAGE SRC DST` */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type EditCommand, registerEdit } from './edit-support.js';
import { parseBytes } from './image.js';
import { asByCrash, untilInterrupted } from './interrupt.js';

interface Range {
  readonly from: bigint;
  readonly length: bigint;
  readonly to: bigint;
}

function rangeArgument(value: string): Range {
  const parts = value.split(':').map(parseBytes);
  const [from, length, to] = parts;
  const fits = parts.every((n) => n !== undefined && n < 2n ** 63n);
  if (!fits || from === undefined || length === undefined || parts.length > 3)
    throw new InvalidArgumentError('OFFSET:LENGTH or OFFSET:LENGTH:OFFSET-IN-DST is expected, in bytes.');
  return { from, length, to: to ?? from };
}

export const edit: EditCommand = {
  name: 'clone',
  define: (command) =>
    command
      .description(
        'Clone a file or a directory with all that is in it: the clone shares its data until one of them is written to.',
      )
      .argument('<src>', 'what to clone')
      .argument('<dst>', 'what it is to be; below it, where that is a directory')
      .addOption(
        new Option(
          '--range <off:len[:dstoff]>',
          'share bytes of a file only, whole blocks or up to its end (len 0), at the same or another offset',
        ).argParser(rangeArgument),
      )
      .addHelpText(
        'after',
        `
A clone has the permissions, owner, times and attributes of what it is a clone of; a file that is there already
keeps its own and gets the contents alone. Each file is an operation of its own, there whole or not at all.

Examples:
  xfsimg clone disk.img /vm/golden.img /vm/web1.img
  xfsimg clone disk.img /etc /etc.before
  xfsimg clone disk.img /a /b --range 0:1m:64k`,
      ),
  async run({ edit, image }, [src, dst], options: { range?: Range }) {
    const { clone, clonePart } = await import('../edit/clone.js');
    const { range } = options;
    untilInterrupted(asByCrash(image), () => {
      if (range === undefined) clone(edit, src as string, dst as string);
      else clonePart(edit, src as string, dst as string, range);
    });
  },
};

export const register = (program: Command): void => registerEdit(program, edit);
