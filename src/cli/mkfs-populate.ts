/** The options of `xfsimg mkfs` that fill the image: `-p SOURCE` and all that goes with it. */
import { type Command, Option } from 'commander';
import type { MkfsOptions, MkfsResult } from '../mkfs/mkfs.js';
import type { PopulateStats } from '../mkfs/populate/populate.js';
import { CliError, EXIT } from './errors.js';
import { unfinished, untilInterrupted } from './interrupt.js';

export interface PopulateFlags {
  populate?: string;
  owner?: string;
  squash?: boolean;
  mapUid?: string[];
  mapGid?: string[];
  exclude?: string[];
  metadata?: string;
  dedupe?: true | 'block' | 'file';
  keepPartial?: boolean;
  quiet?: boolean;
}

const collect = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value];

export function addPopulateOptions(command: Command): Command {
  return command
    .option('-p, --populate <source>', 'fill it from a directory, a tar archive (- for stdin) or a protofile')
    .option('--owner <uid:gid>', 'owner of all files')
    .option('--squash', 'all files belong to root: --owner 0:0')
    .option('--map-uid <from:to[:count]>', 'change user ids; may be repeated', collect)
    .option('--map-gid <from:to[:count]>', 'change group ids; may be repeated', collect)
    .option('--exclude <glob>', 'leave out what matches; may be repeated', collect)
    .option('--metadata <file>', 'lines of PATH MODE OWNER [NAME=VALUE ...] over what the source says')
    .addOption(
      new Option('--dedupe [what]', 'equal blocks (or whole files) become shared').choices(['block', 'file']),
    )
    .option('--keep-partial', 'leave the image there when filling it fails');
}

/** Makes and fills the image; undefined where nothing is to be put in. Throws MkfsError, CliError. */
export function populateFrom(
  path: string,
  options: MkfsOptions,
  flags: PopulateFlags,
  auto: string | undefined,
): Promise<MkfsResult> | undefined {
  if (flags.populate === undefined) {
    const given = auto !== undefined ? '--size auto' : needsSource(flags);
    if (given !== undefined) throw new CliError(`${given} needs -p SOURCE`, EXIT.USAGE);
    return undefined;
  }
  return fillFrom(path, options, flags, flags.populate, auto);
}

const needsSource = (flags: PopulateFlags): string | undefined => {
  const names: [keyof PopulateFlags, string][] = [
    ['owner', '--owner'],
    ['squash', '--squash'],
    ['mapUid', '--map-uid'],
    ['mapGid', '--map-gid'],
    ['exclude', '--exclude'],
    ['metadata', '--metadata'],
    ['dedupe', '--dedupe'],
    ['keepPartial', '--keep-partial'],
  ];
  return names.find(([key]) => flags[key] !== undefined)?.[1];
};

async function fillFrom(
  path: string,
  options: MkfsOptions,
  flags: PopulateFlags,
  source: string,
  auto: string | undefined,
): Promise<MkfsResult> {
  const [{ makeFilled }, { parseIdMap, parseOwner }, { parseAuto }, { Progress }, { isSameFile }] =
    await Promise.all([
      import('../mkfs/populate/make.js'),
      import('../mkfs/populate/rules.js'),
      import('../mkfs/populate/size.js'),
      import('./render/progress.js'),
      import('./render/file.js'),
    ]);
  if (options.dryRun) throw new CliError('-N does not go with -p: nothing would be looked at', EXIT.USAGE);
  const free = auto === undefined ? undefined : parseAuto(auto);
  if (auto !== undefined && free === undefined)
    throw new CliError(`--size ${auto}: auto or auto+N% is expected`, EXIT.USAGE);
  if (source !== '-' && isSameFile(path, source))
    throw new CliError(`${path}: this is the source itself: name another file for the image`, EXIT.USAGE);
  if (flags.squash && flags.owner !== undefined)
    throw new CliError('--squash and --owner exclude each other', EXIT.USAGE);
  const progress = new Progress({ quiet: flags.quiet });
  const result = await makeFilled(path, options, {
    source,
    auto: free,
    dedupe: flags.dedupe === true ? 'block' : flags.dedupe,
    keepPartial: flags.keepPartial,
    progress: (done, total) => progress.update({ phase: 'filling', done, total, unit: 'files' }),
    stretch: (work) => untilInterrupted(unfinished(path), work),
    rules: {
      exclude: flags.exclude,
      owner: flags.squash
        ? { uid: 0, gid: 0 }
        : flags.owner === undefined
          ? undefined
          : parseOwner(flags.owner),
      mapUid: flags.mapUid?.map((text) => parseIdMap('--map-uid', text)),
      mapGid: flags.mapGid?.map((text) => parseIdMap('--map-gid', text)),
      metadata: flags.metadata,
    },
  }).finally(() => progress.finish());
  if (!flags.quiet) process.stderr.write(summary(result.stats, flags.dedupe !== undefined));
  return result;
}

function summary(s: PopulateStats, dedupe: boolean): string {
  const mib = (blocks: number): string => `${((blocks * s.blocksize) / 2 ** 20).toFixed(1)} MiB`;
  const shared = dedupe ? `, ${mib(s.sharedBlocks)} more shared (${s.sharedBlocks} blocks saved)` : '';
  return `xfsimg: ${s.paths} names, ${s.inodes} inodes, ${mib(s.dataBlocks)} of files${shared}\n`;
}
