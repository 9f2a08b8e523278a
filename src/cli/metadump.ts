/** `xfsimg metadump`: all metadata of a filesystem in a file that can be given away. */
import { randomBytes } from 'node:crypto';
import { existsSync, unlinkSync } from 'node:fs';
import type { Command } from 'commander';
import type { MetadumpOptions, MetadumpResult } from '../dump/metadump/metadump.js';
import type { Volume } from '../volume/volume.js';
import { addImageOptions, type ImageOptions } from './image.js';
import { untilInterrupted } from './interrupt.js';

interface MetadumpFlags extends ImageOptions {
  fullBlocks?: boolean;
  keepNames?: boolean;
  warnings?: boolean;
  progress?: boolean;
  quiet?: boolean;
  force?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command('metadump')
    .description(
      'Write all metadata of IMAGE, no contents of files, in the format of xfs_metadump (version 1). ' +
        'Names and attributes are obfuscated.',
    )
    .argument('<image>', 'image file or block device')
    .argument('<dump>', 'the file to make, or - for standard output')
    .option('-o, --keep-names', 'do not obfuscate names and attributes')
    .option('-a, --full-blocks', 'copy whole blocks: do not zero bytes no longer in use')
    .option('-w, --warnings', 'name each thing that is damaged')
    .option('-g, --progress', 'show progress on standard error')
    .option('-f, --force', 'overwrite a file that is there')
    .option('-q, --quiet', 'no progress on the terminal');
  addImageOptions(command).action(run);
}

async function run(image: string, dump: string, flags: MetadumpFlags): Promise<void> {
  const [{ openImage, imageError }, { refuseImage }] = await Promise.all([
    import('./image.js'),
    import('./render/file.js'),
  ]);
  const say = (line: string): void => {
    process.stderr.write(`xfsimg: ${image}: ${line}\n`);
  };
  if (dump !== '-') refuseImage(image, dump, 'dump');
  const volume = openImage(image, flags);
  const [{ metadump }, { Progress }] = await Promise.all([
    import('../dump/metadump/metadump.js'),
    import('./render/progress.js'),
  ]);
  const progress = new Progress({ quiet: flags.quiet });
  const options: MetadumpOptions = {
    key: flags.keepNames ? undefined : randomBytes(32),
    fullBlocks: flags.fullBlocks,
    warn: flags.warnings ? say : undefined,
    progress: flags.progress
      ? (agno, inodes) => say(`AG ${agno + 1} of ${volume.g.agcount}, ${inodes} inodes`)
      : (agno, done) =>
          progress.update({ phase: 'dumping', agno, done, total: volume.inodesInUse, unit: 'inodes' }),
  };
  try {
    let result: MetadumpResult;
    if (dump === '-') {
      const { Output } = await import('./render/output.js');
      const out = new Output();
      result = untilInterrupted('the dump ends in its middle', () => {
        const whole = metadump(volume, (bytes) => out.raw(bytes), options);
        out.flush();
        return whole;
      });
    } else result = await intoFile(volume, dump, flags.force === true, options);
    progress.finish();
    if (result.dirtyLog)
      say(
        `the log is dirty and is in the dump as it is${flags.keepNames ? '' : ', with names that are not obfuscated'}`,
      );
    if (result.damaged > 0 && !flags.warnings)
      say(`${result.damaged} things are damaged (-w names them); what could hold names is left out`);
  } catch (error) {
    progress.finish();
    throw imageError(image, error);
  } finally {
    volume.close();
  }
}

/** A file that was not there before is gone again where dumping fails. */
async function intoFile(
  volume: Volume,
  path: string,
  force: boolean,
  options: MetadumpOptions,
): Promise<MetadumpResult> {
  const [{ metadump }, { FileSource }, { CliError }] = await Promise.all([
    import('../dump/metadump/metadump.js'),
    import('../image/source.js'),
    import('./errors.js'),
  ]);
  const isNew = !existsSync(path);
  if (!isNew && !force) throw new CliError(`${path}: exists; -f overwrites it`);
  const file = FileSource.open(path, isNew ? 'wx+' : 'r+');
  try {
    file.truncate(0);
    let at = 0;
    const buffer = new Uint8Array(2 ** 20);
    let used = 0;
    const flush = (): void => {
      file.write(at, buffer.subarray(0, used));
      at += used;
      used = 0;
    };
    return untilInterrupted(`${path}: no whole dump: the same command begins anew`, () => {
      const result = metadump(
        volume,
        (bytes) => {
          if (used + bytes.length > buffer.length) flush();
          buffer.set(bytes, used);
          used += bytes.length;
        },
        options,
      );
      flush();
      return result;
    });
  } catch (error) {
    if (isNew) unlinkSync(path);
    throw error;
  } finally {
    file.close();
  }
}
