# fish completion for trellis: its commands, the commands below them, and the flags of the command that has been typed.
function __trellis_typed
    string match -r -- '^[a-z].*' (commandline -opc)[2..3]
end
function __trellis_below
    set -l typed (__trellis_typed)
    trellis help $typed 2>/dev/null | string match -rg "^  $typed ([a-z][a-z-]*) " | sort -u
end
complete -c trellis -n __fish_use_subcommand -f -a "(trellis help 2>/dev/null | string match -rg '^  ([a-z][a-z-]*) ' | sort -u)"
complete -c trellis -n 'test (count (commandline -opc)) -eq 2; and count (__trellis_below) >/dev/null' -f -a '(__trellis_below)'
complete -c trellis -n 'not __fish_use_subcommand; and string match -q -- "-*" (commandline -ct)' -f -a "(trellis help (__trellis_typed) 2>/dev/null | string match -ra -- '--[a-z][a-z-]*' | sort -u)"
