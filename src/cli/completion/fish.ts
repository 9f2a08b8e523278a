/** Completion for fish 3 and later. */
import type { CommandSpec, Kind, OptionSpec } from './spec.js';

/** A word in single quotes: fish knows two escapes in them. */
const quote = (s: string): string => `'${s.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

/** Arguments of `complete` for words of a kind. */
function kindArguments(kind: Kind): string {
  if (kind === 'file') return '-F';
  if (kind === 'path') return "-f -a '(__xfsimg_paths)'";
  return kind === 'any' ? '-f' : `-f -a ${quote(kind.join(' '))}`;
}

function optionLine(command: string, o: OptionSpec): string {
  const words = ['complete -c xfsimg -n', quote(`__fish_seen_subcommand_from ${command}`)];
  if (o.short !== undefined) words.push('-s', o.short.slice(1));
  if (o.long !== undefined) words.push('-l', o.long.slice(2));
  // -r: the value is a word of its own. An optional one is not.
  if (o.value !== undefined && !o.optional) words.push('-r', kindArguments(o.value));
  words.push('-d', quote(o.about));
  return words.join(' ');
}

function commandLines(c: CommandSpec): string[] {
  const lines = c.options.map((o) => optionLine(c.name, o));
  c.operands.forEach((operand, i) => {
    const last = i === c.operands.length - 1;
    const compare = last && operand.variadic ? '-ge' : '-eq';
    const when = `__fish_seen_subcommand_from ${c.name}; and test (__xfsimg_operands) ${compare} ${i}`;
    lines.push(`complete -c xfsimg -n ${quote(when)} ${kindArguments(operand.kind)}`);
  });
  return lines;
}

export function fishCompletion(commands: readonly CommandSpec[]): string {
  // Options whose value is the next word, which is no operand then.
  const valued = commands.flatMap((c) =>
    c.options.filter((o) => o.value !== undefined && !o.optional).flatMap((o) => [o.long, o.short]),
  );
  const takes = [...new Set(valued.filter((f) => f !== undefined))].join(' ');
  return `# fish completion for xfsimg: save as ~/.config/fish/completions/xfsimg.fish

# Operands before the word that is being typed, the first of them alone with --image.
function __xfsimg_operands
    set -l words (commandline -opc)
    set -l operands
    set -l skip no
    for word in $words[3..-1]
        if test $skip = yes
            set skip no
        else if string match -q -- '-?*' $word
            contains -- $word ${takes}; and set skip yes
        else
            set -a operands $word
        end
    end
    if test "$argv[1]" = --image
        echo $operands[1]
    else
        count $operands
    end
end

# Paths of the image, the level that is being typed.
function __xfsimg_paths
    set -l image (__xfsimg_operands --image)
    set -l typed (commandline -ct)
    test -n "$image"; or return
    xfsimg find $image (string replace -r '[^/]*$' '' -- /$typed | string replace '//' '/') --mindepth 1 --maxdepth 1 --format tsv --no-header --columns type,path 2>/dev/null | string replace -r '^dir\\t(.*)' '$1/' | string replace -r '^[^\\t]*\\t' ''
end

complete -c xfsimg -e
complete -c xfsimg -f
${[...commands, { name: 'help', about: 'show a manual page' }]
  .map((c) => `complete -c xfsimg -n __fish_use_subcommand -f -a ${c.name} -d ${quote(c.about)}`)
  .join('\n')}
complete -c xfsimg -n '__fish_seen_subcommand_from help' -f -a ${quote(commands.map((c) => c.name).join(' '))}
${commands.flatMap(commandLines).join('\n')}
`;
}
