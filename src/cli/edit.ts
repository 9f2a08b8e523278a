/** `xfsimg edit IMAGE --script FILE`: the options. What it does is in edit-script.ts. */
import type { Command } from 'commander';
import { addEditOptions, type EditOptions } from './edit-support.js';

export interface ScriptOptions extends EditOptions {
  script: string;
}

export function register(program: Command): void {
  const command = program
    .command('edit')
    .description('Run many edits in one go: each line of a script is a command without IMAGE.')
    .argument('<image>', 'image file or block device')
    .requiredOption('--script <file>', 'the script; - for standard input');
  addEditOptions(command);
  command.action(async (image: string, options: ScriptOptions) => {
    const { runScript } = await import('./edit-script.js');
    await runScript(image, options);
  });
}
