#!/usr/bin/env bash
# scripts/gpu_check where there is no GPU: what it says; what it makes of tests that pass, fail, hang and are skipped (stand-ins in place of
# the program and its tests, in the layout of an archive); and, where CUDA was built, the real ones on the stand-in libraries.
set -euo pipefail
build=$1 source=$2

fail() { echo "FAILED: $1" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
unset LD_LIBRARY_PATH TRIREME_DATA_DIR

# --- an archive whose program and tests are scripts

mkdir -p archive/{bin,tests,examples,scripts}
cp "$source/scripts/gpu_check" archive/scripts/
cp "$source"/examples/*.textproto archive/examples/
cat >archive/bin/trireme <<'END'
#!/bin/sh
case "$1 $2" in
  "--version ") echo "trireme 0.0.0" ;;
  "devices ") printf '/device:CPU:0\t1 threads\n'; [ -n "$NO_GPU" ] || printf '/device:GPU:0\tStub H200\n' ;;
  "train "*digits_lenet*) [ -z "$NO_GPU" ] || { echo "trireme: --device gpu: there is no driver" >&2; exit 2; }
    echo '{"job":"digits_lenet","loss":0.5,"accuracy":0.99,"val_loss":0.1,"val_accuracy":0.991}' ;;
  "train "*text_binary*) echo '{"job":"text_binary","loss":0.5,"accuracy":0.99,"val_loss":0.1,"val_accuracy":0.5}' ;;
  "train "*) echo '{"loss":0.05,"val_loss":0.01,"val_auc":0.86}' ;;
  "bench train") echo '{"peer":"trireme","samples_per_s":1000.5,"min":900.0,"max":1100.0,"loss":2.3}' ;;
esac
END
printf '#!/bin/sh\necho "[  PASSED  ] 7 tests."\n' >archive/tests/passing_test
printf '#!/bin/sh\necho "it broke here" >&2\nexit 1\n' >archive/tests/failing_test
printf '#!/bin/sh\necho "a.cc:7: Skipped"\necho "this test needs two GPUs"\necho "[  SKIPPED ] 1 test."\n' >archive/tests/skipped_test
printf '#!/bin/sh\nexec sleep 100\n' >archive/tests/waiting_test
chmod +x archive/bin/trireme archive/tests/*

[[ $(archive/scripts/gpu_check --list-tests | tr '\n' ' ') == "failing_test passing_test skipped_test waiting_test " ]] ||
  fail "--list-tests of an archive"

code=0
NO_GPU=1 archive/scripts/gpu_check --report none.txt >out 2>err || code=$?
[[ $code == 2 && $(wc -l <err) == 1 && ! -e none.txt ]] || fail "without a GPU: exit code $code, $(cat err)"
grep -q "no GPU to check: trireme: --device gpu: there is no driver" err || fail "why there is no GPU: $(cat err)"

code=0
archive/scripts/gpu_check --report report.txt --part tests --time-limit 12 >out 2>err || code=$?
[[ $code == 1 ]] || fail "a failed test gives exit code $code"
head -1 report.txt | grep -q "gpu_check: 1 passed, 2 failed, 1 skipped, on .*H200" || fail "first line: $(head -1 report.txt)"
[[ $(cat out) == "$(head -1 report.txt)" ]] || fail "what is printed last: $(cat out)"
grep -q "passed .*passing_test: 7 tests" report.txt || fail "a test that passes"
grep -q "FAILED .*failing_test: exit code 1" report.txt || fail "a test that fails"
grep -q "it broke here" report.txt || fail "what a failed test said"
grep -q "FAILED .*waiting_test: not done after" report.txt || fail "a test that hangs"
grep -q "skipped .*skipped_test: this test needs two GPUs" report.txt || fail "why a test was skipped"

code=0
tar -cf archive.tar archive
"$source/scripts/gpu_check" --bundle archive.tar --report report.txt --part examples --part bench >out 2>err || code=$?
[[ $code == 1 ]] || fail "an example that misses its accuracy gives exit code $code"
grep -q "FAILED .*text_binary: val_accuracy 0.5 (expected >= 0.86)" report.txt || fail "an accuracy that is missed: $(cat report.txt)"
[[ $(grep -c "^FAILED" report.txt) == 1 ]] || fail "only that one fails: $(grep FAILED report.txt)"
grep -q "passed .*mirrored equals one: loss 0.5 and 0.5" report.txt || fail "mirrored against one"
grep -qE "^resnet50 +bf16 +128 +trireme +1000.5 +900.0 +1100.0 +2\.5% " report.txt || fail "the table: $(grep resnet50 report.txt)"

code=0
archive/scripts/gpu_check --part everything >out 2>err || code=$?
[[ $code == 2 ]] || fail "a part that does not exist gives exit code $code"

# --- the real program

if [[ ! -d $build/fake_cuda ]]; then
  echo "gpu_check_test: passed; CUDA was not built, so nothing ran on the stand-in libraries"
  exit 0
fi
code=0
GTEST_FILTER='*Relu*:*Add*:*DevicesLists*' "$source/scripts/gpu_check" --build "$build" --fake --part tests --report report.txt >out 2>err || code=$?
[[ $code == 0 ]] || { cat report.txt; fail "tests on the stand-in libraries"; }
grep -q "passed .*cuda_ops_test: [1-9]" report.txt || { cat report.txt; fail "cuda_ops_test did not run"; }
echo "gpu_check_test: passed"
