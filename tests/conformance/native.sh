#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The conformance tests with XDP in the drivers.
exec "$(dirname "$0")/suite.py" --mode native --cpu 0
