/** `xfsimg log IMAGE replay` and `xfsimg log IMAGE clear`: the verbs that write. */
import { OverlaySource } from '../image/overlay.js';
import { CliError, EXIT } from './errors.js';
import { type ImageOptions, imageError, openImage, openImageSource } from './image.js';
import { untilInterrupted } from './interrupt.js';
import { refuseInUse } from './inuse.js';

export interface LogWriteOptions extends ImageOptions {
  dryRun?: boolean;
  force?: boolean;
  quiet?: boolean;
}

const plural = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;

/** Recovers the filesystem as a mount by Linux would. */
export async function replay(path: string, options: LogWriteOptions): Promise<void> {
  const [{ recoverLog }, { LogError }, { Progress }] = await Promise.all([
    import('../transaction/recovery/recover.js'),
    import('../journal/error.js'),
    import('./render/progress.js'),
  ]);
  refuseInUse(path, options.force || options.dryRun);
  const source = openImageSource(path, { ...options, write: !options.dryRun });
  const progress = new Progress({ quiet: options.quiet });
  try {
    const work = (): ReturnType<typeof recoverLog> =>
      recoverLog(options.dryRun ? new OverlaySource(source) : source, (done, total) =>
        progress.update({ phase: 'replaying', done, total, unit: 'blocks of the log' }),
      );
    const r = untilInterrupted(
      `${path}: the log is still to be replayed: the same command begins anew`,
      work,
    );
    progress.finish();
    if (r.clean) {
      process.stderr.write('xfsimg: the log is clean: there is nothing to replay\n');
      return;
    }
    const would = options.dryRun ? 'would be ' : '';
    const left = [
      ...(r.newer > 0 ? [`${r.newer} older than the disk`] : []),
      ...(r.cancelled > 0 ? [`${r.cancelled} of freed blocks`] : []),
      ...(r.quota > 0 ? [`${r.quota} of quotas`] : []),
    ].join(', ');
    const lines = [
      `${plural(r.transactions, 'transaction')} ${would}replayed: ${plural(r.replayed, 'item')}${left === '' ? '' : ` (left out: ${left})`}`,
    ];
    const intents = Object.entries(r.intents).map(([kind, n]) => `${n} ${kind}`);
    if (intents.length > 0) lines.push(`unfinished intents ${would}finished: ${intents.join(', ')}`);
    if (r.unlinked > 0) lines.push(`${plural(r.unlinked, 'file')} without a name ${would}freed`);
    if (r.cowBlocks > 0) lines.push(`${plural(r.cowBlocks, 'block')} held for copies on write ${would}freed`);
    process.stderr.write(lines.map((line) => `xfsimg: ${line}\n`).join(''));
  } catch (error) {
    progress.finish();
    if (error instanceof LogError)
      throw new CliError(
        `${path}: ${error.message}; nothing was written. xfsimg log IMAGE clear drops the log`,
        EXIT.UNUSABLE,
      );
    throw imageError(path, error);
  } finally {
    source.close();
  }
}

/** Drops what the log holds. */
export async function clear(path: string, options: LogWriteOptions): Promise<void> {
  const [{ dropLog }, { scanLog }, { LogError }, { formatLsn }] = await Promise.all([
    import('../journal/clear.js'),
    import('../journal/scan.js'),
    import('../journal/error.js'),
    import('../format/log.js'),
  ]);
  refuseInUse(path, options.force || options.dryRun);
  const volume = openImage(path, { ...options, write: !options.dryRun });
  try {
    let state = 'cannot be replayed';
    try {
      state = scanLog(volume.source, volume.g).clean ? 'is clean' : 'is dirty';
    } catch (error) {
      if (!(error instanceof LogError)) throw error;
    }
    if (options.dryRun) {
      process.stderr.write(`xfsimg: the log ${state} and would be cleared\n`);
      return;
    }
    const lsn = dropLog(volume);
    const after = state === 'is clean' ? '' : '; what it held is lost: xfsimg repair looks at the rest';
    process.stderr.write(`xfsimg: the log was cleared and begins at LSN ${formatLsn(lsn)}${after}\n`);
  } finally {
    volume.close();
  }
}
