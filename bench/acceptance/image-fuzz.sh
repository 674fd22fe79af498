#!/usr/bin/env bash
# Images changed by chance, as many as asked for: image-fuzz.sh [ROUNDS] [SEED]. And each bit of a small image flipped.
# A crash, a hang, an answer that no image gives is a failure; the managed heap is bounded.
# Ten million take about an hour of processor time, spread over the processors.
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-10000000}
seed=${2:-$RANDOM}
project=Antares.Aot.Tests/Antares.Aot.Tests.csproj
dotnet build "$project" -c Release -v q -nologo
echo "rounds $rounds, seed $seed"
export ANTARES_FUZZ_ROUNDS=$rounds ANTARES_FUZZ_SEED=$seed ANTARES_ALL_BITS=1 DOTNET_GCHeapHardLimit=10000000
start=$(date +%s)
dotnet test "$project" -c Release --no-build -nologo --logger "console;verbosity=normal" \
    --filter "FullyQualifiedName~ImageFuzz|FullyQualifiedName~Every_flipped_bit"
echo "$rounds changed images in $(($(date +%s) - start)) s: no crash, no hang, every answer one that an image may give"
