#!/usr/bin/env bash
# Shared WebAssembly memory under an address-space limit: what one page of 64 KiB needs depends on the version of Node.js.
#
# `new WebAssembly.Memory({ shared: true, initial: 1, maximum: 65536 })` under `ulimit -v`: Node.js 20.19.5 throws a RangeError at
# 10,000,000 KiB, 24.11.1 at 8,000,000 KiB, because V8 reserves address space for the maximum and guard regions up front; 26.12.1
# answers with the page at 6,000,000 KiB. Without the limit all do. Batch systems set such limits, so a trainer that shares its
# weights this way starts on one version and not on another.
set -euo pipefail
case "$(uname -m)" in x86_64) cpu=x64 ;; aarch64) cpu=arm64 ;; *) echo "no Node.js package for $(uname -m)" && exit 2 ;; esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
code='const m = new WebAssembly.Memory({ shared: true, initial: 1, maximum: 65536 }); console.log(m.buffer.byteLength)'

answer() { # version, limit in KiB
  npm install --silent --no-save --prefix "$work/$1" "node-linux-$cpu@$1" >/dev/null
  (ulimit -v "$2" && "$work/$1/node_modules/node-linux-$cpu/bin/node" -e "$code" 2>&1) | grep -oE '^(RangeError: .*|[0-9]+)$' || true
}

status=0
expect() { # name, seen, wanted
  echo "$1: $2"
  [ "$2" = "$3" ] || { echo "  expected: $3" && status=1; }
}
refused='RangeError: WebAssembly.Memory(): could not allocate memory'
expect '20.19.5 with 10,000,000 KiB' "$(answer 20.19.5 10000000)" "$refused"
expect '20.19.5 without a limit' "$(answer 20.19.5 unlimited)" 65536
expect '24.11.1 with 8,000,000 KiB' "$(answer 24.11.1 8000000)" "$refused"
expect '24.11.1 with 10,000,000 KiB' "$(answer 24.11.1 10000000)" 65536
expect '26.12.1 with 6,000,000 KiB' "$(answer 26.12.1 6000000)" 65536
exit "$status"
