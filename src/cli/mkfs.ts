/** `xfsimg mkfs IMAGE` */
import { type Command, Option } from 'commander';
import type { MkfsRefusal } from '../mkfs/error.js';
import type { TableOptions } from '../mkfs/mkfs.js';
import { CliError, EXIT } from './errors.js';
import { addImageOptions, type ImageOptions } from './image.js';
import { addPopulateOptions, type PopulateFlags, populateFrom } from './mkfs-populate.js';
import { say } from './render/output.js';

interface MkfsFlags extends ImageOptions, PopulateFlags {
  b?: string[];
  d?: string[];
  i?: string[];
  l?: string[];
  m?: string[];
  n?: string[];
  s?: string[];
  label?: string;
  size?: string;
  profile?: string;
  reproducible?: boolean;
  force?: boolean;
  dryRun?: boolean;
  quiet?: boolean;
  keep?: boolean;
  partitionTable?: 'gpt';
  partitionType?: string;
  partitionLabel?: string;
}

const EXIT_OF: Record<MkfsRefusal, number> = {
  options: EXIT.USAGE,
  exists: EXIT.FAILED,
  'in-use': EXIT.UNUSABLE,
  image: EXIT.FAILED,
  space: EXIT.FAILED,
  source: EXIT.FAILED,
};

/** The same group may be given several times: `-d agcount=4 -d su=64k,sw=2`. */
const collect = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value];
const group = (letter: string, text: string): Option =>
  new Option(`-${letter} <options>`, text).argParser(collect);

export function register(program: Command): void {
  const command = program
    .command('mkfs')
    .description(
      'Make an XFS filesystem in IMAGE. Option groups, units and defaults are those of mkfs.xfs; ' +
        '--size creates the file.',
    )
    .argument('<image>', 'image file or block device')
    .option('--size <size>', 'size of the image file, made where it does not exist (k m g t p)')
    .addOption(group('b', 'blocks: size='))
    .addOption(
      group('d', 'data: agcount= agsize= size= su= sw= sunit= swidth= noalign extszinherit= cowextsize= ...'),
    )
    .addOption(group('i', 'inodes: size= perblock= maxpct= sparse= nrext64='))
    .addOption(group('l', 'log: size= agnum= su= sunit= internal'))
    .addOption(group('m', 'metadata: finobt= inobtcount= rmapbt= reflink= bigtime= uuid= crc=1'))
    .addOption(group('n', 'directories: size= ftype=1'))
    .addOption(group('s', 'sectors: size='))
    .option('-L, --label <label>', 'label, at most 12 bytes')
    .option('--profile <name>', 'features a long-term kernel mounts: lts_4.19 lts_5.4 ... lts_6.12')
    .option('--reproducible', 'UUID and times follow from the options; SOURCE_DATE_EPOCH is the time')
    .option('-f, --force', 'overwrite a filesystem or partition table')
    .option('-N, --dry-run', 'print the geometry and write nothing')
    .option('-K, --keep', 'do not discard old contents')
    .option('-q, --quiet', 'no progress on the terminal, and no geometry')
    .addOption(
      new Option('--partition-table <kind>', 'make a disk image: a partition table, one partition')
        .choices(['gpt'])
        .conflicts(['offset', 'partition']),
    )
    .option('--partition-type <type>', 'its type: a GUID, linux, root-x86-64, usr-arm64, home, srv, var, ...')
    .option('--partition-label <name>', 'its name; default the label');
  addPopulateOptions(command);
  addImageOptions(command);
  command.action(async (path: string, flags: MkfsFlags) => {
    const [{ mkfs }, { parseOptions }, { MkfsError }] = await Promise.all([
      import('../mkfs/mkfs.js'),
      import('../mkfs/options.js'),
      import('../mkfs/error.js'),
    ]);
    try {
      const auto = flags.size?.startsWith('auto') ? flags.size : undefined;
      const size = auto === undefined ? flags.size : undefined;
      const values = parseOptions(flags, { size, label: flags.label });
      const options = {
        ...values,
        profile: flags.profile,
        reproducible: flags.reproducible,
        force: flags.force,
        dryRun: flags.dryRun,
        keep: flags.keep,
        offset: flags.offset,
        partition: flags.partition,
        table: tableOf(flags),
      };
      const { report, warnings } = await (populateFrom(path, options, flags, auto) ?? mkfs(path, options));
      for (const warning of warnings) process.stderr.write(`xfsimg: ${warning}\n`);
      if (!flags.quiet || flags.dryRun) say(report);
    } catch (error) {
      if (error instanceof MkfsError) throw new CliError(error.message, EXIT_OF[error.kind]);
      throw error;
    }
  });
}

function tableOf(flags: MkfsFlags): TableOptions | undefined {
  if (flags.partitionTable !== undefined) return { type: flags.partitionType, label: flags.partitionLabel };
  if (flags.partitionType !== undefined || flags.partitionLabel !== undefined)
    throw new CliError('--partition-type and --partition-label need --partition-table gpt', EXIT.USAGE);
  return undefined;
}
