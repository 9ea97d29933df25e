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
mkdir "$work/jobs"
"$source/tests/install/consumer_jobs.sh" "$work/build/own_trireme" "$work/jobs"

# Each installed header says what it needs: it compiles alone.
cd "$work/prefix/include/trireme"
find . -name '*.h' -printf '%P\n' | sort >"$work/headers"
alone() {
  echo "#include \"$1\"" | "$compiler" -std=c++20 -fsyntax-only -I. -x c++ - || { echo "$1 does not compile alone"; exit 255; }
}
export -f alone
export compiler
xargs -P 2 -I{} bash -c 'alone {}' <"$work/headers"
[[ $(wc -l <"$work/headers") -gt 40 ]] || { echo "headers are missing:"; cat "$work/headers"; exit 1; }
for private in worker/train_task.h ps/server/slot.h distributed/rpc/message_stream.h; do
  [[ ! -e $private ]] || { echo "$private is private, and was installed"; exit 1; }
done
"$work/prefix/bin/trireme" --version
