/** What `xfsimg edit --script` does: the lines of a script one after the other on one open image. */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { readStdin } from '../edit/input.js';
import { bytesToText } from '../format/text.js';
import { reason } from '../image/source.js';
import { COMMANDS } from './commands.js';
import type { ScriptOptions } from './edit.js';
import { editError, editImage } from './edit-image.js';
import { type EditCommand, type EditContext, note } from './edit-support.js';
import { CliError, EXIT } from './errors.js';
import { Interrupt, Stopped } from './interrupt.js';
import { usageLine } from './usage.js';
import { splitWords } from './words.js';

/** One line of a script, ready to run. */
interface Step {
  readonly line: number;
  readonly name: string;
  readonly edit: EditCommand;
  readonly operands: readonly unknown[];
  readonly options: object;
}

export async function runScript(image: string, options: ScriptOptions): Promise<void> {
  const fromStdin = options.script === '-';
  const steps = await readScript(options.script, readText(options.script));
  await editImage(image, options, async (edit) => {
    const context: EditContext = {
      edit,
      image,
      stdin: () => {
        if (!fromStdin) return readStdin();
        throw new CliError('- is standard input, which the script is read from', EXIT.USAGE);
      },
      note: (line) => note(image, line),
    };
    const interrupt = new Interrupt();
    try {
      for (const [done, step] of steps.entries()) {
        await interrupt.turn(() => `before line ${step.line}: ${step.name}; ${before(done)}`);
        await runStep(image, context, step, done);
      }
    } finally {
      interrupt.end();
    }
  });
}

async function runStep(image: string, context: EditContext, step: Step, done: number): Promise<void> {
  try {
    await step.edit.run(context, step.operands, step.options);
  } catch (error) {
    if (error instanceof Stopped) throw error;
    throw atLine(image, step, done, error);
  }
}

function readText(path: string): string {
  try {
    return bytesToText(readFileSync(path === '-' ? 0 : path));
  } catch (error) {
    throw new CliError(`${path}: cannot read the script: ${reason(error)}`);
  }
}

/** All lines, checked as command lines before the first of them runs. Throws CliError. */
async function readScript(path: string, text: string): Promise<Step[]> {
  const script = path === '-' ? 'standard input' : path;
  const steps: Step[] = [];
  for (const { line, words, fault } of splitWords(text)) {
    const wrong = (why: string): never => {
      throw new CliError(`${script}, line ${line}: ${why}; nothing was done`, EXIT.USAGE);
    };
    if (fault !== undefined) wrong(fault);
    const [name, ...args] = words;
    const edit = (await COMMANDS.get(name)?.load())?.edit;
    if (edit === undefined) return wrong(`'${name}' is no command for scripts`);
    const command = new Command(name)
      .exitOverride()
      .configureOutput({ writeErr: () => {}, writeOut: () => {} });
    edit.define(command);
    command.action(() => {});
    try {
      command.parse(args, { from: 'user' });
    } catch (error) {
      wrong(`${name}: ${usageLine((error as Error).message)}`);
    }
    steps.push({ line, name, edit, operands: command.processedArgs, options: command.opts() });
  }
  return steps;
}

/** The error of a line: which it is, and what became of the lines before it. */
function atLine(image: string, step: Step, done: number, error: unknown): unknown {
  const shown = editError(image, error);
  if (!(shown instanceof CliError)) return shown;
  const what = shown.message.startsWith(`${image}: `) ? shown.message.slice(image.length + 2) : shown.message;
  // Operands are taken one after the other.
  const several = step.operands.some((o) => Array.isArray(o) && o.length > 1);
  const within = several ? ', and of this line what comes before' : '';
  return new CliError(
    `${image}: line ${step.line}: ${step.name}: ${what}; ${before(done)}${within}`,
    shown.exitCode,
  );
}

const before = (done: number): string =>
  done === 0 ? 'no line was done before it' : `the ${done} before it ${done === 1 ? 'was' : 'were'} done`;
