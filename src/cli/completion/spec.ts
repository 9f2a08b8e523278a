/** What there is to complete: every command with its options and operands, read off the commands themselves. */
import { Command } from 'commander';
import { COMMANDS } from '../commands.js';

/** What a word can be: a file of this machine, a path in the image, one of some words, or anything. */
export type Kind = 'file' | 'path' | 'any' | readonly string[];

export interface OptionSpec {
  /** '--format'; absent where the option has a letter only. */
  readonly long?: string;
  /** '-f' */
  readonly short?: string;
  readonly about: string;
  /** Kind of the option's value; absent where it takes none. */
  readonly value?: Kind;
  /** The value may be left out. */
  readonly optional?: boolean;
}

export interface OperandSpec {
  readonly name: string;
  readonly kind: Kind;
  readonly variadic: boolean;
}

export interface CommandSpec {
  readonly name: string;
  readonly about: string;
  readonly options: readonly OptionSpec[];
  readonly operands: readonly OperandSpec[];
}

/** Names of operands and values that are files here, and those that are paths in the image. */
const FILES = /^(image|new|file|dump|out|output|source|src|dir|directory)$/;
const PATHS = /^(paths?|dst|select|old|target|link)$/;

function kindOf(name: string, choices: readonly string[] | undefined): Kind {
  if (choices !== undefined) return choices;
  if (FILES.test(name)) return 'file';
  return PATHS.test(name) ? 'path' : 'any';
}

/** '--tar <file>' -> 'file' */
const valueName = (flags: string): string => /[<[]([\w-]+)/.exec(flags)?.[1] ?? '';

/** Up to the first sentence's end, without what zsh and fish would read as their own. */
const line = (text: string): string => text.replace(/\s+/g, ' ').trim();

/** Loads every command: for this one, startup is no concern. */
export async function commandSpecs(): Promise<CommandSpec[]> {
  const specs: CommandSpec[] = [];
  for (const [name, entry] of COMMANDS) {
    const root = new Command();
    (await entry.load()).register(root);
    const command = root.commands.find((c) => c.name() === name);
    if (command === undefined) throw new Error(`${name} registers no command of its name`);
    const options = command.options
      .filter((o) => !o.hidden)
      .map((o) => ({
        long: o.long,
        short: o.short,
        about: line(o.description),
        ...(o.isBoolean() || o.negate
          ? {}
          : { value: kindOf(valueName(o.flags), o.argChoices), optional: o.optional }),
      }));
    specs.push({
      name,
      about: entry.summary,
      options: [...options, { long: '--help', short: '-h', about: 'show help' }],
      operands: command.registeredArguments.map((a) => ({
        name: a.name(),
        kind: kindOf(a.name(), a.argChoices),
        variadic: a.variadic,
      })),
    });
  }
  return specs;
}
