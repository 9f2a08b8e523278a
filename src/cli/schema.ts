/** `xfsimg schema`: what the rows of a table are, as JSON Schema. */
import type { Command } from 'commander';
import { CliError, EXIT } from './errors.js';
import { meant } from './nearest.js';

export function register(program: Command): void {
  program
    .command('schema')
    .description('Print the JSON Schema of the rows of a table; without a name, list the tables.')
    .argument('[what...]', 'a table: extents, refcount, btree rmapbt, log items ...')
    .addHelpText(
      'after',
      `
Examples:
  xfsimg schema
  xfsimg schema extents
  xfsimg schema btree rmapbt`,
    )
    .action(schema);
}

async function schema(words: string[]): Promise<void> {
  const [{ TABLES }, { Output }] = await Promise.all([
    import('../dump/tables.js'),
    import('./render/output.js'),
  ]);
  const out = new Output();
  if (words.length === 0) {
    const width = Math.max(...[...TABLES.keys()].map((name) => name.length));
    for (const { name, about } of TABLES.values()) out.text(`${name.padEnd(width)}  ${about}\n`);
  } else {
    const name = words.join(' ');
    const table = TABLES.get(name);
    if (table === undefined)
      throw new CliError(
        `no table '${name}': ${meant(name, TABLES.keys(), 'xfsimg schema lists the tables')}`,
        EXIT.USAGE,
      );
    const { rowJsonSchema } = await import('../dump/schema.js');
    out.text(`${JSON.stringify(rowJsonSchema(table), null, 2)}\n`);
  }
  out.flush();
}
