#!/usr/bin/zsh -f
# SPDX-License-Identifier: LGPL-2.1-or-later
# completion.zsh FOLDER-OF-_postcopyctl FOLDER-OF-postcopyctl: what Tab offers, in a real zsh on a terminal.
zmodload zsh/zpty
integer n=0 bad=0
dump=$(mktemp -u)

offered() { # LINE: what is listed for it
  zpty shell zsh -f -i
  zpty -w shell "fpath=($1 \$fpath); path=($2 \$path); autoload -U compinit; compinit -u -d $dump; LISTMAX=1000; bindkey '^I' list-choices; print rea''dy"
  zpty -r shell out '*ready*' # by now it is set up
  zpty -w -n shell "postcopyctl $3"$'\t'
  local out= more
  integer quiet=0
  while (( quiet < 30 )); do # until nothing has come for 3 s
    if zpty -r -t shell more; then out+=$more; quiet=0; else quiet+=1; sleep .1; fi
  done
  zpty -d shell
  print -r -- "$out"
}

check() { # LINE WANTED UNWANTED
  local seen=$(offered $folder $bin $1)
  n+=1
  if [[ $seen == *${~2}* && $seen != *$3* ]]; then
    print "ok $n - 'postcopyctl $1' offers $2"
  else
    print "not ok $n - 'postcopyctl $1' offers $2"; print -r -- "# ${(q)seen}"; bad+=1
  fi
}

folder=$1 bin=$2
check '' 'force-pause*Make QEMU*snapshot' '--json'
check 'policy s' 'show*simulate' 'check'
check 'recover --w' '--wait' '--uri'
check 'incident ' 'report' 'recover'
check 'policy set --' '--role' '--outcome'
check 'snapshot merge --' '--mark-missing' '--directory'
check 'help ' 'force-pause*Make QEMU*snapshot' '--json'
check 'debug vm1 --mode ' 'gdbserver' '--role'
rm -f $dump $dump.zwc
print "1..$n"
exit $bad
