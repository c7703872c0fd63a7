#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# completion.bash POSTCOPYCTL COMPLETION-FILE: what Tab offers, by the function that bash calls for it.
PATH=$(dirname "$1"):$PATH
. "$2"
n=0 bad=0

check() { # LINE WANTED... [! UNWANTED...]: the line ends in the word that is being typed
  local offered word is wanted=1
  COMP_WORDS=() COMPREPLY=()
  read -ra COMP_WORDS <<<"postcopyctl $1"
  [[ $1 == '' || $1 == *' ' ]] && COMP_WORDS+=('')
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  _postcopyctl
  offered=" ${COMPREPLY[*]} "
  n=$((n + 1))
  for word in "${@:2}"; do
    [[ $word == '!' ]] && wanted=0 && continue
    [[ $offered == *" $word "* ]] && is=1 || is=0
    if ((is != wanted)); then
      echo "not ok $n - '$1': $word in$offered"
      bad=1
      return
    fi
  done
  echo "ok $n - 'postcopyctl $1' offers$offered"
}

check '' force-pause top help ! all --json
check 'he' help ! hold
check '--' --bus --host --quiet ! --json
check 'help ' all recover ! help
check 'help policy ' simulate set ! all
check 'policy ' list set simulate ! recover
check 'policy set --' --role --default ! --outcome
check 'policy simulate --' --outcome ! --role
check '--bus session snapshot ' verify info merge ! list
check 'snapshot merge --' --output --mark-missing ! --directory
check 'snapshot vm1 --' --directory ! --output
check 'recover --w' --wait ! --uri
check 'hold vm1 --role ' source destination
check 'debug vm1 --mode g' gdbserver guest ! core
check 'incident ' list show report
check 'events --' --since --lines --follow ! --watch
check 'events --since -' ! --follow
echo "1..$n"
exit $bad
