#!/usr/bin/env bash
# suites.sh: the test suites in the forms that CI has no time for: limits at full size (50,000 files, 5,000 unlinked, 1,000,000 requests, git and
# SQLite at full size), the whole parity suite on the kernel engine, and with the INIT flags of a 5.15 kernel.
. "$(dirname "$0")/lib.sh"
export ANTARES_BIN
cd "$repository"
run() { dotnet test Antares.Aot.Tests -c Release --nologo --filter "$1" > "$scratch/log" 2>&1 || { grep -vE '^\s+at ' "$scratch/log" | tail -40 >&2; fail "$2"; }; tail -1 "$scratch/log"; }
ANTARES_TEST_LONG=1 run 'FullyQualifiedName~LimitMountTests|FullyQualifiedName~BuildMountTests' "full sizes"
ANTARES_TEST_MOUNTS=AntaresFolder,AntaresDir ANTARES_TEST_MOUNT_OPTIONS="--init-mask 5.15" run 'FullyQualifiedName~Tests.Mount&FullyQualifiedName!~MountErrorTests&FullyQualifiedName!~RunMountTests&FullyQualifiedName!~BinaryMountTests&FullyQualifiedName!~LimitMountTests' "with --init-mask 5.15"
# All classes that have parity tests, less the list in docs/SEMANTICS.md, which the tests themselves name (NotKernel, NotOnServedLower).
parity=$(grep -lE '\bMounts(\(|\]|,)' Antares.Aot.Tests/Mount/*.cs | sed -E 's|.*/(.*)\.cs|FullyQualifiedName~.\1|' | paste -sd '|')
ANTARES_TEST_MOUNTS=AntaresKernel,AntaresKernelFolder run "$parity" "on the kernel engine"
# Less what docs/SEMANTICS.md says of it: holes, flags of files, failures that come late, times that the kernel owns.
without=$(printf '&FullyQualifiedName!~%s' SeekHoleAndData FallocateModes WhatAMappingHoldsIsNoHole InodeFlagMountTests ALowerFileThatBecomesShorterIsNoCopyOfZeros RemovingANameMovesNoTimeOfTheOthers)
ANTARES_TEST_MOUNTS=AntaresFolder,AntaresDir ANTARES_TEST_MOUNT_OPTIONS="--writeback" run "($parity)$without" "with --writeback"
echo "OK suites"
