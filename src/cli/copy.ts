/** `xfsimg copy`: a filesystem made anew, compact, in another size. */
import { type Command, Option } from 'commander';
import { addImageOptions, type ImageOptions } from './image.js';

interface CopyFlags extends ImageOptions {
  size?: string;
  dedupe?: true | 'block' | 'file';
  force?: boolean;
  uuid?: string;
  label?: string;
  quiet?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command('copy')
    .description(
      'Make a filesystem with the same files, features, label and UUID in another size: a shrink, too.',
    )
    .argument('<image>', 'image file or block device')
    .argument('<new>', 'the image to make')
    .option('--size <size>', 'its size; auto or auto+N% is the smallest that holds it, with N% free', 'auto')
    .addOption(
      new Option('--dedupe [what]', 'equal blocks (or files) become shared').choices(['block', 'file']),
    )
    .option('--uuid <uuid>', 'another UUID than that of IMAGE')
    .option('-L, --label <label>', 'another label')
    .option('-f, --force', 'overwrite a filesystem or partition table')
    .option('-q, --quiet', 'no progress on the terminal, and no geometry');
  addImageOptions(command).action(copy);
}

async function copy(image: string, target: string, flags: CopyFlags): Promise<void> {
  const [{ openImage, imageError, parseSize }, { CliError, EXIT }, size, { refuseImage }] = await Promise.all(
    [
      import('./image.js'),
      import('./errors.js'),
      import('../mkfs/populate/size.js'),
      import('./render/file.js'),
    ],
  );
  const text = flags.size ?? 'auto';
  const auto = size.parseAuto(text);
  const bytes = auto === undefined ? parseSize(text) : undefined;
  if (auto === undefined && bytes === undefined)
    throw new CliError(`--size ${text}: a size such as 512m, auto or auto+10% is expected`, EXIT.USAGE);
  refuseImage(image, target, 'copy');
  const volume = openImage(image, flags);
  const [{ copyFilesystem }, { MkfsError }, scan, { Progress }, { untilInterrupted, unfinished }] =
    await Promise.all([
      import('../mkfs/copy.js'),
      import('../mkfs/error.js'),
      import('../journal/scan.js'),
      import('./render/progress.js'),
      import('./interrupt.js'),
    ]);
  try {
    const log = scan.scanLog(volume.source, volume.g);
    if (!log.clean)
      throw new CliError(
        `${image}: the log is dirty: replay it first (xfsimg log IMAGE replay)`,
        EXIT.UNUSABLE,
      );
    const progress = new Progress({ quiet: flags.quiet });
    const { report, warnings, stats } = await copyFilesystem(
      volume,
      target,
      {
        size: bytes,
        force: flags.force,
        ...(flags.uuid === undefined ? {} : { uuid: flags.uuid }),
        ...(flags.label === undefined ? {} : { label: flags.label }),
      },
      {
        auto,
        dedupe: flags.dedupe === true ? 'block' : flags.dedupe,
        progress: (done, total) => progress.update({ phase: 'copying', done, total, unit: 'files' }),
        stretch: (work) => untilInterrupted(unfinished(target), work),
      },
    ).finally(() => progress.finish());
    for (const warning of warnings) process.stderr.write(`xfsimg: ${warning}\n`);
    if (!flags.quiet) {
      process.stdout.write(report);
      process.stderr.write(`xfsimg: ${stats.paths} names, ${stats.inodes} inodes copied\n`);
    }
  } catch (error) {
    if (error instanceof MkfsError)
      throw new CliError(
        error.message,
        error.kind === 'options' ? EXIT.USAGE : error.kind === 'in-use' ? EXIT.UNUSABLE : EXIT.FAILED,
      );
    throw imageError(image, error);
  } finally {
    volume.close();
  }
}
