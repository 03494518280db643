#compdef trellis
# zsh completion for trellis: its commands, and the flags of the command that has been typed.
_trellis() {
  local -a found
  if (( CURRENT == 2 )); then
    found=(${(f)"$($words[1] help 2>/dev/null | sed -n '/^Commands:/,$ s/^  \([a-z][a-z-]*\) .*/\1/p' | sort -u)"})
    compadd -a found
  elif [[ $words[CURRENT] == -* ]]; then
    found=(${(f)"$($words[1] help $words[2] 2>/dev/null | grep -o -- '--[a-z][a-z-]*' | sort -u)"})
    compadd -a found
  else
    _files
  fi
}
_trellis "$@"
