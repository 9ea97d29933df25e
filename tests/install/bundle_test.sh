#!/usr/bin/env bash
# Unpacks what scripts/bundle makes in a Debian 12 that has nothing else (debootstrap --variant=minbase) and trains there.
# Needs root, for chroot, and Debian's mirror; says that it is skipped where they are not. TRIREME_DEBIAN_ROOT names a packed
# root (.tar.gz) to use instead of the mirror; it is made when it is not there.
set -euo pipefail
build=$1 source=$2
readonly kSkipped=77

skip() { echo "SKIPPED: $1"; exit $kSkipped; }
fail() { echo "FAILED: $1" >&2; exit 1; }

if [[ ${3:-} != --in-namespace ]]; then
  [[ $(id -u) == 0 ]] || skip "chroot needs root"
  command -v debootstrap >/dev/null || skip "debootstrap is missing (scripts/install_dependencies)"
  # Mounts and processes are the namespaces', and end with them whatever happens.
  unshare --mount --pid --fork true 2>/dev/null || skip "this container may not make mount and pid namespaces"
  exec unshare --mount --pid --fork --kill-child "$0" "$build" "$source" --in-namespace
fi

work=$(mktemp -d)
root=$work/root
cleanup() {
  umount -R "$root/proc" "$root/dev/shm" 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap cleanup EXIT
mount --make-rprivate /

if [[ -f ${TRIREME_DEBIAN_ROOT:-} ]]; then
  mkdir "$root"
  tar -C "$root" -xzf "$TRIREME_DEBIAN_ROOT"
else
  debootstrap --variant=minbase bookworm "$root" "${TRIREME_DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$work/log" 2>&1 || {
    tail -20 "$work/log"
    grep -qE "Failed getting release file|Couldn't download" "$work/log" && skip "Debian's mirror cannot be reached"
    fail "debootstrap"
  }
  [[ -z ${TRIREME_DEBIAN_ROOT:-} ]] || tar -C "$root" -czf "$TRIREME_DEBIAN_ROOT" .
fi
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/dev/shm"

"$source/scripts/bundle" "$work/trireme.tar.gz" --build-dir "$build"
"$source/scripts/bundle" "$work/again.tar.gz" --build-dir "$build" >/dev/null
cmp "$work/trireme.tar.gz" "$work/again.tar.gz" || fail "the archive of an equal build differs"
tar -C "$root/opt" -xzf "$work/trireme.tar.gz"

in_root() { chroot "$root" /usr/bin/env -i PATH=/usr/bin:/bin OMP_WAIT_POLICY=passive /bin/sh -euc "cd /opt/trireme-*; $1"; }
accuracy_of() { grep -oE '"val_accuracy":[0-9.]+' "$1" | cut -d: -f2; }
at_least() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a >= b) }'; }

in_root 'ldd bin/trireme' >"$work/ldd"
! grep "not found" "$work/ldd" || fail "libraries are missing"
in_root 'cd /opt/trireme-* && grep -A99999 "^# sha256" MANIFEST | tail -n +2 | sha256sum --check --quiet' || fail "checksums"
in_root 'bin/trireme devices' | tee "$work/devices"
grep -q "/device:CPU:0" "$work/devices" || fail "no CPU among the devices"

in_root 'bin/trireme train examples/digits_lenet.textproto --quiet --output-dir /tmp/one' | tee "$work/one"
at_least "$(accuracy_of "$work/one")" 0.985 || fail "the demo's accuracy"
in_root 'bin/trireme launch --workers 2 examples/digits_lenet.textproto --quiet --output-dir /tmp/two --set epochs=1' |
  tee "$work/two"
at_least "$(accuracy_of "$work/two")" 0.95 || fail "the accuracy of two workers"
in_root 'bin/trireme launch --workers 2 --ps 1 examples/digits_lenet.textproto --quiet --output-dir /tmp/ps --set epochs=1' |
  tee "$work/ps"
at_least "$(accuracy_of "$work/ps")" 0.95 || fail "the accuracy with a parameter server"

# Where it cannot run it says why.
umount "$root/dev/shm"
rmdir "$root/dev/shm"
! in_root 'bin/trireme launch --workers 2 examples/digits_lenet.textproto --quiet --output-dir /tmp/no_shm' >"$work/no_shm" 2>&1 ||
  fail "two workers ran without /dev/shm"
grep -q "there is no /dev/shm" "$work/no_shm" || { tail -5 "$work/no_shm"; fail "nothing is said of the missing /dev/shm"; }
echo "bundle_test: passed"
