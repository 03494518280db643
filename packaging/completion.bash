# bash completion for trellis: its commands, the commands below them, and the flags of the command that has been typed.
_trellis() {
  local word=${COMP_WORDS[COMP_CWORD]} typed=() one
  for one in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $one == [a-z]* && ${#typed[@]} -lt 2 ]] && typed+=("$one") || break
  done
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" help "${typed[@]}" 2>/dev/null | grep -o -- '--[a-z][a-z-]*' | sort -u)" -- "$word"))
  elif [ "$COMP_CWORD" -le 2 ]; then
    COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" help "${typed[@]}" 2>/dev/null | sed -n "/^Commands:/,\$ s/^  ${typed[0]:+${typed[0]} }\([a-z][a-z-]*\) .*/\1/p" | sort -u)" -- "$word"))
  fi
}
complete -o default -F _trellis trellis
