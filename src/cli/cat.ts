/** `xfsimg cat`: contents of files, or values of their attributes, on standard output. */
import { type Command, Option } from 'commander';
import type { Inode } from '../volume/inode.js';
import type { Volume } from '../volume/volume.js';
import { addImageOptions, type ImageOptions } from './image.js';

interface CatOptions extends ImageOptions {
  inum?: boolean;
  xattr?: string;
}

export function register(program: Command): void {
  const command = program
    .command('cat')
    .description('Write the contents of files to standard output.')
    .argument('<image>', 'image file or block device')
    .argument('<paths...>', 'files of the image')
    .option('--inum', 'the operands are inode numbers')
    .addOption(
      new Option('--xattr <name>', 'the value of this extended attribute instead, such as user.origin'),
    );
  addImageOptions(command).action(cat);
}

async function cat(image: string, paths: string[], options: CatOptions): Promise<void> {
  const [{ openImage }, { Damage }, { findOperand }, { Output }, { streamFile }] = await Promise.all([
    import('./image.js'),
    import('./damage.js'),
    import('./operands.js'),
    import('./render/output.js'),
    import('../volume/file.js'),
  ]);
  const value = options.xattr === undefined ? undefined : await attributeReader(options.xattr);
  const volume = openImage(image, options);
  try {
    const damage = new Damage(volume, image);
    const out = new Output();
    for (const path of paths) {
      const inode = findOperand(volume, path, damage, { inum: options.inum });
      if (inode === undefined) continue;
      if (value !== undefined) {
        const bytes = damage.guard(() => value(volume, inode));
        if (bytes !== undefined) out.raw(bytes);
        else damage.line(`${path}: no attribute ${options.xattr}`);
      } else if (inode.isDir) damage.line(`${path}: is a directory`);
      else if (!inode.isRegular) damage.line(`${path}: no regular file, it has no contents`);
      else damage.guard(() => streamFile(volume, inode, (piece) => out.raw(piece)));
    }
    out.flush();
    damage.finish();
  } finally {
    volume.close();
  }
}

/** What reads one attribute of a file. Throws CliError where the name has no namespace. */
async function attributeReader(
  name: string,
): Promise<(volume: Volume, inode: Inode) => Uint8Array | undefined> {
  const [{ attrValue, findAttr }, { textToBytes }, { CliError, EXIT }] = await Promise.all([
    import('../volume/attr.js'),
    import('../format/text.js'),
    import('./errors.js'),
  ]);
  const match = /^(user|trusted|security)\.(.+)$/s.exec(name);
  if (match === null)
    throw new CliError(`--xattr: '${name}' does not begin with user., trusted. or security.`, EXIT.USAGE);
  const bytes = textToBytes(match[2]);
  return (volume, inode) => {
    const attribute = findAttr(volume, inode, match[1] as 'user' | 'trusted' | 'security', bytes);
    return attribute === undefined ? undefined : attrValue(volume, inode, attribute);
  };
}
