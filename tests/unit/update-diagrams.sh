#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# update-diagrams.sh TEST-PHASES DRAW DOT DOCS: writes DOCS/phases.md and the texts of its pictures anew
# from the code, then draws every picture of DOCS/diagrams.
set -eu
PCD_UPDATE=1 PCD_DOCS="$4" "$1" >/dev/null
for text in "$4"/diagrams/*.dot; do
  "$2" "$3" "$text" "${text%.dot}.svg"
done
