/** `xfsimg completion SHELL`: the script that lets a shell complete commands, options and paths in images. */
import { Argument, type Command } from 'commander';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

export function register(program: Command): void {
  program
    .command('completion')
    .description('Print the completion script of a shell: commands, options, and paths inside images.')
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .addHelpText(
      'after',
      `
Examples:
  source <(xfsimg completion bash)
  xfsimg completion zsh > ~/.zfunc/_xfsimg
  xfsimg completion fish > ~/.config/fish/completions/xfsimg.fish`,
    )
    .action(completion);
}

async function completion(shell: Shell): Promise<void> {
  const [{ commandSpecs }, { say }] = await Promise.all([
    import('./completion/spec.js'),
    import('./render/output.js'),
  ]);
  const commands = await commandSpecs();
  switch (shell) {
    case 'bash': {
      const { bashCompletion } = await import('./completion/bash.js');
      return say(bashCompletion(commands));
    }
    case 'zsh': {
      const { zshCompletion } = await import('./completion/zsh.js');
      return say(zshCompletion(commands));
    }
    case 'fish': {
      const { fishCompletion } = await import('./completion/fish.js');
      return say(fishCompletion(commands));
    }
  }
}
