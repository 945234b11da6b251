#!/usr/bin/env bash
# Builds the wheel, installs it into an empty environment and makes a portrait talk: outside the checkout, without a compiler,
# with a home that nobody can write. Five minutes; prints one line at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --upgrade "pip>=25" "setuptools>=77"
"$work/venv/bin/python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$work/wheel" .
"$work/venv/bin/python" -m pip install --quiet --no-compile torch==2.13.0
"$work/venv/bin/python" -m pip install --quiet --no-compile "$work"/wheel/*.whl
mkdir "$work/empty"
cd "$work/empty"
# Nothing but the environment on PATH: no gcc, no cc. A proxy that answers nobody: no network either.
env -i HOME=/proc/nobody PATH="$work/venv/bin" HTTPS_PROXY=http://127.0.0.1:9 HTTP_PROXY=http://127.0.0.1:9 \
    "$work/venv/bin/emolib" talk --out talk.mp4 --json
test -s talk.mp4
echo "the wheel ($(du -k "$work"/wheel/*.whl | cut -f1) kB) talks: $(du -k talk.mp4 | cut -f1) kB of video"
