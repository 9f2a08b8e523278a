/** `xfsimg extract`: files of an image into a directory, or as a tar stream. */
import type { Command } from 'commander';
import { showBytes, textToBytes } from '../format/text.js';
import { addImageOptions, type ImageOptions } from './image.js';

interface ExtractFlags extends ImageOptions {
  directory?: string;
  tar?: true | string;
  inum?: boolean;
  owners?: boolean;
  xattrs?: boolean;
  overwrite?: boolean;
  quiet?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command('extract')
    .description('Write a tree of the image into a directory (-C) or as a tar archive (--tar).')
    .argument('<image>', 'image file or block device')
    .argument('[path]', 'file or directory of the image', '/')
    .option('-C, --directory <dir>', 'where to; made if it is missing')
    .option('--tar [file]', 'a pax archive into FILE, or - for standard output')
    .option('--inum', 'PATH is an inode number')
    .option('--no-owners', 'do not give files their owners, root or not')
    .option('--no-xattrs', 'leave extended attributes out (-C)')
    .option('--overwrite', 'replace files that are there (-C)')
    .option('-q, --quiet', 'no progress on the terminal');
  addImageOptions(command).action(extract);
}

async function extract(image: string, path: string, flags: ExtractFlags): Promise<void> {
  const [{ openImage }, { Damage }, { findOperand }, { CliError, EXIT }, { Progress }, { untilInterrupted }] =
    await Promise.all([
      import('./image.js'),
      import('./damage.js'),
      import('./operands.js'),
      import('./errors.js'),
      import('./render/progress.js'),
      import('./interrupt.js'),
    ]);
  if ((flags.directory === undefined) === (flags.tar === undefined))
    throw new CliError('one of -C DIR and --tar is needed', EXIT.USAGE);
  const volume = openImage(image, flags);
  const progress = new Progress({ quiet: flags.quiet });
  try {
    const damage = new Damage(volume, image);
    const start = findOperand(volume, path, damage, { inum: flags.inum });
    if (start === undefined) return;
    // Of a subtree nobody knows beforehand how many files it has.
    const whole = start.ino === volume.g.rootino ? volume.inodesInUse : undefined;
    const each = (): void => progress.count('extracting', 'files', whole);
    const complain = (name: Uint8Array, why: string): void => {
      progress.clear();
      damage.line(`/${showBytes(name)}: ${why}`);
    };
    const note = (name: Uint8Array, why: string): void => {
      progress.clear();
      process.stderr.write(`xfsimg: ${image}: /${showBytes(name)} ${why}\n`);
    };
    const from = { inode: start, name: nameOf(path) };
    if (flags.directory !== undefined) {
      const { extractDirectory } = await import('../dump/extract/directory.js');
      const owners = flags.owners === false ? false : undefined;
      const options = { owners, xattrs: flags.xattrs, overwrite: flags.overwrite, progress: each };
      const words = `${flags.directory} has the files up to here; --overwrite goes over it again`;
      untilInterrupted(words, () => extractDirectory(volume, from, flags.directory!, options, complain));
    } else {
      const { extractTar } = await import('../dump/extract/tar.js');
      if (flags.tar === true || flags.tar === '-') {
        const { Output } = await import('./render/output.js');
        const out = new Output();
        untilInterrupted('the archive ends in its middle', () => {
          extractTar(volume, from, (bytes) => out.raw(bytes), note, each);
          out.flush();
        });
      } else {
        const [{ FileSource }, { refuseImage }] = await Promise.all([
          import('../image/source.js'),
          import('./render/file.js'),
        ]);
        refuseImage(image, flags.tar as string, 'archive');
        const file = FileSource.open(flags.tar as string, 'w+');
        let at = 0;
        const write = (bytes: Uint8Array): void => {
          file.write(at, bytes);
          at += bytes.length;
        };
        const words = `${flags.tar} ends in its middle`;
        untilInterrupted(words, () => extractTar(volume, from, write, note, each));
        file.close();
      }
    }
    progress.clear();
    damage.finish();
  } finally {
    progress.finish();
    volume.close();
  }
}

/** What a file that is taken out by itself is called: the last name of its path, or its number. */
const nameOf = (operand: string): Uint8Array => textToBytes(operand.slice(operand.lastIndexOf('/') + 1));
