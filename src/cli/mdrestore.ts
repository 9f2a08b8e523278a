/** `xfsimg mdrestore`: an image from a metadump. */
import { existsSync, rmSync } from 'node:fs';
import type { Command } from 'commander';
import type { RestoreResult } from '../mkfs/mdrestore.js';
import { CliError, EXIT } from './errors.js';
import { Stopped, untilInterrupted } from './interrupt.js';

export function register(program: Command): void {
  program
    .command('mdrestore')
    .description(
      'Make the image a metadump (version 1, of xfs_metadump) was taken of. File contents read as zeros.',
    )
    .argument('<image>', 'the image file to make')
    .argument('<dump>', 'the metadump, or - for standard input')
    .option('-f, --force', 'overwrite a file that is there')
    .action(async (image: string, dump: string, flags: { force?: boolean }) => {
      const [{ restoreMetadump }, { MkfsError }, { isSameFile }] = await Promise.all([
        import('../mkfs/mdrestore.js'),
        import('../mkfs/error.js'),
        import('./render/file.js'),
      ]);
      if (dump !== '-' && isSameFile(image, dump))
        throw new CliError(`${image}: this is the dump itself: name another file for the image`, EXIT.USAGE);
      const isNew = !existsSync(image);
      try {
        const work = (): RestoreResult => restoreMetadump(dump, image, flags.force === true);
        const words = `${image}: not restored: the same command begins anew`;
        const { sectors, obfuscated, dirtyLog } = untilInterrupted(words, work);
        const notes = [obfuscated ? 'names are obfuscated' : '', dirtyLog ? 'the log is dirty' : ''].filter(
          Boolean,
        );
        process.stderr.write(
          `xfsimg: ${image}: ${sectors} sectors restored${notes.length > 0 ? `; ${notes.join(', ')}` : ''}\n`,
        );
      } catch (error) {
        if (error instanceof Stopped && isNew) rmSync(image, { force: true });
        if (error instanceof MkfsError)
          throw new CliError(error.message, error.kind === 'in-use' ? EXIT.UNUSABLE : EXIT.FAILED);
        throw error;
      }
    });
}
