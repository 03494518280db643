# fish completion for trellis: its commands, and the flags of the command that has been typed.
complete -c trellis -n __fish_use_subcommand -f -a "(trellis help 2>/dev/null | string match -rg '^  ([a-z][a-z-]*) ' | sort -u)"
complete -c trellis -n 'not __fish_use_subcommand; and string match -q -- "-*" (commandline -ct)' -f -a "(trellis help (commandline -opc)[2] 2>/dev/null | string match -ra -- '--[a-z][a-z-]*' | sort -u)"
