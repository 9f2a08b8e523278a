/** Completion for bash 4 and later; needs nothing of the bash-completion package. */
import type { CommandSpec, Kind } from './spec.js';

/** A word in single quotes. */
const quote = (s: string): string => `'${s.replaceAll("'", `'\\''`)}'`;

const kindWord = (kind: Kind): string => (typeof kind === 'string' ? kind : `words ${kind.join(' ')}`);

function caseOf(command: CommandSpec): string {
  const flags = command.options.flatMap((o) => [o.long, o.short].filter((f) => f !== undefined));
  const valued = command.options.filter((o) => o.value !== undefined && !o.optional);
  const values = valued.map((o) => {
    const names = [o.long, o.short].filter((f) => f !== undefined).join('|');
    return `        ${names}) value=${quote(kindWord(o.value as Kind))} ;;`;
  });
  const kinds = command.operands.map((o) => quote(kindWord(o.kind)));
  const rest = command.operands.at(-1)?.variadic ? kinds.at(-1) : "'any'";
  return [
    `    ${command.name})`,
    `      flags=${quote(flags.join(' '))}`,
    `      kinds=(${kinds.join(' ')}) rest=${rest}`,
    ...(values.length === 0 ? [] : ['      case $1 in', ...values, '      esac']),
    '      ;;',
  ].join('\n');
}

export function bashCompletion(commands: readonly CommandSpec[]): string {
  return `# bash completion for xfsimg: put it where bash-completion looks, or source it.

# What there is of a command: its flags, the kinds of its operands, the kind of the value option $1 takes.
_xfsimg_spec() {
  value=''
  case $command in
${commands.map(caseOf).join('\n')}
  esac
}

# Words of a kind that begin with $cur.
_xfsimg_kind() {
  local type path
  case $1 in
    file) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    path)
      # Backslashes of the shell go before the image is asked, and come back in what it offers.
      local typed=\${cur//\\\\/}
      [[ -n $image && ( -z $typed || $typed == /* ) ]] || return
      compopt -o nospace 2>/dev/null
      while IFS=$'\\t' read -r type path; do
        [[ $path == "$typed"* ]] || continue
        printf -v path %q "$path"
        if [[ $type == dir ]]; then path+=/; else path+=' '; fi
        COMPREPLY+=("$path")
      done < <(xfsimg find "$image" "\${typed%/*}/" --mindepth 1 --maxdepth 1 --format tsv --no-header --columns type,path 2>/dev/null)
      ;;
    words\\ *) mapfile -t COMPREPLY < <(compgen -W "\${1#words }" -- "$cur") ;;
  esac
}

_xfsimg() {
  local cur=\${COMP_WORDS[COMP_CWORD]} command=\${COMP_WORDS[1]} image flags kinds rest value i word
  local -a operands=()
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W ${quote(`${commands.map((c) => c.name).join(' ')} help --help --version`)} -- "$cur")
    return
  fi
  if [[ $command == help ]]; then
    mapfile -t COMPREPLY < <(compgen -W ${quote(commands.map((c) => c.name).join(' '))} -- "$cur")
    return
  fi
  for ((i = 2; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ $word == -?* ]]; then
      _xfsimg_spec "$word"
      [[ -z $value ]] || ((i++))
    else operands+=("$word"); fi
  done
  image=\${operands[0]//\\\\/}
  _xfsimg_spec "\${COMP_WORDS[COMP_CWORD - 1]}"
  if [[ -n $value ]]; then _xfsimg_kind "$value"
  elif [[ $cur == -* ]]; then mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$cur")
  else _xfsimg_kind "\${kinds[\${#operands[@]}]:-$rest}"; fi
}

complete -F _xfsimg xfsimg
`;
}
