#!/bin/sh
# Removes what the program has stored, and its user, when dpkg purges the package. rpm has no such step, and keeps them.
set -e
if [ "$1" = purge ]; then
  rm -rf /var/lib/trellis /etc/trellis
  if command -v userdel >/dev/null 2>&1; then
    if getent passwd trellis >/dev/null; then userdel trellis; fi
    if getent group trellis >/dev/null; then groupdel trellis; fi # userdel removes it only if login.defs says so.
  fi
fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
