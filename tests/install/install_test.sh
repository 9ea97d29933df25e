#!/usr/bin/env bash
# Installs the build into a folder of its own, then configures, builds and runs an outside program against it.
set -euo pipefail
build=$1 source=$2 compiler=$3 sanitizer=$4

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >"$work/install.log" || { cat "$work/install.log"; exit 1; }
flags=""
[[ -z $sanitizer ]] || flags="-fsanitize=$sanitizer"
[[ $sanitizer != address ]] || flags="$flags -fsanitize=undefined"
cmake -S "$source/tests/install/consumer" -B "$work/build" -G Ninja -DCMAKE_PREFIX_PATH="$work/prefix" \
  -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_CXX_FLAGS="$flags" -DLENET_SOURCE="$source/examples/lenet.cc" \
  >"$work/configure.log" 2>&1 || { cat "$work/configure.log"; exit 1; }
ninja -C "$work/build" >"$work/build.log" || { cat "$work/build.log"; exit 1; }
"$work/build/lenet" --examples 2000
"$work/prefix/bin/trireme" --version
