#compdef trellis
# zsh completion for trellis: its commands, the commands below them, and the flags of the command that has been typed.
_trellis() {
  local -a found typed
  local one
  for one in ${words[2,CURRENT-1]}; do
    [[ $one == [a-z]* && $#typed -lt 2 ]] && typed+=($one) || break
  done
  if [[ $words[CURRENT] == -* ]]; then
    found=(${(f)"$($words[1] help $typed 2>/dev/null | grep -o -- '--[a-z][a-z-]*' | sort -u)"})
  elif (( CURRENT <= 3 )); then
    found=(${(f)"$($words[1] help $typed 2>/dev/null | sed -n "/^Commands:/,\$ s/^  ${typed[1]:+$typed[1] }\([a-z][a-z-]*\) .*/\1/p" | sort -u)"})
  fi
  if (( $#found )); then
    compadd -a found
  else
    _files
  fi
}
_trellis "$@"
