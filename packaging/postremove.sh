#!/bin/sh
# Removes what the program has stored when dpkg purges the package. rpm has no such step, and keeps it.
set -e
if [ "$1" = purge ]; then
  rm -rf /var/lib/trellis /etc/trellis
fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
