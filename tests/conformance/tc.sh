#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The conformance tests with tc alone.
exec "$(dirname "$0")/suite.py" --mode tc --cpu 1
