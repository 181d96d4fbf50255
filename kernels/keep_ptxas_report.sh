#!/bin/sh
# Runs a compiler as it is called, and keeps what it prints (with -Xptxas=-v: registers, spills and
# shared memory of every kernel) beside the object it makes. Only failures and warnings are shown.
object=
previous=
for argument in "$@"; do
  [ "$previous" = -o ] && object=$argument
  previous=$argument
done
case $object in
  *.o) ;;
  *) exec "$@" ;;
esac
"$@" 2>"$object.ptxas"
code=$?
if [ $code -ne 0 ]; then cat "$object.ptxas" >&2; else grep -i warning "$object.ptxas" >&2; fi
exit $code
