/** `xfsimg setfattr IMAGE -n NAME [-v VALUE] PATH...` */
import type { Command } from 'commander';
import { type EditCommand, type EditContext, registerEdit } from './edit-support.js';
import { CliError, EXIT } from './errors.js';

/** Bytes read of a value: more than an attribute can have, so that too many are told from enough. */
const MOST = 65537;

interface SetfattrFlags {
  name?: string;
  value?: string;
  file?: string;
  remove?: string;
  create?: boolean;
  replace?: boolean;
  dereference: boolean;
}

export const edit: EditCommand = {
  name: 'setfattr',
  define: (command) =>
    command
      .description('Set or remove extended attributes and ACLs of files in an image.')
      .argument('<paths...>', 'files of the image')
      .option(
        '-n, --name <name>',
        'the attribute to set: user.x, trusted.x, security.x, system.posix_acl_access',
      )
      .option('-v, --value <value>', 'its value: text, 0x and hex, or 0s and base64 (default: empty)')
      .option('--file <file>', 'the value is what this file holds; - for standard input')
      .option('-x, --remove <name>', 'the attribute to remove')
      .option('--create', 'fail where it is there already')
      .option('--replace', 'fail where it is not there')
      .option('-h, --no-dereference', 'links themselves, not what they lead to'),
  async run(context, [paths], options: SetfattrFlags) {
    const [{ removeXattr, setXattr }, { textToBytes }] = await Promise.all([
      import('../edit/xattr.js'),
      import('../format/text.js'),
    ]);
    if ((options.name === undefined) === (options.remove === undefined))
      throw new CliError('setfattr: one of -n NAME and -x NAME is needed', EXIT.USAGE);
    if (options.value !== undefined && options.file !== undefined)
      throw new CliError('setfattr: --value and --file exclude each other', EXIT.USAGE);
    const name = textToBytes((options.name ?? options.remove)!);
    const noDereference = !options.dereference;
    const value = options.remove === undefined ? await givenValue(context, options) : undefined;
    const only = options.create === true ? 'create' : options.replace === true ? 'replace' : undefined;
    for (const path of paths as string[])
      if (value === undefined) removeXattr(context.edit, path, name, { noDereference });
      else setXattr(context.edit, path, name, value, { noDereference, only });
  },
};

async function givenValue(context: EditContext, { value, file }: SetfattrFlags): Promise<Uint8Array> {
  const [{ openInput }, { attrValue }, { textToBytes }] = await Promise.all([
    import('../edit/input.js'),
    import('../mkfs/populate/rules.js'),
    import('../format/text.js'),
  ]);
  if (file !== undefined) {
    const input = file === '-' ? context.stdin() : openInput(file);
    try {
      const bytes = new Uint8Array(Math.min(input.size, MOST));
      input.read(0, bytes);
      return bytes;
    } finally {
      input.close();
    }
  }
  if (value === undefined) return new Uint8Array(0);
  if (!/^(0x|0s|")/i.test(value)) return textToBytes(value);
  const bytes = attrValue(value);
  if (bytes === undefined)
    throw new CliError(`setfattr: '${value}' is no value: "text", 0x and hex, or 0s and base64`, EXIT.USAGE);
  return bytes;
}

export const register = (program: Command): void => registerEdit(program, edit);
