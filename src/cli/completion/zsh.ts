/** Completion for zsh, by its own _arguments. */
import type { CommandSpec, Kind, OperandSpec, OptionSpec } from './spec.js';

const quote = (s: string): string => `'${s.replaceAll("'", `'\\''`)}'`;
/** Text within a spec of _arguments. */
const plain = (s: string): string => s.replace(/[[\]:\\]/g, '\\$&');

/** The action of _arguments for words of a kind. */
function action(kind: Kind): string {
  if (kind === 'file') return '_files';
  if (kind === 'path') return '_xfsimg_paths';
  return kind === 'any' ? ' ' : `(${kind.join(' ')})`;
}

function optionSpec(o: OptionSpec): string[] {
  const names = [o.short, o.long].filter((f) => f !== undefined);
  const value = o.value === undefined ? '' : `${o.optional ? '::' : ':'}value:${action(o.value)}`;
  return names.map((name) => {
    const join = o.value !== undefined && o.optional && name.startsWith('--') ? '=-' : '';
    return quote(`${name}${join}[${plain(o.about)}]${value}`);
  });
}

function operandSpec(operand: OperandSpec, i: number): string {
  const where = operand.variadic ? '*' : `${i + 1}`;
  return quote(`${where}:${plain(operand.name)}:${action(operand.kind)}`);
}

function functionOf(c: CommandSpec): string {
  const specs = [...c.options.flatMap(optionSpec), ...c.operands.map(operandSpec)];
  return `(${c.name})\n      _arguments -s -S \\\n        ${specs.join(' \\\n        ')} && return 0\n      ;;`;
}

export function zshCompletion(commands: readonly CommandSpec[]): string {
  const list = [...commands, { name: 'help', about: 'show a manual page' }];
  return `#compdef xfsimg
# zsh completion for xfsimg: save as _xfsimg in a folder of $fpath.

# Paths of the image, which is the first operand behind the command; the level that is being typed.
_xfsimg_paths() {
  local image=\${(Q)line[1]} typed=\${(Q)PREFIX} type name
  [[ -n $image ]] || return 1
  local -a folders files
  while IFS=$'\\t' read -r type name; do
    if [[ $type == dir ]]; then folders+=("$name"); else files+=("$name"); fi
  done < <(xfsimg find "$image" "/\${\${typed%/*}#/}" --mindepth 1 --maxdepth 1 --format tsv --no-header --columns type,path 2>/dev/null)
  compadd -S / -q -a folders
  compadd -a files
}

_xfsimg() {
  local curcontext=$curcontext state line
  local -a commands=(
${list.map((c) => `    ${quote(`${c.name}:${c.about.replaceAll(':', '\\:')}`)}`).join('\n')}
  )
  _arguments -C '(-h --help)'{-h,--help}'[show help]' '(-V --version)'{-V,--version}'[show the version]' \\
    '1:command:->command' '*::operand:->operands' && return 0
  case $state in
    command) _describe command commands; return ;;
  esac
  case $words[1] in
    help) _arguments '1:command:(${commands.map((c) => c.name).join(' ')})' && return 0 ;;
    ${commands.map(functionOf).join('\n    ')}
  esac
}

if [[ $funcstack[1] == _xfsimg ]]; then _xfsimg "$@"; else compdef _xfsimg xfsimg; fi
`;
}
