/** `xfsimg touch IMAGE PATH...` */
import type { Command } from 'commander';
import type { Timespec } from '../format/dinode.js';
import { type EditCommand, registerEdit } from './edit-support.js';
import { CliError, EXIT } from './errors.js';

interface TouchFlags {
  access?: boolean;
  modify?: boolean;
  date?: string;
  reference?: string;
  create: boolean;
  dereference: boolean;
}

export const edit: EditCommand = {
  name: 'touch',
  define: (command) =>
    command
      .description('Set the times of files in an image; make empty files where there are none.')
      .argument('<paths...>', 'files of the image')
      .option('-a, --access', 'the time of the last access only')
      .option('-m, --modify', 'the time of the last change only')
      .option(
        '-d, --date <time>',
        'this time instead of now: 2026-03-04T05:06:07.123Z, or @SECONDS[.FRACTION]',
      )
      .option('-r, --reference <path>', 'the times of this file of the image instead of now')
      .option('-c, --no-create', 'make no files')
      .option('-h, --no-dereference', 'links themselves, not what they lead to'),
  async run({ edit }, [paths], options: TouchFlags) {
    const { touch } = await import('../edit/attributes.js');
    if (options.date !== undefined && options.reference !== undefined)
      throw new CliError('touch: --date and --reference exclude each other', EXIT.USAGE);
    const both = (options.access ?? false) === (options.modify ?? false);
    const given = options.date === undefined ? 'now' : parseTime(options.date);
    const from = options.reference === undefined ? undefined : edit.resolve(options.reference);
    const atime = from?.atime ?? given;
    const mtime = from?.mtime ?? given;
    for (const path of paths as string[])
      touch(edit, path, {
        atime: both || options.access ? atime : undefined,
        mtime: both || options.modify ? mtime : undefined,
        noCreate: !options.create,
        noDereference: !options.dereference,
      });
  },
};

/** "@1700000000.5", or a date JavaScript reads, in UTC where it names no zone. Throws CliError. */
function parseTime(text: string): Timespec {
  const seconds = /^@(-?\d{1,12})(?:\.(\d{1,9}))?$/.exec(text);
  if (seconds !== null) {
    const nsec = Number((seconds[2] ?? '').padEnd(9, '0'));
    return { sec: Number(seconds[1]), nsec };
  }
  const date = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?)?\s?(Z|[-+]\d\d:\d\d)?$/.exec(
    text,
  );
  const ms = date === null ? Number.NaN : Date.parse(`${date[1]}T${date[2] ?? '00:00'}${date[4] ?? 'Z'}`);
  if (Number.isNaN(ms))
    throw new CliError(
      `touch: '${text}' is no time such as 2026-03-04, 2026-03-04T05:06:07.123Z or @1700000000.5`,
      EXIT.USAGE,
    );
  return { sec: ms / 1000, nsec: Number((date?.[3] ?? '').padEnd(9, '0')) };
}

export const register = (program: Command): void => registerEdit(program, edit);
