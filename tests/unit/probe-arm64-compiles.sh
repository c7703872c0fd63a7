#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# probe-arm64-compiles.sh DAEMON-DIR: cross-compiles what of the probe is free of GLib, and sees that
# the arm64 guest really is in it. Exit 77 (skipped) without a cross compiler.
set -eu
compiler=aarch64-linux-gnu-gcc
command -v $compiler >/dev/null || {
  echo "SKIPPED: no $compiler (Debian: gcc-aarch64-linux-gnu libc6-dev-arm64-cross); arm64 UNCHECKED" >&2
  exit 77
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for name in guest arm64 x86; do
  $compiler -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wno-unused-parameter \
    -Wno-missing-field-initializers -Werror -I "$1" -c "$1/host/pcd-probe-$name.c" \
    -o "$work/$name.o"
done
# The hooks must come from pcd-probe-arm64.c and from nowhere else.
found=$(cd "$work" && aarch64-linux-gnu-nm -A guest.o arm64.o x86.o | grep ' T pcd_probe_arch_set_up$')
[ "${found%%:*}" = arm64.o ] || {
  echo "pcd_probe_arch_set_up is not in pcd-probe-arm64.c alone: $found" >&2
  exit 1
}
echo "compiled for arm64"
