#!/bin/busybox sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# PID 1 of the Linux guest: a log that ticks on the serial port, and a file that is kept in use.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
# Something for the page cache to hold, which a migration has to carry; checked every 20 ticks.
dd if=/dev/urandom of=/tmp/data bs=1M count=16 2>/dev/null
sum=$(md5sum </tmp/data)
echo "linux: ready $(uname -r)"
n=0
while :; do
  n=$((n + 1))
  if [ $((n % 20)) = 0 ]; then
    [ "$(md5sum </tmp/data)" = "$sum" ] && echo "linux: data good" || echo "linux: data BAD"
  fi
  read -r up _ </proc/uptime
  echo "tick $n $up"
  sleep 0.1
done
