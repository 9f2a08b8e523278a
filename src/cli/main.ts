/**
 * The program: finds the command that was asked for, loads that one alone, and turns whatever goes wrong
 * into one line and an exit status.
 */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { exactArguments } from './argv.js';
import { COMMANDS } from './commands.js';
import { CliError, EXIT } from './errors.js';
import { meant } from './nearest.js';
import { packageUrl } from './package.js';
import { say, stdoutIsTerminal } from './render/output.js';
import { usageLine } from './usage.js';

/** Commander's own way would set up the streams, and would print errors before we can. */
const OUTPUT = {
  writeOut: say,
  writeErr: () => {},
  getOutHelpWidth: () => (stdoutIsTerminal() ? process.stdout.columns : 80),
  getOutHasColors: () => stdoutIsTerminal() && process.stdout.hasColors(),
};

/** Commander's codes for what is no error: help and version were shown. */
const SHOWN = new Set(['commander.helpDisplayed', 'commander.help', 'commander.version']);

const version = (): string =>
  (JSON.parse(readFileSync(packageUrl('package.json'), 'utf8')) as { version: string }).version;

async function program(name: string | undefined): Promise<Command> {
  const { Command, Help } = await import('commander');
  const root = new Command('xfsimg')
    .usage('COMMAND IMAGE [operands] [options]')
    .description('Make, read, repair and explain XFS v5 filesystem images: no kernel, no root, no mount.')
    .helpOption('-h, --help', 'show help')
    .option('-V, --version', 'show the version')
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput(OUTPUT);
  const entry = name === undefined ? undefined : COMMANDS.get(name);
  if (entry !== undefined) {
    const { register } = await entry.load();
    register(root);
    for (const command of root.commands) {
      command.exitOverride().configureOutput(OUTPUT);
    }
  } else {
    // The overview names every command without loading any.
    for (const [command, { summary }] of COMMANDS) root.command(command).description(summary);
    root.configureHelp({ subcommandTerm: (c) => c.name(), visibleOptions: new Help().visibleOptions });
    root.addHelpText(
      'after',
      '\nxfsimg COMMAND --help tells about one of them, xfsimg help COMMAND everything.',
    );
  }
  return root;
}

/** One line for stderr and the exit status of an error. */
async function explain(error: unknown): Promise<{ message: string; exitCode: number }> {
  if (error instanceof CliError) return { message: error.message, exitCode: error.exitCode };
  const e = error as Error & { code?: string };
  if (e.code?.startsWith('commander.')) return { message: usageLine(e.message), exitCode: EXIT.USAGE };
  if (e.name === 'UnsupportedError') return { message: e.message, exitCode: EXIT.UNUSABLE };
  if (e.name === 'ImageError' || e.name === 'CorruptionError')
    return { message: e.message, exitCode: EXIT.FAILED };
  const detail = process.env.XFSIMG_DEBUG ? `\n${e.stack}` : ' (XFSIMG_DEBUG=1 shows where)';
  return { message: `internal error: ${e.message}${detail}`, exitCode: EXIT.FAILED };
}

export async function main(argv: string[]): Promise<number> {
  const first = argv[0];
  if (first === '--version' || first === '-V') {
    say(`${version()}\n`);
    return EXIT.OK;
  }
  try {
    if (first === 'help' && argv[1] !== undefined) {
      const { showManual } = await import('./manual.js');
      showManual(argv[1]);
      return EXIT.OK;
    }
    const name = first === 'help' ? '--help' : first;
    const args = first === 'help' ? ['--help'] : argv;
    if (name !== undefined && !name.startsWith('-') && !COMMANDS.has(name)) {
      const hint = meant(name, [...COMMANDS.keys(), 'help'], 'xfsimg --help lists the commands');
      throw new CliError(`unknown command '${name}': ${hint}`, EXIT.USAGE);
    }
    const root = await program(name);
    if (args.length === 0) {
      process.stderr.write(root.helpInformation());
      return EXIT.USAGE;
    }
    await root.parseAsync(args, { from: 'user' });
    return Number(process.exitCode ?? EXIT.OK);
  } catch (error) {
    if (SHOWN.has((error as { code?: string }).code ?? '')) return EXIT.OK;
    const { message, exitCode } = await explain(error);
    process.stderr.write(`xfsimg: ${message}\n`);
    return exitCode;
  }
}

/** Runs the command line this process was given. */
export async function start(): Promise<void> {
  process.exitCode = await main(exactArguments(process.argv.slice(2)));
}
