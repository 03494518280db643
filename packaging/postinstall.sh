#!/bin/sh
# Creates the user, and starts the new version if the old one was running.
set -e
if command -v systemd-sysusers >/dev/null 2>&1; then
  systemd-sysusers /usr/lib/sysusers.d/trellis.conf
elif ! getent passwd trellis >/dev/null; then
  useradd --system --user-group --home-dir /var/lib/trellis --shell /usr/sbin/nologin trellis
fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  # SIGUSR2 hands everything over to a process of the new version without refusing a connection (docs/operations.md).
  systemctl kill --kill-whom=main --signal=SIGUSR2 trellis.service 2>/dev/null || true
fi
