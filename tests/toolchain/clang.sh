#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The programs in the kernel, built by other clangs than Debian 12's default, where they are installed.
exec "$(dirname "$0")/suite.py" --bpf clang-16 clang-19
