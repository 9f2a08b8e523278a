/** `xfsimg report IMAGE -o FILE` */
import * as fs from 'node:fs';
import { basename } from 'node:path';
import type { Command } from 'commander';
import { CliError, EXIT } from './errors.js';
import { addImageOptions, type ImageOptions, imageError, openImageSource } from './image.js';
import { endingAt } from './interrupt.js';

interface ReportOptions extends ImageOptions {
  output: string;
}

export function register(program: Command): void {
  const command = program
    .command('report')
    .description('Write a page about an image for a browser: one file, which asks the network for nothing.')
    .argument('<image>', 'image file or block device')
    .requiredOption('-o, --output <file>', 'the page to write; - is standard output');
  addImageOptions(command);
  command.addHelpText(
    'after',
    `
The page has the geometry, space by kind, a map of every allocation group, free extents, file extents and
reference counts by size, the most shared runs with their owners, the biggest directories, the log with its
pending intents, and what repair -n finds, with the evidence. The image is not written to: a dirty log is
replayed in memory.

Exit status: 0; 1 where damage was found and is in the page, or the page cannot be written.

Example:
  xfsimg report disk.img -o disk.html`,
  );
  command.action((path: string, options: ReportOptions) =>
    endingAt(`${path}: no page was written`, () => report(path, options)),
  );
}

async function report(path: string, options: ReportOptions): Promise<void> {
  const source = openImageSource(path, options);
  const [{ gather }, { reportPage }, { packageUrl }, { refuseImage }] = await Promise.all([
    import('../report/gather.js'),
    import('../report/page.js'),
    import('./package.js'),
    import('./render/file.js'),
  ]);
  const { output } = options;
  try {
    if (output !== '-') refuseImage(path, output, 'page');
    const read = (name: string): string => fs.readFileSync(packageUrl(name), 'utf8');
    const data = await gather(source, {
      image: basename(path),
      tool: `xfsimg ${JSON.parse(read('package.json')).version}`,
      made: new Date(),
      progress: process.stderr.isTTY
        ? (phase) => process.stderr.write(`xfsimg: reading ${phase}\n`)
        : undefined,
    });
    const page = reportPage(data, { script: read('dist/report.js'), style: read('dist/report.css') });
    await write(output, page);
    const { damage } = data.findings;
    if (damage === 0) return;
    process.stderr.write(
      `xfsimg: ${path}: ${damage} ${damage === 1 ? 'finding' : 'findings'}, in the page\n`,
    );
    process.exitCode = EXIT.FAILED;
  } catch (error) {
    throw imageError(path, error);
  } finally {
    source.close();
  }
}

async function write(output: string, page: string): Promise<void> {
  if (output === '-') {
    const { say } = await import('./render/output.js');
    say(page);
    return;
  }
  try {
    fs.writeFileSync(output, page);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'no such directory' : code === 'EISDIR' ? 'it is a directory' : code;
    throw new CliError(`${output}: the page cannot be written: ${why}`, EXIT.FAILED);
  }
}
