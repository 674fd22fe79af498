#!/usr/bin/env bash
# differential.sh SECONDS [FIRST_SEED]: random calls on a local disk, on kernel overlayfs and on our mount, compared after each step. Prints seeds,
# calls and differences (ANTARES_TEST_BUILT=1: with the tests as they are built already); without FIRST_SEED it takes fresh seeds each day; a failing seed is shrunk and printed as a script, and the run goes on (up to 10 of them). As root.
. "$(dirname "$0")/lib.sh"
export ANTARES_BIN ANTARES_DIFFERENTIAL_SECONDS=${1:?usage: differential.sh SECONDS [FIRST_SEED]} ANTARES_DIFFERENTIAL_FIRST=${2:-$(date +%Y%m%d)00000}
export ANTARES_DIFFERENTIAL_FAILURES=10 ANTARES_DIFFERENTIAL_LOG=$scratch/differential.log
cd "$repository"
: > "$ANTARES_DIFFERENTIAL_LOG"
status=0
dotnet test Antares.Aot.Tests ${ANTARES_TEST_BUILT:+--no-build} --nologo --filter FullyQualifiedName~Differential.DifferentialTests > "$scratch/log" 2>&1 || status=$?
cat "$ANTARES_DIFFERENTIAL_LOG"
if [ $status -ne 0 ] || ! grep -q ' seeds, ' "$ANTARES_DIFFERENTIAL_LOG"; then
    grep -q ' seeds, ' "$ANTARES_DIFFERENTIAL_LOG" || tail -40 "$scratch/log" >&2
    fail "differences, or no run at all"
fi
echo "OK differential"
