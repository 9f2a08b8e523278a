/** What the commands that change file contents share: positions, protocols, files by path. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Edit, Path } from '../edit/edit.js';
import type { CowProtocol } from '../edit/hold.js';
import type { LiveInode } from '../transaction/inode.js';
import { parseBytes } from './image.js';

export interface CopyOptions {
  cow?: CowProtocol;
  inPlace?: boolean;
}

/** A position or length in a file, which can pass 2^53. */
export function positionArgument(value: string): bigint {
  const bytes = parseBytes(value);
  if (bytes === undefined || bytes >= 2n ** 63n)
    throw new InvalidArgumentError('Bytes such as 1048576, 1m or 0x1000 are expected, below 2^63.');
  return bytes;
}

export function addCopyOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--cow <protocol>',
        'how new blocks are held that take the place of shared ones: efi (an intent to free them, logged ' +
          'with their allocation) or refcountbt (records in the refcount btree, as Linux does)',
      )
        .choices(['efi', 'refcountbt'])
        .default('efi'),
    )
    .option(
      '--in-place',
      'overwrite blocks the file shares with nobody where they stand, as Linux does: a crash can leave a ' +
        'mixture of old and new data',
    );
}

/** The regular file a path names. Throws PathError, EditError, UnsupportedError. */
export async function openRegular(
  edit: Edit,
  path: Path,
  options: CopyOptions & { append?: boolean },
): Promise<LiveInode> {
  const { regularFile } = await import('../edit/regular.js');
  if (options.cow === 'refcountbt') {
    const { requireReflink } = await import('../edit/share.js');
    requireReflink(edit);
  }
  return regularFile(edit, path, options.append);
}
