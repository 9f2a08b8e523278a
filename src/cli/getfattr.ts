/** `xfsimg getfattr IMAGE PATH...`: attributes as getfattr(1) shows them. */
import { type Command, Option } from 'commander';
import type { Volume } from '../volume/volume.js';
import type { EditCommand } from './edit-support.js';
import { addImageOptions, type ImageOptions } from './image.js';

interface GetfattrFlags extends ImageOptions {
  name?: string;
  encoding?: 'text' | 'hex' | 'base64';
  onlyValues?: boolean;
  dereference: boolean;
}

const define = (command: Command): Command =>
  command
    .description('Show extended attributes and ACLs of files in an image.')
    .argument('<paths...>', 'files of the image')
    .option('-n, --name <name>', 'this attribute only, such as user.origin or system.posix_acl_access')
    .addOption(
      new Option('-e, --encoding <how>', 'show values so; default: text where they are').choices([
        'text',
        'hex',
        'base64',
      ]),
    )
    .option('--only-values', 'the values alone, byte for byte')
    .option('-h, --no-dereference', 'links themselves, not what they lead to');

export const edit: EditCommand = {
  name: 'getfattr',
  define,
  async run({ edit, image }, [paths], options: GetfattrFlags) {
    const { showAttributes } = await import('./attributes.js');
    showAttributes(edit.settled(), image, paths as string[], options);
  },
};

export function register(program: Command): void {
  const command = program.command('getfattr').argument('<image>', 'image file or block device');
  addImageOptions(define(command)).action(async (image: string, paths: string[], options: GetfattrFlags) => {
    const [{ openImage }, { showAttributes }] = await Promise.all([
      import('./image.js'),
      import('./attributes.js'),
    ]);
    const volume: Volume = openImage(image, options);
    try {
      showAttributes(volume, image, paths, options);
    } finally {
      volume.close();
    }
  });
}
